"""Small bad inputs, each with words of the message it must cause, and good ones (None).

Every guard needs at least one of each: a guard that never fails guards nothing.
"""
import tables


def lines(letter, count):
    """Of a table that goes through a list, with no tests in them."""
    return "".join(f"| {letter}{number} | cannot apply |\n" for number in range(1, count + 1))


def faults(name=None, *rows):
    """docs/FAULTS.md where none concerns us, but with these rows in the place of the named one."""
    rest = [f"| {one} | does not concern us: so |\n" for one in tables.FAULTS if one != name]
    return {"docs/FAULTS.md": "".join([*rest, *rows])}


INCLUDE_LAW = [
    ({"base/a.hpp": '#include "crypto/aead.hpp"\n'}, 'base/ may not include "crypto/aead.hpp"'),
    ({"noise/a.cpp": '#include "tun/shard.hpp"\n'}, "only base, crypto, noise"),
    ({"tun/a.cpp": '#  include "daemon/uapi.hpp"\n'}, "tun/ may not include"),
    ({"daemon/a.cpp": '#include "agent/plan.hpp"\n'}, "daemon/ may not include"),
    ({"agent/a.cpp": '#include "noise/device.hpp"\n'}, "only base, crypto, agent"),
    ({"base/a.cpp": '#include "tests/support/hex.hpp"\n'}, "base/ may not include"),
    ({"crypto/a.cpp": '#include "aead.hpp"\n'}, "from the root of the repository"),
    ({"crypto/a.cpp": '#include "../base/bytes.hpp"\n'}, "from the root of the repository"),
    ({"noise/a.cpp": "#include <noise/b.hpp>\n"}, "with quotes"),
    ({"noise/a.cpp": "#include <sys/socket.h>\n"}, "no system call left of tun/"),
    ({"noise/a.cpp": "#include <vector>\n"}, "allocates"),
    ({"tun/a.cpp": "#include <boost/asio.hpp>\n"}, "control plane only"),
    ({"daemon/a.cpp": "#include <sodium.h>\n"}, "primitives live in crypto/"),
    ({"noise/a.cpp": '#include "base/bytes.hpp"\n// #include "tun/x.hpp"\n'
                     "#include <span>\n"}, None),
    ({"tests/noise/a_test.cpp": '#include "daemon/uapi.hpp"\n'}, None),
    ({"agent/a.cpp": '#include "crypto/secret.hpp"\n#include <vector>\n'}, None),
]

SIZES = [
    ({"base/a.cpp": "\n" * 601}, "601 lines, at most 600"),
    ({"base/a.hpp": "// " + "x" * 98 + "\n"}, "101 columns"),
    ({"base/a.cpp": "int f(int a) noexcept {\n" + "  ++a;\n" * 68 + "  return a;\n}\n"},
     "function of 71 lines"),
    ({"base/a.cpp": "struct S {\n  S() : a{1} {\n" + "    ++a;\n" * 70 + "  }\n  int a;\n};\n"},
     "function of 72 lines"),
    ({"base/a.cpp": "S::S(int b)\n    : a{1},\n      b_{b} {\n" + "  ++a;\n" * 70 + "}\n"},
     "function of 74 lines"),
    ({"base/a.cpp": "T::T() noexcept : a(1) {\n" + "  ++a;\n" * 70 + "}\n"}, "function of 72"),
    ({"base/a.cpp": "T f() {\n  if (g()) {\n" + "  ++a;\n" * 70 + "  }\n}\n"}, "of 74 lines"),
    ({"tests/a.py": "def f():\n" + "    pass\n" * 70}, "function of 71 lines"),
    ({"tool": "#!/bin/sh\n" + "x" * 101 + "\n"}, "101 columns"),
    ({"base/a.cpp": "namespace n {\n" + "int f() { return '{'; }\n" * 90 + "}\n"}, None),
    ({"base/a.cpp": "const int table[] = {\n" + "    f(1),\n" * 90 + "};\n"}, None),
    ({"base/a.cpp": "int f(int a) noexcept {\n" + "  ++a;\n" * 67 + "  return a;\n}\n"}, None),
    ({"base/a.cpp": "\n" * 600}, None),
]

BANNED = [
    ({"noise/a.cpp": "void f() { std::memcpy(a, b, 1); }\n"}, "copy_bytes()"),
    ({"daemon/a.cpp": "bool f() { return memcmp(a, b, 32) == 0; }\n"}, "crypto::ct_equal"),
    ({"base/bytes.hpp": "void f() { memcpy(a, b, 1); }\n"}, "1 uses, the list of exceptions says 3"),
    ({"tun/a.cpp": "void f() { strcpy(a, b); }\n"}, "std::string_view"),
    ({"daemon/a.cpp": "void f() { sprintf(a, b); }\n"}, "fmt in daemon/"),
    ({"noise/a.cpp": "int f() { return rand(); }\n"}, "noise::Entropy"),
    ({"tun/a.hpp": "std::function<void()> f;\n"}, "a template parameter"),
    ({"noise/a.hpp": "std::map<int, int> f;\n"}, "a table of base/"),
    ({"tun/a.cpp": "auto f() { return std::chrono::steady_clock::now(); }\n"}, "injected Now"),
    ({"base/a.cpp": "void f() { assert(true); }\n"}, "WG_ASSERT"),
    ({"noise/a.hpp": "struct A { std::size_t sending_counter = 0; };\n"}, "nonces repeat"),
    ({"noise/a.cpp": "void f(unsigned long counter) noexcept;\n"}, "nonces repeat"),
    ({"daemon/a.cpp": "void f() { ::system(\"ip link\"); }\n"}, "no other program"),
    ({"tun/a.cpp": "void f() { execlp(a, b); }\n"}, "no other program"),
    ({"noise/a.hpp": "std::uint64_t counter = 0;\nstd::size_t counters = 0;\n"
                     "auto a = system_entropy();\n"}, None),
    ({"tests/noise/a_test.cpp": "void f() { GTEST_SKIP(); }\n"}, "a test that runs"),
    ({"tests/net/test_a.py": "import pytest\npytest.skip('no')\n"}, "a test that runs"),
    ({"noise/a.cpp": "// TODO: later\n"}, "the thing itself"),
    ({"docs/a.md": "FIXME\n"}, "the thing itself"),
    ({"noise/a.cpp": '// memcpy is not used\nconst char* a = "rand()";\nint x = 1\'000;\n'}, None),
    ({"daemon/a.cpp": "std::function<void()> f;\nboost::asio::steady_timer t;\n"}, None),
    ({"base/a.cpp": "static_assert(true);\nusing namespace std::chrono_literals;\n"}, None),
]

TABLES = [
    ({"docs/A.md": "`test_b.py`\n"}, "1: there is no test test_b.py"),
    ({"docs/A.md": "`fuzz/a_fuzz.cpp`\n"}, "1: there is no test fuzz/a_fuzz.cpp"),
    ({"docs/A.md": "`Suite.lower_case`\n"}, "1: there is no test Suite.lower_case"),
    ({"docs/HOSTILE.md": lines("H", 73) + "| H75 | b |\n"}, "there is no line H74"),
    ({"docs/HOSTILE.md": lines("H", 74) + "| H75 | `Suite.One` |\n| H76 | `Suite.One` |\n",
      "tests/a.cpp": "TEST(Suite, One) {}\n"}, "line H75 has no test of its own"),
    ({"docs/NETNS.md": lines("N", 39) + "| N40 | `Suite.One` |\n",
      "tests/a.cpp": "TEST(Suite, One) {}\n"}, None),
    ({"docs/A.md": "| H1 | `Suite.Name` |\n"}, "docs/A.md:1: there is no test Suite.Name"),
    ({"docs/A.md": "\n`test_a.py::what`, `test_a.py::other`\n",
      "tests/net/test_a.py": "def test_what(lab):\n    pass\n"}, "2: there is no test test_a.py::other"),
    ({"docs/A.md": "`Suite.One` `Suite.Two` `Typed.Three` `test_a.py::what` `test_b.py`\n",
      "tests/net/test_a.py": "def test_what(lab):\n    pass\n", "tests/net/test_b.py": "",
      "tests/a.cpp": "TEST(Suite, One) {}\nTEST_F(Suite, Two) {}\nTYPED_TEST(Typed, Three) {}\n"},
     None),
    (faults(), None),
    (faults("DF-0315"), "there are 0 rows of the fault DF-0315"),
    (faults(None, "| DF-0315 | does not concern us: so |\n"), "there are 2 rows of the fault DF"),
    (faults(None, "| other-1 | does not concern us: so |\n"), "there is no fault other-1"),
    (faults("DF-0315", "| DF-0315 | does not concern us |\n"), "no test is marked with the fault"),
    ({**faults("DF-0315", "| DF-0315 | `Suite.One` |\n"), "tests/a.cpp": "TEST(Suite, One) {}\n"},
     "no test is marked with the fault DF-0315"),
    ({**faults("DF-0315", "| DF-0315 | `Suite.One` |\n"), "tests/a.cpp":
      "TEST(Suite, One) {}\n\n// fault: DF-0315\nTEST(Suite, Two) {}\nTEST(Suite, One) {}\n"},
     "tests/a.cpp:3: docs/FAULTS.md does not name Suite.Two for the fault DF-0315"),
    ({**faults("DF-0315", "| DF-0315 | `Suite.One` |\n"),
      "tests/a.cpp": "// fault: DF-0315\nint a;\n\nTEST(Suite, One) {}\n"},
     "1: no test is below the mark of the fault DF-0315"),
    ({**faults(), "tests/a.py": "# fault: key-files, other-1\ndef test_a(lab):\n    pass\n"},
     "tests/a.py:1: docs/FAULTS.md has no fault other-1"),
    ({"tests/a.cpp": "// fault: DF-0315\nTEST(Suite, One) {}\n"}, "has no fault DF-0315"),
    ({**faults("DF-0315", "| DF-0315 | `Suite.One`, `test_a.py::b` |\n"),
      "tests/test_a.py": "# fault: DF-0315\n@mark(\n    1)\ndef test_b(lab):\n    pass\n",
      "tests/a.cpp": "// What it is.\n// fault: DF-0315\nTEST(Suite, One) {  // H1\n}\n"}, None),
]

# One archive of the named room from one source file.
SYMBOLS = [
    ("noise", "#include <cstdlib>\nvoid* f() { return std::malloc(9); }\n", "heap memory"),
    ("noise", "int* f() { return new int; }\n", "heap memory"),
    ("base", "#include <ctime>\nlong f() { return std::time(nullptr); }\n", "a clock"),
    ("noise", "#include <chrono>\nauto f() { return std::chrono::steady_clock::now(); }\n",
     "a clock"),
    ("crypto", "#include <sys/random.h>\nlong f(char* a) { return getrandom(a, 1, 0); }\n",
     "entropy"),
    ("crypto", "#include <unistd.h>\nlong f(char* a) { return read(0, a, 1); }\n", "a file"),
    ("noise", "#include <sys/socket.h>\nint f() { return socket(1, 1, 0); }\n", "a socket"),
    ("base", "#include <cstdio>\nvoid f() { std::puts(\"a\"); }\n", "printing"),
    ("noise", "#include <pthread.h>\nint f(pthread_mutex_t* a) { return pthread_mutex_lock(a); }\n",
     "a thread or lock"),
    ("noise", "#include <string>\nvoid f(std::string& a) { a.append(99, 'a'); }\n", "heap memory"),
    ("noise", "#include <random>\nunsigned f(std::random_device& a) { return a(); }\n", "entropy"),
    ("noise", "extern \"C\" void never_heard_of();\nvoid f() { never_heard_of(); }\n",
     "not among what"),
    ("base", "#include <cstring>\nvoid f(void* a, void* b, unsigned long n)"
             " { std::memcpy(a, b, n); }\n", None),
    ("noise", "namespace wgring { void g(); }\nvoid f() { wgring::g(); }\n", None),
]

# Flags of one object (None: there is none), the sanitizers it is held to.
INSTRUMENTED = [
    ([], "address", "compiled without the sanitizer address"),
    ([], "thread", "compiled without the sanitizer thread"),
    (["-fsanitize=address"], "address,undefined", "compiled without the sanitizer undefined"),
    (["-fsanitize=undefined"], "address,undefined", "compiled without the sanitizer address"),
    (None, "thread", "nothing is compiled"),
    (["-fsanitize=address,undefined"], "address,undefined", None),
    (["-fsanitize=thread"], "thread", None),
]

HEADERS_ALONE = [
    ({"base/a.hpp": "#pragma once\nstd::size_t f();\n"}, "does not compile alone"),
    ({"noise/a.hpp": "struct TwiceSeen {};\n"}, "does not compile alone"),
    ({"base/a.hpp": "#pragma once\n#include <cstddef>\nstd::size_t f();\n"}, None),
    ({"base/a.hpp": "#pragma once\nstd::size_t f();\n",
      "base/a.cpp": "#include <cstddef>\n\n#include \"base/a.hpp\"\n"}, "does not compile alone"),
    ({"base/a.hpp": "struct TwiceSeen {};\n",
      "base/a.cpp": "#include \"base/a.hpp\"\n"}, "does not compile alone"),
    ({"tests/a.hpp": "#pragma once\nstd::size_t f();\n",
      "tests/a.cpp": "#include \"tests/a.hpp\"\n"}, "does not compile alone"),
]

# The judge of test reports: a report in, words of its output.
TALLY = [
    ('<testsuite><testcase name="a" status="run"/></testsuite>', None),
    ('<testsuite><testcase name="a" status="run"/><testcase name="b" status="fail">'
     "<failure>boom</failure></testcase></testsuite>", "1 passed, 1 failed"),
    ("<testsuite/>", "no test ran"),
    ("", "no test ran"),
    ('<testsuite><testcase name="a" status="disabled"/></testsuite>', "0 passed, 1 failed"),
    ('<testsuite><testcase name="a"><skipped message="no tool"/></testcase></testsuite>',
     "0 passed, 1 failed"),
    # Second tries are counted; the failure is there because only then is the output looked at.
    ('<testsuite><properties><property name="retried" value="b"/></properties>'
     '<testcase name="a" status="disabled"/></testsuite>', "-- second try: b\nretried: 1"),
    ('<testsuite><testcase name="a" status="disabled"/></testsuite>', "retried: 0"),
    ('<testsuite><properties><property name="retried" value="noise.A.B"/></properties>'
     '<testcase name="noise.A.B" status="run"/></testsuite>', "1 passed, 1 failed"),
    ('<testsuite><testcase name="a.B" status="disabled"/></testsuite>',
     "1/2 Test  #1: a.B ....***Failed    0.01 sec\n    Test  #1: a.B ....   Passed    0.02 sec\n"
     "2/2 Test  #2: a.C ....   Passed    0.02 sec\n", "-- second try: a.B\nretried: 1"),
]

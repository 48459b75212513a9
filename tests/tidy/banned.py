#!/usr/bin/env python3
"""Guard: words that are not written here, each with what to write in their place.

An exception is a file with the number of uses it may have: one more, or one fewer, is a fault.
"""
import collections
import dataclasses
import re
import sys

import source

PRODUCTION = source.ROOMS
EVERYWHERE = PRODUCTION + ("tests", "bench", "fuzz", "cmake", "docs")


@dataclasses.dataclass
class Ban:
    pattern: str
    instead: str
    rooms: tuple = PRODUCTION
    kinds: tuple = ("cpp",)
    comments_too: bool = False
    allowed: dict = dataclasses.field(default_factory=dict)


BANS = (
    Ban(r"\b(std::)?mem(cpy|move)\b", "copy_bytes() of base/bytes.hpp, which checks sizes",
        allowed={"base/bytes.hpp": 3}),
    Ban(r"\bmemcmp\b", "equal_public() of base/bytes.hpp; crypto::ct_equal for a secret",
        allowed={"base/bytes.hpp": 1}),
    Ban(r"\bmemset\b", "fill_zero() of base/bytes.hpp; crypto::wipe for a secret",
        allowed={"base/bytes.hpp": 1}),
    Ban(r"\bstr(n?cpy|n?cat|tok)\b", "std::string_view and copy_bytes() of base/bytes.hpp"),
    Ban(r"\bv?sn?printf\b", "fmt in daemon/ and agent/; std::to_chars left of them"),
    Ban(r"\b(atoi|atol|atoll|strtoul|strtol|strtoull|stoi|stoul|stoull)\b",
        "std::from_chars, which says where it stopped"),
    Ban(r"\b(s?rand|drand48|random_device|mt19937\w*)\b", "the injected noise::Entropy"),
    Ban(r"\b(steady_clock|system_clock|high_resolution_clock|utc_clock)\b",
        "the injected Now of base/time.hpp"),
    Ban(r"\bstd::(function|shared_ptr|weak_ptr|map|unordered_map)\b",
        "a template parameter or plain pointer; an owner; a table of base/", rooms=source.CORE),
    Ban(r"\b(std::)?(size_t|uintptr_t|uint32_t|unsigned( long| int)?|int|long)\s+(\w*_)?counter_?"
        r"\s*[;={,)]", "std::uint64_t: nonces repeat where a counter has 32 bits",
        rooms=source.CORE, allowed={"noise/messages.hpp": 1}),  # an offset
    Ban(r"\b(system|popen|exec(v|l|ve|vp|vpe|le|lp|veat)|fexecve|posix_spawnp?)\s*\(",
        "no other program: what comes from outside would reach it"),
    Ban(r"\bassert\s*\(", "WG_ASSERT, which stays on in release"),
    Ban(r"#\s*pragma\s+(?!once)", "code that needs no pragma"),
    Ban(r"\busing\s+namespace\s+(?!std::(\w+::)*\w*literals)",
        "the full name or one using-declaration"),
    Ban(r"\b(GTEST_SKIP|DISABLED_\w+)", "a test that runs; what it needs belongs into ./dev setup",
        rooms=("tests",)),
    Ban(r"\bpytest\.(skip|mark\.skip\w*|mark\.xfail|xfail|importorskip)\b",
        "a test that runs, or pytest.fail with the package to install", rooms=("tests",),
        kinds=("python",)),
    Ban(r"\b(TODO|FIXME|XXX|HACK)\b", "the thing itself, or an issue", rooms=EVERYWHERE,
        kinds=("cpp", "python", "shell", "other"), comments_too=True,
        allowed={"tests/tidy/banned.py": 4}),
)


def text_of(kind, text, ban):
    if ban.comments_too:
        return text
    return source.strip_cpp(text) if kind == "cpp" else source.strip_python(text)


def uses(ban, path, kind, text):
    """Lines of a file on which the ban is broken."""
    if kind not in ban.kinds or path.parts[0] not in ban.rooms:
        return []
    code = text_of(kind, text, ban)
    return [code.count("\n", 0, match.start()) + 1 for match in re.finditer(ban.pattern, code)]


def faults_of(ban, texts):
    allowed = collections.Counter(ban.allowed)
    for (path, kind), text in texts.items():
        lines = uses(ban, path, kind, text)
        limit = allowed.pop(path.as_posix(), 0)
        if len(lines) == limit:
            continue
        word = f"/{ban.pattern}/"
        if limit:
            yield path, 1, f"{word}: {len(lines)} uses, the list of exceptions says {limit}"
            continue
        for line in lines:
            yield path, line, f"{word} is not written here. Instead: {ban.instead}"


def main():
    root = source.arguments(__doc__).root
    texts = {}
    for path in source.files(root):
        kind = source.kind(root, path) or "other"
        if kind != "other" or path.suffix in (".md", ".txt", ".cmake"):
            texts[path, kind] = source.read(path, root)
    return source.report([fault for ban in BANS for fault in faults_of(ban, texts)])


if __name__ == "__main__":
    sys.exit(main())

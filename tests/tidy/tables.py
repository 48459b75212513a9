#!/usr/bin/env python3
"""The tests that docs/ name are there: `Suite.Name` in C++, `test_file.py::name` in Python, files.

And the tables that go through a list have every line of it, each with a test of its own. Faults of
others have names: each is in FAULTS.md, and at a test that FAULTS.md names for it, in a comment.
"""
import collections
import pathlib
import re
import sys

import source

CPP_TEST = re.compile(r"^(?:TYPED_)?TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)", re.M)
PYTHON_TEST = re.compile(r"^def test_(\w+)\(", re.M)
NAMED = re.compile(r"`([A-Z]\w+\.(?!md`)[A-Za-z]\w+|test_\w+\.py(?:::\w+)?|fuzz/\w+\.cpp"
                   r"|tests/[\w/]+\.\w+)`")
LISTS = {"HOSTILE.md": ("H", 75), "NETNS.md": ("N", 40)}
FAULTS = """
gotatun-long-datagram zephyr-111082 amneziawg-188 tailscale-rs-334 tailscale-rs-333 linux-flood
gotatun-load-by-source boringtun-cookie-port firezone-source vpp-cookies CVE-2021-46873
wireguard-go-zero-dh gotatun-specific-peer wireguard-go-ipv6-length boringtun-short-counter
boringtun-message-limit ts-tunnel lwip-window zephyr-keepalive openbsd-index-zero freebsd-lookup
boringtun-53 boringtun-227 boringtun-clock linux-2020 CVE-2024-26950 CVE-2024-42247 CVE-2022-49153
FreeBSD-EN-24-06 freebsd-import freebsd-pullup DF-0315 vpp-memory wireguard-go-pool
gotatun-preshared-key boringtun-configuration CVE-2019-14899 TunnelVision wg-quick-2022 shell-text
key-files
""".split()
FAULT_TABLE = pathlib.PurePath("docs/FAULTS.md")
# Above a test, with no empty line between.
MARK = re.compile(r"^(?://|#) fault: (.+)\n((?:.+\n)*)", re.M)


def tests_of(path, text):
    """Their names, in the order of the file."""
    if path.suffix == ".cpp":
        return [".".join(found) for found in CPP_TEST.findall(text)]
    return [f"{path.name}::{found}" for found in PYTHON_TEST.findall(text)]


def marks_of(path, text):
    """(line, name of a fault, test below or None) of each name in the marks of a file."""
    for match in MARK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        test = next(iter(tests_of(path, match.group(2))), None)
        for name in match.group(1).split(", "):
            yield line, name, test


def faults_of_list(text, letter, count):
    """Lines are `| H1 | ...`; one that says "cannot apply" needs no test that it has alone."""
    lines = dict(re.findall(rf"^\| ({letter}\d+) \|(.*)", text, re.M))
    tests = {name: set(NAMED.findall(line)) for name, line in lines.items()}
    uses = collections.Counter(test for found in tests.values() for test in found)
    for name in (f"{letter}{number}" for number in range(1, count + 1)):
        if name not in lines:
            yield f"there is no line {name}"
        elif "cannot apply" not in lines[name] and all(uses[test] > 1 for test in tests[name]):
            yield f"line {name} has no test of its own"


def faults_of_rows(rows, marked):
    """Rows of FAULTS.md, in which each fault stands once; marked: names that are at a test."""
    times = collections.Counter(name for name, _ in rows)
    for name in FAULTS:
        if times[name] != 1:
            yield f"there are {times[name]} rows of the fault {name}"
    for name, row in rows:
        if name not in FAULTS:
            yield f"there is no fault {name} in tests/tidy/tables.py"
        elif name not in marked and not re.search(r"does not concern us: \w", row):
            yield f"no test is marked with the fault {name}, nor does its row say why"


def faults_of_marks(rows, marks):
    tests = {name: NAMED.findall(row) for name, row in rows}
    for path, line, name, test in marks:
        if name not in tests:
            yield path, line, f"{FAULT_TABLE} has no fault {name}"
        elif test is None:
            yield path, line, f"no test is below the mark of the fault {name}"
        elif test not in tests[name]:
            yield path, line, f"{FAULT_TABLE} does not name {test} for the fault {name}"


def faults_of_names(root, marks):
    there = FAULT_TABLE in source.files(root)
    text = source.read(FAULT_TABLE, root) if there else ""
    rows = [row for row in re.findall(r"^\| ([\w-]+) \|(.*)", text, re.M) if row[0] != "name"]
    if there:
        marked = {name for _, _, name, _ in marks}
        yield from ((FAULT_TABLE, 1, what) for what in faults_of_rows(rows, marked))
    yield from faults_of_marks(rows, marks)


def main():
    root = source.arguments(__doc__).root
    there, marks = {path.as_posix() for path in source.files(root)}, []
    for path in source.of_kind("cpp", root) + source.of_kind("python", root):
        if path.parts[0] == "tests":
            text = source.read(path, root)
            there |= {*tests_of(path, text), path.name}
            marks += [(path, *mark) for mark in marks_of(path, text)]
    faults = list(faults_of_names(root, marks))
    for path in (path for path in source.files(root) if path.parts[0] == "docs"):
        if path.suffix == ".md":
            text = source.read(path, root)
            for number, line in enumerate(text.splitlines(), 1):
                faults += [(path, number, f"there is no test {name}")
                           for name in NAMED.findall(line) if name not in there]
            if path.name in LISTS:
                faults += [(path, 1, what) for what in faults_of_list(text, *LISTS[path.name])]
    return source.report(faults)


if __name__ == "__main__":
    sys.exit(main())

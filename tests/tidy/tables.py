#!/usr/bin/env python3
"""The tests that docs/ name are there: `Suite.Name` in C++, `test_file.py::name` in Python, files.

And the tables that go through a list have every line of it, each with a test of its own.
"""
import collections
import re
import sys

import source

CPP_TEST = re.compile(r"^(?:TYPED_)?TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)", re.M)
PYTHON_TEST = re.compile(r"^def test_(\w+)\(", re.M)
NAMED = re.compile(r"`([A-Z]\w+\.(?!md`)[A-Za-z]\w+|test_\w+\.py(?:::\w+)?|fuzz/\w+\.cpp"
                   r"|tests/[\w/]+\.\w+)`")
LISTS = {"HOSTILE.md": ("H", 75), "NETNS.md": ("N", 40)}


def tests_of(path, text):
    if path.suffix == ".cpp":
        return {".".join(found) for found in CPP_TEST.findall(text)}
    return {f"{path.name}::{found}" for found in PYTHON_TEST.findall(text)}


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


def main():
    root = source.arguments(__doc__).root
    there = {path.as_posix() for path in source.files(root)}
    for path in source.of_kind("cpp", root) + source.of_kind("python", root):
        if path.parts[0] == "tests":
            there |= tests_of(path, source.read(path, root)) | {path.name}
    faults = []
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

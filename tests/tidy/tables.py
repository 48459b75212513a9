#!/usr/bin/env python3
"""The tests that docs/ name are there: `Suite.Name` in C++, `test_file.py::name` in Python, files.

And the tables that go through a list have every line of it.
"""
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


def missing_lines(text, letter, count):
    """`| H1 | ...`, `| H18, H19 | ...` and `| H56 to H58 | ...` are lines of the list."""
    there = set()
    for cell in re.findall(rf"^\| ((?:{letter}\d+(?:, | to )?)+) \|", text, re.M):
        numbers = [int(number) for number in re.findall(r"\d+", cell)]
        there |= set(range(numbers[0], numbers[-1] + 1)) if " to " in cell else set(numbers)
    return [f"there is no line {letter}{number}" for number in range(1, count + 1)
            if number not in there]


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
                faults += [(path, 1, what) for what in missing_lines(text, *LISTS[path.name])]
    return source.report(faults)


if __name__ == "__main__":
    sys.exit(main())

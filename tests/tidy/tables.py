#!/usr/bin/env python3
"""The tests that docs/ name are there: `Suite.Name` in C++, `test_file.py::name` in Python."""
import re
import sys

import source

CPP_TEST = re.compile(r"^(?:TYPED_)?TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)", re.M)
PYTHON_TEST = re.compile(r"^def test_(\w+)\(", re.M)
NAMED = re.compile(r"`([A-Z]\w+\.[A-Z]\w+|test_\w+\.py::\w+)`")


def tests_of(path, text):
    if path.suffix == ".cpp":
        return {".".join(found) for found in CPP_TEST.findall(text)}
    return {f"{path.name}::{found}" for found in PYTHON_TEST.findall(text)}


def main():
    root = source.arguments(__doc__).root
    there = set()
    for path in source.of_kind("cpp", root) + source.of_kind("python", root):
        if path.parts[0] == "tests":
            there |= tests_of(path, source.read(path, root))
    faults = []
    for path in (path for path in source.files(root) if path.parts[0] == "docs"):
        if path.suffix == ".md":
            for number, line in enumerate(source.read(path, root).splitlines(), 1):
                faults += [(path, number, f"there is no test {name}")
                           for name in NAMED.findall(line) if name not in there]
    return source.report(faults)


if __name__ == "__main__":
    sys.exit(main())

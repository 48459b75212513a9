#!/usr/bin/env python3
"""Adds up JUnit reports: names what failed, ends with the line 'N passed, N failed'.

A disabled case, an empty report, a report that is not there, and (with --build) a test binary
that contributed no case count as failures: nothing may pass by not running. So does a skipped
case where CI=true; elsewhere it is named and counts as neither.
"""
import argparse
import os
import pathlib
import sys
import xml.etree.ElementTree as ElementTree

OUTPUT_LINES_MAX = 60


def problem_of(case):
    """What is wrong with one <testcase>, or None."""
    for tag in ("failure", "error", "skipped"):
        found = case.find(tag)
        if found is not None:
            return tag, (found.get("message") or "") + "\n" + (found.text or "")
    if case.get("status") not in (None, "run"):
        return case.get("status"), ""
    return None


def describe(name, kind, text, case):
    output = "".join(node.text or "" for node in case.iter("system-out"))
    lines = [line for line in (text + "\n" + output).splitlines() if line.strip()]
    print(f"-- {kind}: {name}")
    for line in lines[-OUTPUT_LINES_MAX:]:
        print(f"   {line}")


def read(report):
    """All cases of one report as (name, case); empty when it cannot be read."""
    try:
        root = ElementTree.parse(report).getroot()
    except (OSError, ElementTree.ParseError) as error:
        print(f"-- {report}: {error}")
        return []
    return [(case.get("name") or "?", case) for case in root.iter("testcase")]


def silent_binaries(build, names):
    """Test binaries of a build tree of which no case ran."""
    binaries = [
        path.name.removeprefix("test_")
        for path in pathlib.Path(build).glob("tests/*/test_*")
        if path.is_file() and not path.suffix
    ]
    return [one for one in binaries if not any(name.startswith(one + ".") for name in names)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", help="build tree whose test binaries must all have run")
    parser.add_argument("reports", nargs="*")
    options = parser.parse_args()

    passed, failed, names = 0, 0, []
    for report in options.reports:
        cases = read(report)
        if not cases:
            print(f"-- {report}: no test ran")
            failed += 1
        for name, case in cases:
            names.append(name)
            problem = problem_of(case)
            if problem is None:
                passed += 1
                continue
            failed += problem[0] != "skipped" or os.environ.get("CI") == "true"
            describe(name, *problem, case)
    if options.build:
        for binary in silent_binaries(options.build, names):
            print(f"-- test_{binary}: none of its cases ran")
            failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())

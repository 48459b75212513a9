#!/usr/bin/env python3
"""Adds up JUnit reports: names what failed, ends with the line 'N passed, N failed'.

A case that passed on a second try only is named and counted apart: ctest says so in its log alone,
from where --ctest-log takes it into the report; pytest's are there already. Of a room in which
nothing depends on the machine it is a failure.

A disabled case, an empty report, a report that is not there, and (with --build) a test binary
that contributed no case count as failures: nothing may pass by not running. So does a skipped
case where CI=true; elsewhere it is named and counts as neither.
"""
import argparse
import os
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree


def problem_of(case):
    """What is wrong with one <testcase>, or None."""
    for tag in ("failure", "error", "skipped"):
        found = case.find(tag)
        if found is not None:
            return tag, (found.get("message") or "") + "\n" + (found.text or "")
    if case.get("status") not in (None, "run"):
        return case.get("status"), ""
    return None


RETRIED = "retried"  # name of a property of <testsuite>, one per case
EXACT = re.compile(r"(base|crypto|noise|sim)\.|sim_seeds$")  # what asks no kernel and no clock


def note_retried(report, ctest_log):
    """Writes into a report of ctest which cases its log shows a second time."""
    try:
        tree = ElementTree.parse(report)
        text = pathlib.Path(ctest_log).read_text(errors="replace")
    except (OSError, ElementTree.ParseError):
        return  # read() says so
    # "3/9 Test #3: name ....***Failed" at first; a repetition has no "3/9".
    again = sorted(set(re.findall(r"^ +Test +#\d+: (\S+) \.*", text, re.M)))
    properties = ElementTree.SubElement(tree.getroot(), "properties")
    for name in again:
        ElementTree.SubElement(properties, "property", name=RETRIED, value=name)
    tree.write(report, encoding="UTF-8", xml_declaration=True)


def describe(name, kind, text, case, lines_max):
    output = "".join(node.text or "" for node in case.iter("system-out"))
    lines = [line for line in (text + "\n" + output).splitlines() if line.strip()]
    print(f"-- {kind}: {name}")
    for line in lines[-lines_max:]:
        print(f"   {line}")


def read(report):
    """Cases of one report as (name, case), names of those retried; none when it is unreadable."""
    try:
        root = ElementTree.parse(report).getroot()
    except (OSError, ElementTree.ParseError) as error:
        print(f"-- {report}: {error}")
        return [], []
    retried = [one.get("value") for one in root.iter("property") if one.get("name") == RETRIED]
    return [(case.get("name") or "?", case) for case in root.iter("testcase")], retried


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
    parser.add_argument("--ctest-log", help="what ctest printed for the only report")
    parser.add_argument("--lines", type=int, default=60, help="the last of what a failed case said")
    parser.add_argument("reports", nargs="*")
    options = parser.parse_args()

    if options.ctest_log:
        note_retried(*options.reports, options.ctest_log)
    passed, failed, names, retried = 0, 0, [], []
    for report in options.reports:
        cases, again = read(report)
        retried += again
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
            describe(name, *problem, case, options.lines)
    if options.build:
        for binary in silent_binaries(options.build, names):
            print(f"-- test_{binary}: none of its cases ran")
            failed += 1
    for name in retried:
        print(f"-- second try: {name}")
        if EXACT.match(name):
            print("   which depends on nothing that could be different then")
            failed += 1
    print(f"retried: {len(retried)}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Guard: what a build with sanitizers has compiled calls them (nm -u).

A target without the flags, or without some of them, would be silent about its faults. Not every
object has something undefined to look for; each target does.
"""
import argparse
import collections
import json
import pathlib
import re
import shlex
import subprocess
import sys

import source

CALLS = {"address": "__asan_init", "thread": "__tsan_init", "undefined": r"__ubsan_handle_\w+"}


def calls_of(path):
    done = subprocess.run(["nm", "--undefined-only", "--format=posix", str(path)],
                          capture_output=True, text=True, check=True)
    return {name for name, pattern in CALLS.items()
            if re.search(rf"^{pattern} ", done.stdout, re.M)}


def objects_of(build):
    """(target, object) of what is compiled already: a preset need not build everything."""
    for entry in json.loads((build / "compile_commands.json").read_text()):
        words = shlex.split(entry["command"])
        name = words[words.index("-o") + 1]
        if (build / name).is_file() and "cmake_pch" not in name:
            yield re.search(r"(\w+)\.dir/", name).group(1), name


def faults_of(build, wanted):
    targets, found = collections.defaultdict(set), 0
    for target, name in objects_of(build):
        calls, found = calls_of(build / name), found + 1
        targets[target] |= calls
        for one in wanted - {"undefined"} - calls:
            yield name, 0, f"was compiled without the sanitizer {one}"
    if not found:
        yield build, 0, "nothing is compiled"
    if "undefined" in wanted:
        for target, calls in targets.items():
            if "undefined" not in calls:
                yield target, 0, "was compiled without the sanitizer undefined"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--sanitizers", required=True, help="as WGRING_SANITIZE")
    options = parser.parse_args()
    return source.report(list(faults_of(options.build, {*options.sanitizers.split(",")})))


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""clang-tidy over what we ship, with the .clang-tidy of the root; clean files are not read twice.

That they are clean is remembered in the user's cache, by content, by flags and by the packages of
the machine: wherever the sources lie.

Tests are left out: their headers cost minutes and GoogleTest's macros trip half of the checks.
"""
import contextlib
import pathlib
import subprocess
import sys
import time

import compile_db
import source

TOOL = "clang-tidy-19"


def installed_packages():
    """Names and versions: the tool itself, and headers that are not ours."""
    for words in (["dpkg-query", "-W"], [TOOL, "--version"]):
        with contextlib.suppress(FileNotFoundError):
            return subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return ""


def flags_of(command):
    return [word.replace(str(source.ROOT), ".") for word in command]


def main():
    build = pathlib.Path(sys.argv[1])
    commands = compile_db.load(build, source.ROOT)
    cache = compile_db.Cache(source.user_cache() / "clang-tidy")
    settings = [source.read(".clang-tidy"), installed_packages()]

    def check(path):
        start = time.monotonic()
        done = subprocess.run([TOOL, "-p", str(build), "--quiet", str(path)],
                              capture_output=True, text=True, cwd=source.ROOT)
        print(f"{time.monotonic() - start:5.1f} s  {path}", flush=True)
        return [done.stdout + done.stderr] if done.returncode else []

    shipped = [path for path in sorted(commands) if path.parts[0] in source.ROOMS + ("fuzz",)]
    return source.report(compile_db.check_all(
        shipped, lambda path: source.closure_hash(path, [*flags_of(commands[path]), *settings]),
        check, cache))


if __name__ == "__main__":
    sys.exit(main())

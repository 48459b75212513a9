#!/usr/bin/env python3
"""Guard: each header compiles alone and twice, with the flags of its own folder.

One of what we ship that its own source includes first, and that says #pragma once, is compiled
alone by every build: it is not compiled once more.
"""
import pathlib
import subprocess
import sys

import compile_db
import source


def leads_its_source(path, root):
    own = path.with_suffix(".cpp")
    if path.parts[0] not in source.ROOMS or not (root / own).exists():
        return False
    first = source.INCLUDE.search(source.read(own, root))
    return first is not None and first[2] == path.as_posix() \
        and "\n#pragma once\n" in source.read(path, root)


def main():
    options = source.arguments(__doc__, build="build/dev")
    root, build = options.root, pathlib.Path(options.build)
    commands = compile_db.load(build, source.ROOT)
    cache = compile_db.Cache(build / "tidy" / "headers")

    def argv(path):
        plain = compile_db.nearest(commands, path)
        return [*plain, f"-I{root}", "-fsyntax-only", "-x", "c++", "-"]

    def check(path):
        text = f'#include "{path}"\n#include "{path}"\n'
        done = subprocess.run(argv(path), input=text, capture_output=True, text=True, cwd=root)
        return ["does not compile alone:\n" + done.stderr] if done.returncode else []

    headers = [path for path in source.of_kind("cpp", root)
               if path.suffix == ".hpp" and not leads_its_source(path, root)]
    return source.report(compile_db.check_all(
        headers, lambda path: source.closure_hash(path, argv(path), root), check, cache))


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Runs one guard on the bad and good inputs of canary/cases.py: does it still bite?"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from canary import cases

HERE = pathlib.Path(__file__).resolve().parent


def run(script, *options):
    done = subprocess.run([sys.executable, str(script), *map(str, options)],
                          capture_output=True, text=True, env={**os.environ, "CI": "true"})
    return done.returncode, done.stdout + done.stderr


def tree(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def run_on_tree(guard, *extra):
    def runner(folder, files):
        return run(HERE / f"{guard}.py", "--root", tree(folder, files), *extra)
    return runner


def run_on_archive(compiler):
    def runner(folder, room, text):
        tree(folder, {"a.cpp": text})
        archive = folder / f"libwgring_{room}.a"
        subprocess.run([compiler, "-std=c++23", "-O1", "-c", "a.cpp"], cwd=folder, check=True)
        subprocess.run(["ar", "rcs", str(archive), "a.o"], cwd=folder, check=True)
        return run(HERE / "symbols.py", archive)
    return runner


def run_on_object(compiler):
    def runner(folder, flags, sanitizers):
        command = {"directory": str(folder), "file": "a.cpp", "command": "c++ -o a.dir/a.o"}
        tree(folder, {"a.cpp": "int f(int a) { return a + 1; }\n", "a.dir/b": "",
                      "compile_commands.json": json.dumps([command])})
        if flags is not None:
            subprocess.run([compiler, *flags, "-c", "a.cpp", "-o", "a.dir/a.o"], cwd=folder,
                           check=True)
        return run(HERE / "instrumented.py", "--build", folder, "--sanitizers", sanitizers)
    return runner


def run_on_report(folder, text, log=None):
    tree(folder, {"a.xml": text, "ctest.log": log or ""})
    options = ["--ctest-log", folder / "ctest.log"] if log else []
    return run(HERE.parents[1] / ".ci/tally.py", *options, folder / "a.xml")


def wrong(code, output, expected):
    if expected is None:
        return None if code == 0 else "refused a good input"
    if code == 0:
        return "let a bad input through"
    return None if code == 1 and expected in output else f"failed without saying '{expected}'"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("guard")
    parser.add_argument("--compiler", default="c++")
    parser.add_argument("--build", default="build/dev")
    options = parser.parse_args()
    runners = {
        "include_law": (cases.INCLUDE_LAW, run_on_tree("include_law")),
        "sizes": (cases.SIZES, run_on_tree("sizes")),
        "banned": (cases.BANNED, run_on_tree("banned")),
        "tables": (cases.TABLES, run_on_tree("tables")),
        "symbols": (cases.SYMBOLS, run_on_archive(options.compiler)),
        "headers_alone": (cases.HEADERS_ALONE,
                          run_on_tree("headers_alone", "--build", options.build)),
        "instrumented": (cases.INSTRUMENTED, run_on_object(options.compiler)),
        "tally": (cases.TALLY, run_on_report),
    }
    table, runner = runners[options.guard]
    faults = 0
    for number, case in enumerate(table):
        *inputs, expected = case if isinstance(case, tuple) else (case,)
        with tempfile.TemporaryDirectory() as folder:
            code, output = runner(pathlib.Path(folder), *inputs)
        fault = wrong(code, output, expected)
        if fault:
            faults += 1
            print(f"{options.guard} case {number} {inputs}: {fault}; it said:\n{output}")
    print(f"{len(table)} cases, {faults} wrong")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

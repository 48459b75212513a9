"""compile_commands.json for those who compile or analyse our files once more, with a cache."""
import concurrent.futures
import json
import os
import pathlib
import shlex

import source


def load(build, root):
    """{path relative to root: argv without launcher, precompiled header, source, -c and -o}."""
    commands = {}
    for entry in json.loads((pathlib.Path(build) / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["directory"], entry["file"]).resolve()
        if root.resolve() not in path.parents:
            continue
        argv = shlex.split(entry["command"])
        if os.path.basename(argv[0]) == "ccache":
            argv = argv[1:]
        output = argv.index("-o")
        del argv[output:output + 2]
        if "-include" in argv:
            included = argv.index("-include")
            del argv[included:included + 2]
        commands[path.relative_to(root.resolve())] = [
            one for one in argv if one != "-c" and not one.endswith(path.name)
        ]
    return commands


def nearest(commands, path):
    """The command of a source in the same folder, else in the same room, else of any."""
    for same in (lambda one: one.parent == path.parent, lambda one: one.parts[0] == path.parts[0]):
        for one in sorted(commands):
            if same(one):
                return commands[one]
    return commands[sorted(commands)[0]]


class Cache:
    """Remembers the hashes of inputs that were found clean."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def knows(self, digest):
        return (self.folder / digest).exists()

    def remember(self, digest):
        (self.folder / digest).touch()


def check_all(paths, digest_of, check, cache):
    """Faults (text) of check(path) over all paths that are not known to be clean; in parallel."""

    def one(path):
        digest = digest_of(path)
        if cache.knows(digest):
            return []
        faults = check(path)
        if not faults:
            cache.remember(digest)
        return [(path, 1, text) for text in faults]

    if not paths:
        return [(source.ROOT, 0, "nothing to check: that cannot be right")]
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return [fault for faults in pool.map(one, paths) for fault in faults]

#!/usr/bin/env python3
"""What the guards share: which files are ours, C++ without comments and strings, reporting."""
import argparse
import hashlib
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# In the order of the law; agent stands beside daemon.
CORE = ("base", "crypto", "noise", "tun")
ROOMS = CORE + ("daemon", "agent")
CPP = (".cpp", ".hpp")
NOT_OURS = ("build", ".git", ".cache", "__pycache__", "tests/vectors", "tests/tidy/canary")

TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<mark>[^(\s]*)\(.*?\)(?P=mark)"'
    r'|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])\'(?:\\.|[^\'\\\n])+\'',
    re.S,
)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def files(root=ROOT):
    """Every file of ours, as paths relative to root, sorted."""
    found = []
    for folder, folders, names in os.walk(root):
        here = pathlib.Path(folder).relative_to(root)
        folders[:] = [one for one in folders if (here / one).as_posix() not in NOT_OURS
                      and one not in NOT_OURS]
        found += [here / name for name in names]
    return sorted(found)


def user_cache():
    """What is kept by content, for all clones of one user."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(base) / "wgring"


def kind(root, path):
    """'cpp', 'python', 'shell' or None."""
    if path.suffix in CPP:
        return "cpp"
    if path.suffix == ".py":
        return "python"
    if path.suffix == ".sh":
        return "shell"
    if path.suffix:
        return None
    with open(root / path, "rb") as handle:
        first = handle.readline(80)
    if not first.startswith(b"#!"):
        return None
    return "python" if b"python" in first else "shell"


def of_kind(wanted, root=ROOT):
    return [path for path in files(root) if kind(root, path) == wanted]


def read(path, root=ROOT):
    return (root / path).read_text(encoding="utf-8")


def strip_cpp(text):
    """The same text, same lines and columns, with comments and literals blanked."""

    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))

    # An include path looks like a string and has to stay.
    return TOKEN.sub(
        lambda m: m.group(0) if is_include(text, m.start()) else blank(m), text
    )


def is_include(text, at):
    start = text.rfind("\n", 0, at) + 1
    return re.match(r"[ \t]*#[ \t]*include\b", text[start:at]) is not None


def strip_python(text):
    """Python without its comments and strings; lines stay where they are."""
    pattern = r'""".*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#[^\n]*'
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.S)


def includes(text):
    """(line, bracket, path) of each #include."""
    return [
        (text.count("\n", 0, match.start(2)) + 1, match.group(1), match.group(2))
        for match in INCLUDE.finditer(strip_cpp(text))
    ]


def closure_hash(path, extra, root=ROOT):
    """Hash of a file, of all of ours that it includes, and of the strings in extra."""
    digest, todo, seen = hashlib.sha256(), [pathlib.Path(path)], set()
    while todo:
        one = todo.pop()
        if one in seen or not (root / one).is_file():
            continue
        seen.add(one)
        todo += [pathlib.Path(name) for _, _, name in includes(read(one, root))]
    for one in sorted(seen):
        digest.update(one.as_posix().encode() + b"\0" + (root / one).read_bytes() + b"\0")
    for text in extra:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()


def arguments(description, **defaults):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--root", type=pathlib.Path, default=ROOT)
    for name, default in defaults.items():
        parser.add_argument("--" + name, default=default)
    return parser.parse_args()


def report(faults):
    """Prints path:line: text for each fault; the exit code of a guard."""
    for path, line, text in sorted(faults, key=lambda one: (str(one[0]), one[1])):
        print(f"{path}:{line}: {text}")
    return 1 if faults else 0


if __name__ == "__main__":
    print("\n".join(str(path) for path in of_kind(sys.argv[1])))

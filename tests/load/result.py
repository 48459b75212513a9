"""What a run found, as JSON and as Markdown for docs/LOAD.md."""

import datetime
import json

from duel import machine
from duel.__main__ import write
from peers.build import ROOT

RESULTS = ROOT / "build/load"
HOLDS = {True: "holds", False: "MISSED", None: "not judged"}


def document(kind, settings, **parts):
    return {"format": 1, "kind": kind,
            "ended": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "machine": machine.describe(), "settings": settings, **parts}


def table(head, rows):
    """Markdown; every cell is text already."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def heading(found):
    about = found["machine"]
    words = ", ".join(f"{name} {value}" for name, value in found["settings"].items())
    return (f"{found['ended'][:10]}, {about['cpu']}, {about['cores']} processors, Linux "
            f"{about['kernel']}, commit {about['commit']}, load before {about['load_before']}; "
            f"{words}.")


def save(found, markdown, output=None):
    """Paths of the JSON and of the Markdown beside it."""
    path = output or RESULTS / f"{found['kind']}.json"
    write(path, json.dumps(found, indent=1) + "\n")
    beside = path.with_suffix(".md")
    write(beside, f"{heading(found)}\n\n{markdown}\n")
    return path, beside

"""What the kernel says of a process: memory, open files, and how often it was woken."""

import contextlib
import os
import pathlib
import re


def status(pid):
    return pathlib.Path(f"/proc/{pid}/status").read_text()


def kilobytes(pid, name):
    return int(re.search(rf"^{name}:\s+(\d+) kB", status(pid), re.M)[1])


def descriptors(pid):
    """How many it has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def wakeups(pid):
    """How often a thread of the process went to sleep of its own will, thus was woken later."""
    total = 0
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread may end while we look
            text = (thread / "status").read_text()
            total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M)[1])
    return total

"""The counters of our daemon, as it logs them on SIGUSR1; several shards are one daemon."""

import collections
import re
import signal

from lab.run import LabError, wait_for

LAST_LINE = " tun errors:"
TITLES = ("packets", "lost in the engine", "dropped", "send errors", "receive errors",
          "tun errors")
LINE = re.compile(rf"(?:\sshard (\d+):)?\s({'|'.join(TITLES)}):((?: \w+=\d+)+| none)$")


class Counted(collections.Counter):
    """{"title.name": number}; a difference keeps what became less, as nothing should."""

    def __sub__(self, other):
        return Counted({name: self[name] - other[name] for name in {*self, *other}})

    def all_of(self, *titles):
        return sum(number for name, number in self.items() if name.partition(".")[0] in titles)

    def nonzero(self):
        return {name: number for name, number in sorted(self.items()) if number}


def shards_of(daemon):
    """One answer has a block of lines for each of them."""
    with daemon.log_path.open(errors="replace") as log:
        for line in log:
            if found := re.search(r": shards: (\d+) \(", line):
                return int(found[1])
            if ": lanes: " in line:  # which follows it
                break
    return 1


def counters_of_shards(daemon):
    """Of each, as of now. The daemon has to log at level info."""
    blocks, before = shards_of(daemon), daemon.log_path.stat().st_size

    def answer():
        with daemon.log_path.open(errors="replace") as log:
            log.seek(before)
            text = log.read()
        return text if text.count(LAST_LINE) >= blocks and text.endswith("\n") else None

    daemon.signal(signal.SIGUSR1)
    try:
        text = wait_for(answer, "counters in the log", timeout=20)
    except LabError as error:
        raise LabError(f"{error}; the daemon is "
                       f"{'alive' if daemon.running else 'gone'}") from None
    each = [Counted() for _ in range(blocks)]
    for line in text.splitlines():
        found = LINE.search(line)
        for name, number in re.findall(r"(\w+)=(\d+)", found[3]) if found else ():
            each[int(found[1] or 0)][f"{found[2]}.{name}"] += int(number)
    return each


def counters(daemon):
    """The sum of them, as of now."""
    total = Counted()
    for counted in counters_of_shards(daemon):
        total.update(counted)
    return total

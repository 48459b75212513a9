"""What the kernel says of a process and of the machine, and differences of that over time."""

import os
import pathlib
import time

from lab.usage import kilobytes, wakeups

TICKS = os.sysconf("SC_CLK_TCK")
# Places in the cpu line of /proc/stat: user, nice, system, irq, softirq; what a hypervisor took.
BUSY, STOLEN = (0, 1, 2, 5, 6), (7,)


def peak_mb(pid):
    return kilobytes(pid, "VmHWM") * 1024 / 1e6


def resident_mb(pid):
    return kilobytes(pid, "VmRSS") * 1024 / 1e6


def cpu_seconds(pid):
    """User and system time of all threads, ended ones and kernel workers of a ring included."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def machine_seconds(kinds):
    """Time of these kinds, of all processors together."""
    fields = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    return sum(int(fields[at]) for at in kinds) / TICKS


class Meter:
    """Started when made; read() gives what has been used since, by these processes together."""

    def __init__(self, pids):
        self.pids = pids
        self._begin = self._now()

    def _now(self):
        return {"wall_s": time.monotonic(), "daemon_s": sum(map(cpu_seconds, self.pids)),
                "system_s": machine_seconds(BUSY), "wakeups": sum(map(wakeups, self.pids))}

    def read(self):
        now = self._now()
        return {name: now[name] - self._begin[name] for name in now}

"""The flooder in a space of its own, wired to the end that it floods.

    right    eth1 10.1.0.2, fd01::2  ---- veth ----  eth0 10.1.0.3, fd01::3  flooder

Its sources are spoofed (from 11.0.0.0 and fd0b:b00::/64 on); what right answers goes back over the
same wire, to an address of Ethernet that nobody has there: it is on its way to somebody else.
"""

import contextlib
import dataclasses
import json
import os
import subprocess

from lab.run import LabError, kill_group
from peers.build import ROOT

DEFAULT_PROGRAM = "build/dev/tests/load/load_flooder"
VICTIM, ATTACKER = {4: "10.1.0.2", 6: "fd01::2"}, {4: "10.1.0.3", 6: "fd01::3"}
ELSEWHERE = "02:00:5e:10:00:01"
NOWHERE_PORT = 1999
PREFIXES = ((4, 24), (6, 64))
ONE, MANY = 1, 1 << 20



@dataclasses.dataclass(frozen=True)
class Kind:
    word: str  # load_flooder's
    sources: int = MANY
    family: int = 4
    to_daemon: bool = True


FLOODS = {
    "nowhere": Kind("mac1", to_daemon=False),  # to a socket that nobody reads
    "garbage": Kind("garbage"),
    "mac1": Kind("mac1", sources=ONE),
    "sources": Kind("mac1"),
    "sources6": Kind("mac1", family=6),
    "mac2": Kind("mac2"),
}


def program():
    path = os.environ.get("WGRING_FLOODER", str(ROOT / DEFAULT_PROGRAM))
    if not os.access(path, os.X_OK):
        raise LabError(f"no flooder at {path}: ./dev load builds it")
    return path


class Attacker:
    """Floods one end. `core` is the processor that the flood fills, or None for any."""

    def __init__(self, lab, victim, core):
        self.victim, self.core = victim, core
        self.space = lab.space("flooder")
        self.space.wire(victim.space, "eth0", "eth1")
        self.space.address("eth0", *(f"{ATTACKER[family]}/{bits}" for family, bits in PREFIXES))
        victim.space.address("eth1", *(f"{VICTIM[family]}/{bits}" for family, bits in PREFIXES))
        for space in (self.space, victim.space):
            for device in ("all", "eth0") + (("eth1",) if space is victim.space else ()):
                space.sysctl(f"net.ipv4.conf.{device}.rp_filter", 0)
        for family, gateway in ATTACKER.items():
            neighbour = f"neigh replace {gateway} lladdr {ELSEWHERE} dev eth1"
            victim.space.ip(f"{neighbour} nud permanent")
            victim.space.ip(f"-{family} route add default via {gateway} dev eth1")
        self.nowhere = victim.space.udp_socket(bind=(VICTIM[4], NOWHERE_PORT))

    def words(self, kind, port, seconds, rate):
        pinned = [] if self.core is None else ["taskset", "-c", str(self.core)]
        return [*pinned, program(), kind.word, "eth0", mac(self.victim.space, "eth1"),
                VICTIM[kind.family], str(port), self.victim.key.public_hex, str(seconds),
                str(rate), str(kind.sources)]

    @contextlib.contextmanager
    def flooding(self, name, seconds, rate=0):
        """One of FLOODS, or none of them; gives a Flood whose report may be asked for."""
        if name == "none":
            yield None
            return
        kind = FLOODS[name]
        port = self.victim.port if kind.to_daemon else NOWHERE_PORT
        with self.started(self.words(kind, port, seconds, rate)) as flood:
            yield flood

    @contextlib.contextmanager
    def proven(self, sources, seconds, rate=0):
        kind = Kind("proven", sources=sources)
        with self.started(self.words(kind, self.victim.port, seconds, rate)) as flood:
            yield flood

    @contextlib.contextmanager
    def started(self, words):
        process, _ = self.space.popen(words, text=True, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            yield Flood(process)
        finally:
            kill_group(process)
            process.communicate()

    def close(self):
        self.nowhere.close()


class Flood:
    """A running load_flooder."""

    def __init__(self, process):
        self.process = process

    @property
    def running(self):
        return self.process.poll() is None

    def proven(self):
        """Waits for the cookies: how many sources have one."""
        word, _, number = self.process.stdout.readline().partition(" ")
        if word != "proven":
            raise LabError(f"load_flooder: {self.process.stderr.read()}")
        return int(number)

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def report(self, seconds):
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise LabError(f"no report of load_flooder within {seconds} s") from None
        if self.process.returncode != 0:
            raise LabError(f"load_flooder ended with {self.process.returncode}: {err}")
        return json.loads(out.splitlines()[-1])


def mac(space, device):
    return space.path(f"/sys/class/net/{device}/address").read_text().strip()

"""Handshake floods beside a busy tunnel.

    left      eth0 10.0.0.1 ---- wire ---- eth0 10.0.0.2  right, the victim: receives one TCP stream
    flooder   eth0 10.1.0.3 ---- wire ---- eth1 10.1.0.2
    newN      eth0 10.2.N.4 ---- wire ---- eth1N 10.2.N.2  four daemons, unknown until they ask;
              fd02:N::4                          fd02:N::2     of the family of the flood

throughput  what right's TUN gets in a window, for each kind of flood in turn, round by round
newcomers   initiations that fresh peers need until they have a session, flood and TCP going on:
            as fast as it goes, and at a pace that leaves the machine something
proven      sources that answer with their cookie: how many handshakes each is granted
cap         2^20 such sources: what that does to the memory
"""

import contextlib
import subprocess
import time

from duel import contestants, meter, rounds
from duel.arena import Arena, laboratory
from lab.counters import Counted, counters
from lab.daemon import Implementation
from lab.lab import Lab
from lab.pair import DEVICE
from lab.run import LabError, kill_group, wait_for
from lab.traffic import IPERF_PORT, iperf_server
from lab.usage import kilobytes
from lab.wgtool import Key, Wg
from load import attack

SETTLE_S = 1.0
FLOWING_BYTES = 1_000_000
NEWCOMERS = 4
PACES_MBITS = (0, 100)  # of the stream beside newcomers; 0: as fast as it goes
NEWCOMER_WAIT_S = 25
PROVEN_SOURCES = 8
PER_SOURCE_PER_S, BURST = 20, 5
NEWCOMER_KINDS = ("none", "garbage", "mac1", "sources", "sources6", "mac2")


class Ground:
    """One contestant's tunnel with the flooder and the newcomers beside it."""

    def __init__(self, lab, contestant, core):
        self.ours = contestant.kind == "ours"
        if self.ours:
            contestant.implementation.env["LOG_LEVEL"] = "info"  # counters are said at that level
        self.arena = Arena(lab, contestant)
        self.left, self.right = self.arena.ends
        self.attacker = attack.Attacker(lab, self.right, core)
        self.newcomers = Newcomers(lab, self.right)

    def counters(self):
        return counters(self.right.daemon) if self.ours else Counted()

    def received_bytes(self):
        return self.right.space.link_count(DEVICE, "rx_bytes")

    def memory(self):
        return {name: kilobytes(self.right.daemon.pid, name) for name in ("VmRSS", "VmHWM")}

    @contextlib.contextmanager
    def busy(self, seconds, mbits=0):
        """One TCP stream from left to right, flowing when the block begins. 0: all it can."""
        with iperf_server(self.right.space, self.arena.target):
            process, _ = self.left.space.popen(
                ["iperf3", "-c", self.arena.target, "-p", IPERF_PORT, "-t", int(seconds) + 30,
                 "-b", f"{mbits}M"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                before = self.received_bytes()
                wait_for(lambda: self.received_bytes() - before > FLOWING_BYTES, "TCP to flow", 20)
                yield
            finally:
                kill_group(process)
                process.wait()


class Newcomers:
    """Daemons of ours that the victim learns of when they are to begin."""

    def __init__(self, lab: Lab, victim):
        self.victim, self.daemons = victim, []
        path = contestants.ours("ours-epoll").implementation.path
        program = Implementation("newcomer", path, ["--engine=epoll"], {"LOG_LEVEL": "debug"})
        for number in range(NEWCOMERS):
            space, wire = lab.space(f"new{number}"), f"eth1{number}"
            space.wire(victim.space, "eth0", wire)
            space.address("eth0", f"10.2.{number}.4/24", f"fd02:{number}::4/64")
            victim.space.address(wire, f"10.2.{number}.2/24", f"fd02:{number}::2/64")
            daemon = lab.daemon(space, program, DEVICE)
            daemon.start()
            space.ip(f"link set {DEVICE} up")
            self.daemons.append(daemon)

    def near(self, number, family):
        """The victim's socket as that one sees it."""
        address = f"10.2.{number}.2" if family == 4 else f"[fd02:{number}::2]"
        return f"{address}:{self.victim.port}"

    @staticmethod
    def wg(daemon):
        return Wg(daemon.space, daemon.ifname)

    def arrive(self, family):
        """Initiations that each needed; None for one that has no session in time."""
        asked_before = [self.asked(daemon) for daemon in self.daemons]
        keys = [self.begin(number, family) for number in range(NEWCOMERS)]
        deadline = time.monotonic() + NEWCOMER_WAIT_S
        needed = {}
        while time.monotonic() < deadline and len(needed) < len(self.daemons):
            for number, daemon in enumerate(self.daemons):
                if number not in needed and self.view(daemon).latest_handshake:
                    needed[number] = self.asked(daemon) - asked_before[number]
            time.sleep(0.1)
        for number, daemon in enumerate(self.daemons):
            self.wg(daemon).set(f"peer {self.victim.key.public} remove")
            self.victim.wg.set(f"peer {keys[number]} remove")
        return [needed.get(number) for number in range(len(self.daemons))]

    def begin(self, number, family):
        """A fresh key each time: nothing of an earlier session or cookie helps."""
        wg, key = self.wg(self.daemons[number]), Key()
        wg.set_private_key(key.private)
        self.victim.wg.set(f"peer {key.public} allowed-ips 192.168.242.{number + 1}/32")
        wg.set(f"peer {self.victim.key.public} endpoint {self.near(number, family)} "
               "persistent-keepalive 1")
        return key.public

    def view(self, daemon):
        return self.wg(daemon).peer(self.victim.key.public)

    @staticmethod
    def asked(daemon):
        return daemon.log.count("handshake initiated")


def throughput(ground, kind, seconds, rate):
    """What right gets while it is flooded; counters are of the flooded window alone."""
    with ground.busy(seconds), ground.attacker.flooding(kind, seconds + 30, rate) as flood:
        time.sleep(SETTLE_S)
        counted, used = ground.counters(), meter.Meter([ground.right.daemon.pid])
        begin, before = time.monotonic(), ground.received_bytes()
        cpu, sent = (0.0, 0) if flood is None else flood_usage(ground, flood)
        time.sleep(seconds)
        if flood is not None:
            if not flood.running:
                raise LabError("the flood ended before its time")
            cpu_after, sent_after = flood_usage(ground, flood)
            cpu, sent = cpu_after - cpu, sent_after - sent
        passed, after = time.monotonic() - begin, ground.received_bytes()
        used, counted = used.read(), ground.counters() - counted
    figures = {"gbps": (after - before) * 8 / passed / 1e9, "flood_kpps": sent / passed / 1e3,
               "flooder_cpu_percent": 100 * cpu / passed,
               "victim_cpu_percent": 100 * used["daemon_s"] / passed, "seconds": passed}
    return {"figures": figures, "counters": counted.nonzero(), **ground.memory()}


def flood_usage(ground, flood):
    """(its CPU seconds, frames it sent): of the process, and of the wire it sends on."""
    pid = wait_for(lambda: ground.attacker.space.pids("load_flooder"), "the flooder")[-1]
    return meter.cpu_seconds(pid), ground.attacker.space.link_count("eth0", "tx_packets")


def newcomers(ground, kind, rate, mbits):
    """Fresh peers while TCP and the flood go on."""
    longest = NEWCOMER_WAIT_S + 2 * SETTLE_S
    family = attack.FLOODS[kind].family if kind in attack.FLOODS else 4
    with (ground.busy(longest, mbits),
          ground.attacker.flooding(kind, longest + 30, rate) as flood):
        time.sleep(SETTLE_S)
        needed = ground.newcomers.arrive(family)
        if flood is not None and not flood.running:
            raise LabError("the flood ended before its time")
    return {"initiations": needed, "mbits": mbits, **ground.memory()}


def proven(ground, seconds, sources):
    """Sources with cookies flood for a time; each that passes the limiter fails at its tag."""
    before_kb = ground.memory()["VmRSS"]
    with ground.attacker.proven(sources, seconds) as flood:
        number = flood.proven()
        before, begin = ground.counters(), time.monotonic()
        flood.go()
        report = flood.report(seconds + 30)
        counted, passed = ground.counters() - before, time.monotonic() - begin
    granted = counted["dropped.bad_handshake"]
    return {"proven": number, "granted": granted, "counters": counted.nonzero(),
            "granted_max": round(number * (PER_SOURCE_PER_S * passed + BURST)),
            "kpps": report["sent"] / report["seconds"] / 1e3, "before_kb": before_kb,
            **ground.memory()}


class Run:
    """All of one contestant after the other; within it the kinds take turns."""

    def __init__(self, options, say):
        self.options, self.say = options, say
        self.kinds = options.kinds
        self.samples, self.failures = [], []  # failures of ours; of others they are in samples
        self.not_run = {}

    def go(self):
        ready, self.not_run = rounds.resolve_all(self.options.contestants, self.say)
        for name, why in self.not_run.items():
            self.say(f"NOT RUN: {name}: {why}")
            self.failures += [f"not run: {name}: {why}"] if name.startswith("ours") else []
        for contestant in ready:
            try:
                with laboratory(contestant) as lab:
                    ground = Ground(lab, contestant, self.options.core)
                    try:
                        self.of(contestant, ground)
                        ground.arena.check_alive()
                    finally:
                        ground.attacker.close()
            except LabError as error:
                self.failed(contestant, f"{contestant}: {rounds.short(error)}")
        return self

    def failed(self, contestant, text):
        self.say(f"FAILED: {text}")
        if contestant.kind == "ours":
            self.failures.append(text)

    def of(self, contestant, ground):
        options = self.options
        for number in range(1, options.rounds + 1):
            turn = number % len(self.kinds)
            for kind in self.kinds[turn:] + self.kinds[:turn]:
                self.sample(contestant, number, kind, "throughput", lambda kind=kind: throughput(
                    ground, kind, options.seconds, options.rate))
        for number in range(1, options.newcomer_rounds + 1):
            for kind in (kind for kind in NEWCOMER_KINDS if kind in self.kinds):
                for mbits in PACES_MBITS:
                    self.sample(contestant, number, kind, "newcomers",
                                lambda kind=kind, mbits=mbits: newcomers(
                                    ground, kind, options.rate, mbits))
        if ground.ours and options.proven:
            self.sample(contestant, 1, "proven", "proven", lambda: proven(
                ground, options.seconds, PROVEN_SOURCES))
            self.sample(contestant, 1, "cap", "proven", lambda: proven(
                ground, max(options.seconds, options.cap_seconds), attack.MANY))

    def sample(self, contestant, number, kind, trial, work):
        try:
            result = work()
        except (LabError, OSError) as error:
            result = {"failure": rounds.short(error)}
            self.failed(contestant, f"{contestant}, {trial}, {kind}, round {number}: "
                                    f"{result['failure']}")
        self.samples.append({"contestant": contestant.name, "ours": contestant.kind == "ours",
                             "round": number, "kind": kind, "trial": trial, **result})
        self.say(f"{contestant.name:14s} {trial:10s} round {number} {kind:8s} {in_short(result)}")


def in_short(result):
    if "failure" in result:
        return "FAILED: " + result["failure"].splitlines()[0]
    if "figures" in result:
        one = result["figures"]
        return (f"{one['gbps']:.2f} Gb/s beside {one['flood_kpps']:.0f} kpps, CPU: victim "
                f"{one['victim_cpu_percent']:.0f} %, flooder {one['flooder_cpu_percent']:.0f} %, "
                f"{result['VmRSS']} kB")
    if "initiations" in result:
        return (f"initiations needed {result['initiations']} beside {pace(result)}, "
                f"{result['VmRSS']} kB")
    return (f"{result['proven']} sources, {result['granted']} handshakes beside "
            f"{result['kpps']:.0f} kpps, {result['before_kb']} to {result['VmRSS']} kB")


def pace(sample):
    return f"{sample['mbits']} Mb/s" if sample["mbits"] else "all it can carry"

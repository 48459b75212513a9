"""A long life in short: traffic, loss, rekeys, roaming, peers that come and go, and who watches it.

The ground is in star.py. Traffic: datagrams both ways on each path (chat.py), a TCP stream of some
seconds now and then from spoke 2, an echo request a second both ways on each path. Rekeys come by
themselves, every two minutes.
"""

import base64
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import threading
import time

from duel import rounds
from lab import peers
from lab.run import LabError, kill_group, wait_for
from lab.traffic import IPERF_PORT, Pinger, iperf_server
from lab.usage import descriptors, kilobytes
from load import books, turns
from load.star import HERE, Star
from load.verdicts_soak import STALL_S

WATCH_S = 10.0
CHAT_PORT, CHAT_RATE, CHAT_BYTES = 7000, 100, 400
LOSS, REORDER = 0.01, 0.01
SILENCE_S = 2.0
QUIET = {"LOG_LEVEL": "info"}


class Echoes(threading.Thread):
    """One request a second; the longest time without an answer."""

    def __init__(self, member, target):
        super().__init__(daemon=True)
        self.name = f"{member.name} to {target.name}"
        self.pinger = Pinger(member.space, target.inner)
        self.sent = self.answered = 0
        self.longest_s, self.stalls = 0.0, []
        self._end = threading.Event()

    def run(self):
        last, sequence = time.monotonic(), 0
        with self.pinger.socket:
            while not self._end.is_set():
                begin, sequence = time.monotonic(), (sequence + 1) % 65536
                self.sent += 1
                if self.pinger.answered(sequence, 56, 1.0):
                    self.answered += 1
                    self.note(time.monotonic() - last)
                    last = time.monotonic()
                self._end.wait(max(0.0, begin + 1.0 - time.monotonic()))
        self.note(time.monotonic() - last)

    def note(self, gap_s):
        self.longest_s = max(self.longest_s, gap_s)
        if gap_s > STALL_S:
            self.stalls.append(round(gap_s, 1))

    def stop(self):
        self._end.set()
        self.join(timeout=10)


class Chats:
    """chat.py at both ends of each path."""

    def __init__(self, star):
        self.running = {}
        for spoke in star.spokes:
            port = str(CHAT_PORT + spoke.number)
            for one, other in ((spoke, star.hub), (star.hub, spoke)):
                process, _ = one.space.popen(
                    [sys.executable, "-S", HERE / "chat.py", one.inner, other.inner, port,
                     CHAT_RATE, CHAT_BYTES], text=True, stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE)
                self.running[one.name, other.name] = star.lab.own(process)
        # None speaks before all listen: a closed port would answer, and be another packet.
        if any(process.stdout.readline() != "ready\n" for process in self.running.values()):
            raise LabError("chat.py does not listen")
        self.say()

    def say(self):
        for process in self.running.values():
            process.stdin.write("\n")
            process.stdin.flush()

    def stop(self):
        """[(from, to, sent, received there)]."""
        self.say()
        time.sleep(SILENCE_S)
        for process in self.running.values():
            process.stdin.close()
        counted = {}
        for pair, process in self.running.items():
            process.wait(timeout=20)
            counted[pair] = json.loads(process.stdout.read())
        return [{"from": one, "to": other, "sent": counted[one, other]["sent"],
                 "refused": counted[one, other]["refused"],
                 "received": counted[other, one]["received"]} for one, other in counted]


def vital_signs(daemon):
    """Memory in kB, open files and threads, as of now."""
    smaps = open(f"/proc/{daemon.pid}/smaps").read()
    heap = re.search(r"\[heap\]\n(?:.*\n)*?Rss:\s+(\d+) kB", smaps)
    return {"rss": kilobytes(daemon.pid, "VmRSS"), "anonymous": kilobytes(daemon.pid, "RssAnon"),
            "heap": int(heap[1]) if heap else 0,
            "fds": descriptors(daemon.pid),
            "threads": len(os.listdir(f"/proc/{daemon.pid}/task"))}


class Handshakes:
    """Of both ends of each path: the times of the latest one, as they were looked at."""

    def __init__(self, star):
        self.star = star
        self.times = {}

    def look(self):
        hub = self.star.hub
        of_hub = hub.wg.dump()
        for spoke in self.star.spokes:
            self.note(f"{hub.name} with {spoke.name}", of_hub.peer(spoke.key.public))
            self.note(f"{spoke.name} with {hub.name}", spoke.wg.peer(hub.key.public))

    def note(self, way, peer):
        times = self.times.setdefault(way, set())
        if peer.latest_handshake:  # none yet of a peer that has just come back
            times.add(peer.latest_handshake)

    def report(self):
        now = time.time()
        return [{"way": way, "handshakes": len(times), "age_s": round(now - max(times, default=0))}
                for way, times in self.times.items()]


class Events:
    """What happens to the star while it talks: one thing after the other, in a fixed order."""

    def __init__(self, star, seed, tcp):
        self.star, self.random, self.kinds = star, random.Random(seed), turns.kinds_of(tcp)
        self.done, self.streams = {}, []
        self.order = 0

    def next(self):
        kind, spoke = turns.turn(self.order, self.kinds, self.star.spokes)
        self.order += 1
        getattr(self, kind)(spoke)
        self.done[kind] = self.done.get(kind, 0) + 1

    def roam(self, spoke):
        self.star.roam(turns.who_roams(spoke, self.star.spokes, lambda one: one.ours))

    def forget(self, spoke):
        self.star.forget(spoke)
        time.sleep(turns.FORGOTTEN_S)
        self.star.remember(spoke)

    def strangers(self, _):
        keys = [base64.b64encode(self.random.randbytes(32)).decode() for _ in range(50)]
        self.star.hub.wg.set(" ".join(
            f"peer {key} allowed-ips 10.77.{number}.0/24 endpoint 10.9.0.77:7"
            for number, key in enumerate(keys)))
        self.star.hub.wg.set(" ".join(f"peer {key} remove" for key in keys))

    def stream(self, _):
        """TCP from spoke 2: super-packets there, runs to be joined at the hub."""
        spoke, hub, said = self.star.spokes[1], self.star.hub, ""
        with iperf_server(hub.space, hub.inner):
            process, _ = spoke.space.popen(
                ["iperf3", "-J", "-c", hub.inner, "-p", IPERF_PORT, "-t", turns.TCP_S, "-b", "20M"],
                text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                said, _ = process.communicate(timeout=turns.TCP_S + turns.TCP_LATE_S)
            kill_group(process)
            process.communicate()
        self.streams.append(bytes_received(said))


def bytes_received(said):
    """Of iperf3's report; none when it has no end."""
    try:
        return json.loads(said)["end"]["sum_received"]["bytes"]
    except (ValueError, KeyError):
        return 0


class Soak:
    """Owner of the run; `found` is complete at its end, whatever that was."""

    def __init__(self, options, say):
        self.options, self.say = options, say
        self.samples, self.failures = [], []
        self.found = {"samples": self.samples, "failures": self.failures}

    def go(self, lab):
        options = self.options
        self.star = Star(lab, ours(None), spokes(options.foreign), seed=options.seed,
                         loss=LOSS, reorder=REORDER)
        star, self.begin = self.star, time.monotonic()
        echoes = [Echoes(one, other) for spoke in star.spokes
                  for one, other in ((spoke, star.hub), (star.hub, spoke))]
        for echo in echoes:
            echo.start()
        wait_for(lambda: all(echo.answered for echo in echoes), "a first answer everywhere", 20)
        chats, events = Chats(star), Events(star, options.seed, options.tcp)
        self.handshakes = Handshakes(star)
        try:
            self.live(events, self.begin + options.minutes * 60)
            self.settle(star, chats, echoes)
        finally:
            for echo in echoes:
                echo.stop()
            self.found["events"], self.found["streams"] = events.done, events.streams
            self.found["moved"] = {spoke.name: spoke.moved for spoke in star.spokes}
            self.found["echoes"] = [{"way": echo.name, "sent": echo.sent, "stalls": echo.stalls,
                                     "answered": echo.answered,
                                     "longest_s": round(echo.longest_s, 2)} for echo in echoes]

    def live(self, events, end):
        """Watches every ten seconds; an event in between."""
        self.found["live_s"] = live_s = end - time.monotonic()
        pause, last = turns.pause_s(live_s), end - live_s + turns.last_s(live_s)
        watch_at, event_at = time.monotonic(), time.monotonic() + pause
        while (now := time.monotonic()) < end:
            if now >= watch_at:
                self.watch()
                watch_at += WATCH_S
            if event_at <= now < last:
                events.next()
                event_at = time.monotonic() + pause
            time.sleep(0.2)
        self.watch()
        self.found["handshakes"] = self.handshakes.report()

    def watch(self):
        for member in self.star.members:
            if not member.daemon.running:
                raise LabError(f"{member.name} ended")
            self.samples.append({"at": round(time.monotonic() - self.begin),
                                 "member": member.name, **vital_signs(member.daemon)})
        self.handshakes.look()
        shown = ", ".join(f"{one['member'].partition('-')[0]} {one['rss']}"
                          for one in self.samples[-len(self.star.members):])
        if self.samples[-1]["at"] % 60 < WATCH_S:
            self.say(f"[{self.samples[-1]['at']:5d} s] memory, kB: {shown}")

    def settle(self, star, chats, echoes):
        """Everything comes to rest, so that nothing is under way when it is counted."""
        talked = chats.stop()
        for echo in echoes:
            echo.stop()
        star.relay.ask("lossless")
        wait_for(lambda: star.relay.ask()["behind"] == 0, "the relay to be empty")
        time.sleep(1)
        loose = [star.spokes[1]] if self.options.tcp else []
        self.found["books"], self.found["chats"] = books.closed(star, loose), talked

    def attempt(self, lab):
        try:
            self.go(lab)
        except (LabError, AssertionError, OSError) as error:
            self.failures.append(rounds.short(error))


def ours(engine):
    one = peers.under_test(engine)
    one.env = dict(QUIET)
    return one


def spokes(foreign):
    """(name, implementation) of the spokes, the one written by others last."""
    engines = peers.engines()
    chosen = [(f"spoke-{engine}", ours(engine)) for engine in (engines[0], engines[-1])]
    if foreign != "none":
        chosen.append((f"spoke-{foreign}", peers.debian_wireguard_go() if foreign == "debian-go"
                       else peers.by_name(foreign)))
    return chosen

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
import statistics
import subprocess
import sys
import threading
import time

from duel import rounds
from lab import peers
from lab.run import LabError, kill_group, wait_for
from lab.traffic import IPERF_PORT, Pinger, iperf_server
from lab.usage import kilobytes
from load import books
from load.star import HERE, Star

STALL_S, WATCH_S = 10.0, 10.0
CHAT_PORT, CHAT_RATE, CHAT_BYTES = 7000, 100, 400
LOSS, REORDER = 0.01, 0.01
FORGOTTEN_S, TCP_S, SILENCE_S = 2.0, 4, 2.0
GROWTH_MAX_KB = 512
FLAT_MINUTES_MIN = 5  # before that buffers are still touched for the first time
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
            "fds": len(os.listdir(f"/proc/{daemon.pid}/fd")),
            "threads": len(os.listdir(f"/proc/{daemon.pid}/task"))}


class Events:
    """What happens to the star while it talks: one thing after the other, in a fixed order."""

    def __init__(self, star, seed, tcp):
        self.star, self.random, self.tcp = star, random.Random(seed), tcp
        self.done = {}
        self.order = 0

    def next(self):
        kinds = [self.roam, self.forget, self.strangers] + ([self.stream] if self.tcp else [])
        kind = kinds[self.order % len(kinds)]
        spoke = self.star.spokes[self.order // len(kinds) % len(self.star.spokes)]
        self.order += 1
        kind(spoke)
        self.done[kind.__name__] = self.done.get(kind.__name__, 0) + 1

    def roam(self, spoke):
        # The one written by others keeps a source that is no longer an address.
        self.star.roam(spoke if spoke.ours else self.star.spokes[0])

    def forget(self, spoke):
        self.star.forget(spoke)
        time.sleep(FORGOTTEN_S)
        self.star.remember(spoke)

    def strangers(self, _):
        keys = [base64.b64encode(self.random.randbytes(32)).decode() for _ in range(50)]
        self.star.hub.wg.set(" ".join(
            f"peer {key} allowed-ips 10.77.{number}.0/24 endpoint 10.9.0.77:7"
            for number, key in enumerate(keys)))
        self.star.hub.wg.set(" ".join(f"peer {key} remove" for key in keys))

    def stream(self, _):
        """TCP from spoke 2: super-packets there, runs to be joined at the hub."""
        spoke, hub = self.star.spokes[1], self.star.hub
        with iperf_server(hub.space, hub.inner):
            process, _ = spoke.space.popen(
                ["iperf3", "-c", hub.inner, "-p", IPERF_PORT, "-t", TCP_S, "-b", "20M"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=TCP_S + 10)
            kill_group(process)
            process.wait()


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
        try:
            self.live(events, self.begin + options.minutes * 60)
            self.settle(star, chats, echoes)
        finally:
            for echo in echoes:
                echo.stop()
            self.found["events"] = events.done
            self.found["echoes"] = [{"way": echo.name, "sent": echo.sent, "stalls": echo.stalls,
                                     "answered": echo.answered,
                                     "longest_s": round(echo.longest_s, 2)} for echo in echoes]

    def live(self, events, end):
        """Watches every ten seconds; an event in between, so often that each comes a few times."""
        pause = max(5.0, min(20.0, (end - time.monotonic()) / 16))
        watch_at, event_at = time.monotonic(), time.monotonic() + pause
        while (now := time.monotonic()) < end:
            if now >= watch_at:
                self.watch()
                watch_at += WATCH_S
            if now >= event_at and now < end - 2 * pause:
                events.next()
                event_at = time.monotonic() + pause
            time.sleep(0.2)
        self.watch()

    def watch(self):
        for member in self.star.members:
            if not member.daemon.running:
                raise LabError(f"{member.name} ended")
            self.samples.append({"at": round(time.monotonic() - self.begin),
                                 "member": member.name, **vital_signs(member.daemon)})
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
        self.found["handshakes"] = {member.name: max(
            (peer.latest_handshake for peer in member.wg.dump().peers), default=0)
            for member in star.members}

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


# --- what follows from what was seen ---

def growth(samples, member):
    """{sign: (in the third fifth of the run, in the last)}, of medians."""
    own = [one for one in samples if one["member"] == member]
    fifth = max(1, len(own) // 5)
    early, late = own[2 * fifth:3 * fifth] or own[:1], own[-fifth:]
    return {sign: tuple(round(statistics.median(one[sign] for one in part))
                        for part in (early, late))
            for sign in ("rss", "anonymous", "heap", "fds", "threads")}


def verdicts(found, minutes):
    """(claim, what was seen, holds); None for what is not judged."""
    for echo in found.get("echoes", ()):
        yield (f"no stall over {STALL_S:.0f} s, {echo['way']}",
               f"longest {echo['longest_s']} s, {echo['answered']} of {echo['sent']} answered",
               not echo["stalls"] and echo["answered"] > 0)
    for member in dict.fromkeys(one["member"] for one in found["samples"]):
        signs = growth(found["samples"], member)
        seen = ", ".join(f"{sign} {early} to {late}" for sign, (early, late) in signs.items())
        flat = all(signs[sign][1] - signs[sign][0] <= limit for sign, limit in (
            ("rss", GROWTH_MAX_KB), ("anonymous", GROWTH_MAX_KB), ("heap", GROWTH_MAX_KB),
            ("fds", 0), ("threads", 0)))
        judged = is_ours(member) and minutes >= FLAT_MINUTES_MIN
        yield f"memory, files and threads flat, {member}", seen, flat if judged else None
    for line in found.get("books", {"members": ()})["members"]:
        yield (f"every lost packet counted, {line['member']}",
               f"read {line['read']}, written {line['written']}; not explained: "
               f"{line['sending']} of those read, {line['taking']} of those sent to it",
               line["balanced"])


def is_ours(member):
    return not member.startswith(("spoke-wireguard-go", "spoke-debian-go", "spoke-boringtun",
                                  "spoke-gotatun"))

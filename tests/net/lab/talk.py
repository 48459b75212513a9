"""Tunnels that talk in the background of a whole run, so that waiting for a rekey costs little."""

import contextlib
import re
import threading
import time

from lab import peers
from lab.lab import Lab
from lab.pair import Pair
from lab.run import LabError, wait_for
from lab.tunnel import Tunnel

REKEY_AFTER_S, SPARE_S, SETTLE_S = 120, 10, 10
INTERVAL_S = 0.1


class Talk:
    """A pair whose left end pings without pause; left began, so left is who rekeys."""

    def __init__(self, directory):
        self.lab = Lab(directory)
        self.report = directory / "ping.txt"
        self.failure, self.second, self.begun_by_ours = None, None, None
        self._end = threading.Event()
        self._watch = threading.Thread(target=self._find_second, daemon=True)

    def begin(self, name):
        """A talk that cannot begin must fail its own test, not the whole run."""
        try:
            self._begin(*ends_of(name))
        except LabError as error:
            self.failure = error

    def _begin(self, left, right, psk):
        self.ours_began = left.path == peers.under_test_path()
        if peers.is_rust(left) or peers.is_rust(right):
            self.pair = Tunnel(self.lab, left, right, psk=psk)
        else:
            self.pair = Pair(self.lab, left, right, psk=psk).know_endpoint()
        self.started = time.monotonic()
        with self.report.open("w") as report:
            process, self.pid = self.pair.left.space.popen(
                ["ping", "-n", "-i", str(INTERVAL_S), self.pair.right.inner4],
                stdout=report, stderr=report)
        self.ping = self.lab.own(process)
        wait_for(self.handshake, "a handshake")
        self.first = self.handshake()
        self._watch.start()

    def handshake(self):
        """The time of the last one as the left end has it, if that tells the time."""
        left, right = self.pair.left, self.pair.right
        return (right.view(left) if peers.is_rust(left.daemon.implementation)
                else left.view(right)).latest_handshake

    def _find_second(self):
        """The run may be longer than two rekeys, so the first one is noted when it happens."""
        if self._end.wait(SETTLE_S):
            return
        # wireguard-go arms its retransmission after the send: where the response was quicker, on a
        # busy machine, it asks once more after 5 s, and then it may be quicker again.
        while not self.ours_began and self.first != self.handshake():
            self.first = self.handshake()
            if self._end.wait(SETTLE_S):
                return
        if self._end.wait(REKEY_AFTER_S - SPARE_S - 2 * SETTLE_S):
            return
        before = self._begun_by_ours()
        with contextlib.suppress(LabError):
            self.second = wait_for(lambda: self._end.is_set() or self._later_than_first(),
                                   "a new handshake", timeout=3 * SPARE_S, pause=0.5)
            self.begun_by_ours = self._begun_by_ours() - before

    def _later_than_first(self):
        now = self.handshake()
        return now if now > self.first else None

    def close(self):
        """What went wrong at the end."""
        self._end.set()
        if self._watch.is_alive():
            self._watch.join(timeout=30)
        try:
            self.lab.close()
        except LabError as error:
            return [str(error)]
        return []

    def _begun_by_ours(self):
        """Handshakes so far, in the log of the end that is ours."""
        ours = self.pair.left if self.ours_began else self.pair.right
        return ours.daemon.log.count("handshake initiated")

    def wait(self):
        """Until a little after the new keys are due."""
        if self.failure:
            raise self.failure
        self._watch.join(timeout=REKEY_AFTER_S + 3 * SPARE_S)
        if not self.second:
            raise LabError(f"no new handshake {time.monotonic() - self.started:.0f} s after start")
        time.sleep(2)  # pings under the new keys

    def lost(self):
        """Echo requests without a reply, the ones still on their way at the end left aside."""
        self.pair.left.space.run("kill", "-INT", inner_pid(self.pid))
        self.ping.wait(timeout=10)
        answered = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl",
                                                         self.report.read_text())}
        assert max(answered) * INTERVAL_S > REKEY_AFTER_S - SPARE_S
        return max(answered) - len(answered)


def inner_pid(pid):
    """The number that a process has inside its own pid namespace."""
    status = open(f"/proc/{pid}/status").read()
    return re.search(r"NSpid:.*\t(\d+)$", status, re.M)[1]


def names():
    ours = [f"ours-{engine}" for engine in peers.engines()]
    rust = [name for name in peers.foreign() if name in peers.CRATES]
    pairs = [pair for other in ("go", *rust) for pair in (f"ours-to-{other}", f"{other}-to-ours")]
    return [*ours, "ours-to-debian-go", *pairs, *(f"{pair}-psk" for pair in pairs)]


def other_of(name):
    """Who is not ours."""
    if name == "debian-go":
        return peers.debian_wireguard_go()
    if name == "go":
        return peers.current_wireguard_go() if peers.go_toolchain() else peers.debian_wireguard_go()
    return peers.rust(name)


def ends_of(name):
    """(left, right, with preshared key) of a talk."""
    pair = name.removesuffix("-psk")
    left, _, right = pair.partition("-to-")
    if not right:
        engine = pair.removeprefix("ours-")
        return peers.under_test(engine), peers.under_test(engine), True
    left, right = (peers.under_test() if end == "ours" else other_of(end) for end in (left, right))
    return left, right, name.endswith("-psk")

"""A minute of traffic through a daemon built with sanitizers: nothing to report, a clean end.

    left  eth0 10.0.0.1  --- wire ---  right  eth0 10.0.0.2

WGRING_BIN names the sanitizer build. The fixture `lab` fails the test when a daemon does not end
with 0 or has a sanitizer's report in its log.
"""

import threading
import time

import pytest

from lab.churn import CHANGES, Churn
from lab.daemon import SANITIZER_OPTIONS
from lab.pair import Pair
from lab.peers import under_test_path
from lab.traffic import ping, tcp_bytes, udp_loss_percent
from lab.wgtool import Key

pytestmark = pytest.mark.sanitizer

SECONDS = 60
ROUNDS_MIN = 4  # of what a bystander does


@pytest.fixture(autouse=True)
def sanitizers_end_the_process(monkeypatch):
    for name, value in SANITIZER_OPTIONS.items():
        monkeypatch.setenv(name, value)


class Bystander(threading.Thread):
    """An operator who looks and changes things all the time."""

    def __init__(self, pair):
        super().__init__(daemon=True)
        self.pair, self.rounds, self.problem = pair, 0, None
        self._end = threading.Event()

    def run(self):
        try:
            while not self._end.is_set():
                self._round()
        except Exception as error:  # shown by stop(), in the test's own thread
            self.problem = error

    def _round(self):
        other = Key().public
        for end in (self.pair.left, self.pair.right):
            end.wg.show()
            end.wg.set(f"peer {other} allowed-ips 10.77.0.0/24 endpoint 10.0.0.77:7")
            end.wg.dump()
            end.wg.set(f"peer {other} remove")
        self.pair.left.wg.set(f"fwmark {self.rounds % 3}")
        self.rounds += 1
        self._end.wait(0.2)

    def stop(self):
        self._end.set()
        self.join(timeout=30)
        assert self.problem is None, self.problem


def assert_clean_ends(pair):
    for end in (pair.left, pair.right):
        assert end.daemon.stop() == 0
        assert end.daemon.complaints() == []


def traffic(pair, seconds, bystander):
    """TCP there, TCP back, UDP, in turns until the time is over and enough was changed."""
    spaces, right = (pair.left.space, pair.right.space), pair.right
    until = time.monotonic() + seconds
    while time.monotonic() < until or (bystander.rounds < ROUNDS_MIN and bystander.is_alive()):
        assert tcp_bytes(*spaces, right.inner4, seconds=3) > 0
        assert tcp_bytes(*spaces, right.inner6, "-R", "-P", "4", seconds=3) > 0
        assert udp_loss_percent(*spaces, right.inner4, rate="10M", seconds=2) < 50


def test_the_daemon_has_its_sanitizer():
    """In what was compiled: its library alone, linked in, finds next to nothing."""
    image = under_test_path().read_bytes()
    for found in (b"__asan_init", b"asan.module_ctor"), (b"__tsan_init", b"tsan.module_ctor"):
        if all(name in image for name in found):
            return
    pytest.fail(f"{under_test_path()} has no sanitizer: its silence means nothing")


def test_a_minute_of_traffic_is_clean(lab, each_engine):
    pair = Pair(lab, each_engine, each_engine, psk=True).know_endpoint()
    ping(pair.left.space, pair.right.inner4, wait=5)
    bystander = Bystander(pair)
    bystander.start()
    traffic(pair, SECONDS, bystander)
    bystander.stop()
    assert_clean_ends(pair)


def test_shards_and_lanes_are_clean(lab, each_engine):
    """Packets that one shard hands over to another, and jobs that lanes take."""
    several = each_engine.with_options("--shards=2", "--lanes=1")
    pair = Pair(lab, several, several).know_endpoint()
    ping(pair.left.space, pair.right.inner4, wait=5)
    bystander = Bystander(pair)
    bystander.start()
    traffic(pair, SECONDS / 4, bystander)
    bystander.stop()
    assert_clean_ends(pair)


@pytest.mark.parametrize("options", [[], ["--shards=2", "--lanes=1"]], ids=["one", "several"])
def test_changes_under_traffic_are_clean(lab, each_engine, options):
    """Link, port, mark, key, MTU and peer changes while packets are in flight, each kind once."""
    daemon = each_engine.with_options(*options)
    pair = Pair(lab, daemon, daemon).know_endpoint()
    ping(pair.left.space, pair.right.inner4, wait=5)
    churn = Churn(pair)
    churn.begin_traffic()
    for name in CHANGES:
        churn.one(name)
    churn.settle()
    assert tcp_bytes(pair.left.space, pair.right.space, pair.right.inner4) > 0
    assert_clean_ends(pair)

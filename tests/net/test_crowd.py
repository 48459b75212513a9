"""Hostile clients of the configuration socket, beside traffic: the data path does not notice.

    left   wgring, a crowd at its socket   ===== tunnel =====   right   wgring
           iperf3 and echo requests, all the while
"""

import contextlib
import threading
import time

import pytest

from lab import peers
from lab.pair import Pair
from lab.run import wait_for
from lab.traffic import Pinger, iperf
from lab.usage import descriptors, kilobytes

pytestmark = pytest.mark.ours

CLIENTS = 1000
LINE_BYTES, PIECE = 1 << 30, b"x" * (1 << 16)
SECONDS = 4
GETS = 5000
PACE_MBIT = 100  # of what takes not all of the processors


class Crowd:
    """At work from beginning to end of the `with`; nobody in it ever finishes a `set`."""

    def __init__(self, uapi):
        self.uapi, self.over = uapi, threading.Event()
        self.stack = contextlib.ExitStack()
        self.cut_off_after, self.came_and_went, self.connected = [], 0, 0
        self.threads = [threading.Thread(target=target)
                        for target in (self.send_endless_lines, self.break_off)]

    def send_endless_lines(self):
        """Up to 1 GiB without a newline."""
        while not self.over.is_set():
            sent = 0
            with contextlib.suppress(OSError), self.uapi.connect() as connection:
                connection.send("set=1\nprivate_key=")
                while sent < LINE_BYTES:
                    connection.send(PIECE)
                    sent += len(PIECE)
            self.cut_off_after.append(sent)

    def break_off(self):
        """In the middle of a `set` that would change everything."""
        sections = "".join(f"public_key={number:064x}\nallowed_ip=10.0.{number % 256}.0/24\n"
                           for number in range(1, 500))
        while not self.over.is_set():
            with contextlib.suppress(OSError), self.uapi.connect() as connection:
                connection.send(f"set=1\nreplace_peers=true\nlisten_port=9\n{sections}")
                self.came_and_went += 1

    def __enter__(self):
        for number in range(CLIENTS):
            with contextlib.suppress(OSError):
                connection = self.stack.enter_context(self.uapi.connect())
                self.connected += 1
                if number % 3 == 1:
                    connection.send("set=1\nreplace_peers=true\nfwma")
                elif number % 3 == 2:
                    # And never reads: what its socket takes is a small part of the replies.
                    connection.send("get=1\n\n" * GETS)
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        self.stack.close()


class Echoes:
    """Echo requests one after the other, until the end of the `with`."""

    def __init__(self, space, address):
        self.pinger, self.over = Pinger(space, address), threading.Event()
        self.sent = self.answered = 0
        self.longest_s = 0.0
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.is_set():
            begin = time.monotonic()
            self.answered += self.pinger.answered(self.sent % 65536, 56, wait=5)
            self.longest_s = max(self.longest_s, time.monotonic() - begin)
            self.sent += 1
            time.sleep(0.01)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.pinger.socket.close()


def test_a_crowd_of_hostile_clients_beside_traffic(lab, each_engine):
    pair = Pair(lab, each_engine, peers.under_test()).know_endpoint()
    left, right = pair.left, pair.right
    wait_for(lambda: Pinger(left.space, right.inner4).answered(1, 56, 1), "the tunnel")
    before, rss_kib = left.daemon.uapi.get(), kilobytes(left.daemon.pid, "VmRSS")
    alone = iperf(left.space, right.space, right.inner4, seconds=SECONDS)["sum_received"]
    with Crowd(left.daemon.uapi) as crowd, Echoes(left.space, right.inner4) as echoes:
        wait_for(lambda: descriptors(left.daemon.pid) > CLIENTS, "all to be let in", timeout=30)
        total = iperf(left.space, right.space, right.inner4, seconds=SECONDS)["sum_received"]
        paced = iperf(left.space, right.space, right.inner4, "-b", f"{PACE_MBIT}M",
                      seconds=SECONDS)["sum_received"]
        most_kib = kilobytes(left.daemon.pid, "VmRSS")
        held = descriptors(left.daemon.pid)
    assert crowd.connected == CLIENTS
    assert held > CLIENTS
    print(f"{total['bytes'] / alone['bytes']:.0%} of TCP alone, as fast as it goes")
    assert total["bytes"] > alone["bytes"] / 4
    assert paced["bytes"] > 0.9 * PACE_MBIT * 1e6 / 8 * SECONDS
    assert echoes.answered == echoes.sent > 20 and echoes.longest_s < 2
    assert crowd.came_and_went > 0
    assert crowd.cut_off_after and 0 < max(crowd.cut_off_after) < 1 << 20
    assert most_kib < rss_kib + 64 * 1024
    after = left.daemon.uapi.get()
    settings = ("private_key", "listen_port", "fwmark", "public_key", "allowed_ip", "endpoint")
    assert [after.values(key) for key in settings] == [before.values(key) for key in settings]

"""Lanes: packets of a flow keep their order whatever the number of helping threads; they are named
in the log, counted, and asleep when nothing happens.

    left  === tunnel ===  right
"""

import pathlib
import re
import socket
import struct
import threading
import time

import pytest

from lab.counters import counters
from lab.pair import Pair
from lab.run import wait_for
from lab.traffic import ping, tcp_bytes

pytestmark = pytest.mark.ours

PORT = 7001


def lane_threads(daemon):
    """Processor time in ticks of each lane by its thread."""
    times = {}
    for task in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir():
        name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        if name == "wgring-lane":
            fields = rest.split()
            times[task.name] = int(fields[11]) + int(fields[12])
    return times


def take_numbers(receiver, arrived, is_all_sent):
    """Appends the numbers that come, until all is sent and the socket's time passes in silence."""
    while True:
        is_over = is_all_sent()
        try:
            arrived.append(struct.unpack("!Q", receiver.recv(2048)[:8])[0])
        except TimeoutError:
            if is_over:
                return


def numbered_flow(pair, seconds):
    """Datagrams of one flow, as fast as they go; the numbers that arrived, in order of arrival."""
    with pair.right.space.entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with pair.left.space.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    arrived = []
    with receiver, sender:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
        receiver.bind((pair.right.inner4, PORT))
        receiver.settimeout(1)
        sender.connect((pair.right.inner4, PORT))

        all_sent = threading.Event()
        thread = threading.Thread(target=take_numbers, args=(receiver, arrived, all_sent.is_set))
        thread.start()
        deadline, number = time.monotonic() + seconds, 0
        try:
            while time.monotonic() < deadline:
                for _ in range(64):
                    sender.send(struct.pack("!Q", number) + bytes(1300))
                    number += 1
        finally:
            all_sent.set()
            thread.join()
    return arrived


def assert_flow_keeps_its_order(pair):
    ping(pair.left.space, pair.right.inner4)
    arrived = numbered_flow(pair, seconds=2)
    assert len(arrived) > 100
    assert all(before < after for before, after in zip(arrived, arrived[1:]))


@pytest.mark.parametrize("lanes", [0, 1, 3])
def test_no_packet_of_a_flow_overtakes_another(lab, each_engine, lanes):
    implementation = each_engine.with_options(f"--lanes={lanes}")
    pair = Pair(lab, implementation, implementation).know_endpoint()
    assert_flow_keeps_its_order(pair)
    # TCP tells of order as well: what is overtaken is sent again.
    assert tcp_bytes(pair.left.space, pair.right.space, pair.right.inner4) > 1_000_000
    for end in (pair.left, pair.right):
        assert len(lane_threads(end.daemon)) == lanes
        assert re.search(rf"lanes: {lanes} \(as asked\)", end.daemon.log)
        assert lanes or "packets.lane_batches" not in counters(end.daemon)


def test_idle_lanes_sleep_and_pings_are_not_theirs(lab, ours):
    implementation = ours.with_options("--lanes=2")
    pair = Pair(lab, implementation, implementation).know_endpoint()
    ping(pair.left.space, pair.right.inner4)
    before = lane_threads(pair.left.daemon)
    ping(pair.left.space, pair.right.inner4, count=50, interval=0.01)
    assert lane_threads(pair.left.daemon) == before
    assert "packets.lane_batches" not in counters(pair.left.daemon)


def test_automatic_says_how_many_and_why(lab, ours):
    pair = Pair(lab, ours, ours)
    wait_for(lambda: re.search(r"lanes: \d+ \(.+\)", pair.left.daemon.log), "the lanes in the log")
    found = re.search(r"lanes: (\d+) \((.+)\)", pair.left.daemon.log)
    assert len(lane_threads(pair.left.daemon)) == int(found[1])

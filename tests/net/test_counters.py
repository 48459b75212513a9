"""What `wg show` and the link count after a known exchange.

    left  eth0 10.0.0.1, fd00:a::1  --- wire ---  right  eth0 10.0.0.2, fd00:a::2
          wg0 192.168.241.1, fd00:b::1  tunnel           wg0 192.168.241.2, fd00:b::2

An inner ping of 84 bytes is padded to 96 and has 32 bytes around it: 128. An initiation has
148 bytes, a response 92.
"""

import re
import signal
import time

import pytest

from lab.capture import Capture
from lab.pair import DEVICE
from lab.run import wait_for
from lab.traffic import ping, reaches, tcp_bytes, udp_bytes

PING, INITIATION, RESPONSE, KEEPALIVE = 128, 148, 92, 32


def transfer(end, other):
    view = end.view(other)
    return view.rx_bytes, view.tx_bytes


@pytest.fixture
def pinged(pair):
    """Ten pings from left to right over a new tunnel, counted before any keepalive is due."""
    ping(pair.left.space, pair.right.inner4, count=10)
    return pair


def test_transfer_is_exact_on_both_ends_after_ten_pings(pinged):
    left, right = pinged.left, pinged.right
    assert transfer(left, right) == (RESPONSE + 10 * PING, INITIATION + 10 * PING) == (1372, 1428)
    assert transfer(right, left) == (INITIATION + 10 * PING, RESPONSE + 10 * PING)


def test_counters_are_what_was_on_the_wire(pair):
    """Handshakes, pings, datagrams and streams of both families: to the byte, on both ends."""
    left, right = pair.left, pair.right
    with Capture(left.space, "eth0", pair.lab.directory / "wire.pcap", snaplen=80) as capture:
        ping(left.space, right.inner4, count=3)
        ping(left.space, right.inner6, count=3)
        udp_bytes(left.space, right.space, right.inner4, "-l", "777", rate="5M")
        tcp_bytes(left.space, right.space, right.inner6, "-b", "20M", "-R")
    counted = transfer(left, right), transfer(right, left)  # before a keepalive is due
    on_wire = dict.fromkeys((left.outer4, right.outer4), 0)
    for packet in capture.packets(["ip.src", "udp.length", "wg.type"]):
        if packet["wg.type"] in ("1", "2", "4"):
            on_wire[packet["ip.src"]] += int(packet["udp.length"]) - 8  # of a train: of all of it
    assert counted == ((on_wire[right.outer4], on_wire[left.outer4]),
                       (on_wire[left.outer4], on_wire[right.outer4]))


def test_link_counts_the_inner_packets(pinged):
    for end in (pinged.left, pinged.right):
        assert end.space.link_count(DEVICE, "rx_bytes") == 10 * 84


def test_latest_handshake_is_now_on_both_ends(pinged):
    for end, other in ((pinged.left, pinged.right), (pinged.right, pinged.left)):
        assert abs(end.view(other).latest_handshake - time.time()) < 5


def test_show_transfer_says_the_same_as_dump(pinged):
    left, right = pinged.left, pinged.right
    assert left.wg.show("transfer").split() == [right.key.public, "1372", "1428"]
    assert right.wg.show("transfer").split() == [left.key.public, "1428", "1372"]


def test_endpoint_of_the_initiator_is_learnt_and_shown(pinged):
    left, right = pinged.left, pinged.right
    assert right.wg.show("endpoints").split() == [left.key.public, left.endpoint(4)]


def test_one_way_data_is_answered_by_one_keepalive_ten_seconds_later(pair):
    """right has nothing to send, so it proves after 10 s that it is there; then silence."""
    left, right = pair.left, pair.right
    right.space.run("iptables", "-A", "INPUT", "-i", DEVICE, "-j", "DROP")
    assert ping(left.space, right.inner4, count=1, check=False, wait=1) == 0
    assert transfer(left, right) == (RESPONSE, INITIATION + PING)
    wait_for(lambda: transfer(left, right)[0] == RESPONSE + KEEPALIVE, "the keepalive", timeout=13)
    time.sleep(4)  # past the 15 s after which an unanswered sender would begin a new handshake
    assert transfer(left, right) == (RESPONSE + KEEPALIVE, INITIATION + PING)


@pytest.mark.ours
def test_sigusr1_logs_the_counters_and_what_is_in_use(pinged):
    left = pinged.left
    assert not reaches(left.space, "192.168.241.77")  # nobody's address: one drop, one ICMP error
    for time_asked in (1, 2):
        left.daemon.signal(signal.SIGUSR1)
        wait_for(lambda: len(logged(left, "tun errors")) == time_asked, "the last line of them")
    packets = logged(left, "packets")[0]
    assert (packets["udp_received"], packets["udp_sent"]) == (11, 11)
    assert packets["tun_written"] == 11
    assert packets["tun_read"] >= 11  # the kernel may have had multicasts of its own to say
    assert logged(left, "dropped")[0]["no_route"] >= 1
    assert logged(left, "send errors") == [{}, {}]
    for choice in ("engine: ", "aead: ", "lanes: ", "offloads:"):  # at the start, and twice asked
        assert left.daemon.log.count(f": {choice}") == 3, choice


def logged(end, title):
    """{name: number} of each line that the log has under this title."""
    lines = re.findall(rf"\b{title}:((?: \w+=\d+)+| none)$", end.daemon.log, re.M)
    return [{name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", line)}
            for line in lines]


def test_counters_start_again_with_a_peer_that_was_removed(pinged):
    left, right = pinged.left, pinged.right
    left.wg.set(f"peer {right.key.public} remove")
    left.add_peer(right)
    assert transfer(left, right) == (0, 0)

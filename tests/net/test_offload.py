"""Super-packets and trains: what the log says of them, what the counters say, and that bytes pass.

    guest  eth0 10.7.0.2  --- wire ---  left  === tunnel ===  right
"""

import re

import pytest

from lab import peers
from lab.counters import counters
from lab.pair import DEVICE, Pair
from lab.traffic import ping, tcp_bytes, udp_bytes

pytestmark = pytest.mark.ours

NAMES = ["tun-tso", "tun-uso", "tun-tcp-join", "tun-udp-join", "udp-gso", "udp-gro"]


def without(implementation, names):
    return implementation.with_options(f"--no-offload={names}")


def on(end):
    """Offloads that the daemon found to work, by its log."""
    return re.search(r"offloads:(.*)", end.daemon.log)[1].split()


def carry(pair):
    """TCP both ways in both families, and UDP in runs that the sender's kernel need not cut."""
    left, right = pair.left, pair.right
    assert tcp_bytes(left.space, right.space, right.inner4) > 1_000_000
    assert tcp_bytes(left.space, right.space, right.inner6, "-R") > 1_000_000
    assert udp_bytes(left.space, right.space, right.inner4, "-l", "1200")[1] > 1_000_000


def test_bulk_traffic_moves_in_trains(lab, each_engine):
    pair = Pair(lab, each_engine, each_engine).know_endpoint()
    ping(pair.left.space, pair.right.inner4)
    carry(pair)
    for end in (pair.left, pair.right):
        found, working = counters(end.daemon), on(end)
        # A persona may refuse in the loop what it let pass at the start: then that is counted.
        assert ("packets.super_packets_read" in found) == ("tun-tso" in working)
        refused = "packets.segmentation_refused" in found
        assert refused or ("packets.trains_sent" in found) == ("udp-gso" in working)
        joins = "tun-tcp-join" in working and "udp-gro" in working
        joined = "packets.super_packets_written" in found or "packets.joining_refused" in found
        assert joined or not joins
        if not refused and {"udp-gso", "udp-gro"} <= set(working):
            assert "packets.trains_received" in found


def test_the_basic_ring_carries_bulk_traffic(lab):
    """Where there is a ring; most personas have none: one more run of what they have."""
    engine = "uring-basic" if len(peers.engines()) > 1 else peers.engines()[0]
    pair = Pair(lab, peers.under_test(engine), peers.under_test()).know_endpoint()
    ping(pair.left.space, pair.right.inner4)
    carry(pair)
    assert f"engine: {engine}" in pair.left.daemon.log


@pytest.mark.parametrize("name", [*NAMES, "all", "tun-tso,tun-uso,tun-tcp-join,tun-udp-join"])
def test_each_offload_has_a_switch(lab, ours, name):
    implementation = without(ours, name)
    pair = Pair(lab, implementation, implementation).know_endpoint()
    ping(pair.left.space, pair.right.inner4)
    carry(pair)
    for end in (pair.left, pair.right):
        off = NAMES if name == "all" else name.split(",")
        assert not set(off) & set(on(end))
        for one in off:
            assert re.search(rf"offload {one}: off \(", end.daemon.log)
        found = counters(end.daemon)
        assert "udp-gso" not in off or "packets.trains_sent" not in found
        assert "udp-gro" not in off or "packets.trains_received" not in found
        assert "tun-tcp-join" not in off or "tun-udp-join" not in off or \
            "packets.super_packets_written" not in found


def test_an_end_without_offloads_understands_one_with_them(lab, ours):
    pair = Pair(lab, ours, without(ours, "all")).know_endpoint()
    ping(pair.left.space, pair.right.inner4)
    carry(pair)


def test_the_variable_is_the_option(lab, ours):
    space = lab.space("solo")
    daemon = lab.daemon(space, ours).start(env={"WGRING_NO_OFFLOAD": "udp-gso"})
    assert "offload udp-gso: off (forbidden by option)" in daemon.log


def test_bulk_behind_a_routing_header_arrives(lab, each_engine):
    """What is sent to one address by way of another has a checksum for the last, not the next."""
    pair = Pair(lab, each_engine, each_engine).know_endpoint()
    left, right = pair.left, pair.right
    stop, last = "fd00:b::99", "fd00:c::1"
    right.space.address("lo", f"{stop}/128", f"{last}/128")
    for device in ("all", DEVICE):
        right.space.sysctl(f"net.ipv6.conf.{device}.seg6_enabled", 1)
    left.wg.set(f"peer {right.key.public} allowed-ips fd00:b::/64,{last}/128")
    left.space.ip(f"-6 route add {last}/128 encap seg6 mode inline segs {stop} dev {DEVICE}")
    assert tcp_bytes(left.space, right.space, last) > 1_000_000
    assert "tun-tso" not in on(left) or counters(left.daemon)["packets.super_packets_read"] > 0


def test_forwarded_packets_pass(lab, each_engine):
    """What comes from another host has checksums that somebody has looked at already."""
    pair = Pair(lab, each_engine, each_engine).know_endpoint()
    left, right = pair.left, pair.right
    guest = lab.space("guest")
    guest.wire(left.space, "eth0", "guest")
    guest.address("eth0", "10.7.0.2/24")
    left.space.address("guest", "10.7.0.1/24")
    left.space.sysctl("net.ipv4.ip_forward", 1)
    guest.ip("route add default via 10.7.0.1")
    right.wg.set(f"peer {left.key.public} allowed-ips {left.inner4}/32,10.7.0.0/24")
    right.space.ip(f"route add 10.7.0.0/24 dev {DEVICE}")
    ping(guest, right.inner4)
    assert tcp_bytes(guest, right.space, right.inner4) > 1_000_000
    assert tcp_bytes(guest, right.space, right.inner4, "-R") > 1_000_000
    assert udp_bytes(guest, right.space, right.inner4, "-l", "1000")[1] > 1_000_000
    assert "bad_inner" not in left.daemon.log

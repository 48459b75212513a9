"""Lines of the kernel's own netns.sh that no other file holds; docs/NETNS.md says where each is.

    left  eth0 10.0.0.1, fd00:a::1  --- wire ---  right  eth0 10.0.0.2, fd00:a::2
          wg0 192.168.241.1, fd00:b::1  tunnel           wg0 192.168.241.2, fd00:b::2
"""

import time

import pytest

from lab.pair import DEVICE, End, Pair, Side
from lab.run import wait_for
from lab.traffic import ping, reaches, tcp_bytes, udp_bytes
from lab.usage import kilobytes
from lab.wgtool import Key

# What netns.sh gives the interface over a loopback of 34816 bytes.
LARGE_MTU = 34816 - 1500 + 1420


def battery(left, right, right4, right6):
    """Pings in both families, then without a copy TCP there and back, five streams, and UDP as
    fast as it goes: netns.sh does not ask how much of that arrives."""
    ping(left, right4)
    ping(left, right6)
    assert tcp_bytes(left, right, right4, "-Z") > 1_000_000
    assert tcp_bytes(left, right, right6, "-Z", "-R") > 1_000_000
    assert tcp_bytes(left, right, right4, "-Z", "-P", "5") > 1_000_000
    for address in (right4, right6):
        assert udp_bytes(left, right, address, "-Z", rate="0")[1] > 1_000_000


@pytest.mark.parametrize("streams", [4, 5, 50])
def test_n3_parallel_streams(pair, streams):
    moved = tcp_bytes(pair.left.space, pair.right.space, pair.right.inner4, "-P", streams)
    assert moved > 1_000_000


@pytest.mark.parametrize("outer", [4, 6])
def test_n3_the_battery_at_the_usual_mtu(lab, each_engine, outer):
    pair = Pair(lab, each_engine, each_engine, psk=True).know_endpoint(outer)
    battery(pair.left.space, pair.right.space, pair.right.inner4, pair.right.inner6)
    battery(pair.right.space, pair.left.space, pair.left.inner4, pair.left.inner6)


def test_n4_packets_of_34_kilobytes_over_ipv4(lab, each_engine):
    packets_of_34_kilobytes(lab, each_engine, 4)


def test_n5_packets_of_34_kilobytes_over_ipv6(lab, each_engine):
    packets_of_34_kilobytes(lab, each_engine, 6)


def packets_of_34_kilobytes(lab, each_engine, outer):
    pair = Pair(lab, each_engine, each_engine, mtu=LARGE_MTU, wire_mtu=LARGE_MTU + 80, psk=True)
    pair.know_endpoint(outer)
    left, right = pair.left, pair.right
    ping(left.space, right.inner4, size=LARGE_MTU - 28)
    ping(right.space, left.inner6, size=LARGE_MTU - 48)
    battery(left.space, right.space, right.inner4, right.inner6)


@pytest.mark.ours  # wireguard-go keeps a cached source that is no longer an address
def test_n7_the_sender_moves_to_another_address_and_port_of_ipv4(pair):
    the_sender_moves(pair, 4, "10.0.0.11", "10.0.0.11:9999")


@pytest.mark.ours
def test_n8_the_sender_moves_to_another_address_and_port_of_ipv6(pair):
    the_sender_moves(pair, 6, "fd00:a::11", "[fd00:a::11]:9999")


def the_sender_moves(pair, family, address, shown):
    left, right = pair.left, pair.right
    pair.know_endpoint(family)
    ping(left.space, right.inner4)
    old, bits = (left.outer4, 24) if family == 4 else (left.outer6, 64)
    left.space.ip(f"addr del {old}/{bits} dev eth0")
    left.space.address("eth0", f"{address}/{bits}")
    left.wg.set("listen-port 9999")
    ping(left.space, right.inner4)
    assert right.view(left).endpoint == shown
    ping(right.space, left.inner4)


def test_n12_a_tunnel_in_the_tunnel(pair, each_engine):
    """wg1 in both spaces, its endpoints the addresses of wg0."""
    outer = {end: other for end, other in ((pair.left, pair.right), (pair.right, pair.left))}
    keys = {end: Key() for end in outer}
    for end, other in outer.items():
        pair.lab.daemon(end.space, each_engine, "wg1").start()
        end.space.run("wg", "set", "wg1", "private-key", "/dev/stdin", "listen-port", "5",
                      text=keys[end].private)
        end.space.run("wg", "set", "wg1", "peer", keys[other].public, "endpoint",
                      f"{other.inner4}:5", "allowed-ips", "192.168.99.0/24,fd00:99::/64")
        end.space.address("wg1", f"192.168.99.{end.number}/24", f"fd00:99::{end.number}/64")
        end.space.ip("link set wg1 mtu 1340 up")
        end.space.wait_udp_port(5)
    battery(pair.left.space, pair.right.space, "192.168.99.2", "fd00:99::2")
    battery(pair.right.space, pair.left.space, "192.168.99.1", "fd00:99::1")


@pytest.mark.ours
def test_n13_a_routing_loop_over_namespaces_is_survived_and_can_be_ended(lab, each_engine):
    """wg0's interface is inside and its socket outside, in left; of wg1 the other way round.

    In netns.sh ten pings end by themselves, for the memory of a packet doubles each time around. We
    copy packets into new memory: the loop goes on until the operator ends it.
    """
    pair, inside = Pair(lab, each_engine, each_engine), lab.space("inside")
    outside, right = pair.left.space, pair.right
    outside.ip(f"link set {DEVICE} netns {inside.pid}")
    inside.address(DEVICE, f"{pair.left.inner4}/24")
    inside.ip(f"link set {DEVICE} up")
    pair.know_endpoint()
    wait_for(lambda: reaches(inside, right.inner4), "the outer tunnel")

    nested, far = (Side(name, number, space, tunnel=1)
                   for name, number, space in (("nested", 1, inside), ("far", 2, right.space)))
    daemon = lab.daemon(inside, each_engine, nested.device).start()
    distant = lab.daemon(right.space, each_engine, far.device).start()
    for side, other, there in ((nested, far, right.inner4), (far, nested, pair.left.inner4)):
        side.up(1340)
        side.add_peer(other, more=f"endpoint {there}:{other.port}")
    inside.ip(f"link set {nested.device} netns {outside.pid}")
    outside.address(nested.device, f"{nested.inner4}/24")
    outside.ip(f"link set {nested.device} up")
    wait_for(lambda: reaches(outside, far.inner4), "the inner tunnel")
    for one in (right.daemon, distant):  # as in netns.sh
        one.stop()

    def sent():
        return nested.view(far).tx_bytes

    pair.left.wg.set(f"peer {right.key.public} endpoint {far.inner4}:{right.port}")
    before = sent()
    assert not reaches(outside, far.inner4)
    wait_for(lambda: sent() - before > 1_000_000, "packets that go round")
    memory = [kilobytes(one.pid, "VmRSS") for one in (pair.left.daemon, daemon)]
    time.sleep(1)
    for one, kb in zip((pair.left.daemon, daemon), memory):
        assert kilobytes(one.pid, "VmRSS") - kb < 4096

    pair.left.set_endpoint(right, 4)

    def ended():
        before = sent()
        time.sleep(0.5)
        return sent() - before < 10_000

    wait_for(ended, "the end of the loop")
    assert pair.left.daemon.running and daemon.running


def test_n19_a_peer_reached_through_another_peer(pair, each_engine):
    """third's endpoint is an address behind right, and so inside the tunnel."""
    left, right = pair.left, pair.right
    third = End(pair.lab, "third", 3, each_engine)
    right.space.wire(third.space, "eth1", "eth0")
    right.space.address("eth1", "10.20.0.2/24")
    right.space.sysctl("net.ipv4.ip_forward", 1)
    third.space.address("eth0", "10.20.0.3/24")
    third.space.ip("route add 192.168.241.0/24 via 10.20.0.2")
    third.daemon.start()
    third.wg.set_private_key(third.key.private)
    third.wg.set(f"listen-port 1003 peer {left.key.public} allowed-ips 10.30.0.1/32")
    third.space.address(DEVICE, "10.30.0.3/24")
    third.space.ip(f"link set {DEVICE} up")
    third.space.wait_udp_port(1003)
    left.wg.set(f"peer {right.key.public} allowed-ips {right.inner4}/32,10.20.0.0/24")
    left.wg.set(f"peer {third.key.public} allowed-ips 10.30.0.3/32 endpoint 10.20.0.3:1003")
    left.space.ip(f"route add 10.20.0.0/24 dev {DEVICE} src {left.inner4}")
    left.space.address(DEVICE, "10.30.0.1/24")
    ping(left.space, "10.30.0.3")
    ping(third.space, "10.30.0.1")
    assert third.view(left).endpoint == f"{left.inner4}:1001"


@pytest.mark.ours
@pytest.mark.parametrize("family, said", [(4, "Destination Host Unreachable"),
                                          (6, "Destination unreachable: Address unreachable")])
def test_n20_a_sender_behind_nat_is_told_that_the_peer_has_gone(pair, family, said):
    left, right = pair.left, pair.right
    inside = pair.lab.space("inside")
    left.space.wire(inside, "eth1", "eth0")
    left.space.address("eth1", "10.50.0.254/24", "fd00:50::254/64")
    inside.address("eth0", "10.50.0.1/24", "fd00:50::1/64")
    inside.ip("route add default via 10.50.0.254")
    inside.ip("-6 route add default via fd00:50::254")
    for name in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
        left.space.sysctl(f"net.{name}", 1)
    iptables, target = {4: ("iptables", right.inner4), 6: ("ip6tables", right.inner6)}[family]
    left.space.run(iptables, "-t", "nat", "-A", "POSTROUTING", "-o", DEVICE, "-j", "MASQUERADE")
    ping(inside, target)
    left.wg.set(f"peer {right.key.public} remove")
    result = inside.run("ping", "-n", "-c", "1", "-W", "2", target, check=False)
    assert said in result.out, result


def test_n24_the_address_spoken_to_is_on_another_interface_than_the_way_back(pair):
    left, right = pair.left, pair.right
    right.space.wire(right.space, "away0", "away1")
    right.space.address("away0", "10.60.0.2/24", "fd00:60::2/64")
    left.space.ip("route add 10.60.0.2 via 10.0.0.2")
    left.space.ip("-6 route add fd00:60::2 via fd00:a::2")
    for endpoint in ("10.60.0.2:1002", "[fd00:60::2]:1002"):
        left.wg.set(f"peer {right.key.public} endpoint {endpoint}")
        ping(left.space, right.inner4)
        ping(right.space, left.inner4)
        assert left.view(right).endpoint == endpoint


def test_n40_all_that_was_made_is_destroyed(pair):
    """Sessions, peers and keys while it runs; interface, sockets, files and threads with it."""
    left, right = pair.left, pair.right
    ping(left.space, right.inner4)
    left.wg.set(f"peer {right.key.public} remove")
    left.wg.set_private_key(None)
    shown = left.wg.dump()
    assert (shown.private_key, shown.peers) == (None, [])
    assert not reaches(right.space, left.inner4)
    left.daemon.stop()
    assert DEVICE not in left.space.run("ip", "-o", "link").out
    assert left.space.run("ss", "-Hlun").out == ""
    assert not left.daemon.socket_path.exists()
    assert left.space.pids(left.daemon.implementation.path.name) == []

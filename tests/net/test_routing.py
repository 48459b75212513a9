"""Which peer a packet goes to, and whose packets are let in.

    left  eth0 10.0.0.1, fd00:a::1  --- wire ---  right  eth0 10.0.0.2, fd00:a::2
          wg0 192.168.241.1, fd00:b::1  tunnel           wg0 192.168.241.2, fd00:b::2
"""

import errno
import select
import socket
import struct

import pytest

from lab.capture import Capture
from lab.pair import DEVICE
from lab.run import wait_for
from lab.traffic import ping, reaches
from lab.wgtool import Key


def owns(end, other, prefixes):
    end.wg.set(f"peer {other.key.public} allowed-ips {prefixes}")


def let_in(end):
    """Packets that came out of the end's tunnel: a reply that goes nowhere proves nothing."""
    return end.space.link_count(DEVICE, "rx_packets")


def test_source_outside_the_prefixes_of_its_peer_is_dropped(pair):
    left, right = pair.left, pair.right
    ping(left.space, right.inner4)
    owns(right, left, "192.168.241.77/32,fd00:b::77/128")
    before = let_in(right)
    assert not reaches(left.space, right.inner4)
    assert not reaches(left.space, right.inner6)
    assert let_in(right) == before
    owns(right, left, f"{left.inner4}/32,{left.inner6}/128")
    ping(left.space, right.inner4)
    ping(left.space, right.inner6)
    assert let_in(right) >= before + 20


# fault: gotatun-specific-peer
@pytest.mark.parametrize("wide, narrow, target", [
    ("192.168.241.0/24", "192.168.241.1/32", "inner4"), ("fd00:b::/64", "fd00:b::1/128", "inner6")])
def test_owner_of_the_subnet_is_not_believed_for_the_address_of_another(pair, wide, narrow, target):
    left, right = pair.left, pair.right
    owns(right, left, wide)
    ping(left.space, getattr(right, target))
    other, before = Key().public, let_in(right)
    right.wg.set(f"peer {other} allowed-ips {narrow}")
    assert not reaches(left.space, getattr(right, target))
    assert let_in(right) == before
    right.wg.set(f"peer {other} remove")
    ping(left.space, getattr(right, target))
    assert let_in(right) >= before + 10


def test_dropped_source_still_moves_the_endpoint(pair):
    """The packet was authentic: roaming comes before the source check."""
    left, right = pair.left, pair.right
    ping(left.space, right.inner4)
    other = Key().public
    right.wg.set(f"peer {other} allowed-ips {left.inner4}/32")
    before = let_in(right)
    for family, address in ((4, left.outer4), (6, f"[{left.outer6}]")):
        left.wg.set("listen-port 9997")
        left.set_endpoint(right, family)
        assert not reaches(left.space, right.inner4)
        assert let_in(right) == before
        assert right.view(left).endpoint == f"{address}:9997"
    assert right.wg.peer(other).endpoint is None


def test_the_longest_prefix_chooses_the_peer(pair):
    left, right = pair.left, pair.right
    owns(left, right, "192.168.0.0/16")
    ping(left.space, right.inner4)
    left.wg.set(f"peer {Key().public} allowed-ips 192.168.241.0/24")
    assert not reaches(left.space, right.inner4)
    owns(left, right, "192.168.0.0/16,192.168.241.2/32")
    ping(left.space, right.inner4)


@pytest.mark.ours
@pytest.mark.parametrize("family, prefix, target", [(4, "10.77.0.0/16", "10.77.0.1"),
                                                    (6, "fd00:77::/64", "fd00:77::1")])
def test_packet_without_a_peer_is_answered_with_unreachable(pair, family, prefix, target):
    left = pair.left
    left.space.ip(f"-{family} route add {prefix} dev {DEVICE}")
    result = left.space.run("ping", "-n", "-c", "1", "-W", "2", target, check=False)
    assert "unreachable" in result.out.lower(), result


@pytest.mark.ours
def test_packet_for_a_peer_without_endpoint_is_answered_with_unreachable(pair):
    right, left = pair.right, pair.left
    result = right.space.run("ping", "-n", "-c", "1", "-W", "2", left.inner4, check=False)
    assert "unreachable" in result.out.lower(), result


def told(space, target):
    """(errno, origin, type, code, by whom) that the sender of a datagram hears of it."""
    v6 = ":" in target
    family, level, name = ((socket.AF_INET6, socket.IPPROTO_IPV6, 25) if v6
                           else (socket.AF_INET, socket.IPPROTO_IP, 11))  # RECVERR
    with space.udp_socket(family) as sock:
        sock.setsockopt(level, name, 1)
        sock.sendto(b"x", (target, 9))
        poller = select.poll()
        poller.register(sock, 0)  # errors only
        assert poller.poll(5000), "no ICMP error"
        _, control, _, _ = sock.recvmsg(2048, 1024, socket.MSG_ERRQUEUE)
    body, = [body for *at, body in control if at == [level, name]]
    who = socket.inet_ntop(family, body[24:40] if v6 else body[20:24])
    return *struct.unpack_from("=IBBB", body), who


@pytest.mark.ours
@pytest.mark.parametrize("family, target, expected", [
    (4, "10.77.0.1", (errno.EHOSTUNREACH, 2, 3, 1)),
    (6, "fd00:77::1", (errno.EHOSTUNREACH, 3, 1, 3))])
def test_sender_is_told_by_type_and_code(pair, family, target, expected):
    """No peer on the left; on the right one without an endpoint. The kernel's module speaks from
    an address of its own, a TUN cannot: the error comes from where the packet did not get."""
    left, right = pair.left, pair.right
    left.space.ip(f"-{family} route add {target} dev {DEVICE}")
    without_endpoint = left.inner6 if family == 6 else left.inner4
    assert told(right.space, without_endpoint) == (*expected, without_endpoint)
    assert told(left.space, target) == (*expected, target)


@pytest.mark.ours
@pytest.mark.parametrize("family, target, group", [(4, "10.77.0.1", "224.0.0.9"),
                                                   (6, "fd00:77::1", "ff05::1:3")])
def test_errors_and_multicasts_are_refused_in_silence(pair, family, target, group):
    """RFC 1122 and 4443: the datagram that comes last alone is answered, by a sound packet."""
    space = pair.left.space
    ours = f"ip.dst == {pair.left.inner4}" if family == 4 else f"ipv6.dst == {pair.left.inner6}"
    space.ip(f"-{family} route add {target} dev {DEVICE}")
    space.ip(f"-{family} route add {'multicast ' * (family == 6)}{group} dev {DEVICE} table local")
    with Capture(space, DEVICE, pair.lab.directory / "inner.pcap") as capture:
        with space.entered():
            raw = socket.socket(*((socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
                                  if family == 4 else
                                  (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)))
        with raw, space.udp_socket(socket.AF_INET if family == 4 else socket.AF_INET6) as udp:
            raw.sendto(bytes([3 if family == 4 else 1, 1]) + bytes(40), (target, 0))
            udp.sendto(b"x", (group, 9))
        told(space, target)
    text = capture.tshark("-Y", f"(icmp.type == 3 || icmpv6.type == 1) && {ours}", "-T", "fields",
                          "-e", "icmp.checksum.status", "-e", "icmpv6.checksum.status")
    assert [line.strip() for line in text.splitlines()] == ["1"]


def test_ping_bound_to_the_interface_works(pair):
    ping(pair.left.space, pair.right.inner4, device=DEVICE)


def test_mark_that_forces_a_second_routing_of_inner_packets_works(pair):
    pair.left.space.run("iptables", "-t", "mangle", "-I", "OUTPUT", "-j", "MARK", "--set-xmark",
                        "1")
    ping(pair.left.space, pair.right.inner4, device=DEVICE)


@pytest.mark.parametrize("endpoint", ["192.168.241.2:1002", "192.168.241.1:1001", "127.0.0.1:1001"])
def test_endpoint_inside_the_tunnel_or_at_ourselves_is_survived(pair, endpoint):
    left, right = pair.left, pair.right
    left.wg.set(f"peer {right.key.public} endpoint {endpoint}")
    assert not reaches(left.space, right.inner4)
    assert left.daemon.running
    pair.know_endpoint()
    left.wg.set(f"peer {right.key.public} remove")
    left.add_peer(right)
    pair.know_endpoint()
    ping(left.space, right.inner4, count=1, wait=8)


def test_removed_peer_is_cut_off_and_added_again(pair):
    left, right = pair.left, pair.right
    ping(left.space, right.inner4)
    left.wg.set(f"peer {right.key.public} remove")
    assert not reaches(left.space, right.inner4)
    assert not reaches(right.space, left.inner4)
    left.add_peer(right)
    pair.know_endpoint()
    wait_for(lambda: reaches(left.space, right.inner4), "traffic with the peer back")


def test_two_peers_in_different_places_are_both_served(lab, ours):
    """hub in the middle: left and right talk to each other through it."""
    names, spaces = ("hub", "left", "right"), {}
    keys = {name: Key() for name in names}
    for name in names:
        spaces[name] = lab.space(name)
        lab.daemon(spaces[name], ours, DEVICE).start()
    for number, name in enumerate(("left", "right"), 1):
        spaces["hub"].wire(spaces[name], name, "eth0")
        spaces["hub"].address(name, f"10.0.{number}.254/24")
        spaces[name].address("eth0", f"10.0.{number}.1/24")
    configure(spaces["hub"], keys["hub"], "192.168.241.254", [
        f"peer {keys['left'].public} allowed-ips 192.168.241.1/32",
        f"peer {keys['right'].public} allowed-ips 192.168.241.2/32 endpoint 10.0.2.1:1000"])
    configure(spaces["left"], keys["left"], "192.168.241.1", [
        f"peer {keys['hub'].public} allowed-ips 192.168.241.0/24 endpoint 10.0.1.254:1000"])
    configure(spaces["right"], keys["right"], "192.168.241.2", [
        f"peer {keys['hub'].public} allowed-ips 192.168.241.0/24"])
    for name, value in (("ip_forward", 1), ("conf.all.send_redirects", 0)):
        spaces["hub"].sysctl(f"net.ipv4.{name}", value)
    ping(spaces["left"], "192.168.241.254")
    ping(spaces["left"], "192.168.241.2")
    ping(spaces["right"], "192.168.241.1")


def configure(space, key, address, peers):
    space.run("wg", "set", DEVICE, "private-key", "/dev/stdin", text=key.private)
    for words in ["listen-port 1000", *peers]:
        space.run("wg", "set", DEVICE, *words.split())
    space.address(DEVICE, f"{address}/24")
    space.ip(f"link set {DEVICE} up")

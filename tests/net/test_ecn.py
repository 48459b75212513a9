"""The traffic class and the flow label of what is outside, and what congestion there does inside.

    near  the daemon, eth0 10.0.0.1, fd00:a::1  --- wire ---  eth0 10.0.0.2  a peer in Python
          wg0 192.168.241.1, fd00:b::1                             fd00:a::2
"""

import os
import socket
import struct

import pytest

from lab.capture import Capture
from lab.pair import DEVICE
from lab.peer import COOKIE, DATA, INITIATION, checksum, with_macs
from lab.python_end import FAR_INNER, FAR_INNER6, INNER, INNER6, PORT, InBothFamilies
from lab.run import wait_for
from lab.traffic import ping, tcp_bytes
from lab.wgtool import Key

pytestmark = pytest.mark.ours

DSCP = 0xb8  # of what is inside: stays there
families = pytest.mark.parametrize("inner, outer", [(4, 4), (4, 6), (6, 4), (6, 6)])


def traffic_class(inner):
    return inner[1] if inner[0] >> 4 == 4 else (inner[0] << 4 | inner[1] >> 4) & 0xff


@families
def test_ecn_goes_out_and_congestion_is_not_repeated(lab, each_engine, inner, outer):
    """RFC 6040: what said "congested" already leaves as ECT(0)."""
    world = InBothFamilies(lab, each_engine, outer)
    world.peer.initiate()
    world.peer.send(world.echo())
    world.peer.receive_inner()
    family, target, level, name = {
        4: (socket.AF_INET, FAR_INNER, socket.IPPROTO_IP, socket.IP_TOS),
        6: (socket.AF_INET6, FAR_INNER6, socket.IPPROTO_IPV6, socket.IPV6_TCLASS)}[inner]
    with world.near.udp_socket(family) as sock, \
            Capture(world.far, "eth0", lab.directory / "wire.pcap") as capture:
        for ecn in range(4):
            control = [(level, name, struct.pack("i", DSCP | ecn))]
            sock.sendmsg([b"x" * 200], control, 0, (target, 9))
            assert traffic_class(world.peer.receive_inner()) == DSCP | ecn
    assert [klass for kind, klass, _ in from_daemon(capture) if kind == "4"] == [0, 1, 2, 2]


def from_daemon(capture):
    """(type, traffic class, flow label) of each message; IPv4 has no label.

    An ICMP error that quotes one is the other kernel's.
    """
    rows = capture.packets(["ip.dsfield", "ipv6.tclass", "ipv6.flow", "udp.srcport", "wg.type",
                            "icmp.type", "icmpv6.type"])
    return [(row["wg.type"], int(row["ip.dsfield"] or row["ipv6.tclass"], 16),
             int(row["ipv6.flow"] or "0", 16)) for row in rows
            if row["udp.srcport"] == str(PORT) and not row["icmp.type"] + row["icmpv6.type"]]


def udp4(klass, number):
    udp = struct.pack(">HHHH", 1000 + number, 9, 8 + 4, 0) + b"wgrg"
    head = struct.pack(">BBHHHBBH4s4s", 0x45, klass, 20 + len(udp), number, 0, 64, 17, 0,
                       socket.inet_aton(FAR_INNER), socket.inet_aton(INNER))
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + udp


def udp6(klass, number):
    udp = struct.pack(">HHHH", 1000 + number, 9, 8 + 4, 0) + b"wgrg"
    ends = b"".join(socket.inet_pton(socket.AF_INET6, ip) for ip in (FAR_INNER6, INNER6))
    pseudo = ends + struct.pack(">II", len(udp), 17)
    udp = udp[:6] + struct.pack(">H", checksum(pseudo + udp)) + udp[8:]
    return struct.pack(">IHBB", 6 << 28 | klass << 20, len(udp), 17, 64) + ends + udp


def told_inside(inner, outer):
    """RFC 6040, figure 4, as Linux has it: nothing is dropped."""
    if inner in (1, 2) and outer == 3:
        return 3
    return 1 if (inner, outer) == (2, 1) else inner


@families
def test_congestion_outside_is_told_inside(lab, each_engine, inner, outer):
    world = InBothFamilies(lab, each_engine, outer)
    world.peer.initiate()
    table = [(within, without) for within in range(4) for without in range(4)]
    with Capture(world.near, DEVICE, lab.directory / "inner.pcap") as capture:
        for number, (within, without) in enumerate(table):
            world.set_traffic_class(without)
            world.peer.send({4: udp4, 6: udp6}[inner](DSCP | within, number))
    text = capture.tshark("-o", "ip.check_checksum:TRUE", "-Y",
                          "udp.dstport==9 && !icmp && !icmpv6",
                          "-T", "fields", "-e", "udp.srcport", "-e", "ip.dsfield",
                          "-e", "ipv6.tclass", "-e", "ip.checksum.status")
    rows = [line.split("\t") for line in text.splitlines()]
    assert {int(port) - 1000: int(v4 or v6, 16) for port, v4, v6, _ in rows} \
        == {number: DSCP | told_inside(*both) for number, both in enumerate(table)}
    assert {status for *_, status in rows} == {"1" if inner == 4 else ""}, "good checksums"


@pytest.mark.parametrize("outer", [4, 6])
def test_traffic_class_of_each_type_of_message(lab, each_engine, outer):
    """Handshakes are AF41, as in the kernel's module; cookie replies and data carry nothing."""
    world = InBothFamilies(lab, each_engine, outer)
    noise = with_macs(bytes([INITIATION, 0, 0, 0]) + os.urandom(112), world.peer.remote_public)
    with Capture(world.far, "eth0", lab.directory / "wire.pcap", snaplen=256) as capture:
        world.wg.set(f"peer {world.far_public} endpoint {world.endpoint()} persistent-keepalive 1")
        world.peer.respond()
        world.peer.receive(DATA)
        world.peer.initiate()
        stranger = world.peer_at("fd00:a::2" if outer == 6 else "10.0.0.2", 2222, Key())
        with stranger.sock:
            wait_for(lambda: gets_a_cookie(stranger, noise), "a cookie", timeout=20)
    seen = {kind: {klass for one, klass, _ in from_daemon(capture) if one == kind}
            for kind in "1234"}
    assert seen == {"1": {0x88}, "2": {0x88}, "3": {0}, "4": {0}}
    assert {label for *_, label in from_daemon(capture)} == {0}


def gets_a_cookie(stranger, message):
    """Another burst; what the socket has no room for is not missed."""
    stranger.sock.setblocking(False)
    try:
        for _ in range(3000):
            stranger.sock.sendto(message, stranger.remote)
    except BlockingIOError:
        pass
    try:
        return stranger.sock.recv(2048)[0] == COOKIE
    except BlockingIOError:
        return False


RULE = """
table inet marker {{
  chain outgoing {{
    type filter hook output priority 0;
    oifname "eth0" udp dport 1002 {which} {family} ecn set ce
  }}
}}
"""


def tcp_counter(space, name):
    lines = [line.split() for line in space.run("cat", "/proc/net/netstat").out.splitlines()]
    return next(int(values[names.index(name)]) for names, values in zip(lines[::2], lines[1::2])
                if name in names)


@pytest.mark.parametrize("outer, which", [(4, ""), (6, "numgen random mod 3 0")],
                         ids=["every", "one in three"])
def test_marks_on_the_way_reach_tcp(pair, outer, which):
    """Trains are cut and joined, and no packet loses its mark or gives it to another."""
    pair.know_endpoint(outer)
    left, right = pair.left, pair.right
    for end in (left, right):
        end.space.sysctl("net.ipv4.tcp_ecn", 1)
    ping(left.space, right.inner4)
    rule = RULE.format(which=which, family="ip" if outer == 4 else "ip6")
    left.space.run("nft", "-f", "-", text=rule)
    with Capture(right.space, DEVICE, pair.lab.directory / "inner.pcap", snaplen=100) as capture:
        assert tcp_bytes(left.space, right.space, right.inner4, "-b", "50M",
                         seconds=3) > 1_000_000
    text = capture.tshark("-o", "ip.check_checksum:TRUE", "-Y",
                          f"ip.src=={left.inner4} && tcp.dstport==5201 && tcp.len > 100",
                          "-T", "fields", "-e", "ip.dsfield.ecn", "-e", "ip.checksum.status")
    rows = {tuple(line.split("\t")) for line in text.splitlines()}
    rows -= {("0", "1")}  # what TCP sends again is not its to mark
    assert rows == ({("3", "1")} if not which else {("2", "1"), ("3", "1")})
    assert tcp_counter(left.space, "TCPDeliveredCE") > 0

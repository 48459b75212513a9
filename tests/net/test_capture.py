"""What is on the wire is WireGuard and nothing else, and it decrypts with the key log.

    daemon  eth0 10.0.0.1  --- wire, captured ---  eth0 10.0.0.2  a peer in Python (lab/peer.py)
            wg0  192.168.241.1                     inner 192.168.241.2, no TUN

The far end is a second implementation that knows its own ephemeral keys, so tshark gets a key
log without the daemon having to give its secrets away.
"""

import subprocess

import pytest

from lab import noise, peers
from lab.capture import Capture
from lab.lab import Lab
from lab.peer import echo_reply, is_echo_reply
from lab.python_end import FAR_INNER, WithPython
from lab.traffic import ping
from lab.wgtool import preshared_key

PINGS = 5


def pings_from_far(world):
    """The far end begins: handshake, then echo requests that the near kernel answers."""
    world.peer.initiate()
    for sequence in range(PINGS):
        world.peer.send(world.echo(sequence))
        assert is_echo_reply(world.peer.receive_inner())
    return world.far_public


def pings_from_near(world):
    """The near end begins: the far one waits for its handshake and answers its pings."""
    world.tell_endpoint()
    pinger, _ = world.near.popen(["ping", "-q", "-c", str(PINGS), "-i", "0.05", FAR_INNER],
                                 stdout=subprocess.DEVNULL)
    world.lab.own(pinger)
    world.peer.respond()
    for _ in range(PINGS):
        world.peer.send(echo_reply(world.peer.receive_inner()))
    assert pinger.wait(timeout=10) == 0
    return world.near_public


FIELDS = ["frame.protocols", "ip.src", "ip.dsfield.dscp", "ip.flags.df", "ip.ttl", "wg.type",
          "wg.reserved", "wg.mac2", "wg.receiver", "wg.counter", "wg.static", "wg.handshake_ok",
          "wg.decryption_error", "wg.keepalive", "wg.bad_packet_length", "icmp.type"]


class Captured:
    """One exchange: its packets as tshark sees them without (plain) and with (opened) keys."""

    def __init__(self, lab, implementation, direction, psk):
        world = WithPython(lab, implementation, preshared_key() if psk else None)
        with Capture(world.near, "eth0", lab.directory / "wire.pcap") as capture:
            self.initiator = direction(world)
        self.bytes = capture.path.read_bytes()
        self.plain = without_arp(capture.packets(FIELDS))
        self.opened = without_arp(
            capture.packets(FIELDS, lab.file("keys", world.peer.key_log())))

    def of_type(self, *types):
        return [packet for packet in self.opened if packet["wg.type"] in types]

    def from_daemon(self, *types):
        return [packet for packet in self.of_type(*types) if packet["ip.src"] == "10.0.0.1"]


def without_arp(packets):
    return [packet for packet in packets if not packet["frame.protocols"].endswith(":arp")]


def values(packets, field):
    return [packet[field] for packet in packets]


@pytest.fixture(scope="module", params=peers.engines())
def module_engine(request):
    return peers.under_test(request.param)


@pytest.fixture(scope="module", params=[False, True], ids=["nopsk", "psk"])
def psk(request):
    return request.param


@pytest.fixture(scope="module", params=[pings_from_near, pings_from_far],
                ids=["near-begins", "far-begins"])
def captured(tmp_path_factory, module_engine, psk, request):
    lab = Lab(tmp_path_factory.mktemp("capture"))
    try:
        yield Captured(lab, module_engine, request.param, psk)
    finally:
        lab.close()


def test_second_implementation_of_the_primitives_agrees_with_the_standards():
    """RFC 7748, 5.2 and RFC 8439, 2.3.2; and what is sealed opens, under the same data only."""
    scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    assert noise.x25519(scalar, point).hex() \
        == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    block = noise.chacha20_block(bytes(range(32)), 1, bytes.fromhex("000000090000004a00000000"))
    assert block.hex().startswith("10f1e7e4d13b5915500fdd1fa32071c4")
    sealed = noise.seal(bytes(32), 7, b"text", b"more")
    assert noise.open_sealed(bytes(32), 7, sealed, b"more") == b"text"
    with pytest.raises(ValueError):
        noise.open_sealed(bytes(32), 7, sealed, b"less")


def test_everything_on_the_wire_is_wireguard_over_udp(captured):
    assert len(captured.plain) >= 2 + 2 * PINGS
    assert set(values(captured.plain, "frame.protocols")) == {"eth:ethertype:ip:udp:wg"}
    assert set(values(captured.plain, "wg.bad_packet_length")) == {""}
    types = values(captured.plain, "wg.type")
    assert types[:2] == ["1", "2"]
    assert set(types[2:]) == {"4"}


def test_reserved_bytes_and_second_mac_are_zero(captured):
    assert set(values(captured.plain, "wg.reserved")) == {"000000"}
    assert set(values(captured.of_type("1", "2"), "wg.mac2")) == {"0" * 32}


def test_handshake_decrypts_with_the_key_log(captured):
    assert values(captured.of_type("1"), "wg.static") == [captured.initiator]
    assert values(captured.of_type("2"), "wg.handshake_ok") == ["1"]


def test_handshake_does_not_decrypt_without_it(captured):
    assert set(values(captured.plain, "wg.static")) == {""}
    assert "1" not in values(captured.plain, "wg.handshake_ok")


def test_data_decrypts_to_the_pings_and_nothing_else(captured):
    data = captured.of_type("4")
    assert set(values(data, "wg.decryption_error")) == {""}
    pings = [kind for kind in values(data, "icmp.type") if kind]
    assert sorted(pings) == ["0"] * PINGS + ["8"] * PINGS
    keepalives = [packet for packet in data if packet["wg.keepalive"]]
    assert len(pings) + len(keepalives) == len(data)


def test_inner_packets_are_not_on_the_wire_in_plain(captured):
    assert b"wgring" * 4 not in captured.bytes
    assert bytes(range(0x10, 0x30)) not in captured.bytes  # what ping fills its packets with
    assert set(values(captured.plain, "icmp.type")) == {""}


def test_counters_rise_by_one_per_direction(captured):
    by_receiver = {}
    for packet in captured.of_type("4"):
        by_receiver.setdefault(packet["wg.receiver"], []).append(int(packet["wg.counter"]))
    assert len(by_receiver) == 2
    for counters in by_receiver.values():
        assert counters == list(range(len(counters)))


@pytest.mark.ours
def test_handshakes_carry_af41_and_data_carries_nothing(captured):
    assert values(captured.from_daemon("1", "2"), "ip.dsfield.dscp") == ["34"]
    assert set(values(captured.from_daemon("4"), "ip.dsfield.dscp")) == {"0"}


@pytest.mark.ours
def test_fragmentation_is_allowed_and_ttl_is_that_of_the_host(captured):
    sent = captured.from_daemon("1", "2", "4")
    assert set(values(sent, "ip.flags.df")) <= {"0", "False"}
    assert set(values(sent, "ip.ttl")) == {"64"}


def test_capture_between_two_daemons_holds_only_udp(pair):
    left, right = pair.left, pair.right
    for end in (left, right):  # the kernel's own IPv6 chatter on the wire is not the question
        end.space.sysctl("net.ipv6.conf.eth0.disable_ipv6", 1)
    with Capture(left.space, "eth0", pair.lab.directory / "wire.pcap") as capture:
        ping(left.space, right.inner4)
        ping(left.space, right.inner6)
    packets = without_arp(capture.packets(FIELDS))
    assert set(values(packets, "frame.protocols")) == {"eth:ethertype:ip:udp:wg"}
    assert len(packets) >= 40
    assert "fd00:b::" not in capture.tshark()
    assert right.inner4 not in capture.tshark()

"""UDP sockets: port, port change, mark; and the link state and MTU that rule them.

    left  eth0 10.0.0.1, fd00:a::1  --- wire ---  right  eth0 10.0.0.2, fd00:a::2
          wg0 192.168.241.1, fd00:b::1  tunnel           wg0 192.168.241.2, fd00:b::2
"""

import contextlib
import re
import resource
import signal
import subprocess
import threading
import time

import pytest

from lab.capture import Capture
from lab.counters import counters
from lab.daemon import Implementation
from lab.pair import DEVICE
from lab.run import holds_for, wait_for
from lab.traffic import ping, reaches
from lab.usage import descriptors
from lab.wgtool import Key, Wg

DATA_FOR_NOBODY = b"\x04" + bytes(31)


def udp_sockets(space):
    """(family, port) of each bound UDP socket, from `ss`."""
    found = set()
    for family in (4, 6):
        for line in space.run("ss", "-Hlun", f"-{family}").out.splitlines():
            found.add((family, int(line.split()[3].rpartition(":")[2])))
    return found


def both(port):
    return {(4, port), (6, port)}


def link_down(end):
    """Sets the link down and waits until the daemon has noticed."""
    end.space.ip(f"link set {DEVICE} down")
    wait_for(lambda: not udp_sockets(end.space), "sockets to close after link down")


def wired(lab):
    """Two spaces, 10.0.0.1 and 10.0.0.2 on eth0."""
    near, far = lab.space("near"), lab.space("far")
    near.wire(far, "eth0", "eth0")
    for number, space in enumerate((near, far), 1):
        space.address("eth0", f"10.0.0.{number}/24")
    return near, far


@pytest.fixture
def device(solo):
    """`wg` on a device that is up."""
    solo.space.ip("link set wg0 up")
    return Wg(solo.space, "wg0")


# Ports

def test_up_opens_one_port_in_both_families(device):
    wait_for(lambda: device.dump().listen_port, "a port")
    assert udp_sockets(device.space) == both(device.dump().listen_port)


@pytest.mark.ours
def test_what_comes_while_the_link_goes_up_is_taken(lab, each_engine):
    """From when the port is open: else who calls at once has to call again, five seconds later."""
    (near, far), over = wired(lab), threading.Event()
    daemon = lab.daemon(near, each_engine).start()
    wg = Wg(near, DEVICE)
    wg.set_private_key(Key().private)
    wg.set("listen-port 1001")
    sock = far.udp_socket()

    def call():
        while not over.is_set():
            sock.sendto(DATA_FOR_NOBODY, ("10.0.0.1", 1001))

    calling = threading.Thread(target=call)
    calling.start()
    try:
        near.ip(f"link set {DEVICE} up")
        near.wait_udp_port(1001)
        time.sleep(0.5)
    finally:
        over.set()
        calling.join()
    found = counters(daemon)
    assert found["dropped.unknown_index"] > 0
    assert "dropped.link_down" not in found


@pytest.mark.ours
def test_an_interface_that_nobody_uses_is_silent(lab, ours):
    """Everything is routed to a peer, and nobody has anything to say: the kernel neither."""
    near, far = wired(lab)
    for space in (near, far):
        space.sysctl("net.ipv6.conf.eth0.disable_ipv6", 1)
    lab.daemon(near, ours).start()
    wg = Wg(near, DEVICE)
    wg.set_private_key(Key().private)
    wg.set(f"peer {Key().public} allowed-ips 0.0.0.0/0,::/0 endpoint 10.0.0.2:1002")
    with Capture(near, "eth0", lab.directory / "wire.pcap") as capture:
        near.ip(f"link set {DEVICE} up")
        time.sleep(3)  # a router solicitation would follow within one second
    assert [row for row in capture.packets(["ip.dst", "wg.type"]) if row["ip.dst"]] == []
    assert "inet6" not in near.ip(f"addr show dev {DEVICE}").out
    assert near.run("sysctl", "-n", f"net.ipv4.conf.{DEVICE}.send_redirects").out == "0\n"


@pytest.mark.ours
def test_an_interface_that_was_there_keeps_its_manners(lab, ours):
    """Who made it has decided."""
    space = lab.space("solo")
    space.ip(f"tuntap add {DEVICE} mode tun")
    daemon = lab.daemon(space, ours).start()
    shown = space.run("sysctl", "-n", f"net.ipv4.conf.{DEVICE}.send_redirects",
                      f"net.ipv6.conf.{DEVICE}.addr_gen_mode").out.split()
    assert shown == space.run("sysctl", "-n", "net.ipv4.conf.default.send_redirects",
                              "net.ipv6.conf.default.addr_gen_mode").out.split()
    daemon.stop()
    assert DEVICE in space.run("ip", "-o", "link").out


@pytest.mark.ours
def test_sockets_exist_only_while_the_link_is_up(solo):
    wg = Wg(solo.space, "wg0")
    wg.set("listen-port 5000")
    assert udp_sockets(solo.space) == set()
    assert wg.dump().listen_port == 5000
    solo.space.ip("link set wg0 up")
    wait_for(lambda: udp_sockets(solo.space) == both(5000), "sockets after up")
    solo.space.ip("link set wg0 down")
    wait_for(lambda: udp_sockets(solo.space) == set(), "no sockets after down")


@pytest.mark.ours
def test_port_that_was_taken_at_link_up_is_had_when_it_is_free(solo):
    solo.uapi.set("listen_port=5000")
    with solo.space.udp_socket(bind=("0.0.0.0", 5000)):
        solo.space.ip("link set wg0 up")
        wait_for(lambda: "5000" in solo.log, "the error in the log")
        holds_for(lambda: udp_sockets(solo.space) == {(4, 5000)}, "only the other socket", 1.5)
    wait_for(lambda: udp_sockets(solo.space) == both(5000), "sockets without another set", 5)


@pytest.mark.ours
def test_connections_leave_descriptors_for_the_sockets(lab, ours):
    limited = Implementation("limited", "/usr/bin/prlimit", ["--nofile=300:300", ours.path])
    daemon = lab.daemon(lab.space("limited"), limited).start()
    with contextlib.ExitStack() as stack:
        for _ in range(150):
            assert stack.enter_context(daemon.uapi.connect()).ask("get=1\n\n").errno == 0
        daemon.space.ip("link set wg0 up")
        wait_for(lambda: len(daemon.space.run("ss", "-Hlun").out.splitlines()) == SOCKETS,
                 "sockets beside the connections")
        Wg(daemon.space, DEVICE).set("listen-port 5001")
        assert len(daemon.space.run("ss", "-Hlun").out.splitlines()) == SOCKETS
        assert daemon.uapi.get().errno == 0


@pytest.mark.ours
def test_too_few_descriptors_are_told_at_the_start(lab, ours):
    limited = Implementation("limited", "/usr/bin/prlimit", ["--nofile=100:100", ours.path])
    daemon = lab.daemon(lab.space("limited"), limited).start(wait_ready=False)
    assert daemon.wait_end() == 1
    assert "RLIMIT_NOFILE is 100, and " in daemon.log
    assert "raise it (ulimit -Hn, LimitNOFILE=)" in daemon.log


@pytest.mark.ours
def test_a_connection_that_no_descriptor_is_left_for_waits(solo):
    """A limit that was lowered under the daemon; who is idle longest gives way to who comes."""
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(solo.uapi.connect()) for _ in range(3)]
        assert all(client.ask("get=1\n\n").errno == 0 for client in idle)
        limits = resource.prlimit(solo.pid, resource.RLIMIT_NOFILE)
        open_now = descriptors(solo.pid)
        resource.prlimit(solo.pid, resource.RLIMIT_NOFILE, (open_now, limits[1]))
        late = stack.enter_context(solo.uapi.connect())
        assert late.ask("get=1\n\n").errno == 0
        assert "accept(): Too many open files" in solo.log
        resource.prlimit(solo.pid, resource.RLIMIT_NOFILE, limits)
    assert solo.uapi.get().errno == 0


def test_port_change_closes_the_old_sockets(device):
    device.set("listen-port 5000")
    assert udp_sockets(device.space) == both(5000)
    device.set("listen-port 5001")
    assert udp_sockets(device.space) == both(5001)


def test_port_zero_takes_a_random_port(device):
    device.set("listen-port 5000")
    device.set("listen-port 0")
    port = device.dump().listen_port
    assert port not in (0, 5000)
    assert udp_sockets(device.space) == both(port)


def test_port_change_under_traffic_is_followed_by_the_peer(pair):
    ping(pair.left.space, pair.right.inner4)
    pair.left.wg.set("listen-port 1009")
    ping(pair.left.space, pair.right.inner4)
    assert pair.right.view(pair.left).endpoint == f"{pair.left.outer4}:1009"
    ping(pair.right.space, pair.left.inner4)


# Mark

# Of each family one for data, 32 for strangers, one for junk.
SOCKETS = 68


def test_mark_is_on_all_sockets(device):
    device.set("fwmark 0x1234")
    lines = device.space.run("ss", "-Hlune").out.splitlines()
    assert len(lines) == SOCKETS
    assert all("fwmark:0x1234" in line for line in lines)


def test_mark_survives_a_port_change_and_goes_with_zero(device):
    device.set("fwmark 0x1234")
    device.set("listen-port 5001")
    assert device.space.run("ss", "-Hlune").out.count("fwmark:0x1234") == SOCKETS
    device.set("fwmark 0")
    assert "fwmark" not in device.space.run("ss", "-Hlune").out


# fault: TunnelVision
@pytest.mark.parametrize("family", [4, 6])
def test_marked_packets_obey_the_rules_for_the_mark(pair, family):
    """With the mark, the route to the peer is a blackhole: nothing may pass until it is gone."""
    left, right = pair.left, pair.right
    pair.know_endpoint(family)
    ping(left.space, right.inner4)
    blackhole = "10.0.0.0/24" if family == 4 else "fd00:a::/64"
    left.space.ip(f"-{family} rule add fwmark 77 table 77 priority 10")
    left.space.ip(f"-{family} route add blackhole {blackhole} table 77")
    ping(left.space, right.inner4)
    left.wg.set("fwmark 77")
    assert ping(left.space, right.inner4, count=2, wait=1, check=False) == 0
    left.wg.set("fwmark 0")
    ping(left.space, right.inner4)


# Link state and MTU (wireguard-go does not see a link go down on every kernel)

# fault: wireguard-go-pool
def test_link_down_and_up_at_once_leaves_a_tunnel_that_works(pair):
    for _ in range(10):
        pair.left.space.ip(f"link set {DEVICE} down")
        pair.left.space.ip(f"link set {DEVICE} up")
    wait_for(lambda: reaches(pair.left.space, pair.right.inner4), "traffic after link up")


@pytest.mark.ours
def test_traffic_returns_after_link_down_and_up(pair):
    left, right = pair.left, pair.right
    ping(left.space, right.inner4)
    link_down(left)
    left.space.ip(f"link set {DEVICE} up")
    wait_for(lambda: reaches(left.space, right.inner4), "traffic after link up")


@pytest.mark.ours
def test_configuration_survives_link_down(pair):
    before = pair.left.wg.dump()
    link_down(pair.left)
    after = pair.left.wg.dump()
    assert after.private_key == before.private_key
    assert after.listen_port == before.listen_port
    assert sorted(after.peers[0].allowed_ips) == sorted(before.peers[0].allowed_ips)


@pytest.mark.ours
def test_a_device_that_is_down_answers_nobody(pair):
    link_down(pair.left)
    pair.right.set_endpoint(pair.left, 4)
    assert not reaches(pair.right.space, pair.left.inner4)
    assert pair.right.view(pair.left).latest_handshake == 0


@pytest.mark.ours
def test_initiation_sent_while_the_other_was_down_is_repeated(pair):
    link_down(pair.right)
    pinger, _ = pair.left.space.popen(["ping", "-q", "-c", "1", "-W", "15", pair.right.inner4],
                                      stdout=subprocess.DEVNULL)
    pair.lab.own(pinger)
    holds_for(lambda: not pair.left.view(pair.right).latest_handshake, "no handshake", 1)
    pair.right.space.ip(f"link set {DEVICE} up")
    wait_for(lambda: pair.left.view(pair.right).latest_handshake, "a retried handshake", 15)


def test_a_link_that_comes_up_behind_more_messages_than_can_wait_is_seen(pair):
    """The kernel drops what no longer fits, and with it that the link came up again."""
    left = pair.left
    ping(left.space, pair.right.inner4)
    seen = left.daemon.log
    changes = "".join(f"route add 10.{100 + i // 256}.{i % 256}.0/24 dev eth0\n"
                      for i in range(4_000))
    left.daemon.signal(signal.SIGSTOP)
    try:
        left.space.ip(f"link set {DEVICE} down")
        left.space.run("ip", "-batch", "-", text=changes)
        left.space.ip(f"link set {DEVICE} up")
    finally:
        left.daemon.signal(signal.SIGCONT)
        left.daemon.process.send_signal(signal.SIGCONT)  # nsenter stops with its child
    events = re.compile("link (?:up|down)")
    wait_for(lambda: events.findall(left.daemon.log[len(seen):]) == ["link down", "link up"],
             "both to be told")
    holds_for(lambda: events.findall(left.daemon.log)[-1] == "link up", "the link is up", 0.5)
    assert udp_sockets(left.space) == both(left.port)


@pytest.mark.parametrize("mtu", [1280, 1500, 8920, 65535])
def test_mtu_change_while_running_is_followed(pair, mtu):
    left, right = pair.left, pair.right
    ping(left.space, right.inner4)
    for end in (left, right):
        end.space.ip(f"link set {DEVICE} mtu {mtu}")
    # 65 535 less the headers of IP, UDP and data is the most that one datagram holds.
    ping(left.space, right.inner4, size=min(mtu, 65535 - 60 - 16) - 28, count=3)


def test_padding_stops_at_the_mtu(pair):
    """Inner packets of 1297 bytes: padded to 1312 at MTU 1420, and to 1300 at MTU 1300."""
    ping(pair.left.space, pair.right.inner4)
    sizes = []
    for mtu in (1420, 1300):
        pair.left.space.ip(f"link set {DEVICE} mtu {mtu}")
        # The change reaches the daemon by netlink: wait for one packet of the new size.
        wait_for(lambda wanted=min(mtu, 1312) + 32: sent_by_one_ping(pair) == wanted,
                 f"padding under MTU {mtu}")
        sizes.append(sent_by_one_ping(pair))
    assert sizes == [1312 + 32, 1300 + 32]


def sent_by_one_ping(pair):
    before = pair.left.view(pair.right).tx_bytes
    ping(pair.left.space, pair.right.inner4, count=1, size=1297 - 28)
    return pair.left.view(pair.right).tx_bytes - before

"""The daemon under test against the kernel's own WireGuard, in a virtual machine.

The addresses are drawn in guest/meeting.py.
"""

import hashlib
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from guest.talk import INTERVAL_S
from lab import peers
from lab.capture import Capture
from lab.flood import flooded
from lab.pair import DEVICE
from lab.run import wait_for
from lab.traffic import reaches
from lab.wgtool import Key, preshared_key

# Bytes on the wire; PING is one of 84 bytes inside, padded to 96.
INITIATION, RESPONSE, KEEPALIVE, PING = 148, 92, 32, 128


@pytest.fixture(params=["ours", "kernel"])
def begins(request):
    return request.param


def begun(meeting):
    """Ours has begun, and both know each other."""
    first, second = meeting.ends("ours")
    first.ping(second.inner4)
    return meeting


@pytest.fixture
def tunnel(meet, ours):
    return begun(meet(ours))


# --- handshake ---

def messages(capture):
    """(type, source port) of each."""
    return [(int(one["wg.type"]), int(one["udp.srcport"]))
            for one in capture.packets(["wg.type", "udp.srcport"])]


# Each value beside each of the others, not all of them with all.
@pytest.mark.parametrize("engine, outer, psk", [
    (engine, 6 if (number + psk) % 2 else 4, psk)
    for number, engine in enumerate(peers.engines()) for psk in (False, True)])
def test_handshake_and_pings(meet, begins, engine, outer, psk):
    meeting = meet(peers.under_test(engine), psk=psk)
    first, second = meeting.ends(begins, outer)
    with Capture(meeting.ours.space, "eth0", meeting.lab.directory / "wire.pcap",
                 only="udp portrange 1001-1002") as capture:
        first.ping(second.inner4)
    seen = messages(capture)
    assert seen[:3] == [(1, first.port), (2, second.port), (4, first.port)]
    assert [kind for kind, _ in seen].count(1) == 1
    second.ping(first.inner6)
    first.ping(second.inner6, size=1420 - 48)
    second.ping(first.inner4, size=1420 - 28)
    for end, other in ((first, second), (second, first)):
        view = end.view(other)
        assert view.endpoint == other.endpoint(outer)
        assert bool(view.preshared_key) == psk
        assert abs(view.latest_handshake - time.time()) < 30
    meeting.quiet_transfer()


def mac2s(capture):
    """The second MAC of each initiation that carries one."""
    macs = [one["wg.mac2"].replace(":", "") for one in capture.packets(["wg.type", "wg.mac2"])
            if one["wg.type"] == "1"]
    return [mac for mac in macs if mac.strip("0")]


def test_under_load_a_cookie_is_given_and_comes_back(meet, ours, begins):
    meeting = meet(ours)
    first, second = meeting.ends(begins)
    # The flood comes from 10.0.0.1 in both cases: only what carries a cookie is counted by source.
    # The guest is slow: what it is sent fills its queue and is worked off before it is sent more.
    flood = ({"burst": 800, "pause": 0.7} if second is meeting.kernel else {"burst": 3000})
    with Capture(meeting.ours.space, "eth0", meeting.lab.directory / "wire.pcap",
                 only="udp port 1001 and udp port 1002") as capture:
        with flooded(meeting.ours.space, (second.outer4, second.port), second.key.public,
                     meeting.lab.directory / "flood.txt", **flood):
            first.ping(second.inner4, count=1, wait=30)
    kinds = messages(capture)
    assert kinds.index((3, second.port)) < kinds.index((2, second.port))
    assert mac2s(capture)


def nothing_passes(meeting, begins):
    first, second = meeting.ends(begins)
    if begins == "ours":
        assert not reaches(first.space, second.inner4)
    else:
        assert first.space.run("ping", "-c", 1, "-W", 1, second.inner4, check=False).code == 1
    wait_for(lambda: second.view(first).rx_bytes or first.view(second).tx_bytes, "an initiation")
    for end, other in ((first, second), (second, first)):
        assert not end.view(other).latest_handshake


def test_different_preshared_keys_let_nothing_pass(meet, ours, begins):
    nothing_passes(meet(ours, psk=(preshared_key(), preshared_key())), begins)


def test_an_unknown_key_lets_nothing_pass(meet, ours, begins):
    meeting = meet(ours)
    first, second = meeting.ends(begins)
    first.wg.set_private_key(Key().private)
    nothing_passes(meeting, begins)


# --- traffic ---

def test_counters_are_exact_and_equal_after_ten_pings(meet, each_engine, begins):
    meeting = meet(each_engine)
    first, second = meeting.ends(begins)
    first.ping(second.inner4, count=10)
    view = first.view(second)
    assert (view.rx_bytes, view.tx_bytes) == (RESPONSE + 10 * PING, INITIATION + 10 * PING)
    rx, tx = meeting.quiet_transfer()
    assert {rx, tx} == {view.rx_bytes, view.tx_bytes}


BULK, PORT = 2 << 20, 9000


def digest(data):
    return hashlib.md5(data).hexdigest()


def receive_all(sock):
    parts = []
    while part := sock.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("inner", [4, 6])
def test_tcp_both_ways_at_once(meet, each_engine, inner):
    tunnel = begun(meet(each_engine))
    ours, guest = tunnel.ours, tunnel.machine
    address = ours.inner4 if inner == 4 else ours.inner6
    there = guest.shell(f"head -c {BULK} /dev/urandom >/tmp/data; md5sum </tmp/data").out.split()[0]
    here = os.urandom(BULK)
    with ours.tcp_listener(address, PORT) as listener, ThreadPoolExecutor(2) as pool:
        asked = pool.submit(guest.shell, f"nc {address} {PORT} </tmp/data | md5sum", 60)
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(60)
            received = pool.submit(receive_all, sock)
            sock.sendall(here)
            sock.shutdown(socket.SHUT_WR)
            assert digest(received.result()) == there
        assert asked.result().out.split()[0] == digest(here)
    rx, tx = tunnel.quiet_transfer()
    assert rx > BULK and tx > BULK


def test_keepalives_of_each_end_reach_the_other(tunnel):
    ours, kernel = tunnel.ours, tunnel.kernel
    for end, other in ((ours, kernel), (kernel, ours)):
        before, begin = tunnel.quiet_transfer(), time.monotonic()
        end.wg.set(f"peer {other.key.public} persistent-keepalive 1")
        time.sleep(2.5)
        end.wg.set(f"peer {other.key.public} persistent-keepalive off")
        passed_s = time.monotonic() - begin
        counted = (sum(tunnel.quiet_transfer()) - sum(before)) / KEEPALIVE
        assert counted in range(2, int(passed_s) + 3)  # the first at once


# --- change ---

@pytest.fixture
def moving(meet, each_engine, begins):
    """(who moves, the other): the first speaks from 10.0.0.1x, and then that address goes."""
    mover, other = meet(each_engine).ends("kernel" if begins == "ours" else "ours")[::-1]
    new, old = mover.outer4, f"10.0.0.1{mover.number}"
    mover.space.address("eth0", f"{old}/24")
    try:
        mover.outer4 = old
        other.set_endpoint(mover, 4)
        other.ping(mover.inner4)
        assert other.view(mover).endpoint == mover.endpoint(4)
    finally:
        mover.space.ip(f"addr del {old}/24 dev eth0")
    mover.outer4 = new
    return mover, other


def test_new_address_and_port_are_learnt(moving):
    mover, other = moving
    before = other.view(mover).latest_handshake
    mover.ping(other.inner4, count=1)
    wait_for(lambda: other.view(mover).endpoint == mover.endpoint(4), "the new address")
    other.ping(mover.inner4)
    mover.port += 10
    mover.wg.set(f"listen-port {mover.port}")
    mover.ping(other.inner4, count=1)
    wait_for(lambda: other.view(mover).endpoint == mover.endpoint(4), "the new port")
    other.ping(mover.inner4)
    assert other.view(mover).latest_handshake == before


def test_sessions_that_one_end_forgot_are_replaced(tunnel):
    """The other end still has keys; only a handshake that it accepts helps."""
    ours, kernel = tunnel.ours, tunnel.kernel
    for end, other in ((kernel, ours), (ours, kernel)):
        before = end.view(other).latest_handshake
        time.sleep(1.1)  # the time of a handshake is told in seconds
        end.space.ip(f"link set {DEVICE} down")
        end.space.ip(f"link set {DEVICE} up")
        end.space.address(DEVICE, f"{end.inner6}/64")  # went with the link
        end.ping(other.inner4)
        wait_for(lambda: end.view(other).latest_handshake > before, "a new handshake")
        other.ping(end.inner6)


def test_new_key_of_the_kernel_works_at_once(tunnel):
    ours, kernel = tunnel.ours, tunnel.kernel
    kernel.key = Key()
    kernel.wg.set_private_key(kernel.key.private)
    ours.add_peer(kernel)
    kernel.ping(ours.inner4, count=1)
    ours.ping(kernel.inner4)


# --- time ---

@pytest.mark.background
@pytest.mark.parametrize("who", ["ours", "kernel"])
def test_keys_change_after_120_seconds_and_no_packet_is_lost(talk, who):
    talk.wait()
    (first, _), (second, initiated_by_us), *_ = talk.handshakes
    assert 120 <= second - first <= 130
    assert initiated_by_us == (2 if who == "ours" else 0)
    lost, answered = talk.lost()
    assert lost == 0 and answered > 110 / INTERVAL_S
    talk.meeting.quiet_transfer()

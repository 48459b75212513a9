"""What a busy data path may not cost: memory, time of the timers, the patience of a ping.

    left   eth0 10.0.0.1 --- wire --- eth0 10.0.0.2   right    a saturated tunnel
           eth1 10.1.0.1 --- wire --- eth0 10.1.0.3   third    a quiet one of the same daemon
"""

import contextlib
import subprocess
import time

import pytest

from lab.counters import counters
from lab.pair import DEVICE, End
from lab.run import kill_group, wait_for
from lab.traffic import IPERF_PORT, iperf, iperf_server, ping, reaches, tcp_bytes
from lab.usage import kilobytes, wakeups
from lab.wgtool import Wg
from test_interop import flooded
from test_scale import many

pytestmark = pytest.mark.ours

MIB_KB = 1024
KEEPALIVE_BYTES = 32


@contextlib.contextmanager
def saturated(client, server, address, *options, seconds=30):
    """TCP, or what options make of it, through the tunnel until the end of the block."""
    with iperf_server(server, address):
        process, _ = client.popen(["iperf3", "-c", address, "-p", IPERF_PORT, "-t", seconds,
                                   *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        try:
            yield
            assert process.poll() is None, "the load ended before its time"
        finally:
            kill_group(process)
            process.wait()


def with_third(pair, ours):
    third = End(pair.lab, "third", 3, ours)
    pair.left.space.wire(third.space, "eth1", "eth0", 1500)
    pair.left.space.address("eth1", "10.1.0.1/24")
    third.space.address("eth0", "10.1.0.3/24")
    third.daemon.start()
    third.up(1420)
    return third


def test_memory_stays_small_under_load(pair):
    left, right = pair.left, pair.right
    assert tcp_bytes(left.space, right.space, right.inner4, "-P", 4, seconds=1) > 1_000_000
    assert tcp_bytes(left.space, right.space, right.inner4, "-P", 4, "-R", seconds=1) > 1_000_000
    iperf(left.space, right.space, right.inner4, "-u", "-b", 0, "-l", 64, "-P", 2, seconds=1)
    for end in (left, right):
        assert kilobytes(end.daemon.pid, "VmHWM") < 24 * MIB_KB


def test_ten_thousand_idle_peers_cost_some_memory_and_no_wake_up(solo):
    wg = Wg(solo.space, "wg0")
    solo.space.ip("link set wg0 up")
    text, _ = many(100)
    wg.configure("setconf", text)
    few = kilobytes(solo.pid, "VmRSS")
    text, _ = many(10000)
    wg.configure("setconf", text, timeout=60)
    assert kilobytes(solo.pid, "VmRSS") - few < 30 * MIB_KB
    wait_for(lambda: is_asleep(solo.pid), "the daemon to fall asleep")


def is_asleep(pid):
    """Not woken once for two seconds."""
    before = wakeups(pid)
    time.sleep(2)
    return wakeups(pid) == before


def test_timers_keep_time_beside_a_saturated_tunnel(pair, ours):
    left, right, third = pair.left, pair.right, with_third(pair, ours)
    ping(left.space, right.inner4, count=1, wait=5)
    with saturated(left.space, right.space, right.inner4, "-P", 4):
        third.add_peer(left)
        # The first initiation must be the one: the next would come after 5 s.
        left.add_peer(third, more="persistent-keepalive 1 endpoint 10.1.0.3:1003")
        wait_for(lambda: third.view(left).latest_handshake, "a handshake", timeout=4)
        begin, before = time.monotonic(), third.view(left).rx_bytes
        time.sleep(5)
        keepalives = (third.view(left).rx_bytes - before) / KEEPALIVE_BYTES
        passed_s = time.monotonic() - begin
    assert 4 <= keepalives <= passed_s + 1


# fault: linux-flood
def test_a_flood_of_initiations_does_not_stop_the_tunnel(pair):
    """Tens of thousands each second with a valid mac1: each would cost a handshake, were it not
    for the cookies. How much of the rate is left is what `./dev load flood` measures."""
    left, right = pair.left, pair.right
    ping(left.space, right.inner4, count=1, wait=5)
    handshake = right.view(left).latest_handshake
    alone = tcp_bytes(left.space, right.space, right.inner4, seconds=3)
    with flooded(pair):
        beside = tcp_bytes(left.space, right.space, right.inner4, seconds=3)
        assert ping(left.space, right.inner4, count=10, wait=1, check=False) >= 9
    assert beside > alone / 8, "without a door of their own it was a fiftieth"
    assert right.view(left).latest_handshake == handshake, "the session was given up"


def test_a_new_peer_gets_in_beside_a_flood_and_data(pair, ours):
    """How many initiations it takes is what `./dev load flood` measures."""
    left, right, third = pair.left, pair.right, End(pair.lab, "third", 3, ours)
    right.space.wire(third.space, "eth2", "eth0", 1500)
    right.space.address("eth2", "10.2.0.2/24")
    third.space.address("eth0", "10.2.0.3/24")
    third.daemon.start()
    third.up(1420)
    ping(left.space, right.inner4, count=1, wait=5)
    with flooded(pair), saturated(left.space, right.space, right.inner4, "-b", "20M", seconds=60):
        right.add_peer(third)
        third.add_peer(right, more=f"persistent-keepalive 1 endpoint 10.2.0.2:{right.port}")
        wait_for(lambda: third.view(right).latest_handshake, "a handshake", timeout=40)


def test_every_mtu_is_survived_under_load(pair):
    left, right = pair.left, pair.right
    ping(left.space, right.inner4, count=1, wait=5)
    with saturated(left.space, right.space, right.inner4, "-P", 2):
        for mtu in (68, 65535, 576, 9000, 1279, 1280, 65535, 68, 1420):
            for end in (left, right):
                end.space.ip(f"link set {DEVICE} mtu {mtu}")
            time.sleep(0.3)
    wait_for(lambda: reaches(left.space, right.inner4), "the tunnel to be as before")
    assert left.daemon.running and right.daemon.running


def test_hostile_clients_of_the_socket_stop_no_packet(pair):
    """Some ask and do not read, some stop in the middle, one adds a thousand peers and takes them
    away again, and again."""
    left, right = pair.left, pair.right
    ping(left.space, right.inner4, count=1, wait=5)
    keys = [f"{number:064x}" for number in range(1000, 2000)]
    add = "set=1\n" + "".join(f"public_key={key}\n" for key in keys) + "\n"
    remove = "set=1\n" + "".join(f"public_key={key}\nremove=true\n" for key in keys) + "\n"
    load = saturated(left.space, right.space, right.inner4, seconds=120)
    with contextlib.ExitStack() as clients, load:
        for number in range(100):
            client = clients.enter_context(left.daemon.uapi.connect())
            client.send("get=1\n\n" * 500 if number % 2 else "set=1\nlisten_port=")
        for _ in range(3):
            with left.daemon.uapi.connect() as client:
                assert client.ask(add).errno == client.ask(remove).errno == 0
            assert ping(left.space, right.inner4, count=5, wait=1, check=False) >= 4
    assert left.view(right).endpoint == right.endpoint(4)


def test_pings_through_a_saturated_tunnel_wait_in_no_long_queue(pair):
    left, right = pair.left, pair.right
    ping(left.space, right.inner4, count=1, wait=5)
    with saturated(left.space, right.space, right.inner4, "-P", 4):
        assert ping(left.space, right.inner4, count=10, wait=1, interval=0.2, check=False) >= 9


def test_what_a_flood_loses_is_counted(pair):
    """Each datagram that one end sent reached the other, or is missed by its counter: of receives,
    each of which may have been a train."""
    left, right = pair.left, pair.right
    ping(left.space, right.inner4, count=1, wait=5)
    iperf(left.space, right.space, right.inner4, "-u", "-b", 0, "-l", 64, seconds=2)
    time.sleep(1)  # for what is on its way
    ping(left.space, right.inner4, count=1, wait=5)  # brings the count
    sent, received = counters(left.daemon), counters(right.daemon)
    missing = sent["packets.udp_sent"] - received["packets.udp_received"]
    dropped = received["lost in the engine.udp_kernel_dropped"]
    assert sent["packets.udp_sent"] > 1000
    assert missing >= dropped and (missing == 0) == (dropped == 0)

"""Ours against those that others wrote, at the versions pinned in peers/build.py: handshake in both
roles, preshared key and none, bulk, roaming, and cookies in both directions. Rekeys: test_rekey.py.

    left  eth0 10.0.0.1, fd00:a::1  --- wire ---  right  eth0 10.0.0.2, fd00:a::2
    third eth0 10.1.0.3             --- wire ---  right  eth1 10.1.0.2
"""

import contextlib

import pytest

from lab import flood, peers
from lab.capture import Capture
from lab.run import wait_for
from lab.traffic import ping, reaches, tcp_bytes
from lab.tunnel import Tunnel
from lab.wgtool import preshared_key
from test_roaming import NEW, readdress, shown
from test_wg_quick import Quick

pytestmark = pytest.mark.ours

FIELDS = ["ip.src", "wg.type", "wg.mac2"]
OURS = peers.under_test().name
NO_MAC = "00" * 16


@pytest.fixture(params=peers.foreign())
def far(request):
    return peers.by_name(request.param)


@pytest.fixture(params=["ours begins", "ours answers"])
def ends(request, far):
    """(left, right); left begins."""
    ours = peers.under_test()
    return (ours, far) if request.param == "ours begins" else (far, ours)


@pytest.mark.parametrize("outer, psk", [(4, False), (4, True), (6, True)])
def test_handshake_pings_and_bulk(lab, ends, outer, psk):
    tunnel = Tunnel(lab, *ends, outer=outer, psk=psk)
    left, right = tunnel.left, tunnel.right
    for begins, answers in ((left, right), (right, left)):
        ping(begins.space, answers.inner4)
        ping(begins.space, answers.inner6)
    ping(left.space, right.inner4, size=1420 - 28)
    assert right.view(left).endpoint == left.endpoint(outer)
    ours, other = (left, right) if ends[0].name == OURS else (right, left)
    assert ours.view(other).latest_handshake  # boringtun shows the time since then
    assert bool(right.view(left).preshared_key) == bool(left.view(right).preshared_key) == psk
    assert tcp_bytes(left.space, right.space, right.inner4) > 1_000_000
    assert tcp_bytes(left.space, right.space, right.inner6, "-R") > 1_000_000


def test_different_preshared_keys_let_nothing_pass(lab, ends):
    tunnel = Tunnel(lab, *ends, psk=(preshared_key(), preshared_key()))
    with Capture(tunnel.right.space, "eth0", lab.directory / "wire.pcap") as capture:
        assert ping(tunnel.left.space, tunnel.right.inner4, count=2, wait=1, check=False) == 0
    kinds = [packet["wg.type"] for packet in capture.packets(FIELDS) if packet["wg.type"]]
    assert kinds[:2] == ["1", "2"], "the preshared key comes with the response"
    assert "4" not in kinds
    assert tunnel.left.wg.dump().peers[0].rx_bytes == 0


def new_address_is_learnt(tunnel, mover, other, family):
    """By data: no handshake comes between."""
    ours = tunnel.left if tunnel.left.daemon.implementation.name == OURS else tunnel.right
    ping(mover.space, other.inner4)
    before = ours.wg.dump().peers[0].latest_handshake
    readdress(mover, family)
    wait_for(lambda: reaches(mover.space, other.inner4), "traffic from the new address", timeout=20)
    assert other.view(mover).endpoint == shown(NEW[family], mover.port)
    wait_for(lambda: reaches(other.space, mover.inner4), "traffic to the new address", timeout=20)
    assert ours.wg.dump().peers[0].latest_handshake == before


@pytest.mark.parametrize("family", [4, 6])
def test_ours_moves_and_the_other_end_follows(lab, far, family):
    tunnel = Tunnel(lab, peers.under_test(), far, outer=family)
    new_address_is_learnt(tunnel, tunnel.left, tunnel.right, family)
    tunnel.left.wg.set("listen-port 9997")
    wait_for(lambda: reaches(tunnel.left.space, tunnel.right.inner4), "traffic from the new port")
    assert tunnel.right.view(tunnel.left).endpoint == shown(NEW[family], 9997)


@pytest.mark.parametrize("family", [4, 6])
def test_the_other_end_moves_and_ours_follows(lab, far, family):
    if far.name == "boringtun":  # a connected socket of it would keep the address it had
        far = far.with_options("--disable-connected-udp")
    tunnel = Tunnel(lab, far, peers.under_test(), outer=family)
    new_address_is_learnt(tunnel, tunnel.left, tunnel.right, family)


def works_by_wg_quick(tunnel):
    tunnel.configure("192.168.241.0/24, fd00:b::/64")
    tunnel.up()
    ping(tunnel.left.space, tunnel.right.inner4)
    ping(tunnel.right.space, tunnel.left.inner6)
    tunnel.quick("down")


def test_wg_quick_runs_ours_towards_the_other(lab, far):
    tunnel = Quick(lab, peers.under_test(), far)
    works_by_wg_quick(tunnel)
    tunnel.left.daemon.wait_end()  # gotatun goes on


def test_wg_quick_runs_the_other_towards_ours(lab, far):
    tunnel = Quick(lab, far, peers.under_test())
    # wg-quick gives no options: that root is kept, and where the log is, are said by these.
    tunnel.env = {"WG_SUDO": "true", "WG_LOG_FILE": str(lab.directory / "far.log")}
    works_by_wg_quick(tunnel)


# --- cookies ---

def flooder_of(tunnel):
    """A space of its own: who floods and who begins are not to be one source."""
    third = tunnel.lab.space("third")
    third.wire(tunnel.right.space, "eth0", "eth1")
    third.address("eth0", "10.1.0.3/24")
    tunnel.right.space.address("eth1", "10.1.0.2/24")
    return third


@contextlib.contextmanager
def flooded(tunnel):
    """Right gets bursts of initiations with a valid mac1 and noise for the rest, and is under load:
    it answers with cookies."""
    right, said = tunnel.right, tunnel.lab.directory / "flood.txt"
    name = right.daemon.implementation.name
    if name == "gotatun":  # counts the initiations of each source, and has no load of its own
        flooder, to, burst = tunnel.left.space, right.outer4, 100
    else:  # ours works off 1000 in less than the pause
        flooder, to, burst = flooder_of(tunnel), "10.1.0.2", 1000 if name != OURS else 3000
    with flood.flooded(flooder, (to, right.port), right.key.public, said,
                       burst=burst):
        yield


def test_under_load_a_cookie_is_given_and_comes_back(lab, ends):
    """The first initiation is answered with a cookie; one that carries it is accepted."""
    tunnel = Tunnel(lab, *ends)
    left, right = tunnel.left, tunnel.right
    with Capture(left.space, "eth0", lab.directory / "wire.pcap") as capture:
        with flooded(tunnel):
            wait_for(lambda: reaches(left.space, right.inner4), "a handshake", timeout=25)
    ports = {str(left.port), str(right.port)}  # and not that of the flood
    packets = [packet for packet in capture.packets(["udp.srcport", "udp.dstport", *FIELDS])
               if {packet["udp.srcport"], packet["udp.dstport"]} == ports]
    kinds = [(packet["wg.type"], packet["ip.src"]) for packet in packets]
    assert kinds.index(("3", right.outer4)) < kinds.index(("2", right.outer4))
    proven = [packet["wg.mac2"].replace(":", "") != NO_MAC for packet in packets
              if packet["wg.type"] == "1" and packet["ip.src"] == left.outer4]
    assert not proven[0] and proven[-1]

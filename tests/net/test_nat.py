"""A peer behind a translator that forgets soon.

    left  10.0.0.100  --- wire ---  10.0.0.1  nat  10.1.0.1  --- wire ---  10.1.0.2  right
    wg0 192.168.241.1               masquerade to port 1                   wg0 192.168.241.2
                                    forgets after 2 s
"""

import time

import pytest

from lab.pair import DEVICE, End
from lab.run import wait_for
from lab.traffic import ping, reaches

RULES = """
table ip nat {
  chain out {
    type nat hook postrouting priority srcnat;
    ip protocol udp ip saddr 10.0.0.0/24 oifname "right0" masquerade to :1
  }
  chain in {
    type filter hook prerouting priority mangle;
    iifname "right0" ct state new drop
  }
}
"""


class BehindNat:
    def __init__(self, lab, ours):
        self.left, self.right = End(lab, "left", 1, ours), End(lab, "right", 2, ours)
        self.nat = lab.space("nat")
        self._wire()
        for end in (self.left, self.right):
            end.daemon.start()
            end.up(1420)
        self.left.add_peer(self.right, more=f"endpoint 10.1.0.2:{self.right.port}")
        self.right.add_peer(self.left)

    def _wire(self):
        self.nat.wire(self.left.space, "left0", "eth0")
        self.nat.wire(self.right.space, "right0", "eth0")
        self.nat.address("left0", "10.0.0.1/24")
        self.nat.address("right0", "10.1.0.1/24")
        self.left.space.address("eth0", "10.0.0.100/24")
        self.right.space.address("eth0", "10.1.0.2/24")
        self.left.space.ip("route add default via 10.0.0.1")
        self.nat.run("nft", "-f", "-", text=RULES)
        for name, value in (("net.ipv4.ip_forward", 1),
                            ("net.netfilter.nf_conntrack_udp_timeout", 2),
                            ("net.netfilter.nf_conntrack_udp_timeout_stream", 2)):
            self.nat.sysctl(name, value)

    def keepalive(self, seconds):
        self.left.wg.set(f"peer {self.right.key.public} persistent-keepalive {seconds}")


@pytest.fixture
def behind_nat(lab, each_engine):
    return BehindNat(lab, each_engine)


def test_endpoint_behind_nat_is_the_translated_one(behind_nat):
    left, right = behind_nat.left, behind_nat.right
    ping(left.space, right.inner4)
    assert right.view(left).endpoint == "10.1.0.1:1"


def test_without_keepalive_the_way_back_closes_and_with_it_it_stays_open(behind_nat):
    left, right = behind_nat.left, behind_nat.right
    ping(left.space, right.inner4)
    time.sleep(3)  # the translator has to see silence, there is nothing to poll
    assert not reaches(right.space, left.inner4)
    behind_nat.keepalive(1)
    wait_for(lambda: reaches(right.space, left.inner4), "the way back")
    time.sleep(3)
    assert reaches(right.space, left.inner4)


def test_keepalive_alone_starts_the_session(behind_nat):
    left, right = behind_nat.left, behind_nat.right
    behind_nat.keepalive(1)
    wait_for(lambda: right.view(left).latest_handshake, "a handshake without any traffic")
    assert reaches(right.space, left.inner4)
    assert left.wg.show("persistent-keepalive").split()[1] == "1"


def test_keepalive_waits_for_the_link(behind_nat):
    left, right = behind_nat.left, behind_nat.right
    left.space.ip(f"link set {DEVICE} down")
    behind_nat.keepalive(1)
    left.space.ip(f"link set {DEVICE} up")
    wait_for(lambda: right.view(left).latest_handshake, "a handshake after link up")

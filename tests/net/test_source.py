"""The address a packet leaves from: the one that its peer speaks to.

    left  eth0 10.0.0.1, fd00:a::1  --- wire ---  right  eth0 10.0.0.2, fd00:a::2
                                                         also 10.0.0.22, fd00:a::22
                                                         lo   10.9.9.9, fd00:9::9
"""

import time

import pytest

from lab.capture import Capture
from lab.pair import DEVICE, End, Pair
from lab.run import wait_for
from lab.traffic import ping, reaches

PORT = 1002
# Changes of routes are taken together for a fifth of a second.
SETTLED = 0.7
PLACES = {
    "first-v4": "10.0.0.2", "second-v4": "10.0.0.22", "loopback-v4": "10.9.9.9",
    "first-v6": "fd00:a::2", "second-v6": "fd00:a::22", "loopback-v6": "fd00:9::9",
}


def shown(address, port=PORT):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@pytest.fixture(params=[1, 2], ids="{0} shards".format)
def each_way(request, lab, each_engine):
    """The usual pair, with one shard and with two."""
    implementation = each_engine.with_options(f"--shards={request.param}")
    return Pair(lab, implementation, implementation).know_endpoint()


@pytest.fixture
def many(pair):
    return with_places(pair)


def with_places(pair):
    """right can be spoken to at each of the places."""
    right, left = pair.right.space, pair.left.space
    right.address("eth0", "10.0.0.22/24", "fd00:a::22/64")
    right.address("lo", "10.9.9.9/32", "fd00:9::9/128")
    left.ip("route add 10.9.9.9 via 10.0.0.2")
    left.ip("-6 route add fd00:9::9 via fd00:a::2")
    return pair


def speak_to(pair, address):
    pair.left.wg.set(f"peer {pair.right.key.public} endpoint {shown(address)}")


@pytest.mark.parametrize("place", PLACES)
def test_replies_leave_from_the_address_the_packet_came_to(many, place):
    """Would right answer from another address, left would take that for right's endpoint."""
    speak_to(many, PLACES[place])
    ping(many.left.space, many.right.inner4)
    assert many.left.view(many.right).endpoint == shown(PLACES[place])
    ping(many.right.space, many.left.inner4)
    assert many.left.view(many.right).endpoint == shown(PLACES[place])


# fault: wireguard-go-pool
def test_replies_follow_when_the_peer_speaks_to_another_address(many):
    for place in ("first-v4", "second-v6", "loopback-v4", "second-v4", "first-v6"):
        speak_to(many, PLACES[place])
        ping(many.left.space, many.right.inner4)
        ping(many.right.space, many.left.inner4)
        assert many.left.view(many.right).endpoint == shown(PLACES[place])


@pytest.mark.ours  # wireguard-go keeps a cached source that is no longer an address
def test_source_of_ipv4_that_was_removed_is_replaced_within_a_second(many):
    second_place_is_replaced(many, 4)


@pytest.mark.ours
def test_source_of_ipv6_that_was_removed_is_replaced_within_a_second(many):
    second_place_is_replaced(many, 6)


def second_place_is_replaced(many, family):
    """right's cached source disappears: its next packet leaves from what is left."""
    place = PLACES[f"second-v{family}"]
    speak_to(many, place)
    ping(many.left.space, many.right.inner4)
    many.right.space.ip(f"addr del {place}/{24 if family == 4 else 64} dev eth0")
    ping(many.right.space, many.left.inner4, count=1, wait=1)
    assert many.left.view(many.right).endpoint == shown(PLACES[f"first-v{family}"])


@pytest.mark.ours
@pytest.mark.parametrize("place", ["second-v4", "loopback-v4", "loopback-v6"])
def test_source_stays_whatever_else_is_routed(each_way, place):
    """The first to speak after a change is right, and left takes it for what it was."""
    many = with_places(each_way)
    left, right = many.left, many.right
    speak_to(many, PLACES[place])
    ping(left.space, right.inner4, count=2)
    for event in ("route add blackhole 10.123.0.0/24", "-6 route add blackhole fd00:123::/64",
                  "addr add 10.77.0.1/32 dev lo", f"route add 10.66.0.0/24 dev {DEVICE}",
                  "link add other up type veth", "rule add to 10.66.0.0/24 table 66"):
        right.space.ip(event)
        time.sleep(SETTLED)
        ping(right.space, left.inner4, count=1)
        assert left.view(right).endpoint == shown(PLACES[place]), event


@pytest.mark.ours
@pytest.mark.parametrize("family", [4, 6])
def test_source_that_was_removed_leaves_those_of_others(each_way, family):
    """third speaks to the loopback; left's address of right goes, and with it left's alone.

        left === right === third        right  eth1 10.20.0.2, fd00:20::2 --- wire --- third
    """
    right = each_way.right
    third = End(each_way.lab, "third", 3, right.daemon.implementation)
    with_places(each_way)
    right.space.wire(third.space, "eth1", "eth0")
    right.space.address("eth1", "10.20.0.2/24", "fd00:20::2/64")
    third.space.address("eth0", "10.20.0.3/24", "fd00:20::3/64")
    third.space.ip("route add 10.9.9.9 via 10.20.0.2")
    third.space.ip("-6 route add fd00:9::9 via fd00:20::2")
    third.daemon.start()
    third.up(1420)
    third.add_peer(right, more=f"endpoint {shown(PLACES[f'loopback-v{family}'])}")
    right.add_peer(third)
    speak_to(each_way, PLACES[f"second-v{family}"])
    for end in (each_way.left, third):
        ping(end.space, right.inner4, count=2)
    right.space.ip(f"addr del {PLACES[f'second-v{family}']}/{24 if family == 4 else 64} dev eth0")
    for _ in range(2):
        for end in (each_way.left, third):
            ping(right.space, end.inner4, count=1)
        assert third.view(right).endpoint == shown(PLACES[f"loopback-v{family}"])
        assert each_way.left.view(right).endpoint == shown(PLACES[f"first-v{family}"])
        time.sleep(SETTLED)


@pytest.mark.ours
@pytest.mark.parametrize("family", [4, 6])
def test_better_route_through_another_interface_is_taken(pair, family):
    """right's loopback is reached by eth0 first and by eth1 when that becomes better.

    As in the kernel's module, a source of IPv4 goes with its interface, and one of IPv6 stays as
    long as the address does.
    """
    left, right = pair.left, pair.right
    left.space.wire(right.space, "eth1", "eth1")
    left.space.address("eth1", "10.1.0.1/24", "fd00:c::1/64")
    right.space.address("eth1", "10.1.0.2/24", "fd00:c::2/64")
    right.space.address("lo", "10.9.9.9/32", "fd00:9::9/128")
    target, slow, fast, source = {
        4: ("10.9.9.9", "10.0.0.2", "10.1.0.2", "10.1.0.1"),
        6: ("fd00:9::9", "fd00:a::2", "fd00:c::2", "fd00:a::1")}[family]
    for space in (left.space, right.space):
        space.sysctl("net.ipv4.conf.all.rp_filter", 0)
    left.space.ip(f"-{family} route add {target} via {slow} metric 1000")
    speak_to(pair, target)
    ping(left.space, right.inner4)
    ping(right.space, left.inner4)
    left.space.ip(f"-{family} route add {target} via {fast} metric 10")
    time.sleep(SETTLED)
    with Capture(left.space, "eth1", pair.lab.directory / "eth1.pcap") as capture:
        ping(left.space, right.inner4, count=3)
    sent = capture.packets(["ip.src", "ipv6.src", "udp.srcport"])
    assert {row["ip.src"] or row["ipv6.src"] for row in sent
            if row["udp.srcport"] == str(left.port)} == {source}
    assert right.view(left).endpoint == shown(source, left.port)
    ping(right.space, left.inner4)


class TwoWays:
    """left is at 10.9.9.9, and third, behind it, at 10.9.9.8: right reaches both by eth0, and eth1
    leads there as well.

        third  lo 10.9.9.8           left  lo   10.9.9.9, fd00:9::9
               eth0 10.2.0.3 - wire - eth2      eth0 10.0.0.1 - wire - eth0 10.0.0.2  right
                                                eth1 10.1.0.1 - wire - eth1 10.1.0.2
    """

    FAR = {"left": "10.9.9.9", "third": "10.9.9.8"}

    def __init__(self, pair):
        self.left, self.right = pair.left, pair.right
        self.third = End(pair.lab, "third", 3, pair.right.daemon.implementation)
        self.ends = (self.left, self.third)
        self._wire()
        self.third.daemon.start()
        self.third.up(1420)
        self.third.add_peer(self.right)
        self.right.add_peer(self.third)
        for end in self.ends:
            self.right.wg.set(f"peer {end.key.public} "
                              f"endpoint {self.FAR[end.name]}:{end.port}")

    def _wire(self):
        left, right, third = self.left.space, self.right.space, self.third.space
        right.wire(left, "eth1", "eth1")
        third.wire(left, "eth0", "eth2")
        for space in (left, right):
            space.sysctl("net.ipv4.conf.all.rp_filter", 0)
            for device in ("eth0", "eth1"):
                space.sysctl(f"net.ipv4.conf.{device}.rp_filter", 0)
                space.sysctl(f"net.ipv6.conf.{device}.disable_ipv6", 1)
        left.sysctl("net.ipv4.ip_forward", 1)
        left.address("eth1", "10.1.0.1/24")
        left.address("eth2", "10.2.0.1/24")
        right.address("eth1", "10.1.0.2/24")
        third.address("eth0", "10.2.0.3/24")
        left.address("lo", f"{self.FAR['left']}/32")
        third.address("lo", f"{self.FAR['third']}/32")
        left.ip(f"route add {self.FAR['third']} via 10.2.0.3")
        third.ip(f"route add default via 10.2.0.1 src {self.FAR['third']}")

    def route(self, words):
        """On right, to each of the two."""
        for address in self.FAR.values():
            self.right.space.ip(f"route add {address} {words}")

    def settle(self):
        """What was changed so far has had its effect, and right has heard from both since."""
        time.sleep(SETTLED)
        for end in self.ends:
            ping(self.right.space, end.inner4, count=2)
            assert end.view(self.right).endpoint == shown("10.0.0.2")

    def wait_for_new_source(self, address):
        """Sooner than by the 15 s after which a peer that does not answer is greeted anew."""
        wait_for(lambda: all(reaches(self.right.space, end.inner4)
                             and end.view(self.right).endpoint == shown(address)
                             for end in self.ends), "the other source", timeout=8)


@pytest.fixture
def two_ways(each_way):
    ways = TwoWays(each_way)
    ways.route("via 10.0.0.1 metric 10")
    ways.settle()
    return ways


@pytest.mark.ours
def test_an_uplink_that_goes_down_is_left_with_its_address(two_ways):
    """The kernel says nothing of the IPv4 routes that go with a link, and the address stays."""
    two_ways.route("via 10.1.0.1 metric 100")
    two_ways.settle()
    two_ways.right.space.ip("link set eth0 down")
    two_ways.wait_for_new_source("10.1.0.2")


@pytest.mark.ours
def test_a_rule_that_changes_the_way_changes_the_source(two_ways):
    two_ways.route("via 10.1.0.1 table 77")
    two_ways.settle()
    two_ways.right.space.ip("rule add to 10.9.9.8/31 table 77 priority 10")
    two_ways.wait_for_new_source("10.1.0.2")


@pytest.mark.ours
def test_a_next_hop_that_changes_changes_the_source(two_ways):
    """Where programs know of next hops (Linux 5.3), the kernel need not tell of their routes."""
    right = two_ways.right.space
    right.sysctl("net.ipv4.nexthop_compat_mode", 0)
    right.ip("nexthop add id 7 via 10.0.0.1 dev eth0")
    two_ways.route("nhid 7 metric 5")
    two_ways.settle()
    right.ip("nexthop replace id 7 via 10.1.0.1 dev eth1")
    two_ways.wait_for_new_source("10.1.0.2")


@pytest.mark.ours
@pytest.mark.parametrize("keep", [0, 1])
def test_an_uplink_of_ipv6_that_goes_down_is_left(each_way, keep):
    """Its addresses go with it, or stay and are tentative meanwhile (keep_addr_on_down)."""
    left, right = each_way.left, each_way.right
    right.space.wire(left.space, "eth1", "eth1")
    left.space.address("eth1", "fd00:c::1/64")
    right.space.address("eth1", "fd00:c::2/64")
    left.space.address("lo", "fd00:9::9/128")
    right.space.sysctl("net.ipv6.conf.eth0.keep_addr_on_down", keep)
    right.space.ip("addr del fd00:a::2/64 dev eth0")
    right.space.ip("addr add fd00:a::2/64 dev eth0")  # one without "nodad"
    wait_for(lambda: not right.space.ip("addr show dev eth0 tentative").out, "a valid address")
    right.space.ip("-6 route add fd00:9::9 via fd00:a::1 metric 10")
    right.space.ip("-6 route add fd00:9::9 via fd00:c::1 metric 100")
    right.wg.set(f"peer {left.key.public} endpoint [fd00:9::9]:{left.port}")
    ping(right.space, left.inner4, count=2)
    assert left.view(right).endpoint == shown("fd00:a::2")
    right.space.ip("link set eth0 down")
    wait_for(lambda: reaches(right.space, left.inner4)
             and left.view(right).endpoint == shown("fd00:c::2"), "the other source", timeout=8)


@pytest.mark.ours
@pytest.mark.parametrize("family", [4, 6])
def test_source_that_was_removed_is_replaced_for_all_who_had_it(each_way, family):
    """third, behind left, speaks to the same address of right."""
    left, right = each_way.left, each_way.right
    with_places(each_way)
    third = End(each_way.lab, "third", 3, right.daemon.implementation)
    left.space.wire(third.space, "eth2", "eth0")
    left.space.address("eth2", "10.2.0.1/24", "fd00:2::1/64")
    third.space.address("eth0", "10.2.0.3/24", "fd00:2::3/64")
    left.space.sysctl("net.ipv4.ip_forward", 1)
    left.space.sysctl("net.ipv6.conf.all.forwarding", 1)
    third.space.ip("route add default via 10.2.0.1")
    third.space.ip("-6 route add default via fd00:2::1")
    right.space.ip("route add 10.2.0.0/24 via 10.0.0.1")
    right.space.ip("-6 route add fd00:2::/64 via fd00:a::1")
    third.daemon.start()
    third.up(1420)
    second, first = PLACES[f"second-v{family}"], PLACES[f"first-v{family}"]
    third.add_peer(right, more=f"endpoint {shown(second)}")
    right.add_peer(third)
    speak_to(each_way, second)
    for end in (left, third):
        ping(end.space, right.inner4, count=2)
    right.space.ip(f"addr del {second}/{24 if family == 4 else 64} dev eth0")
    for end in (left, third):
        ping(right.space, end.inner4, count=1, wait=1)
        assert end.view(right).endpoint == shown(first)


def test_route_that_disappears_and_returns_does_not_end_the_tunnel(pair):
    left, right = pair.left, pair.right
    ping(left.space, right.inner4)
    left.space.ip("link set eth0 down")
    assert not reaches(left.space, right.inner4)
    left.space.ip("link set eth0 up")
    wait_for(lambda: reaches(left.space, right.inner4), "traffic after the wire is back")

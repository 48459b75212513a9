"""Shards: several threads with a share of the peers each, one interface to everybody else.

             spoke 0 === hub === spoke 5        the hub has shards, its peers are spread over them
"""

import concurrent.futures
import contextlib
import os
import socket
import struct
import threading
import time

import pytest

from lab import inject, peers
from lab.counters import counters_of_shards
from lab.pair import Pair
from lab.run import wait_for
from lab.traffic import ping, reaches, tcp_bytes, udp_bytes
from lab.tun import open_tun
from lab.wgtool import Key
from test_lanes import assert_flow_keeps_its_order, take_numbers

pytestmark = pytest.mark.ours

DEVICE = "wg0"
SPOKES = 6


def sum_of(shards, name):
    return sum(shard[f"packets.{name}"] for shard in shards)


def key_on(shard, shards):
    """A key of a peer that lives there."""
    while True:
        key = Key()
        if bytes.fromhex(key.public_hex)[0] % shards == shard:
            return key


class Star:
    """The hub knows all endpoints, the spokes know the hub's."""

    def __init__(self, lab, implementation, shards):
        self.hub, self.key = lab.space("hub"), Key()
        several = implementation.with_options(f"--shards={shards}")
        self.daemon = lab.daemon(self.hub, several, DEVICE).start()
        self.spokes = [lab.space(f"spoke{number}") for number in range(SPOKES)]
        self.keys = [key_on(number % shards, shards) for number in range(SPOKES)]
        self.set(self.hub, "private-key /dev/stdin listen-port 1000", text=self.key.private)
        for number, (space, key) in enumerate(zip(self.spokes, self.keys)):
            lab.daemon(space, implementation, DEVICE).start()
            self.hub.wire(space, f"to{number}", "eth0")
            self.hub.address(f"to{number}", f"10.0.{number}.254/24")
            space.address("eth0", f"10.0.{number}.1/24")
            self.set(space, "private-key /dev/stdin listen-port 1000", text=key.private)
            self.set(space, f"peer {self.key.public} endpoint 10.0.{number}.254:1000 "
                            "allowed-ips 10.9.0.0/24")
            space.address(DEVICE, f"10.9.0.{number + 1}/24")
            space.ip(f"link set {DEVICE} up")
            self.set(self.hub, f"peer {key.public} endpoint 10.0.{number}.1:1000 "
                               f"allowed-ips 10.9.0.{number + 1}/32")
        self.hub.address(DEVICE, "10.9.0.254/24")
        for space in self.spokes:
            space.wait_udp_port(1000)
        self.hub_up()

    def hub_up(self):
        """The shards learn it one after the other: a packet that comes between may be lost."""
        ups = self.daemon.log.count("link up")
        self.hub.ip(f"link set {DEVICE} up")
        wait_for(lambda: self.daemon.log.count("link up") > ups, "all shards to be up")

    @staticmethod
    def set(space, words, text=None):
        space.run("wg", "set", DEVICE, *words.split(), text=text)

    def dump(self):
        """One list of words per peer, as `wg` shows them."""
        return [line.split("\t") for line in
                self.hub.run("wg", "show", DEVICE, "dump").out.splitlines()[1:]]


@pytest.fixture(params=[2, 4])
def star(request, lab, each_engine):
    star = Star(lab, each_engine, request.param)
    star.shards = request.param
    return star


def test_all_peers_are_served_at_once_in_both_directions(star):
    assert f"shards: {star.shards}" in star.daemon.log
    assert len(star.daemon.threads("wgring-shard")) == star.shards
    for number in range(SPOKES):  # who begins takes turns
        if number % 2 == 0:
            ping(star.hub, f"10.9.0.{number + 1}", count=3)
        else:
            ping(star.spokes[number], "10.9.0.254", count=3)
    with concurrent.futures.ThreadPoolExecutor(SPOKES) as pool:
        moved = list(pool.map(lambda number: tcp_bytes(
            star.hub, star.spokes[number], f"10.9.0.{number + 1}",
            *(["-R"] if number % 2 else [])), range(SPOKES)))
    assert min(moved) > 100_000
    each = counters_of_shards(star.daemon)
    assert all(shard[f"packets.{what}"] > 100 for shard in each
               for what in ("udp_received", "udp_sent"))
    assert sum_of(each, "handed_over") == sum_of(each, "taken_over")


def test_the_interface_is_one_to_wg(star):
    for number in range(SPOKES):
        ping(star.spokes[number], "10.9.0.254", count=2)
    dump = star.dump()
    assert [words[0] for words in dump] == [key.public for key in star.keys]
    for number, words in enumerate(dump):
        endpoint, allowed, handshake, received, sent = words[2:7]
        assert endpoint == f"10.0.{number}.1:1000"
        assert allowed == f"10.9.0.{number + 1}/32"
        assert int(handshake) > 0 and int(received) > 0 and int(sent) > 0
    # A prefix moves to a peer of another shard, and with it what is sent.
    star.set(star.hub, f"peer {star.keys[1].public} allowed-ips 10.9.0.1/32,10.9.0.2/32")
    assert not reaches(star.hub, "10.9.0.1")
    star.set(star.hub, f"peer {star.keys[0].public} allowed-ips 10.9.0.1/32")
    ping(star.hub, "10.9.0.1")
    # A new port, a mark; a peer less, all peers gone.
    star.set(star.hub, "listen-port 2000 fwmark 7")
    for number in range(SPOKES):
        ping(star.hub, f"10.9.0.{number + 1}", count=2)
        ping(star.spokes[number], "10.9.0.254", count=2)
    star.set(star.hub, f"peer {star.keys[2].public} remove")
    assert not reaches(star.spokes[2], "10.9.0.254")
    ping(star.spokes[3], "10.9.0.254")
    star.hub.run("wg", "syncconf", DEVICE, "/dev/stdin", text="[Interface]\n")
    assert star.dump() == []
    assert not reaches(star.spokes[3], "10.9.0.254")


def test_a_roaming_peer_is_followed_on_its_shard(star):
    for number in range(SPOKES):
        ping(star.spokes[number], "10.9.0.254", count=2)
        star.set(star.spokes[number], "listen-port 3000")
        star.spokes[number].wait_udp_port(3000)
        ping(star.spokes[number], "10.9.0.254", count=2)
        assert star.dump()[number][2] == f"10.0.{number}.1:3000"
        ping(star.hub, f"10.9.0.{number + 1}", count=2)


def is_steered(daemon):
    """Whether packets are read by the shard of their peer, as the daemon says."""
    steered = "packets are read by their peer's shard" in daemon.log
    assert steered != ("packets are read by any shard, for " in daemon.log)
    return steered


def sending_both_ways(pair, port, seconds):
    """One flow, both ends of which begin at once; the numbers that arrived, for each end."""
    ends, arrived = [], [[], []]

    def take(number):
        take_numbers(ends[number], arrived[number],
                     lambda: not any(giver.is_alive() for giver in givers))

    def give(number):
        deadline, count = time.monotonic() + seconds, 0
        while time.monotonic() < deadline or count < 256:
            for _ in range(64):
                ends[number].send(struct.pack("!Q", count) + bytes(100))
                count += 1

    with contextlib.ExitStack() as stack:
        for end, other in ((pair.left, pair.right), (pair.right, pair.left)):
            with end.space.entered():
                ends.append(stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
            ends[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
            ends[-1].settimeout(0.25)
            ends[-1].bind((end.inner4, port))
        for number, other in enumerate((pair.right, pair.left)):
            ends[number].connect((other.inner4, port))
        givers, takers = ([threading.Thread(target=work, args=(number,)) for number in range(2)]
                          for work in (give, take))
        for thread in givers + takers:
            thread.start()
        for thread in givers + takers:
            thread.join()
    return arrived


@pytest.mark.parametrize("shards", [2, 4])
def test_no_packet_of_a_flow_overtakes_another(lab, each_engine, shards):
    implementation = each_engine.with_options(f"--shards={shards}")
    pair = Pair(lab, implementation, implementation).know_endpoint()
    assert_flow_keeps_its_order(pair)
    assert udp_bytes(pair.left.space, pair.right.space, pair.right.inner4)[1] > 1_000_000
    steered = is_steered(pair.left.daemon)
    assert steered == (peers.PERSONA not in peers.UNSTEERED_PERSONAS)
    for port in range(7100, 7116):  # the kernel's own way loses order in one of ten
        for arrived in sending_both_ways(pair, port, seconds=0.1):
            assert len(arrived) > 100
            if steered:
                assert all(before < after for before, after in zip(arrived, arrived[1:]))


def test_a_prefix_takes_its_packets_to_the_shard_of_its_peer(star):
    """Who reads a packet is its owner: what is handed over is initiations."""
    if not is_steered(star.daemon):
        assert peers.PERSONA in peers.UNSTEERED_PERSONAS
        return

    def read_by(work):
        before = counters_of_shards(star.daemon)
        work()
        after = counters_of_shards(star.daemon)
        read = [now["packets.tun_read"] - then["packets.tun_read"]
                for then, now in zip(before, after)]
        return max(range(star.shards), key=read.__getitem__), max(read)

    for number in range(SPOKES):
        ping(star.hub, f"10.9.0.{number + 1}")
    for number in range(SPOKES):
        ping(star.spokes[number], "10.9.0.254")
    before = counters_of_shards(star.daemon)
    for number in range(SPOKES):
        shard, read = read_by(lambda: ping(star.hub, f"10.9.0.{number + 1}", count=30))
        assert shard == number % star.shards and read >= 30
    after = counters_of_shards(star.daemon)
    assert sum_of(after, "handed_over") == sum_of(before, "handed_over")
    # The address of spoke 0 moves to spoke 1, and is nobody's when that goes.
    star.set(star.hub, f"peer {star.keys[1].public} allowed-ips 10.9.0.1/32,10.9.0.2/32")
    assert read_by(lambda: ping(star.hub, "10.9.0.1", count=30, wait=0.01, check=False))[0] == 1
    star.set(star.hub, f"peer {star.keys[1].public} remove")
    assert read_by(lambda: ping(star.hub, "10.9.0.1", count=30, wait=0.01, check=False))[0] == 0


def test_without_bpf_packets_are_handed_over(lab):
    """Who reads a packet is chance then; its owner sends it all the same."""
    star = Star(lab, peers.without_bpf(), 4)
    assert not is_steered(star.daemon)
    assert "for bpf(BPF_MAP_CREATE): needs CAP_BPF" in star.daemon.log
    for number in range(SPOKES):
        ping(star.hub, f"10.9.0.{number + 1}", count=2)
        ping(star.spokes[number], "10.9.0.254", count=2)
        for _ in range(16):  # flows, which nothing answers: by hash
            with star.hub.entered():
                sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with sender:
                sender.sendto(b"x", (f"10.9.0.{number + 1}", 9))
    wait_for(lambda: sum_of(counters_of_shards(star.daemon), "handed_over") > 40,
             "packets to be handed over")
    each = counters_of_shards(star.daemon)
    assert sum_of(each, "handed_over") == sum_of(each, "taken_over")


def test_link_down_and_up_and_the_end_of_the_interface(star):
    ping(star.spokes[0], "10.9.0.254")
    star.hub.ip(f"link set {DEVICE} down")
    assert not reaches(star.spokes[0], "10.9.0.254")
    star.hub_up()
    for number in range(SPOKES):
        ping(star.hub, f"10.9.0.{number + 1}", count=2)
        ping(star.spokes[number], "10.9.0.254", count=2)
    star.hub.ip(f"link delete {DEVICE}")
    assert star.daemon.wait_end() == 0


def test_a_tun_that_is_given_is_one_queue(lab, ours):
    space = lab.space("solo")
    fd = open_tun(space, DEVICE)
    several = ours.with_options("--shards=2")
    result = space.run(*several.argv(DEVICE, "-f"), env={"WG_TUN_FD": str(fd)}, pass_fds=(fd,),
                       check=False)
    os.close(fd)
    assert result.code == 1
    assert "--shards: WG_TUN_FD" in result.err
    assert len(result.err.strip().splitlines()) == 1


@pytest.mark.injects
@pytest.mark.parametrize("thread", ["wgring", "wgring-shard", "wgring-lane", "wgring-door",
                                    "wgring-flood"])
def test_the_end_of_one_thread_is_the_end_of_all(lab, ours, thread):  # H74
    """No interface stays that answers and moves nothing, or only the packets of some peers."""
    space = lab.space("solo")
    daemon = lab.daemon(space, ours.with_options("--shards=2", "--lanes=1"), DEVICE).start()
    number, *_ = wait_for(lambda: daemon.threads(thread), f"{thread} to have its name")
    inject.fault(number)
    assert inject.ended_by(daemon.wait_end()) == "SIGSEGV"
    wait_for(lambda: space.run("ip", "link", "show", DEVICE, check=False).code != 0, "no link")
    lab.daemon(space, ours, DEVICE).start()

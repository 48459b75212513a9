"""Everything that can be changed of a tunnel, changed while packets are in flight.

A change leaves a tunnel that has to work again; each is undone or lasts as it says. Both ends know
each other's endpoint afterwards. The traffic is there before each change, and comes back by itself.
"""

import base64
import itertools
import os
import pathlib
import random

from lab.pair import DEVICE
from lab.run import LabError, wait_for
from lab.traffic import reaches
from lab.wgtool import Key, preshared_key

MTUS = (68, 576, 1279, 1280, 9000, 65535)
MTU = 1420
RECOVERY_S = 30
FLOWING_PACKETS = 50  # what our own pings between changes do not add up to
SEGMENTS_PER_CHANGE = 10  # several hundred with the thread sanitizer; a single change may have none
PORT = 5202  # not that of a run beside it
SERVER = "while :; do iperf3 -s -1 -B {0} -p {1}; done"
CLIENT = "while :; do iperf3 -c {0} -p {1} -t 5 -P 2 --connect-timeout 2000; sleep 0.2; done"


class Churn:
    """Owner of the traffic through a pair; the pair's lab ends it."""

    def __init__(self, pair, seed=1, changes=None):
        self.pair, self.left, self.right = pair, pair.left, pair.right
        self.random, self.changes = random.Random(seed), changes or CHANGES
        self.done = {}
        self.number, self.psk = 0, None
        self.flows, self.at_first = {}, {}
        self.know_each_other()

    def begin_traffic(self):
        """Echo requests as fast as they come back, and TCP in both directions.

        An echo that finds no route or no answer is asked again 10 ms later, so they never end; a
        TCP run that ends or breaks is followed by the next one.
        """
        for end, other in ((self.left, self.right), (self.right, self.left)):
            self._own(f"ping on the {end.name}", end, ["ping", "-q", "-f", other.inner4])
            self._own(f"servers on the {other.name}", other,
                      ["sh", "-c", SERVER.format(other.inner4, PORT)])
            self._own(f"clients on the {end.name}", end,
                      ["sh", "-c", CLIENT.format(other.inner4, PORT)])
        self.flowing(received, "traffic at first")
        self.flowing(segments, "TCP at first")
        self.at_first = {(count, end): count(end) for count in (received, segments)
                         for end in (self.left, self.right)}

    def _own(self, what, end, argv):
        with (self.pair.lab.directory / "traffic.log").open("a") as log:
            process, _ = end.space.popen(argv, stdout=log, stderr=log)
        self.flows[what] = self.pair.lab.own(process)

    def flowing(self, count, what, before=None):
        """Waits until each end got more by itself than what it had before, or has now."""
        ends = (self.left, self.right)
        before = before or [count(end) for end in ends]
        for end, had in zip(ends, before):
            wait_for(lambda: self.alive(what) and count(end) - had > FLOWING_PACKETS,
                     f"{what} to reach the {end.name}", RECOVERY_S)

    def carried(self, count):
        """Since all of it flowed, of the end that got less."""
        return min(count(end) - self.at_first[count, end] for end in (self.left, self.right))

    def settle(self):
        """When nothing changes any more: TCP was there meanwhile, and is now, maybe begun anew."""
        if self.carried(segments) < SEGMENTS_PER_CHANGE * self.number:
            raise LabError(f"TCP stood still: {self.carried(segments)} segments during "
                           f"{self.number} changes")
        self.flowing(segments, "TCP after all changes")

    def know_each_other(self, family=4):
        self.left.set_endpoint(self.right, family)
        self.right.set_endpoint(self.left, family)

    def one(self, name=None):
        """The named change, or any; then waits until the tunnel works in both directions."""
        name = name or self.random.choice(self.changes)
        self.number += 1
        self.alive("the change before")
        getattr(self, name)()
        before = [received(end) for end in (self.left, self.right)]
        for end, other in ((self.left, self.right), (self.right, self.left)):
            # A single staged ping may be pushed out by the traffic: ask until one comes back. On a
            # slow machine that takes over a second.
            waits = itertools.chain([1] * 5, itertools.repeat(5))
            wait_for(lambda: self.alive(name) and reaches(end.space, other.inner4, next(waits)),
                     f"traffic after {name}", RECOVERY_S)
        if self.flows:
            self.flowing(received, f"traffic after {name}", before)
        self.done[name] = self.done.get(name, 0) + 1

    def alive(self, name):
        for end in (self.left, self.right):
            if not end.daemon.running:
                raise LabError(f"the daemon on the {end.name} has ended after {name}")
        for what, process in self.flows.items():
            if process.poll() is not None:
                raise LabError(f"{what} ended with {process.returncode} after {name}")
        return True

    def any_end(self):
        """(one end, the other)."""
        ends = [self.left, self.right]
        self.random.shuffle(ends)
        return ends

    # --- the changes ---

    def link_flap(self):
        end, _ = self.any_end()
        for _ in range(self.random.randint(1, 5)):
            end.space.ip(f"link set {DEVICE} down")
            end.space.ip(f"link set {DEVICE} up")

    def outer_link_flap(self):
        end, _ = self.any_end()
        end.space.ip("link set eth0 down")
        end.space.ip("link set eth0 up")
        end.space.ip(f"addr replace {end.outer6}/64 dev eth0 nodad")  # went with the link

    def mtu(self):
        end, _ = self.any_end()
        for mtu in (*self.random.sample(MTUS, len(MTUS)), MTU):
            end.space.ip(f"link set {DEVICE} mtu {mtu}")

    def port(self):
        end, _ = self.any_end()
        end.port = 2000 + self.number % 1000
        end.wg.set(f"listen-port {end.port}")
        self.know_each_other()

    def fwmark(self):
        end, _ = self.any_end()
        for mark in (1, 0xFFFFFFFF, 0):
            end.wg.set(f"fwmark {mark:#x}")

    def private_key(self):
        end, other = self.any_end()
        old, end.key = end.key, Key()
        end.wg.set_private_key(end.key.private)
        other.wg.set(f"peer {old.public} remove")
        other.add_peer(end, self.psk)
        self.know_each_other()

    def preshared_key(self):
        """Takes effect with the next handshake, which the link going down asks for."""
        self.psk = preshared_key() if self.random.random() < 0.8 else None
        self.left.wg.set_preshared_key(self.right.key.public, self.psk)
        self.right.wg.set_preshared_key(self.left.key.public, self.psk)
        for end in (self.left, self.right):
            end.space.ip(f"link set {DEVICE} down")
            end.space.ip(f"link set {DEVICE} up")

    def peer_removed(self):
        """On one end or on both."""
        for end, other in (self.any_end(), self.any_end()):
            end.wg.set(f"peer {other.key.public} remove")
            end.add_peer(other, self.psk)
        self.know_each_other()

    def all_peers_replaced(self):
        """`wg setconf` by one end, as it is after a restart."""
        end, other = self.any_end()
        psk = f"PresharedKey = {self.psk}\n" if self.psk else ""
        end.wg.configure("setconf", (
            f"[Interface]\nPrivateKey = {end.key.private}\nListenPort = {end.port}\n"
            f"[Peer]\nPublicKey = {other.key.public}\n{psk}"
            f"AllowedIPs = {other.inner4}/32, {other.inner6}/128\n"))
        self.know_each_other()

    def strangers_come_and_go(self):
        """Forty peers whose traffic would go nowhere, and one that takes the other's address."""
        end, other = self.any_end()
        keys = [base64.b64encode(os.urandom(32)).decode() for _ in range(40)]
        words = [f"peer {key} allowed-ips 10.99.{number}.0/24 endpoint 10.0.0.77:7"
                 for number, key in enumerate(keys)]
        end.wg.set(" ".join(words))
        end.wg.set(f"peer {keys[0]} allowed-ips {other.inner4}/32")
        end.wg.set(f"peer {other.key.public} allowed-ips {other.inner4}/32,{other.inner6}/128")
        end.wg.set(" ".join(f"peer {key} remove" for key in keys))

    def family(self):
        self.know_each_other(self.random.choice((4, 6)))

    def keepalive(self):
        end, other = self.any_end()
        for seconds in (1, 65535, 0):
            end.wg.set(f"peer {other.key.public} persistent-keepalive {seconds}")

    def looked_at(self):
        for end in (self.left, self.right):
            end.wg.show()
            end.wg.dump()


def received(end):
    """Packets that the tunnel gave to an end."""
    return end.space.link_count(DEVICE, "rx_packets")


def segments(end):
    """TCP segments that came to an end: through the tunnel, as there are no others."""
    lines = pathlib.Path(f"/proc/{end.space.pid}/net/snmp").read_text().splitlines()
    names, numbers = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(numbers[names.index("InSegs")])


CHANGES = ("link_flap", "outer_link_flap", "mtu", "port", "fwmark", "private_key",
           "preshared_key", "peer_removed", "all_peers_replaced", "strangers_come_and_go",
           "family", "keepalive", "looked_at")

"""The ground of the soak: spokes that reach a hub through a lossy relay.

    hub  eth0 10.9.0.1/16 --- wire --- eth0 10.9.0.2/16  relay  eth1 10.8.1.1/24 --- spoke 1
         wg0  192.168.241.1            10.9.1.1, .2, .3         eth2 10.8.2.1/24 --- spoke 2
                                                                eth3 10.8.3.1/24 --- spoke 3

The hub hears spoke k from 10.9.1.k, the spoke hears the hub from 10.8.k.1. A spoke that changes its
address changes the port that the hub hears it from as well.
"""

import json
import pathlib
import subprocess
import sys

from lab import peers
from lab.pair import DEVICE
from lab.run import LabError, wait_for
from lab.wgtool import Key, Wg

HERE = pathlib.Path(__file__).parent
PORT, MTU = 1001, 1420


class Member:
    """One daemon with its key and inner address."""

    def __init__(self, lab, name, implementation, inner):
        self.name, self.inner = name, inner
        self.space = lab.space(name)
        self.space.sysctl("net.ipv6.conf.default.disable_ipv6", 1)  # no multicasts of the kernel
        self.space.sysctl("net.ipv4.conf.default.promote_secondaries", 1)
        self.daemon = lab.daemon(self.space, implementation, DEVICE)
        self.wg, self.key = Wg(self.space, DEVICE), Key()

    def start(self, blocks):
        self.daemon.start()
        wait_for(lambda: self.space.run("ip", "link", "show", DEVICE, check=False).code == 0,
                 "the interface")
        self.wg.configure("setconf", f"[Interface]\nPrivateKey = {self.key.private}\n"
                          f"ListenPort = {PORT}\n" + "".join(blocks))
        self.space.address(DEVICE, f"{self.inner}/24")
        self.space.ip(f"link set {DEVICE} mtu {MTU} up")
        self.space.wait_udp_port(PORT)

    def kernel_counters(self):
        """{"Group.name": number} of what the kernel of its namespace counted, zeros left out."""
        text = self.space.run("cat", "/proc/net/snmp", "/proc/net/netstat").out
        lines = [line.split() for line in text.splitlines()]
        return {f"{names[0]}{name}".replace(":", "."): int(number)
                for names, numbers in zip(lines[::2], lines[1::2])
                for name, number in zip(names[1:], numbers[1:]) if int(number)}


class Spoke(Member):
    def __init__(self, lab, number, name, implementation):
        super().__init__(lab, name, implementation, f"192.168.241.{10 + number}")
        self.number = number
        self.ours = implementation.path == peers.under_test_path()
        self.outer = f"10.8.{number}.2"
        self.moved = 0

    def peer(self, hub):
        return (f"[Peer]\nPublicKey = {hub.key.public}\nAllowedIPs = {hub.inner}/32\n"
                f"Endpoint = 10.8.{self.number}.1:{PORT}\n")


class Relay:
    """relay.py in a space of its own."""

    def __init__(self, lab, hub, spokes):
        self.space = lab.space("relay")
        hub.space.wire(self.space, "eth0", "eth0")
        hub.space.address("eth0", "10.9.0.1/16")
        self.space.address("eth0", "10.9.0.2/16")
        self.faces = []
        for spoke in spokes:
            number = spoke.number
            spoke.space.wire(self.space, "eth0", f"eth{number}")
            spoke.space.address("eth0", f"{spoke.outer}/24")
            self.space.address("eth0", f"10.9.1.{number}/16")
            self.space.address(f"eth{number}", f"10.8.{number}.1/24")
            self.neighbour(spoke)
            self.faces += [f"10.9.1.{number}", f"10.8.{number}.1"]

    def neighbour(self, spoke):
        """Told, not asked for: what would wait for the answer of ARP is lost without a counter."""
        mac = spoke.space.path("/sys/class/net/eth0/address").read_text().strip()
        self.space.ip(f"neigh replace {spoke.outer} lladdr {mac} dev eth{spoke.number} "
                      "nud permanent")

    def start(self, lab, seed, loss, reorder):
        self.process, _ = self.space.popen(
            [sys.executable, "-S", HERE / "relay.py", seed, loss, reorder, "10.9.0.1", PORT,
             *self.faces], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        lab.own(self.process)
        if self.process.stdout.readline() != "ready\n":
            raise LabError("the relay does not begin")

    def ask(self, command="report"):
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise LabError("the relay is gone")
        return json.loads(line)


class Star:
    """All of it, configured; the spokes begin."""

    def __init__(self, lab, hub, spokes, *, seed, loss, reorder):
        self.lab = lab
        self.hub = Member(lab, "hub", hub, "192.168.241.1")
        self.spokes = [Spoke(lab, number, *spoke) for number, spoke in enumerate(spokes, 1)]
        self.relay = Relay(lab, self.hub, self.spokes)
        self.relay.start(lab, seed, loss, reorder)
        self.hub.start([self.of_hub(spoke) for spoke in self.spokes])
        for spoke in self.spokes:
            spoke.start([spoke.peer(self.hub)])

    @staticmethod
    def of_hub(spoke):
        return f"[Peer]\nPublicKey = {spoke.key.public}\nAllowedIPs = {spoke.inner}/32\n"

    @property
    def members(self):
        return [self.hub, *self.spokes]

    def roam(self, spoke):
        """A new address; until the relay hears from it, what goes to the old one is lost."""
        old, spoke.moved = spoke.outer, spoke.moved + 1
        spoke.outer = f"10.8.{spoke.number}.{2 + spoke.moved % 200}"
        self.relay.neighbour(spoke)
        # Never without any: what arrives then is dropped by the kernel without a counter.
        spoke.space.address("eth0", f"{spoke.outer}/24")
        spoke.space.ip(f"addr del {old}/24 dev eth0")

    def forget(self, spoke):
        self.hub.wg.set(f"peer {spoke.key.public} remove")

    def remember(self, spoke):
        """With where it is: it does not know that it was forgotten, and would not begin."""
        where = self.relay.ask()["paths"][spoke.number - 1]["hears_hub_at"]
        self.hub.wg.set(f"peer {spoke.key.public} endpoint {where} allowed-ips {spoke.inner}/32")

"""The usual experiment: two spaces, one wire, one tunnel.

    left                                              right
    eth0 10.0.0.1/24, fd00:a::1/64  ----- wire -----  eth0 10.0.0.2/24, fd00:a::2/64
    wg0  192.168.241.1/24, fd00:b::1/64  == tunnel == wg0  192.168.241.2/24, fd00:b::2/64
    port 1001                                         port 1002
"""

from lab.lab import Lab
from lab.run import wait_for
from lab.wgtool import Key, Wg, preshared_key

DEVICE = "wg0"


class Side:
    """Keys and addresses of one end of a tunnel; `space` is where its interface is.

    Tunnels of other numbers than 0 have devices, ports and addresses of their own.
    """

    def __init__(self, name, number, space, tunnel=0):
        self.name, self.number, self.space = name, number, space
        self.device = f"wg{tunnel}"
        self.wg = Wg(space, self.device)
        self.key = Key()
        self.port = 1000 * (tunnel + 1) + number
        self.outer4, self.outer6 = f"10.0.0.{number}", f"fd00:a::{number}"
        self.inner4 = f"192.168.{241 + tunnel}.{number}"
        self.inner6 = f"fd00:b{tunnel or ''}::{number}"

    def endpoint(self, family):
        return f"{self.outer4}:{self.port}" if family == 4 else f"[{self.outer6}]:{self.port}"

    def up(self, mtu):
        self.wg.set_private_key(self.key.private)
        self.wg.set(f"listen-port {self.port}")
        self.space.address(self.device, f"{self.inner4}/24", f"{self.inner6}/64")
        self.space.ip(f"link set {self.device} mtu {mtu} up")
        self.space.wait_udp_port(self.port)

    def add_peer(self, other, psk=None, more=""):
        self.wg.set(f"peer {other.key.public} allowed-ips {other.inner4}/32,{other.inner6}/128 "
                    + more)
        if psk:
            self.wg.set_preshared_key(other.key.public, psk)

    def set_endpoint(self, other, family):
        self.wg.set(f"peer {other.key.public} endpoint {other.endpoint(family)}")

    def view(self, other):
        """What this end's `wg show` says about the other one."""
        return self.wg.peer(other.key.public)


class End(Side):
    """One end of the pair: a space and a daemon of its own."""

    def __init__(self, lab, name, number, implementation):
        super().__init__(name, number, lab.space(name))
        self.daemon = lab.daemon(self.space, implementation, self.device)


class Pair:
    """Two ends, wired, configured as peers of each other; no endpoint is known yet."""

    def __init__(self, lab: Lab, left, right, *, mtu=1420, wire_mtu=None, psk=False):
        self.lab = lab
        self.left, self.right = End(lab, "left", 1, left), End(lab, "right", 2, right)
        self.left.space.wire(self.right.space, "eth0", "eth0", wire_mtu or max(1500, mtu + 80))
        self.psk = preshared_key() if psk else None
        for end in (self.left, self.right):
            end.space.address("eth0", f"{end.outer4}/24", f"{end.outer6}/64")
            end.daemon.start(wait_ready=False)
        for end, other in ((self.left, self.right), (self.right, self.left)):
            end.daemon.wait_ready()
            end.up(mtu)
            end.add_peer(other, self.psk)

    def know_endpoint(self, family=4):
        """Left learns where right is; right learns it from the first handshake."""
        self.left.set_endpoint(self.right, family)
        return self

    def wait_handshake(self):
        wait_for(lambda: self.left.view(self.right).latest_handshake
                 and self.right.view(self.left).latest_handshake, "a handshake on both ends")

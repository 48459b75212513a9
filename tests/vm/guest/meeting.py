"""A tunnel between the daemon under test and the guest's kernel.

    the space                                   the guest
    eth0 10.0.0.1, fd00:a::1         --- tap ---   eth0 10.0.0.2, fd00:a::2
    wg0  192.168.241.1, fd00:b::1  == tunnel ==  wg0  192.168.241.2, fd00:b::2
    port 1001                                   port 1002
"""

import socket

from lab.pair import Side
from lab.run import wait_for
from lab.traffic import ping
from lab.wgtool import preshared_key

MTU = 1420


class Ours(Side):
    """The daemon under test."""

    def __init__(self, lab, machine, implementation, tunnel):
        super().__init__("ours", 1, machine.space, tunnel)
        self.daemon = lab.daemon(self.space, implementation, self.device).start()

    def ping(self, address, count=3, size=56, wait=10):
        ping(self.space, address, count=count, size=size, wait=wait)

    def tcp_listener(self, address, port):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.space.entered():
            sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(60)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(1)
        return sock


class Kernel(Side):
    """The guest's interface. A command costs it a tenth of a second, so they come together."""

    def __init__(self, machine, tunnel):
        super().__init__("kernel", 2, machine, tunnel)
        self.down()  # that of a test that ended in the middle
        machine.ip(f"link add {self.device} type wireguard")

    def up(self, mtu):
        self.space.shell(
            f"echo {self.key.private} |"
            f" wg set {self.device} listen-port {self.port} private-key /dev/stdin &&"
            f" ip addr add {self.inner4}/24 dev {self.device} &&"
            f" ip addr add {self.inner6}/64 dev {self.device} &&"
            f" ip link set {self.device} mtu {mtu} up")

    def down(self):
        self.space.ip(f"link del {self.device}", check=False)

    def ping(self, address, count=3, size=56, wait=10):
        self.space.run("ping", "-c", count, "-i", 0.1, "-W", wait, "-s", size, address,
                       timeout=count * wait + 20)


class Meeting:
    """Both ends up and peers of each other; no endpoint is known yet."""

    def __init__(self, lab, machine, implementation, *, psk=None, tunnel=0):
        """`psk`: none, one for both, or a pair of them (ours, the kernel's)."""
        self.lab, self.machine = lab, machine
        self.ours = Ours(lab, machine, implementation, tunnel)
        self.kernel = Kernel(machine, tunnel)
        keys = psk if isinstance(psk, tuple) else [preshared_key() if psk else None] * 2
        for end, other, key in ((self.ours, self.kernel, keys[0]),
                                (self.kernel, self.ours, keys[1])):
            end.up(MTU)
            end.add_peer(other, key)

    def ends(self, begins, family=4):
        """(who begins, who answers); the first learns where the second is."""
        ends = (self.ours, self.kernel) if begins == "ours" else (self.kernel, self.ours)
        ends[0].set_endpoint(ends[1], family)
        return ends

    def transfers(self):
        """(ours, the kernel's, mirrored): received and sent as our end should have them."""
        ours, kernel = self.ours.view(self.kernel), self.kernel.view(self.ours)
        return (ours.rx_bytes, ours.tx_bytes), (kernel.tx_bytes, kernel.rx_bytes)

    def quiet_transfer(self):
        """(received, sent) of our end, once both agree on it: a keepalive may be on its way."""
        def agreed():
            ours, kernel = self.transfers()
            return ours if ours == kernel else None
        return wait_for(agreed, "equal counters of both ends", timeout=20)

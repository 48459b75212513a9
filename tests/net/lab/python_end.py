"""The daemon in one space, a WireGuard peer in Python on a socket of the other.

    near  eth0 10.0.0.1       --- wire ---  eth0 10.0.0.2  far
          wg0  192.168.241.1                inner 192.168.241.2, no TUN
"""

import socket

from lab.peer import PythonPeer, echo_request
from lab.wgtool import Key, Wg

DEVICE = "wg0"
INNER, FAR_INNER, PORT, FAR_PORT = "192.168.241.1", "192.168.241.2", 1001, 1002


class WithPython:
    """The two ends, configured for each other; neither has spoken yet."""

    def __init__(self, lab, implementation, psk=None):
        self.lab, self.near, self.far = lab, lab.space("near"), lab.space("far")
        self.near.wire(self.far, "eth0", "eth0")
        for number, space in enumerate((self.near, self.far), 1):
            # Only what the daemon sends may be on the wire: no neighbour discovery for IPv6.
            space.sysctl("net.ipv6.conf.eth0.disable_ipv6", 1)
            space.address("eth0", f"10.0.0.{number}/24")
        self.daemon = lab.daemon(self.near, implementation, DEVICE).start()
        self.wg, key, far_key = Wg(self.near, DEVICE), Key(), Key()
        self.near_public, self.far_public = key.public, far_key.public
        self._configure(key, psk)
        self.peer = self.far_peer(far_key, FAR_PORT, psk)

    def _configure(self, key, psk):
        self.wg.set_private_key(key.private)
        self.wg.set(f"listen-port {PORT} peer {self.far_public} allowed-ips {FAR_INNER}/32")
        if psk:
            self.wg.set_preshared_key(self.far_public, psk)
        self.near.address(DEVICE, f"{INNER}/24")
        self.near.ip(f"link set {DEVICE} up")
        self.near.wait_udp_port(PORT)

    def far_peer(self, key, port, psk=None):
        """A peer at its own port of the far host, known to the daemon or not."""
        sock = self.far.udp_socket(socket.AF_INET, bind=("10.0.0.2", port))
        return PythonPeer(sock, ("10.0.0.1", PORT), key, self.near_public, psk)

    def tell_endpoint(self):
        self.wg.set(f"peer {self.far_public} endpoint 10.0.0.2:{FAR_PORT}")

    def view(self):
        return self.wg.peer(self.far_public)

    def echo(self, sequence=0, source=FAR_INNER, payload=b"wgring" * 8):
        """An echo request from the far inner address to the near one."""
        return echo_request(source, INNER, sequence, payload)

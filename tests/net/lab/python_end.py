"""The daemon in one space, a WireGuard peer in Python on a socket of the other.

    near  eth0 10.0.0.1       --- wire ---  eth0 10.0.0.2  far
          wg0  192.168.241.1                inner 192.168.241.2, no TUN
"""

import socket

from lab.peer import PythonPeer, echo_request
from lab.traffic import ping
from lab.wgtool import Key, Wg

DEVICE = "wg0"
INNER6, FAR_INNER6 = "fd00:b::1", "fd00:b::2"
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


class InBothFamilies(WithPython):
    """The same, and IPv6 inside; outside it is the family of `outer`.

        near  eth0 fd00:a::1  --- wire ---  eth0 fd00:a::2  far
              wg0  fd00:b::1                inner fd00:b::2
    """

    def __init__(self, lab, implementation, outer):
        super().__init__(lab, implementation)
        self.outer = outer
        for number, space in enumerate((self.near, self.far), 1):
            space.sysctl("net.ipv6.conf.eth0.disable_ipv6", 0)
            space.address("eth0", f"fd00:a::{number}/64")
        self.near.address(DEVICE, f"{INNER6}/64")
        self.wg.set(f"peer {self.far_public} allowed-ips {FAR_INNER}/32,{FAR_INNER6}/128")
        if outer == 6:
            self.peer.sock.close()
            self.peer = self.peer_at("fd00:a::2", FAR_PORT, self.peer.key)
        ping(self.near, "fd00:a::2", count=1)

    def peer_at(self, address, port, key):
        """A peer at an address of the far host, that speaks to the near one of the same family."""
        v6 = ":" in address
        sock = self.far.udp_socket(socket.AF_INET6 if v6 else socket.AF_INET, bind=(address, port))
        return PythonPeer(sock, ("fd00:a::1" if v6 else "10.0.0.1", PORT), key, self.near_public)

    def endpoint(self):
        return f"[fd00:a::2]:{FAR_PORT}" if self.outer == 6 else f"10.0.0.2:{FAR_PORT}"

    def set_traffic_class(self, value):
        """Of what the peer sends from now on."""
        level, name = ((socket.IPPROTO_IPV6, socket.IPV6_TCLASS) if self.outer == 6
                       else (socket.IPPROTO_IP, socket.IP_TOS))
        self.peer.sock.setsockopt(level, name, value)

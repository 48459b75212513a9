"""Two ends like those of lab/pair.py, each configured by one `wg setconf`, as wg-quick does it.

Not all implementations take changes of a peer they have: this is the way to try any of them.
"""

from lab.pair import DEVICE, End
from lab.run import wait_for
from lab.wgtool import preshared_key


class Tunnel:
    """left knows where right is, and so begins."""

    def __init__(self, lab, left, right, *, outer=4, psk=False):
        """`psk`: none, one for both, or a pair of them."""
        self.lab = lab
        left_psk, right_psk = psk if isinstance(psk, tuple) else [preshared_key()] * 2
        self.left, self.right = End(lab, "left", 1, left), End(lab, "right", 2, right)
        self.left.space.wire(self.right.space, "eth0", "eth0")
        for end in (self.left, self.right):
            end.space.address("eth0", f"{end.outer4}/24", f"{end.outer6}/64")
            end.daemon.start(wait_ready=False)
        self.up(self.right, self.left, right_psk if psk else None, "")
        self.up(self.left, self.right, left_psk if psk else None,
                f"Endpoint = {self.right.endpoint(outer)}\n")

    @staticmethod
    def up(end, other, psk, endpoint):
        end.daemon.wait_ready()
        wait_for(lambda: end.space.run("ip", "link", "show", DEVICE, check=False).code == 0,
                 "the interface")  # not there yet when gotatun answers
        psk = f"PresharedKey = {psk}\n" if psk else ""
        end.wg.configure("setconf", (
            f"[Interface]\nPrivateKey = {end.key.private}\nListenPort = {end.port}\n"
            f"[Peer]\nPublicKey = {other.key.public}\n{psk}{endpoint}"
            f"AllowedIPs = {other.inner4}/32, {other.inner6}/128\n"))
        end.space.address(DEVICE, f"{end.inner4}/24", f"{end.inner6}/64")
        end.space.ip(f"link set {DEVICE} mtu 1420 up")
        end.space.wait_udp_port(end.port)

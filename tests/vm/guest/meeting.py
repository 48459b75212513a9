"""A tunnel between the daemon under test and the guest's kernel.

    the space                                the guest
    eth0 10.0.0.1, fd00:a::1      --- tap ---   eth0 10.0.0.2, fd00:a::2
    wg0  192.168.241.1, fd00:b::1  == tunnel ==  wg0  192.168.241.2, fd00:b::2
    port 1001                                port 1002
"""

from lab.pair import Side
from lab.wgtool import preshared_key


class Meeting:
    """Both ends up and peers of each other; no endpoint is known yet."""

    def __init__(self, lab, machine, implementation, *, psk=None, tunnel=0):
        """`psk`: none, one for both, or a pair of them (ours, the kernel's)."""
        self.lab, self.machine = lab, machine
        self.ours = Side("ours", 1, machine.space, tunnel)
        self.kernel = Side("kernel", 2, machine, tunnel)
        self.ours.daemon = lab.daemon(machine.space, implementation, self.ours.device).start()
        machine.ip(f"link add {self.kernel.device} type wireguard")
        keys = psk if isinstance(psk, tuple) else [preshared_key() if psk else None] * 2
        for end, other, key in ((self.ours, self.kernel, keys[0]),
                                (self.kernel, self.ours, keys[1])):
            end.up(1420)
            end.add_peer(other, key)

    def ends(self, begins):
        """(who begins, who answers); the first learns where the second is."""
        first, second = ((self.ours, self.kernel) if begins == "ours" else
                         (self.kernel, self.ours))
        first.set_endpoint(second, 4)
        return first, second

    def close(self):
        self.machine.ip(f"link del {self.kernel.device}", check=False)

"""One contestant on both ends of a wire, made for one trial and taken down after it."""

import contextlib
import tempfile

from duel import meter
from lab.lab import Lab
from lab.pair import DEVICE, End
from lab.run import LabError, wait_for
from lab.traffic import reaches

MTU = 1420
HANDSHAKE_S = 15


class Arena:
    """Two ends that reach each other at `target`, through a tunnel unless it is the ceiling."""

    def __init__(self, lab, contestant):
        self.lab, self.contestant = lab, contestant
        self.left = End(lab, "left", 1, contestant.implementation)
        self.right = End(lab, "right", 2, contestant.implementation)
        self.ends = (self.left, self.right)
        self._wire()
        if contestant.implementation:
            self._tunnel()
        self.target = self.right.inner4 if contestant.implementation else self.right.outer4
        wait_for(lambda: reaches(self.left.space, self.target), "a first ping", HANDSHAKE_S)

    def _wire(self):
        self.left.space.wire(self.right.space, "eth0", "eth0")
        for end in self.ends:
            end.space.sysctl("net.ipv6.conf.eth0.disable_ipv6", 1)
            end.space.address("eth0", f"{end.outer4}/24")

    def _tunnel(self):
        for end in self.ends:
            end.daemon.start(wait_ready=False)
        for end, other in (self.ends, self.ends[::-1]):
            end.daemon.wait_ready()
            end.wg.configure("setconf", configuration(end, other))
            end.space.address(DEVICE, f"{end.inner4}/24")
            end.space.ip(f"link set {DEVICE} mtu {MTU} up")
            end.space.wait_udp_port(end.port)

    @property
    def pids(self):
        return [end.daemon.pid for end in self.ends] if self.contestant.implementation else []

    def meter(self):
        return meter.Meter(self.pids)

    def peak_mb(self):
        """Of the end that needed more; None for the ceiling."""
        return max(map(meter.peak_mb, self.pids), default=None)

    def check_alive(self):
        for end in self.ends if self.contestant.implementation else ():
            if not end.daemon.running:
                raise LabError(f"{self.contestant} on the {end.name} ended during the trial")


def configuration(end, other):
    """All in one, as wg-quick does it: some stumble over a change of what they have already."""
    return (f"[Interface]\nPrivateKey = {end.key.private}\nListenPort = {end.port}\n"
            f"[Peer]\nPublicKey = {other.key.public}\nAllowedIPs = {other.inner4}/32\n"
            f"Endpoint = {other.endpoint(4)}\n")


def last_words(lab, lines=16):
    return "\n".join(lab.logs().splitlines()[-lines:])


@contextlib.contextmanager
def laboratory(contestant):
    """A lab that is gone afterwards. Ours has to end well; how others end is their affair."""
    with tempfile.TemporaryDirectory(prefix="wgring-duel-") as directory:
        lab = Lab(directory)
        try:
            yield lab
        except LabError as error:
            raise LabError(f"{error}\n{last_words(lab)}") from None
        finally:
            try:
                lab.close()
            except LabError:
                if contestant.kind == "ours":
                    raise


def solo(lab, contestant):
    """One end alone, its link up, nobody to talk to."""
    space = lab.space("solo")
    daemon = lab.daemon(space, contestant.implementation, DEVICE).start()
    space.address(DEVICE, "192.168.241.1/24")
    space.ip(f"link set {DEVICE} up")
    return space, daemon

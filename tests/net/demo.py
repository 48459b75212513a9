#!/usr/bin/env python3
"""Two hosts in one machine, a tunnel of ours between them, and a look at the wire.

    left   eth0 10.0.0.1  -------- wire, captured --------  eth0 10.0.0.2   right
           wg0  192.168.241.1  ========= tunnel =========  wg0  192.168.241.2
"""

import pathlib
import signal
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.dont_write_bytecode = True

from lab import peers  # noqa: E402
from lab.lab import Lab  # noqa: E402
from lab.pair import DEVICE, End  # noqa: E402
from lab.run import LabError, run, wait_for  # noqa: E402
from lab.traffic import iperf  # noqa: E402

TOOLS = ("ip", "nsenter", "unshare", "wg", "ping", "iperf3", "tcpdump", "ss", "sysctl")
SECONDS = 5


def say(text):
    print(f"\n== {text}", flush=True)


def show(text):
    print("\n".join(f"   {line}" for line in text.strip().splitlines()), flush=True)


def do(space, *words, **options):
    """Runs a command inside one of the two hosts, saying so."""
    show(f"{space.name.split('-')[0]}# {' '.join(str(word) for word in words)}")
    return space.run(*words, **options)


def wire(left, right):
    say("Two network namespaces, left and right, with one wire between them")
    left.space.wire(right.space, "eth0", "eth0")
    for end in (left, right):
        end.space.sysctl("net.ipv6.conf.eth0.disable_ipv6", 1)
        do(end.space, "ip", "addr", "add", f"{end.outer4}/24", "dev", "eth0")


def start(ends):
    say("A wgring in each")
    for end in ends:
        show(f"{end.name}# {' '.join(end.daemon.implementation.argv(DEVICE, '-f'))} &")
        end.daemon.start(env={"LOG_LEVEL": "info"})
    for end in ends:
        show(f"{end.name}: {engine_line(end.daemon)}")


def engine_line(daemon):
    """What it chose and why: the demo promises to show it."""
    for line in daemon.log.splitlines():
        if "engine:" in line:
            return line
    raise LabError(f"{daemon.implementation} did not say which engine it chose")


def configure(ends):
    say("Keys, ports and peers, given with wg")
    for end, other in (ends, ends[::-1]):
        do(end.space, "wg", "set", DEVICE, "listen-port", end.port, "private-key", "/dev/stdin",
           "peer", other.key.public, "allowed-ips", f"{other.inner4}/32",
           "endpoint", other.endpoint(4), text=end.key.private)
        do(end.space, "ip", "addr", "add", f"{end.inner4}/24", "dev", DEVICE)
        do(end.space, "ip", "link", "set", DEVICE, "mtu", 1420, "up")
        end.space.wait_udp_port(end.port)


class Wire:
    """A capture on left's wire; tcpdump alone, as the demo needs no tshark."""

    def __init__(self, end, path):
        self.space, self.path = end.space, path
        self.process, self.pid = self.space.popen(
            ["tcpdump", "-n", "-U", "-i", "eth0", "-s", "96", "-Z", "root", "-w", str(path)],
            stderr=path.with_suffix(".log").open("w"))
        wait_for(lambda: "listening on" in path.with_suffix(".log").read_text(), "tcpdump")

    def stop(self):
        run(["kill", "-INT", self.pid])
        self.process.wait(timeout=10)

    def count(self, what):
        return len(run(["tcpdump", "-n", "-r", self.path, *what.split()],
                       timeout=60).out.splitlines())


def traffic(left, right):
    say("Ping through the tunnel")
    show(do(left.space, "ping", "-n", "-c", 3, "-i", "0.2", right.inner4).out)
    say(f"iperf3 through the tunnel, {SECONDS} s of TCP")
    total = iperf(left.space, right.space, right.inner4, seconds=SECONDS)["sum_received"]
    show(f"{total['bytes'] / 1e6:.0f} MB received, {total['bits_per_second'] / 1e6:.0f} Mbit/s")


def judge(capture, left, right):
    """The wire carried UDP between the two ports (and ARP, which finds the neighbour)."""
    say("What the wire between them carried")
    ports = f"udp and port {left.port} and port {right.port}"
    total, tunnel, arp = capture.count(""), capture.count(ports), capture.count("arp")
    inner = capture.count(f"host {left.inner4} or host {right.inner4}") - capture.count(
        f"arp and (host {left.inner4} or host {right.inner4})")
    show(f"{total} frames: {tunnel} UDP between ports {left.port} and {right.port}, {arp} ARP, "
         f"{total - tunnel - arp} others, {inner} with an inner address in the open")
    if total - tunnel - arp or inner or not tunnel:
        raise LabError("something else than the tunnel was on the wire")


def demo(lab):
    daemon = peers.under_test()
    left, right = End(lab, "left", 1, daemon), End(lab, "right", 2, daemon)
    wire(left, right)
    start((left, right))
    configure((left, right))
    capture = Wire(left, lab.directory / "wire.pcap")
    lab.own(capture.process)
    traffic(left, right)
    capture.stop()
    for end in (left, right):
        say(f"wg show, {end.name}")
        show(do(end.space, "wg", "show").out)
    judge(capture, left, right)


def main():
    missing = peers.missing_prerequisites(TOOLS)
    if missing:
        sys.exit("the demo cannot run:\n  " + "\n  ".join(missing))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="wgring-demo-") as directory:
        lab = Lab(directory)
        try:
            demo(lab)
            say("Both daemons are ended, both namespaces removed")
            lab.close()
        except LabError as error:
            sys.exit(f"\nthe demo failed: {error}\n{lab.logs()}")
        finally:
            lab.close()
    print("\nThe tunnel works.")


if __name__ == "__main__":
    main()

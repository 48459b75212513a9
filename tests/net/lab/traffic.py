"""Traffic between two spaces: echo requests, iperf3."""

import contextlib
import json
import socket
import struct
import subprocess
import time

from lab.run import LabError, kill_group, wait_for

IPERF_PORT = 5201


class Pinger:
    """Echo requests over a kernel ping socket, each answered or given up before the next.

    ping(1) waits for its last reply only twice as long as the slowest one took before, which on
    a busy machine reports losses that were none. This waits as long as it is told, and compares
    what comes back with what was sent.
    """

    def __init__(self, space, address, device=None):
        self.v6 = ":" in address
        family = socket.AF_INET6 if self.v6 else socket.AF_INET
        protocol = socket.IPPROTO_ICMPV6 if self.v6 else socket.IPPROTO_ICMP
        with space.entered():
            self.socket = socket.socket(family, socket.SOCK_DGRAM, protocol)
        if device:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        self.address = address

    def answered(self, sequence, size, wait):
        """Sends one request; true when its reply came unharmed, in time or before we looked."""
        payload = bytes((sequence + index) % 251 for index in range(size))
        request, reply = (128, 129) if self.v6 else (8, 0)
        deadline = time.monotonic() + wait
        try:
            self.socket.sendto(struct.pack(">BBHHH", request, 0, 0, 0, sequence) + payload,
                               (self.address, 0))
            while True:  # who comes back late still looks at what came meanwhile
                self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
                message = self.socket.recv(1 << 16)
                if message[0] == reply and message[6:8] == struct.pack(">H", sequence):
                    return message[8:] == payload
        except OSError:  # no route, an ICMP error, or the time is over
            pass
        return False


def ping(space, address, count=10, size=56, wait=2, interval=0, device=None, check=True):
    """Number of replies. All must come, each within its wait, unless check is false."""
    pinger, received = Pinger(space, address, device), 0
    with pinger.socket:
        for sequence in range(count):
            received += pinger.answered(sequence, size, wait)
            time.sleep(interval)
    if check and received != count:
        raise LabError(f"{received} of {count} pings of {address} in {space.name} answered")
    return received


def reaches(space, address, wait=1):
    """One ping, answered or not; for use with wait_for."""
    return ping(space, address, count=1, wait=wait, check=False) == 1


@contextlib.contextmanager
def iperf_server(space, address):
    process, _ = space.popen(["iperf3", "-s", "-1", "-B", address, "-p", IPERF_PORT],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: f":{IPERF_PORT} " in space.run("ss", "-ltn").out, "iperf3 to listen")
        yield process
    finally:
        kill_group(process)
        process.wait()


def iperf(client, server, address, *options, seconds=1):
    """One run, with a server of its own; returns the `end` part of iperf3's report."""
    with iperf_server(server, address):
        return iperf_client(client, address, *options, seconds=seconds)


def iperf_client(client, address, *options, seconds=1):
    """One run against a server that listens already."""
    result = client.run("iperf3", "-J", "-c", address, "-p", IPERF_PORT, "-t", seconds,
                        "--connect-timeout", 5000, *options, timeout=seconds + 25, check=False)
    try:
        report = json.loads(result.out)
    except ValueError:
        raise LabError(repr(result)) from None
    if "error" in report or result.code != 0:
        raise LabError(f"iperf3: {report.get('error')}\n{result!r}")
    return report["end"]


def tcp_bytes(client, server, address, *options, seconds=1):
    """Bytes that the receiving side of a TCP run got."""
    return iperf(client, server, address, *options, seconds=seconds)["sum_received"]["bytes"]


def udp_bytes(client, server, address, *options, rate="20M", seconds=1):
    """(sent, received) of a UDP run, after making sure that something was sent at all.

    What the server itself says that it got: iperf3's own loss counts only gaps before the last
    datagram that came, so it is 0 % when none did.
    """
    end = iperf(client, server, address, "-u", "-b", rate, *options, seconds=seconds)
    if end["sum_sent"]["packets"] < 10:
        raise LabError(f"iperf3 sent only {end['sum_sent']['packets']} datagrams")
    return end["sum_sent"]["bytes"], end["sum_received"]["bytes"]


def udp_loss_percent(client, server, address, *options, **settings):
    sent, received = udp_bytes(client, server, address, *options, **settings)
    return 100 * (1 - received / sent)

"""Traffic between two spaces: ping, iperf3."""

import contextlib
import json
import re
import subprocess

from lab.run import LabError, kill_group, wait_for

IPERF_PORT = 5201


def ping(space, address, count=10, size=56, wait=2, interval="flood", source=None, check=True):
    """Replies that came back. All of them must, unless check is false."""
    words = ["ping", "-q", "-n", "-c", count, "-s", size, "-W", wait]
    words += ["-f"] if interval == "flood" else ["-i", interval]
    words += ["-I", source] if source else []
    result = space.run(*words, address, check=False, timeout=count * (wait + 1) + 10)
    found = re.search(r"(\d+) received", result.out)
    received = int(found[1]) if found else 0
    if check and received != count:
        raise LabError(f"{received} of {count} pings answered\n{result!r}")
    return received


def reaches(space, address, **options):
    """One ping, answered or not; for use with wait_for."""
    return ping(space, address, count=1, wait=1, interval=1, check=False, **options) == 1


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
        result = client.run("iperf3", "-J", "-c", address, "-p", IPERF_PORT, "-t", seconds,
                            "--connect-timeout", 5000, *options, timeout=seconds + 25,
                            check=False)
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


def udp_loss_percent(client, server, address, *options, rate="20M", seconds=1):
    """Loss of a UDP run, after making sure that something was sent at all."""
    total = iperf(client, server, address, "-u", "-b", rate, *options, seconds=seconds)["sum"]
    if total["packets"] < 10:
        raise LabError(f"iperf3 sent only {total['packets']} datagrams")
    return total["lost_percent"]

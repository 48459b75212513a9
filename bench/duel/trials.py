"""What is measured. A trial gets a contestant and seconds, and returns named figures.

CPU time "of the daemons" is that of both ends together, "of the system" that of the whole machine
(the traffic's own programs included); both are per GB or per datagram that arrived.
"""

import base64
import contextlib
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

from duel import meter
from duel.arena import Arena, laboratory, solo
from lab.pair import DEVICE
from lab.run import LabError, kill_group
from lab.traffic import iperf_client, iperf_server
from lab.wgtool import Key, Wg

FLOOD = pathlib.Path(__file__).with_name("flood.py")
FLOOD_PORT = 5301
FIXED_RATE = 10_000
SETTLE_S = 1.0
PEERS_SECONDS_MAX = 120


class Trial:
    """One line of the schedule. `needs_daemon` ones mean nothing for the bare wire."""

    def __init__(self, name, title, work, *arguments, needs_daemon=False, load=False):
        self.name, self.title, self.needs_daemon, self.load = name, title, needs_daemon, load
        self._work, self._arguments = work, arguments

    def run(self, contestant, seconds):
        return self._work(contestant, seconds, *self._arguments)


@contextlib.contextmanager
def arena_of(contestant):
    with laboratory(contestant) as lab:
        arena = Arena(lab, contestant)
        yield arena
        arena.check_alive()


def per(used, amount, name, factor=1.0):
    """CPU of daemons and system per amount, as figures."""
    if amount <= 0:
        raise LabError("nothing arrived")
    return {f"cpu_{name}": used["daemon_s"] * factor / amount,
            f"system_{name}": used["system_s"] * factor / amount}


def memory(arena):
    peak = arena.peak_mb()
    return {} if peak is None else {"rss_peak_mb": peak}


def without_daemon(figures, arena):
    """The ceiling has no daemon, so it has no figures of one."""
    if arena.pids:
        return figures
    return {name: value for name, value in figures.items() if not name.startswith("cpu_")}


def tcp(contestant, seconds, streams, back):
    options = ["-P", streams] + (["-R"] if back else [])
    with arena_of(contestant) as arena, iperf_server(arena.right.space, arena.target):
        measure = arena.meter()
        end = iperf_client(arena.left.space, arena.target, *options, seconds=seconds)
        used, received = measure.read(), end["sum_received"]
        figures = {"gbps": received["bits_per_second"] / 1e9,
                   **per(used, received["bytes"] / 1e9, "s_per_gb"),
                   "retransmits": end["sum_sent"].get("retransmits", 0), **memory(arena)}
        return without_daemon(figures, arena)


@contextlib.contextmanager
def flood(space, *words):
    """flood.py in a space; gives a function that waits for its report."""
    process, _ = space.popen([sys.executable, "-S", FLOOD, *words], text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        kill_group(process)
        process.communicate()


def report_of(process, seconds):
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise LabError(f"no report of flood.py within {seconds} s") from None
    if process.returncode != 0:
        raise LabError(f"flood.py ended with {process.returncode}")
    return json.loads(out.splitlines()[-1])


def send_flood(arena, seconds, size, rate):
    """(what was sent, what was received, what was used meanwhile)."""
    with flood(arena.right.space, "sink", arena.target, FLOOD_PORT, seconds) as sink:
        if sink.stdout.readline() != "ready\n":
            raise LabError("flood.py does not listen")
        measure = arena.meter()
        with flood(arena.left.space, "blast", arena.target, FLOOD_PORT, size, rate,
                   seconds) as blast:
            sent = report_of(blast, seconds + 10)
        used = measure.read()  # before the sink's wait for more
        return sent, report_of(sink, 15), used


def udp(contestant, seconds, size, rate):
    """Overload when the rate is 0; else how much of that rate is lost, and what it costs."""
    with arena_of(contestant) as arena:
        sent, received, used = send_flood(arena, seconds, size, rate)
        delivered = received["received"] + received["dropped"]
        if not delivered:
            raise LabError("nothing arrived")
        # A tunnel that stops half-way is not faster for that.
        arriving_s = max(received["seconds"], sent["seconds"])
        figures = {"delivered_kpps": delivered / arriving_s / 1e3,
                   "sent_kpps": sent["sent"] / sent["seconds"] / 1e3,
                   "loss_percent": 100 * (1 - delivered / sent["sent"]),
                   "sink_dropped_percent": 100 * received["dropped"] / delivered,
                   **per(used, delivered, "us_per_packet", 1e6), **memory(arena)}
        if rate:
            figures["cpu_percent"] = 100 * used["daemon_s"] / sent["seconds"]
            figures["system_percent"] = 100 * used["system_s"] / sent["seconds"]
        return without_daemon(figures, arena)


def echo_times(space, target, interval, seconds):
    """Round trips in microseconds, and how many were sent."""
    count = max(10, int(seconds / interval))
    result = space.run("ping", "-n", "-i", interval, "-c", count, "-w", int(seconds * 2 + 5),
                       "-W", 2, target, timeout=seconds * 2 + 15, check=False)
    times = [float(word) * 1e3 for word in re.findall(r"time=([\d.]+) ms", result.out)]
    sent = re.search(r"(\d+) packets transmitted", result.out)
    if len(times) < 2 or not sent:
        raise LabError(f"ping: {result!r}"[-600:])
    return sorted(times), int(sent[1])


def echo_figures(times, sent):
    return {"average_us": statistics.fmean(times), "median_us": statistics.median(times),
            "p99_us": times[min(len(times) - 1, int(len(times) * 0.99))], "max_us": times[-1],
            "loss_percent": 100 * (1 - len(times) / sent)}


def ping_idle(contestant, seconds):
    with arena_of(contestant) as arena:
        times = echo_times(arena.left.space, arena.target, 0.002, seconds)
        return {**echo_figures(*times), **memory(arena)}


def ping_load(contestant, seconds):
    """Echo requests beside one TCP stream that takes all it can get."""
    with arena_of(contestant) as arena, iperf_server(arena.right.space, arena.target):
        process, _ = arena.left.space.popen(
            ["iperf3", "-J", "-c", arena.target, "-t", str(seconds + 2)], text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            time.sleep(SETTLE_S)
            times = echo_times(arena.left.space, arena.target, 0.01, seconds)
            end = json.loads(process.communicate(timeout=seconds + 30)[0])["end"]
        finally:
            kill_group(process)
            process.communicate()
        return {**echo_figures(*times), **memory(arena),
                "gbps": end["sum_received"]["bits_per_second"] / 1e9}


def idle_figures(measure, seconds, daemons):
    time.sleep(seconds)
    used = measure.read()
    return {"wakeups_per_s": used["wakeups"] / used["wall_s"] / daemons,
            "cpu_ms_per_s": 1e3 * used["daemon_s"] / used["wall_s"] / daemons}


def idle(contestant, seconds):
    """A tunnel that is up and carries nothing; per daemon."""
    with arena_of(contestant) as arena:
        time.sleep(SETTLE_S)
        return {**idle_figures(arena.meter(), seconds, len(arena.pids)),
                "rss_mb": max(map(meter.resident_mb, arena.pids))}


def configuration(count):
    """setconf text: each peer with an address and an endpoint of its own."""
    lines = ["[Interface]", "ListenPort = 5555", f"PrivateKey = {Key().private}"]
    for number in range(count):
        key = base64.b64encode(number.to_bytes(4, "big") + os.urandom(28)).decode()
        inner = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        lines += ["[Peer]", f"PublicKey = {key}", f"AllowedIPs = {inner}/32",
                  f"Endpoint = 192.0.2.1:{1024 + number}"]
    return "\n".join(lines) + "\n"


def many_peers(contestant, seconds, count):
    """One daemon, configured by `wg setconf`, then left in peace."""
    text = configuration(count)
    with laboratory(contestant) as lab:
        space, daemon = solo(lab, contestant)
        wg, before = Wg(space, DEVICE), meter.resident_mb(daemon.pid)
        begin = time.monotonic()
        wg.configure("setconf", text, timeout=PEERS_SECONDS_MAX)
        set_s = time.monotonic() - begin
        begin = time.monotonic()
        shown = wg.tool("show", DEVICE, "dump", timeout=PEERS_SECONDS_MAX).out
        dump_s = time.monotonic() - begin
        if shown.count("\n") != count + 1:
            raise LabError(f"{shown.count(chr(10)) - 1} of {count} peers are there")
        time.sleep(SETTLE_S)
        grown = meter.resident_mb(daemon.pid) - before
        rest = idle_figures(meter.Meter([daemon.pid]), seconds, 1)
        return {"setconf_s": set_s, "dump_s": dump_s, "rss_growth_mb": grown, **rest}


def tcp_trials():
    for streams in (1, 4, 16):
        plural = "streams" if streams > 1 else "stream"
        for back in (False, True):
            way = ", other way" if back else ""
            yield Trial(f"tcp-{streams}{'-back' if back else ''}", f"TCP, {streams} {plural}{way}",
                        tcp, streams, back, load=True)


def udp_trials():
    for rate in (0, FIXED_RATE):
        for size in (64, 1300):
            what = f"at {rate // 1000} 000 packets/s" if rate else "overload"
            yield Trial(f"udp-{size}{'-fixed' if rate else ''}", f"UDP, {size} bytes, {what}",
                        udp, size, rate, load=True)


TRIALS = (
    *tcp_trials(), *udp_trials(),
    Trial("ping", "Ping, idle tunnel", ping_idle),
    Trial("ping-load", "Ping beside one TCP stream", ping_load, load=True),
    Trial("idle", "Idle tunnel", idle, needs_daemon=True),
    Trial("peers-1k", "1 000 peers", many_peers, 1000, needs_daemon=True),
    Trial("peers-10k", "10 000 peers", many_peers, 10000, needs_daemon=True),
)
BY_NAME = {trial.name: trial for trial in TRIALS}

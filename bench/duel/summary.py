"""Medians, spread and ratios of the samples, and which targets are reached.

A ratio is one median over the other, of the same run. "rust" is the better of boringtun and
gotatun in that figure.
"""

import dataclasses
import statistics

from duel.contestants import GO, RUST

MORE, LESS = "more", "less"

# figure: (title, unit, which is better, digits); those without a direction are only informative
FIGURES = {
    "gbps": ("throughput", "Gb/s", MORE, 2),
    "delivered_kpps": ("delivered", "kpps", MORE, 1),
    "loss_percent": ("loss", "%", LESS, 2),
    "average_us": ("round trip, average", "us", LESS, 0),
    "median_us": ("round trip, median", "us", LESS, 0),
    "p99_us": ("round trip, 99 %", "us", LESS, 0),
    "max_us": ("round trip, longest", "us", LESS, 0),
    "cpu_s_per_gb": ("CPU of the daemons", "s/GB", LESS, 2),
    "system_s_per_gb": ("CPU of the system", "s/GB", LESS, 2),
    "cpu_us_per_packet": ("CPU of the daemons", "us/packet", LESS, 2),
    "system_us_per_packet": ("CPU of the system", "us/packet", LESS, 2),
    "cpu_percent": ("CPU of the daemons", "% of a core", LESS, 1),
    "system_percent": ("CPU of the system", "% of a core", LESS, 1),
    "rss_peak_mb": ("peak memory", "MB", LESS, 1),
    "rss_mb": ("memory", "MB", LESS, 1),
    "rss_growth_mb": ("memory they need", "MB", LESS, 1),
    "setconf_s": ("wg setconf", "s", LESS, 3),
    "dump_s": ("wg show dump", "s", LESS, 3),
    "wakeups_per_s": ("wake-ups", "/s", LESS, 1),
    "cpu_ms_per_s": ("CPU", "ms/s", LESS, 2),
    "sent_kpps": ("sent", "kpps", None, 1),
    "sink_dropped_percent": ("dropped by the receiver's socket", "%", None, 2),
    "retransmits": ("retransmits", "", None, 0),
}
UNDER_LOAD = ("load", "All trials under load")


@dataclasses.dataclass
class Target:
    """`go` and `rust` are (must, stretch); stretch may be None."""

    title: str
    trial: str
    figure: str
    go: tuple = None
    rust: tuple = None


TARGETS = (
    Target("TCP 1 stream", "tcp-1", "gbps", go=(2.5, 3.0)),
    Target("TCP 1 stream, other way", "tcp-1-back", "gbps", go=(2.5, 3.0)),
    Target("TCP 4 streams", "tcp-4", "gbps", go=(2.5, 3.0)),
    Target("TCP 4 streams, other way", "tcp-4-back", "gbps", go=(2.5, 3.0)),
    Target("daemon CPU per GB, TCP 1 stream", "tcp-1", "cpu_s_per_gb", go=(0.33, None)),
    Target("UDP 64 bytes overload", "udp-64", "delivered_kpps", go=(5, 8), rust=(2, 3)),
    Target("UDP 1300 bytes overload", "udp-1300", "delivered_kpps", go=(5, 8), rust=(2, 3)),
    Target("idle ping, average", "ping", "average_us", go=(0.6, None), rust=(0.9, None)),
    Target("peak memory under load", UNDER_LOAD[0], "rss_peak_mb", go=(0.1, None)),
    Target("10 000 peers, setconf", "peers-10k", "setconf_s", go=(0.15, None)),
    Target("10 000 peers, memory", "peers-10k", "rss_growth_mb", go=(0.15, None)),
)


def values_of(document):
    """{trial: {figure: {contestant: [one value a round]}}}; peak memory also over all trials."""
    values, peaks = {}, {}
    load = {trial["name"] for trial in document["trials"] if trial["load"]}
    for sample in document["samples"]:
        for figure, value in sample.get("figures", {}).items():
            place = values.setdefault(sample["trial"], {}).setdefault(figure, {})
            place.setdefault(sample["contestant"], []).append(value)
            if figure == "rss_peak_mb" and sample["trial"] in load:
                place = peaks.setdefault(sample["contestant"], {})
                place[sample["round"]] = max(value, place.get(sample["round"], 0))
    if peaks:
        values[UNDER_LOAD[0]] = {"rss_peak_mb": {name: list(by_round.values())
                                                 for name, by_round in peaks.items()}}
    return values


def ratio(value, base):
    return None if base is None or base == 0 else value / base


def best_rust(medians, better):
    known = [medians[name] for name in RUST if name in medians]
    if not known or better is None:
        return None
    return max(known) if better == MORE else min(known)


def figures_of(document):
    """{trial: {figure: {contestant: median, min, max, samples, against_go, against_rust}}}."""
    summary = {}
    for trial, figures in values_of(document).items():
        for figure, by_name in figures.items():
            medians = {name: statistics.median(values) for name, values in by_name.items()}
            rust = best_rust(medians, FIGURES[figure][2])
            summary.setdefault(trial, {})[figure] = {
                name: {"median": medians[name], "min": min(values), "max": max(values),
                       "samples": len(values),
                       "against_go": ratio(medians[name], medians.get(GO)),
                       "against_rust": ratio(medians[name], rust)}
                for name, values in by_name.items()}
    return summary


def verdict(reached_ratio, wanted, better):
    must, stretch = wanted
    if reached_ratio is None:
        return "not measured"

    def holds(limit):
        return reached_ratio >= limit if better == MORE else reached_ratio <= limit

    if stretch is not None and holds(stretch):
        return "stretch reached"
    return "reached" if holds(must) else "missed"


def targets_of(document, figures):
    """One line for each target, opponent and contestant of ours."""
    names = [one["name"] for one in document["contestants"] if one["kind"] == "ours"]
    lines = []
    for target in TARGETS:
        better = FIGURES[target.figure][2]
        for against in ("go", "rust"):
            wanted = getattr(target, against)
            for name in names if wanted else ():
                found = figures.get(target.trial, {}).get(target.figure, {}).get(name, {})
                value = found.get(f"against_{against}")
                lines.append({"title": target.title, "contestant": name, "against": against,
                              "must": wanted[0], "stretch": wanted[1], "better": better,
                              "ratio": value, "verdict": verdict(value, wanted, better)})
    return lines


def failures_of(document):
    return [sample for sample in document["samples"] if "failure" in sample]


def complete(document):
    """The document with everything that follows from its samples."""
    figures = figures_of(document)
    return {**document, "figures": figures, "targets": targets_of(document, figures)}


def ours_failed(document):
    kinds = {one["name"]: one["kind"] for one in document["contestants"]}
    return any(kinds[sample["contestant"]] == "ours" for sample in failures_of(document)) or any(
        name.startswith("ours") for name in document["not_run"])

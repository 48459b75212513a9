"""A result as a duel would write it, made up, with everything that can be in one."""

from duel.summary import complete
from duel.trials import TRIALS

CONTESTANTS = {"ours-epoll": "ours", "ours-uring": "ours", "wireguard-go": "go",
               "boringtun": "rust", "gotatun": "rust", "veth": "ceiling"}
FACTORS = {"ours-epoll": 6, "ours-uring": 7, "wireguard-go": 2, "boringtun": 1, "gotatun": 1.5,
           "veth": 40}
HOSTILE = "<script>throw 1</script> & \"quotes\""
BULK = ("gbps", "cpu_s_per_gb", "system_s_per_gb", "retransmits", "rss_peak_mb")
PACKETS = ("delivered_kpps", "sent_kpps", "loss_percent", "cpu_us_per_packet",
           "system_us_per_packet", "sink_dropped_percent", "rss_peak_mb")
ECHO = ("average_us", "median_us", "p99_us", "max_us", "loss_percent", "rss_peak_mb")
REST = ("wakeups_per_s", "cpu_ms_per_s")


def figures_of(trial):
    if trial.startswith("tcp"):
        return BULK
    if trial.startswith("udp"):
        return PACKETS + (("cpu_percent", "system_percent") if "fixed" in trial else ())
    if trial.startswith("ping"):
        return ECHO
    return REST + (("rss_mb",) if trial == "idle" else ("setconf_s", "dump_s", "rss_growth_mb"))


def sample(round_number, trial, name):
    value = FACTORS[name] + round_number / 10
    figures = {figure: value for figure in figures_of(trial)
               if not (name == "veth" and (figure.startswith("cpu") or "rss" in figure))}
    return {"round": round_number, "trial": trial, "contestant": name, "seconds": 1.0,
            "figures": figures}


def document(rounds=3):
    """gotatun fails at tcp-16 in every round and at ping in one; `absent` cannot be built."""
    samples = [sample(number, trial.name, name) for number in range(1, rounds + 1)
               for trial in TRIALS for name in CONTESTANTS
               if not (name == "veth" and trial.needs_daemon)]
    for one in samples:
        if one["contestant"] == "gotatun" and (
                one["trial"] == "tcp-16" or (one["trial"], one["round"]) == ("ping", 2)):
            del one["figures"]
            one["failure"] = f"LabError: {HOSTILE}"
    return {
        "format": 1, "kind": "duel", "started": "2026-01-02T03:04:05+00:00", "seconds": 600.0,
        "machine": {"cpu": f"A processor {HOSTILE}", "cores": 2, "flags": ["avx2"],
                    "memory_gb": 24.1, "kernel": "6.1.0", "system": "Debian", "iperf3": "3.12",
                    "load_before": 0.1, "commit": "0123456789ab"},
        "settings": {"rounds": rounds, "seconds": 5},
        "contestants": [{"name": name, "kind": kind, "version": f"1.{len(name)}"}
                        for name, kind in CONTESTANTS.items()],
        "not_run": {"absent": f"no toolchain {HOSTILE}"},
        "trials": [{"name": trial.name, "title": trial.title, "load": trial.load}
                   for trial in TRIALS],
        "samples": samples,
    }


def completed(rounds=3):
    return complete(document(rounds))

"""Who measures what when. Contestants take turns within each trial of each round.

So a machine that gets slower for a minute is slower for all of them, and the turn that is first
in one round is later in the next.
"""

import datetime
import re
import time

from duel import contestants, machine, meter
from duel.trials import BY_NAME, TRIALS
from lab.run import LabError
from peers import build

FORMAT = 1
FAILURE_HEAD, FAILURE_LINES, FAILURE_COLUMNS = 4, 14, 300


def resolve_all(names, say):
    """(contestants that can start, reasons of the others)."""
    ready, reasons = [], {}
    for name in dict.fromkeys(names):
        try:
            if name in build.NAMES and not build.binary_of(name).exists():
                say(f"building {name} {build.version_of(name)}: takes a minute or two, once")
            ready.append(contestants.resolve(name))
        except LabError as error:
            reasons[name.partition("=")[0]] = short(error)
    return ready, reasons


def short(error):
    """Enough of an error to know what happened."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = plain.strip().splitlines() or [type(error).__name__]
    if len(lines) > FAILURE_LINES:
        lines = [*lines[:FAILURE_HEAD], "…", *lines[FAILURE_HEAD + 1 - FAILURE_LINES:]]
    return "\n".join(line[:FAILURE_COLUMNS] for line in lines)


def schedule(rounds, trials, ready):
    """Every (round, trial, contestant) in the order of the run."""
    for number in range(rounds):
        for trial in trials:
            turn = number % max(1, len(ready))
            for contestant in ready[turn:] + ready[:turn]:
                if contestant.implementation or not trial.needs_daemon:
                    yield number + 1, trial, contestant


def measure(trial, contestant, seconds):
    """One sample: figures, or the failure in words."""
    begin, stolen = time.monotonic(), meter.machine_seconds(meter.STOLEN)
    try:
        sample = {"figures": {name: round(value, 6) for name, value
                              in trial.run(contestant, seconds).items()}}
    except Exception as error:  # whatever went wrong is this contestant's result
        sample = {"failure": short(f"{type(error).__name__}: {error}")}
    sample["seconds"] = round(time.monotonic() - begin, 2)
    sample["stolen_s"] = round(meter.machine_seconds(meter.STOLEN) - stolen, 2)
    return sample


class Run:
    """Samples as they come; `document` is complete at any moment, so an end by ^C loses none."""

    def __init__(self, names, trial_names, rounds, seconds, say=print):
        self.say, self.rounds, self.seconds = say, rounds, seconds
        self.trials = [trial for trial in TRIALS if trial.name in trial_names]
        self.ready, reasons = resolve_all(names, say)
        for name, reason in reasons.items():
            say(f"NOT RUN: {name}: {reason}")
        self.document = {
            "format": FORMAT, "kind": "duel",
            "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "machine": machine.describe(),
            "settings": {"rounds": rounds, "seconds": seconds},
            "contestants": [{"name": one.name, "kind": one.kind, "version": one.version}
                            for one in self.ready],
            "not_run": reasons,
            "trials": [{"name": trial.name, "title": trial.title, "load": trial.load}
                       for trial in self.trials],
            "samples": [], "seconds": 0.0,
        }

    def go(self):
        steps = list(schedule(self.rounds, self.trials, self.ready))
        begin = time.monotonic()
        for done, (number, trial, contestant) in enumerate(steps):
            sample = measure(trial, contestant, self.seconds)
            self.document["samples"].append(
                {"round": number, "trial": trial.name, "contestant": contestant.name, **sample})
            spent = time.monotonic() - begin
            self.document["seconds"] = round(spent, 1)
            left = spent / (done + 1) * (len(steps) - done - 1)
            self.say(f"[{done + 1:4d}/{len(steps)}, {left / 60:4.1f} min left] round {number} "
                     f"{trial.name:14s} {contestant.name:16s} {in_short(sample)}")
        return self.document


def in_short(sample):
    """The figures that matter most, or the first line of the failure."""
    if "failure" in sample:
        return "FAILED: " + sample["failure"].splitlines()[0][:120]
    figures = sample["figures"]
    parts = [f"{figures[name]:.{digits}f} {unit}" for name, unit, digits in (
        ("gbps", "Gb/s", 2), ("delivered_kpps", "kpps", 1), ("loss_percent", "% lost", 2),
        ("average_us", "us", 0), ("setconf_s", "s", 3), ("rss_growth_mb", "MB more", 1),
        ("cpu_s_per_gb", "CPU s/GB", 2), ("cpu_us_per_packet", "CPU us/packet", 1),
        ("cpu_percent", "% CPU", 0), ("wakeups_per_s", "wake-ups/s", 1),
        ("rss_peak_mb", "MB", 0)) if name in figures]
    return ", ".join(parts)


def all_names():
    return list(BY_NAME)

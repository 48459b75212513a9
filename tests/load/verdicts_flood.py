"""What follows from the samples of floods. Nothing holds because there was no flood.

A verdict is (claim, what was seen, holds); None for what is not judged.
"""

import statistics

from load.flood import BURST, PER_SOURCE_PER_S, pace

MAC1_KINDS = ("mac1", "sources", "sources6", "mac2")
INITIATIONS_MAX = 3  # the first and two retries
FULL_PERCENT = 80  # of the rate that the flooder is told
# Of what it makes beside `nowhere`, as fast as it can: it shares the processor with what it floods.
SHARE_PERCENT = 50
FLAT_KB = 512
CAP_SOURCES, CAP_KB = 65536, 8192  # of the limiter; its hash table, the queue of handshakes
# "Under load" ends a second after 512 waited, and begins when 512 wait again: up to then each costs
# its multiplications.
COOKIELESS_PER_S = 512


def of_contestant(samples, name, trial):
    return [one for one in samples if one["contestant"] == name and one["trial"] == trial
            and "failure" not in one]


def throughput_rows(samples, name, kinds):
    """One row for each kind: medians, spread, and the ratio to `nowhere` and to `none`."""
    found = of_contestant(samples, name, "throughput")
    values = {kind: [one["figures"] for one in found if one["kind"] == kind] for kind in kinds}
    medians = {kind: statistics.median(one["gbps"] for one in figures)
               for kind, figures in values.items() if figures}
    for kind, figures in values.items():
        if not figures:
            continue
        gbps = [one["gbps"] for one in figures]
        yield {"kind": kind, "median": medians[kind], "min": min(gbps), "max": max(gbps),
               "rounds": len(gbps),
               **{f"against_{base}": medians[kind] / medians[base] if medians.get(base) else None
                  for base in ("nowhere", "none")},
               **{what: statistics.median(one[what] for one in figures)
                  for what in ("flood_kpps", "victim_cpu_percent", "flooder_cpu_percent")}}


def verdicts(samples, name, wanted_ratio, rate):
    """For one contestant of ours; `rate` is what the flooder was told, 0 for all it can."""
    yield from of_throughput(samples, name, wanted_ratio, rate)
    yield from of_newcomers(samples, name)
    yield from of_cookieless(samples, name)
    yield from of_proven(samples, name)
    yield from of_memory(samples, name)


def lacks_flood(row, nowhere_kpps, rate):
    """How far the flood was from what there was to be, or nothing."""
    wanted_kpps, least, of_what = ((rate / 1e3, FULL_PERCENT, "its rate") if rate else
                                   (nowhere_kpps, SHARE_PERCENT, "what it made beside nowhere"))
    percent = 100 * row["flood_kpps"] / wanted_kpps if wanted_kpps else 0
    return None if percent >= least else f"the flood was {percent:.0f} % of {of_what}"


def of_throughput(samples, name, wanted_ratio, rate):
    kinds = list(dict.fromkeys(one["kind"] for one in samples if one["trial"] == "throughput"))
    rows = list(throughput_rows(samples, name, kinds))
    nowhere_kpps = next((row["flood_kpps"] for row in rows if row["kind"] == "nowhere"), 0)
    for row in rows:
        if row["kind"] in ("none", "nowhere"):
            continue
        claim = f"throughput beside {row['kind']} >= {wanted_ratio:.0%} of beside nowhere"
        lack = lacks_flood(row, nowhere_kpps, rate)
        ratio = row["against_nowhere"]
        if ratio is None:
            yield claim, "nothing beside nowhere", None
        elif lack:
            yield claim, f"{ratio:.0%}, but {lack}", None
        else:
            yield claim, f"{ratio:.0%}", ratio >= wanted_ratio


def of_newcomers(samples, name):
    for one in of_contestant(samples, name, "newcomers"):
        yield (f"new peers within {INITIATIONS_MAX - 1} retries beside {one['kind']}, "
               f"{pace(one)}, round {one['round']}", str(one["initiations"]),
               all(needed is not None and needed <= INITIATIONS_MAX
                   for needed in one["initiations"]))


def of_cookieless(samples, name):
    """Handshakes computed and cookies sent, while floods have a valid mac1."""
    found = of_contestant(samples, name, "throughput")
    for kind in MAC1_KINDS:
        windows = [one for one in found if one["kind"] == kind]
        if not windows:
            continue
        seconds = sum(one["figures"]["seconds"] for one in windows)
        computed, cookies = (sum(one["counters"].get(f"dropped.{drop}", 0) for one in windows)
                             / seconds for drop in ("bad_handshake", "cookie_sent"))
        flooded = 1e3 * min(one["figures"]["flood_kpps"] for one in windows)
        yield (f"without a cookie at most {COOKIELESS_PER_S} handshakes a second are computed "
               f"beside {kind}",
               f"{computed:.0f}/s, and {cookies:.0f}/s are told to come with one",
               computed <= COOKIELESS_PER_S and cookies > 0 if flooded > COOKIELESS_PER_S
               else None)


def of_proven(samples, name):
    for one in of_contestant(samples, name, "proven"):
        if one["kind"] == "proven":
            yield (f"at most {PER_SOURCE_PER_S}/s and {BURST} for each proven source",
                   f"{one['granted']} of {one['granted_max']} for {one['proven']}",
                   0 < one["granted"] <= one["granted_max"])
            continue
        cost = one["VmHWM"] - one["before_kb"]
        yield (f"over {CAP_SOURCES} proven sources cost at most {CAP_KB} kB",
               f"{cost} kB by {one['proven']} of them",
               cost <= CAP_KB if one["proven"] > CAP_SOURCES else None)


def of_memory(samples, name):
    """At the end of the first round of floods and at the end of the last."""
    found = of_contestant(samples, name, "throughput")
    numbers = [one["round"] for one in found]
    if not found:
        return
    first, last = (max(one["VmRSS"] for one in found if one["round"] == number)
                   for number in (min(numbers), max(numbers)))
    yield ("memory flat from the first round of floods to the last", f"{first} to {last} kB",
           last - first <= FLAT_KB if min(numbers) < max(numbers) else None)

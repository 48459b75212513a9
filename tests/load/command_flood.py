"""Floods of handshakes with spoofed sources beside a tunnel that carries TCP.

Kinds of flood:
  none      no flood at all
  nowhere   to a socket that nobody reads: what the generator itself takes away from the machine
  garbage   wrong mac1, data for no key, noise, a third each; 2^20 sources
  mac1      initiations with a valid mac1 and noise for the rest, one source
  sources   the same from 2^20 sources
  sources6  the same over IPv6, each source in a /64 of its own
  mac2      the same, half of them with a mac2 that is noise
For ours also: sources that have a cookie and flood with it, 8 and 2^20 of them.

The exit code is 1 when a claim is missed. What was not flooded as it was to be, or not often
enough, is not judged, and the table says so.
"""

import os

from duel import contestants
from load import attack, flood, result, verdicts_flood
from load.words import words

NAME, HELP = "flood", "floods of handshakes beside a busy tunnel"
WANTED_RATIO = 0.9


def add_options(parser):
    parser.add_argument("--rounds", type=int, default=5, help="of throughput (5)")
    parser.add_argument("--seconds", type=float, default=4, help="of one window (4)")
    parser.add_argument("--newcomer-rounds", type=int, default=3, help="of new peers (3)")
    parser.add_argument("--cap-seconds", type=float, default=30,
                        help="for 2^20 sources to get their cookies (30)")
    parser.add_argument("--rate", type=int, default=0,
                        help="datagrams a second of the flood; 0 is all that one core makes (0)")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)),
                        help="the processor that the flooder fills; -1 for any (the last one)")
    parser.add_argument("--kinds", type=words(["none", *attack.FLOODS]),
                        default=["none", *attack.FLOODS], metavar="KIND,...",
                        help="of those above (all)")
    parser.add_argument("--contestants", type=lambda text: text.split(","),
                        default=default_contestants(), metavar="NAME,...",
                        help=f"as in ./dev bench duel ({','.join(default_contestants())})")
    parser.add_argument("--no-proven", dest="proven", action="store_false",
                        help="leave out the sources that answer")


def default_contestants():
    return ["ours-epoll", "ours-uring", contestants.GO]


def run(options, say):
    options.core = None if options.core < 0 else options.core
    attack.program()
    work = flood.Run(options, say)
    try:
        work.go()
    finally:
        settings = {"rounds": options.rounds, "seconds": options.seconds, "rate": options.rate,
                    "core": options.core}
        names = list(dict.fromkeys(one["contestant"] for one in work.samples))
        claims = {name: list(verdicts_flood.verdicts(work.samples, name, WANTED_RATIO,
                                                     options.rate))
                  for name in names if name.startswith("ours")}
        found = result.document(NAME, settings, samples=work.samples, claims=claims,
                                failures=work.failures, not_run=work.not_run)
        text = markdown(found, names, options.kinds)
        say("\n" + text)
        say("\n" + "\n".join(map(str, result.save(found, text, options.output))))
    missed = any(holds is False for claims_of in claims.values() for _, _, holds in claims_of)
    return 1 if missed or work.failures else 0


def markdown(found, names, kinds):
    rows = [(name, row["kind"], f"{row['median']:.2f} ({row['min']:.2f}-{row['max']:.2f})",
             percent(row["against_nowhere"]), percent(row["against_none"]),
             f"{row['flood_kpps']:.0f}", f"{row['victim_cpu_percent']:.0f} %",
             f"{row['flooder_cpu_percent']:.0f} %")
            for name in names
            for row in verdicts_flood.throughput_rows(found["samples"], name, kinds)]
    parts = [result.table(("whose", "flood", "TCP, Gb/s, median (lowest to highest)",
                           "against nowhere", "against none", "flood, kpps", "CPU of the victim",
                           "CPU of the flooder"), rows)]
    rows = [(one["contestant"], one["kind"], flood.pace(one), str(one["round"]),
             ", ".join("none in time" if number is None else str(number)
                       for number in one["initiations"]))
            for one in found["samples"] if "initiations" in one]
    parts.append(result.table(("whose", "flood", "TCP beside", "round",
                               "initiations that new peers needed"), rows))
    rows = [(name, claim, seen, result.HOLDS[holds])
            for name, claims in found["claims"].items() for claim, seen, holds in claims]
    parts.append(result.table(("whose", "claim", "seen", ""), rows))
    rows = [(one["contestant"], str(one["proven"]), f"{one['kpps']:.0f}", str(one["granted"]),
             f"{one['before_kb']} to {one['VmRSS']} kB, peak {one['VmHWM']} kB")
            for one in found["samples"] if "granted" in one]
    if rows:
        parts.append(result.table(("whose", "sources with a cookie", "flood, kpps",
                                   "handshakes computed", "memory"), rows))
    parts += [f"FAILED: {failure}" for failure in found["failures"]]
    parts += [f"Not run: {name}: {why}" for name, why in found["not_run"].items()]
    return "\n\n".join(parts)


def percent(ratio):
    return "-" if ratio is None else f"{ratio:.0%}"

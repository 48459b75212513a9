"""Half an hour of a hub and three spokes with a lossy relay between them (tests/load/star.py).

One in a hundred datagrams is lost and one put behind; keys change every two minutes; spokes change
their address and the port that the hub sees; peers are removed and come back; strangers come and
go; TCP now and then. Every ten seconds memory, open files and threads are looked at. Fails when an
echo a second has no answer for 10 s on any way, when a daemon ends, when a packet is missing that
no counter has (tests/load/books.py), when something of all this did not happen though there was
time for it, and, in runs of at least five minutes, when memory, files or threads of ours grow.
"""

import tempfile

from lab import peers
from lab.lab import Lab
from lab.run import LabError
from load import result, soak, verdicts_soak

NAME, HELP = "soak", "half an hour of rekeys, roaming, loss: nothing leaks or stalls"


def add_options(parser):
    parser.add_argument("--minutes", type=float, default=30, help="(30); 1 tries the script")
    parser.add_argument("--seed", type=int, default=1, help="of the losses (1)")
    parser.add_argument("--no-tcp", dest="tcp", action="store_false",
                        help="without the TCP streams: then the books of spoke 2 are exact too")
    parser.add_argument("--foreign", default="debian-go",
                        choices=["debian-go", "wireguard-go", "boringtun", "gotatun", "none"],
                        help="the third spoke, written by others (debian-go)")


def run(options, say):
    say(f"daemon under test: {peers.under_test_path()}")
    work = soak.Soak(options, say)
    with tempfile.TemporaryDirectory(prefix="wgring-soak-") as directory:
        lab = Lab(directory)
        try:
            work.attempt(lab)
            if work.failures:
                say(lab.logs())
        finally:
            try:
                lab.close()
            except LabError as error:
                work.failures.append(str(error))
    claims = list(verdicts_soak.verdicts(work.found, options.minutes, options.tcp))
    settings = {"minutes": options.minutes, "seed": options.seed, "foreign": options.foreign,
                "tcp": options.tcp}
    text = markdown(work.found, claims)
    say("\n" + text)
    found = result.document(NAME, settings, claims=claims, **work.found)
    say("\n" + "\n".join(map(str, result.save(found, text, options.output))))
    return 1 if work.failures or any(holds is False for _, _, holds in claims) else 0


def markdown(found, claims):
    events = ", ".join(f"{number} x {name}" for name, number in found.get("events", {}).items())
    relay = found.get("books", {}).get("relay", {"paths": ()})["paths"]
    lost = sum(path[way][name] for path in relay for way in ("to hub", "to spoke")
               for name in ("data_lost", "other_lost"))
    behind = sum(path[way]["behind"] for path in relay for way in ("to hub", "to spoke"))
    parts = [f"{events}; the relay lost {lost} datagrams and put {behind} behind.",
             result.table(("claim", "seen", ""),
                          [(claim, seen, result.HOLDS[holds]) for claim, seen, holds in claims])]
    return "\n\n".join(parts + [f"FAILED: {failure}" for failure in found["failures"]])

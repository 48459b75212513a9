"""Everything that can be changed of a tunnel, changed in random order while it carries traffic.

Links go down and up, MTUs are 68 to 65 535, ports, marks, private and preshared keys change, peers
are removed and come back, strangers come and go (tests/net/lab/churn.py), for each engine with one
shard and with two and a lane. Fails when the tunnel does not work again within 30 s after a change
or the traffic does not come back by itself, when a daemon ends, or when a sanitizer has something
to say: WGRING_BIN is the build for threads unless told otherwise.
"""

import os
import pathlib
import re
import tempfile
import time

from lab import peers
from lab.churn import CHANGES, Churn, received, segments
from lab.daemon import SANITIZER_OPTIONS
from lab.lab import Lab
from lab.pair import Pair
from lab.run import LabError
from lab.traffic import ping, tcp_bytes
from lab.usage import kilobytes
from load import result
from load.words import words

NAME, HELP = "churn", "changes under traffic, by default with the thread sanitizer"
SEVERAL = ("--shards=2", "--lanes=1")


def add_options(parser):
    parser.add_argument("--minutes", type=float, default=10,
                        help="of all variants together, without set-up (10)")
    parser.add_argument("--seed", type=int, default=1, help="of the order of the changes (1)")
    parser.add_argument("--engines", type=words(peers.engines()), default=peers.engines(),
                        metavar="NAME,...", help=f"({','.join(peers.engines())})")
    parser.add_argument("--changes", type=words(CHANGES), default=list(CHANGES),
                        metavar="NAME,...", help=f"of {' '.join(CHANGES)} (all)")
    parser.add_argument("--one-shard", dest="several", action="store_false",
                        help="leave out two shards and a lane")


class Variant:
    """One engine with one set of options."""

    def __init__(self, engine, more, seconds, options, say):
        self.name = " ".join([engine, *more])
        self.implementation = peers.under_test(engine).with_options(*more)
        self.seconds, self.options, self.say = seconds, options, say
        self.churn, self.failure, self.peak_kb = None, None, 0
        self.carried = {"packets": 0, "segments": 0}

    def go(self):
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="wgring-churn-") as directory:
            lab = Lab(directory)
            try:
                try:
                    self.changes(lab)
                except (LabError, AssertionError, OSError) as error:
                    self.failure = f"{error}\n{complaints(lab)}\n{lab.logs()}"
            finally:
                try:
                    lab.close()
                except LabError as error:
                    self.failure = f"{self.failure or ''}\n{error}".strip()
        self.passed = time.monotonic() - begin
        self.say(f"{self.name}: {self.total} changes in {self.passed:.0f} s"
                 + (f", FAILED: {self.failure}" if self.failure else ""))

    def changes(self, lab):
        pair = Pair(lab, self.implementation, self.implementation).know_endpoint()
        ping(pair.left.space, pair.right.inner4, wait=5)
        self.churn = Churn(pair, self.options.seed, self.options.changes)
        self.churn.begin_traffic()
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            self.churn.one()
        self.carried = {"packets": self.churn.carried(received),
                        "segments": self.churn.carried(segments)}
        self.churn.settle()
        for one, other in ((pair.left, pair.right), (pair.right, pair.left)):
            if not tcp_bytes(one.space, other.space, other.inner4, seconds=2):
                raise LabError("no traffic afterwards")
        self.peak_kb = max(kilobytes(end.daemon.pid, "VmHWM") for end in (pair.left, pair.right))

    @property
    def total(self):
        return sum(self.churn.done.values()) if self.churn else 0

    def as_result(self):
        return {"variant": self.name, "changes": self.churn.done if self.churn else {},
                "seconds": round(self.passed), **self.carried, "peak_kb": self.peak_kb,
                "failure": self.failure}


def complaints(lab):
    """Whole reports of a sanitizer: logs() shows only the ends."""
    return "\n".join(daemon.log[found.start():found.start() + 6000] for daemon in lab.daemons
                     if (found := re.search(r"={10,}\nWARNING: |ERROR: \w+Sanitizer|WG_ASSERT",
                                            daemon.log)))


def run(options, say):
    os.environ.update(SANITIZER_OPTIONS)
    daemon = pathlib.Path(peers.under_test_path())
    say(f"daemon under test: {daemon}")
    kinds = [(engine, more) for engine in options.engines
             for more in ((), SEVERAL)[:2 if options.several else 1]]
    variants = [Variant(*kind, options.minutes * 60 / len(kinds), options, say) for kind in kinds]
    for variant in variants:
        variant.go()
    results = [variant.as_result() for variant in variants]
    settings = {"minutes": options.minutes, "seed": options.seed,
                "build": daemon.parent.parent.name}
    text = markdown(results)
    say("\n" + text)
    found = result.document(NAME, settings, variants=results)
    say("\n" + "\n".join(map(str, result.save(found, text, options.output))))
    return 1 if any(one["failure"] for one in results) else 0


def markdown(results):
    rows = [(one["variant"], str(one["seconds"]), str(sum(one["changes"].values())),
             f"{len(one['changes'])} of {len(CHANGES)}", str(one["packets"]), str(one["segments"]),
             f"{one['peak_kb']} kB",
             "clean" if not one["failure"] else "FAILED: " + one["failure"].splitlines()[0])
            for one in results]
    return result.table(("variant", "seconds", "changes", "kinds of them", "packets",
                         "TCP segments", "peak memory", ""), rows)

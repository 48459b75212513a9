"""./dev bench duel and ./dev bench report; both end with the path of what they wrote."""

import argparse
import datetime
import fnmatch
import json
import os
import pathlib
import signal
import sys

from duel import contestants, page, rounds, summary, table
from lab import peers
from peers.build import ROOT

RESULTS = ROOT / "build/bench"
LATEST = RESULTS / "duel-latest.json"
TOOLS = ("ip", "nsenter", "unshare", "wg", "ping", "iperf3", "ss", "sysctl")


def arguments(words):
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    duel = commands.add_parser("duel", help="measure", epilog=contestants.__doc__,
                               formatter_class=argparse.RawDescriptionHelpFormatter)
    duel.add_argument("--rounds", type=int, default=3)
    duel.add_argument("--seconds", type=int, default=5, help="length of one trial")
    duel.add_argument("--only", action="append", metavar="TRIAL,...",
                      help=f"of: {' '.join(rounds.all_names())}; * stands for anything")
    duel.add_argument("--contestants", metavar="NAME,...",
                      help=f"default: {','.join(contestants.default_names())}")
    duel.add_argument("--command", action="append", default=[], metavar="NAME=COMMAND",
                      dest="commands", help="one more contestant, with {ifname} in its command, "
                                            "which stays in the foreground")
    duel.add_argument("--output", type=pathlib.Path, help="the JSON (default: build/bench)")
    report = commands.add_parser("report", help="make an HTML page of a result")
    report.add_argument("json", type=pathlib.Path, nargs="?", default=LATEST)
    report.add_argument("--output", type=pathlib.Path, help="default: beside the JSON")
    report.add_argument("--text", action="store_true", help="print the tables, make no page")
    options = parser.parse_args(words)
    if options.command == "duel" and (options.rounds < 1 or options.seconds < 1):
        parser.error("--rounds and --seconds are at least 1")
    return parser, options


def trial_names(parser, only):
    if not only:
        return rounds.all_names()
    wanted = [word for words in only for word in words.split(",") if word]
    for word in wanted:
        if not fnmatch.filter(rounds.all_names(), word):
            parser.error(f"no trial {word!r}; there are: {' '.join(rounds.all_names())}")
    return [name for name in rounds.all_names()
            if any(fnmatch.fnmatch(name, word) for word in wanted)]


def write(path, text):
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.rename(path)


def say(text):
    print(text, flush=True)


def command_duel(parser, options):
    missing = peers.missing_prerequisites(TOOLS)
    if missing:
        sys.exit("the duel cannot run:\n  " + "\n  ".join(missing))
    names = (options.contestants.split(",") if options.contestants
             else contestants.default_names()) + options.commands
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    run = rounds.Run(names, trial_names(parser, options.only), options.rounds, options.seconds,
                     say)
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d-%H%M%S")
    path = options.output or RESULTS / f"duel-{stamp}.json"
    try:
        run.go()
    finally:
        document = summary.complete(run.document)
        text = json.dumps(document, indent=1) + "\n"
        write(path, text)
        if not options.output:
            write(LATEST, text)
        say("\n" + "\n".join(table.lines(document)))
        say(f"\n{path}")
    return 1 if summary.ours_failed(document) else 0


def command_report(parser, options):
    try:
        document = json.loads(options.json.read_text())
    except (OSError, ValueError) as error:
        parser.error(f"no result of a duel: {error}")
    if document.get("format") != rounds.FORMAT or document.get("kind") != "duel":
        parser.error(f"{options.json} is not the result of a duel of this version")
    document = summary.complete(document)
    if options.text:
        say("\n".join(table.lines(document)))
        return 0
    path = options.output or options.json.with_suffix(".html")
    write(path, page.html(document))
    say(str(path))
    return 0


def main(words):
    parser, options = arguments(words)
    try:
        return {"duel": command_duel, "report": command_report}[options.command](parser, options)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

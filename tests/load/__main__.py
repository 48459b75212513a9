"""./dev load: floods, churn and a soak; each ends with the paths of its JSON and Markdown."""

import argparse
import pathlib
import signal
import sys

from lab import peers
from load import command_churn, command_flood, command_soak

TOOLS = ("ip", "nsenter", "unshare", "wg", "ping", "iperf3", "ss", "sysctl")
COMMANDS = (command_flood, command_churn, command_soak)


def arguments(words):
    parser = argparse.ArgumentParser(prog="./dev load", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        own = commands.add_parser(command.NAME, help=command.HELP, description=command.__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
        own.add_argument("--output", type=pathlib.Path, help="the JSON (default: build/load)")
        own.set_defaults(run=command.run)
        command.add_options(own)
    return parser.parse_args(words)


def main(words):
    options = arguments(words)
    missing = peers.missing_prerequisites(TOOLS)
    if missing:
        sys.exit("./dev load cannot run:\n  " + "\n  ".join(missing))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return options.run(options, lambda text: print(text, flush=True))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

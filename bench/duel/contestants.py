"""Who takes part. Names on the command line:

    ours-ENGINE[-AEAD]   the daemon under test, e.g. ours-uring, ours-epoll-boringssl
    wireguard-go boringtun gotatun   built from their registries (tests/net/peers/build.py)
    no-crypto            ours with a cipher that only copies: the rest of the path (bench/ceiling)
    veth                 no tunnel at all: what the machine can do
    NAME=COMMAND         any other, kept in the foreground; {ifname} stands for the interface
"""

import hashlib
import re
import shlex
import shutil

from lab import peers
from lab.daemon import Implementation
from lab.run import LabError, run
from peers import build

GO, RUST = "wireguard-go", ("boringtun", "gotatun")
NO_CRYPTO = "no-crypto"
QUIET = {"LOG_LEVEL": "error", "WG_LOG_LEVEL": "error"}
OPTIONS = {GO: [], "boringtun": ["--disable-drop-privileges"],
           "gotatun": ["--disable-drop-privileges"]}


class Command(Implementation):
    """Started by a command of the operator's own."""

    def __init__(self, name, command):
        self.words = shlex.split(command)
        program = shutil.which(self.words[0]) if self.words else None
        if program is None or "{ifname}" not in command:
            raise LabError(f"a program that exists and {{ifname}} are needed: {command!r}")
        super().__init__(name, program, env=QUIET)

    def argv(self, ifname, *more):
        return [self.path, *[word.replace("{ifname}", ifname) for word in self.words[1:]]]


class Contestant:
    """A name, its kind (ours, go, rust, ceiling, other) and how it is started (not for veth)."""

    def __init__(self, name, kind, implementation=None, version=""):
        self.name, self.kind = name, kind
        self.implementation, self.version = implementation, version

    def __repr__(self):
        return self.name


def ours(name):
    _, engine, *aead = name.split("-", 2)
    options = [f"--engine={engine}"] + [f"--aead={word}" for word in aead]
    path = peers.under_test_path()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    version = run([path, "--version"]).out.strip().removeprefix("wgring ")
    return Contestant(name, "ours", Implementation(name, path, options, QUIET),
                      f"{version}, program {digest}")


def resolve(name):
    """The contestant of a name; builds it when it has to be built."""
    if "=" in name:
        name, command = name.split("=", 1)
        return Contestant(name, "other", Command(name, command), command)
    if name == "veth":
        return Contestant(name, "ceiling")
    if name == NO_CRYPTO:
        path = peers.executable("WGRING_NO_CIPHER", "build/bench/bench/wgring_no_cipher",
                                "daemon without a cipher")
        return Contestant(name, "ceiling", Implementation(name, path, [], QUIET))
    if re.fullmatch(r"ours-(auto|epoll|uring)(-[\w-]+)?", name):
        return ours(name)
    if name in OPTIONS:
        implementation = Implementation(name, build.build(name), OPTIONS[name], QUIET)
        return Contestant(name, "go" if name == GO else "rust", implementation,
                          build.version_of(name))
    raise LabError("no contestant of this name; --help tells which there are")


def default_names():
    return [f"ours-{engine}" for engine in ("epoll", "uring")] + [GO, *RUST, NO_CRYPTO, "veth"]

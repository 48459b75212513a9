"""WireGuards written by others, built from their registries at the versions pinned here.

    python3 -m peers.build [NAME...]     builds what is not there yet and says where it is

Each version is built once and kept in the user's cache (~/.cache/wgring/peers). What is missing for
it is an error that names the tool; nothing is ever left out in silence.
"""

import contextlib
import fcntl
import functools
import hashlib
import os
import pathlib
import re
import shutil
import sys

from lab.run import LabError, run

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILT = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
                     "wgring/peers")
GO_MINOR_MIN = 23
BUILD_SECONDS_MAX = 900

# name: (crate, program in it, version, lowest Rust 1.x that we build it with)
CRATES = {
    "boringtun": ("boringtun-cli", "boringtun-cli", "0.7.1", 85),
    "gotatun": ("gotatun-cli", "gotatun", "0.10.2", 95),
}
NAMES = ("wireguard-go", *CRATES)


@functools.cache
def go_toolchain():
    """Path of a `go` that can read our go.mod, or None. Debian 12's own one is too old."""
    return toolchain("go", ["version"], r"go1\.(\d+)", GO_MINOR_MIN, "/usr/local/go/bin")


def rust_toolchain(minor_min):
    """Path of a `cargo` of at least this 1.x, or None. Debian 12's own one is too old."""
    return toolchain("cargo", ["--version"], r"cargo 1\.(\d+)", minor_min,
                     os.path.expanduser("~/.cargo/bin"))


def toolchain(tool, words, pattern, minor_min, usual_place):
    for path in (None, usual_place):
        program = shutil.which(tool, path=path)
        version = re.search(pattern, run([program, *words], check=False).out) if program else None
        if version and int(version[1]) >= minor_min:
            return program
    return None


def why_not(name):
    """What keeps this machine from building it, or None."""
    if binary_of(name).exists():
        return None
    if name == "wireguard-go":
        return None if go_toolchain() else f"no Go toolchain (1.{GO_MINOR_MIN} or newer) on PATH"
    minor_min = CRATES[name][3]
    return None if rust_toolchain(minor_min) else f"no cargo (1.{minor_min} or newer) on PATH"


def go_module():
    return ROOT / "tests/net/peers/wireguard-go"


def binary_of(name):
    """Where the pinned version is, or will be."""
    if name == "wireguard-go":
        pins = [(go_module() / file).read_bytes() for file in ("go.mod", "go.sum")]
        digest = hashlib.sha256(b"".join(pins)).hexdigest()[:16]
        return BUILT / digest / "wireguard-go-now"
    crate, program, version, _ = CRATES[name]
    return BUILT / f"{crate}-{version}" / "bin" / program


def version_of(name):
    """The pinned version as its registry writes it."""
    if name == "wireguard-go":
        pin = re.search(r"^require golang\.zx2c4\.com/wireguard (\S+)$",
                        (go_module() / "go.mod").read_text(), re.M)
        return pin[1]
    return CRATES[name][2]


def build_go(binary):
    binary.parent.mkdir(parents=True, exist_ok=True)
    fresh = binary.with_name(f"new-{os.getpid()}")
    run([go_toolchain(), "-C", go_module(), "build", "-trimpath", "-o", fresh,
         "golang.zx2c4.com/wireguard"], timeout=BUILD_SECONDS_MAX)
    fresh.rename(binary)


def build_crate(name, binary):
    """Into a folder of its own first: an interrupted build leaves nothing that looks finished."""
    crate, _, version, minor_min = CRATES[name]
    home = binary.parents[1]
    fresh = home.with_name(f"new-{crate}-{os.getpid()}")
    try:
        run([rust_toolchain(minor_min), "install", crate, "--version", version, "--locked",
             "--quiet", "--root", fresh], timeout=BUILD_SECONDS_MAX)
        fresh.rename(home)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextlib.contextmanager
def one_at_a_time():
    """The parts of a run want the same ones at the same moment."""
    BUILT.mkdir(parents=True, exist_ok=True)
    with (BUILT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(name):
    """Path of the program, built when it is not there yet."""
    if reason := why_not(name):
        raise LabError(f"{name} {version_of(name)} cannot be built: {reason}")
    binary = binary_of(name)
    if not binary.exists():
        with one_at_a_time():
            if binary.exists():
                pass  # who had the lock has built it
            elif name == "wireguard-go":
                build_go(binary)
            else:
                build_crate(name, binary)
    if not binary.exists():
        raise LabError(f"{name} was built, but there is no {binary.name} in it")
    return binary


def main(names):
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        sys.exit(f"no peer {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    failed = False
    for name in names or NAMES:
        try:
            print(f"{name} {version_of(name)}: {build(name)}", flush=True)
        except LabError as error:
            failed = True
            print(error, file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

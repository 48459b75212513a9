"""Which programs are tested, and against whom.

WGRING_BIN      the daemon under test (default: build/release/daemon/wgring)
WGRING_STANDIN  1 when that is another implementation used to try the tests themselves
WGRING_PERSONA  a name of `persona --help`: the daemon under test, and it alone, runs under it
WGRING_PERSONA_BIN  that program (default: build/dev/tests/persona/persona)
"""

import ctypes
import errno
import functools
import hashlib
import os
import pathlib
import shlex
import shutil

from lab import inject
from lab.daemon import Implementation
from lab.run import LabError, run
from peers.build import CRATES, ROOT, build, go_toolchain, why_not

IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
STANDIN = os.environ.get("WGRING_STANDIN") == "1"
PERSONA = os.environ.get("WGRING_PERSONA", "")
# Where a TUN cannot be told which queue a packet is for: no program, or no bpf() to load one.
UNSTEERED_PERSONAS = ["4.14", "4.14-sends", "container"]
BASIC_RING_PERSONA = "no-pbuf-ring"  # the only one with a usable ring

TOOLS = {
    "wg": "wireguard-tools", "wg-quick": "wireguard-tools", "ip": "iproute2", "ss": "iproute2",
    "ping": "iputils-ping", "iperf3": "iperf3", "tcpdump": "tcpdump", "tshark": "tshark",
    "nft": "nftables", "iptables": "iptables", "sysctl": "procps", "nsenter": "util-linux",
    "unshare": "util-linux", "wireguard-go": "wireguard-go",
}


def executable(variable, default, what):
    path = pathlib.Path(os.environ.get(variable, ROOT / default)).resolve()
    if not os.access(path, os.X_OK):
        raise LabError(f"no {what} at {path}: build it, or name one in {variable}")
    return path


def publish(path, write):
    """write(fresh path) makes a file, which is then there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"new-{os.getpid()}")
    write(fresh)
    fresh.rename(path)


@functools.cache
def under_persona(daemon, name):
    """A script with the daemon's own name, for wg-quick and others that take but one path."""
    persona = executable("WGRING_PERSONA_BIN", "build/dev/tests/persona/persona", "persona")
    command = shlex.join([str(persona), name, "--", str(daemon)])
    run([persona, name, "--", "true"])  # an unknown name is told here, and with the known ones
    text = f'#!/bin/sh\nexec {command} "$@"\n'
    script = ROOT / f"build/personas/{hashlib.sha256(text.encode()).hexdigest()[:16]}/{daemon.name}"

    def write(path):
        path.write_text(text)
        path.chmod(0o755)

    publish(script, write)
    return script


def under_test_path():
    daemon = executable("WGRING_BIN", "build/release/daemon/wgring", "daemon")
    return under_persona(daemon, PERSONA) if PERSONA else daemon


def under_test(engine=None):
    options = [] if STANDIN or engine is None else [f"--engine={engine}"]
    return Implementation(f"wgring({engine or 'auto'})", under_test_path(), options)


def with_a_basic_ring(engine):
    """The daemon under test where a ring has no slots to lend."""
    path = under_persona(under_test_path(), BASIC_RING_PERSONA)
    return Implementation(f"wgring({engine}, basic)", path, [f"--engine={engine}"])


def without_bpf():
    """The daemon under test where bpf() is refused."""
    path = under_persona(under_test_path(), "container")
    return Implementation("wgring(epoll, no bpf)", path, ["--engine=epoll"])


def debian_wireguard_go():
    return Implementation("wireguard-go", shutil.which("wireguard-go"))


def current_wireguard_go():
    return Implementation("wireguard-go-current", build("wireguard-go"))


def rust(name):
    """One of CRATES. It would give up root, and with it the namespace of its test."""
    return Implementation(name, build(name), ["--disable-drop-privileges"])


def is_rust(implementation):
    return implementation.name in CRATES


def foreign():
    """Names of those written by others that this machine can try: Debian has one of them."""
    return ["wireguard-go"] + [name for name in CRATES if why_not(name) is None]


def by_name(name):
    if name in CRATES:
        return rust(name)
    return current_wireguard_go() if go_toolchain() else debian_wireguard_go()


@functools.cache
def uring_refusal():
    """Why the kernel gives this process no ring, or None when it does."""
    libc = ctypes.CDLL(None, use_errno=True)
    io_uring_setup, parameters = 425, ctypes.create_string_buffer(120)
    ring = libc.syscall(io_uring_setup, 4, parameters)
    if ring < 0:
        return errno.errorcode.get(ctypes.get_errno(), "unknown")
    os.close(ring)
    return None


def engines():
    """Engines that can be tried on this kernel."""
    if STANDIN:
        return ["standin"]
    if uring_refusal() or PERSONA not in ("", BASIC_RING_PERSONA):
        return ["epoll"]
    return ["epoll", "uring-basic" if PERSONA else "uring"]


def others():
    """Names of far ends that can be tried on this machine."""
    return ["ours", "go-debian"] + (["go-current"] if go_toolchain() else [])


def not_run():
    """What this machine cannot try at all; the run says so, and where CI=true it fails."""
    lines = []
    if go_toolchain() is None:
        lines.append("no Go toolchain (1.23 or newer): the current wireguard-go is not a peer")
    lines += [f"{why}: {name} is not a peer" for name in CRATES if (why := why_not(name))]
    if not inject.possible:
        lines.append("system calls can be injected on x86-64 only: the sandbox is not tried")
    if not STANDIN and not PERSONA and uring_refusal():
        lines.append(f"io_uring_setup gives {uring_refusal()}: the uring engine is not run")
    return lines


def missing_prerequisites(tools=TOOLS):
    """One line per thing that the whole run needs and that is not there."""
    lines = []
    if os.geteuid() != 0:
        lines.append("root is needed to make network namespaces: run as root or through sudo")
    if not os.path.exists("/dev/net/tun"):
        lines.append("/dev/net/tun is missing: modprobe tun, or give the container the device")
    lines += [f"{tool} is missing: apt install {TOOLS[tool]}" for tool in tools
              if shutil.which(tool) is None]
    return lines

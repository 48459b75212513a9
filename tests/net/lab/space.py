"""One space: a network, mount and pid namespace with an own /run.

The own /run gives each space its own /var/run/wireguard, so interface names need not differ
between spaces. The pid namespace makes clean-up certain: when its first process (holder.py)
dies, the kernel kills the rest.
"""

import contextlib
import ctypes
import itertools
import os
import pathlib
import signal
import socket
import subprocess
import sys

from lab.run import LabError, kill_group, run, spawn, wait_for

CLONE_NEWNET = 0x40000000
counter = itertools.count(1)
libc = ctypes.CDLL(None, use_errno=True)


def children_of(pid):
    try:
        return [int(word) for word in
                pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def processes_in(inode):
    """Process ids (as seen from here) that live in the network namespace with this inode."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(entry / "ns/net").st_ino == inode:
                    found.append(int(entry.name))
    return found


def started_at(pid):
    """Start of a process in clock ticks, which tells it from a later one of the same number."""
    with contextlib.suppress(OSError):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    return None


class Space:
    """Namespaces that live as long as this object is open."""

    not_closed = set()

    def __init__(self, name):
        self.name = f"{name}-{os.getpid()}-{next(counter)}"
        holder = pathlib.Path(__file__).with_name("holder.py")
        self._unshare = spawn(
            ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child",
             sys.executable, "-S", str(holder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self._unshare.stdout.readline() != "ready\n":
            kill_group(self._unshare)
            raise LabError(f"no namespace: {self._unshare.stderr.read()}")
        self.pid = children_of(self._unshare.pid)[0]
        self.inode = os.stat(f"/proc/{self.pid}/ns/net").st_ino
        Space.not_closed.add(self)

    def inside(self, argv):
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--",
                *[str(word) for word in argv]]

    def run(self, *argv, **options):
        return run(self.inside(argv), **options)

    def ip(self, words, **options):
        """`ip` in this network namespace, but with outer pids, so that `netns PID` works."""
        return run(["nsenter", f"--target={self.pid}", "--net", "--", "ip", *words.split()],
                   **options)

    def sysctl(self, name, value):
        self.run("sysctl", "-qw", f"{name}={value}")

    def popen(self, argv, **options):
        """Starts argv inside; returns (the Popen of nsenter, the outer pid of argv itself)."""
        process = spawn(self.inside(argv), **options)
        pid = wait_for(lambda: children_of(process.pid) or process.poll() is not None,
                       f"start of {argv[0]}", pause=0.002)
        return process, (pid[0] if isinstance(pid, list) else None)

    def path(self, inner):
        """A path of this space seen from outside; symbolic links on the way are not followed."""
        return pathlib.Path(f"/proc/{self.pid}/root{inner}")

    def link_count(self, device, name):
        """What the kernel counted for a link; rx_packets of a TUN is what was written to it."""
        return int(self.path(f"/sys/class/net/{device}/statistics/{name}").read_text())

    def pids(self, command):
        """Outer pids of the processes inside whose command name is this."""
        found = []
        for pid in processes_in(self.inode):
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == command[:15]:
                    found.append(pid)
        return found

    @contextlib.contextmanager
    def entered(self):
        """This thread stands in the space's network namespace for the time of the block."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        target = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        try:
            if libc.setns(target, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            yield
        finally:
            libc.setns(home, CLONE_NEWNET)
            os.close(home)
            os.close(target)

    def udp_socket(self, family=socket.AF_INET, bind=None):
        """A UDP socket of this space; never blocks longer than five seconds."""
        with self.entered():
            sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.settimeout(5)
        if bind is not None:
            sock.bind(bind)
        return sock

    def wait_udp_port(self, port):
        """The daemon learns of link up by netlink, so its sockets come a moment later."""
        wait_for(lambda: f":{port} " in self.run("ss", "-Hlun").out, f"UDP port {port} to be open")

    def wire(self, other, name, other_name, mtu=1500):
        """A veth pair: `name` in this space, `other_name` in the other one, both up."""
        self.ip(f"link add {name} mtu {mtu} type veth peer name {other_name} mtu {mtu} "
                f"netns {other.pid}")
        self.ip(f"link set {name} up")
        other.ip(f"link set {other_name} up")

    def address(self, device, *addresses):
        for address in addresses:
            nodad = " nodad" if ":" in address else ""
            self.ip(f"addr add {address} dev {device}{nodad}")

    def close(self):
        """Kills what is inside; the numbers of namespaces are used again, so ask for processes."""
        inside = {(pid, started_at(pid)) for pid in processes_in(self.inode)}
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._unshare.wait(timeout=10)
        for pipe in (self._unshare.stdin, self._unshare.stdout, self._unshare.stderr):
            pipe.close()
        wait_for(lambda: not [pid for pid, since in inside if since and started_at(pid) == since],
                 f"end of all processes in {self.name}")
        Space.not_closed.discard(self)

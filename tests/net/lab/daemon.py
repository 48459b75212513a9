"""One userspace WireGuard process in a space: start, observe, stop."""

import contextlib
import os
import pathlib
import signal
import subprocess

from lab.run import LabError, run, wait_for
from lab.uapi import Uapi

SANITIZER_MARKS = ("Sanitizer:", "runtime error:", "WARNING: ThreadSanitizer")
# A system call that the sandbox does not know would else go unnoticed.
STRICT = {"WGRING_SANDBOX": "kill"}
# What ends the process at the first finding, for the environment of whatever is started.
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "halt_on_error=1:abort_on_error=0:detect_leaks=1:exitcode=99",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1:exitcode=99",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:exitcode=99",
}


class Implementation:
    """A program that honours the contract `prog [-f] IFNAME`, with the options we start it by."""

    def __init__(self, name, path, options=(), env=None):
        self.name, self.path, self.options = name, pathlib.Path(path), list(options)
        self.env = env or {}

    def argv(self, ifname, *more):
        return [str(self.path), *self.options, *more, ifname]

    def with_options(self, *options):
        """The same, started with these as well."""
        return Implementation(self.name, self.path, [*self.options, *options], self.env)

    def __repr__(self):
        return self.name


def alive(pid):
    """Neither gone nor a zombie."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


class Daemon:
    """A running daemon. start() keeps it in the foreground, adopt() takes a background one."""

    def __init__(self, space, implementation, ifname, log_path):
        self.space, self.implementation, self.ifname = space, implementation, ifname
        self.log_path = pathlib.Path(log_path)
        self.process, self.pid, self.exit_code = None, None, None

    @property
    def socket_path(self):
        return self.space.path(f"/run/wireguard/{self.ifname}.sock")

    @property
    def uapi(self):
        return Uapi(self.socket_path)

    @property
    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self, *more, env=None, wait_ready=True, pass_fds=()):
        environment = {**os.environ, **STRICT, "LOG_LEVEL": "debug", **self.implementation.env,
                       **(env or {})}
        with self.log_path.open("a") as log:
            self.process, self.pid = self.space.popen(
                self.implementation.argv(self.ifname, "-f", *more), env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=pass_fds)
        if wait_ready:
            self.wait_ready()
        return self

    def start_background(self, env=None, **options):
        """As an operator starts it: returns when the parent has returned."""
        environment = {**STRICT, "LOG_LEVEL": "error", **(env or {})}
        # The daemon may keep the parent's output open: a file, not a pipe, so nothing waits on it.
        script = 'log=$1; shift; exec "$@" >>"$log" 2>&1'
        result = self.space.run("sh", "-c", script, "sh", self.log_path,
                                *self.implementation.argv(self.ifname),
                                env=environment, check=False, **options)
        pids = self.space.pids(self.implementation.path.name)
        self.pid = pids[-1] if pids else None
        return result

    def ready(self):
        """True when `get` is answered; fails at once when the process has ended."""
        if self.process is not None and self.process.poll() is not None:
            raise LabError(f"{self.implementation} ended with {self.process.returncode}:\n"
                           f"{self.log}")
        with contextlib.suppress(OSError):
            return self.uapi.get().errno == 0
        return False

    def wait_ready(self):
        wait_for(self.ready, f"{self.implementation} to answer on {self.ifname}", timeout=20)

    def signal(self, number):
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    @property
    def running(self):
        if self.process is not None:
            return self.process.poll() is None
        return self.pid is not None and alive(self.pid)

    def wait_end(self, timeout=10):
        """Waits for the end; the exit code is known only for a foreground daemon."""
        wait_for(lambda: not self.running, f"end of {self.implementation}", timeout)
        if self.process is not None:
            self.exit_code = self.process.returncode
        return self.exit_code

    def stop(self, timeout=20):
        self.signal(signal.SIGTERM)
        try:
            return self.wait_end(timeout)
        except LabError:
            self.signal(signal.SIGKILL)
            raise

    def complaints(self):
        """What a sanitizer said, or the assertion that ended it."""
        marks = SANITIZER_MARKS + ("WG_ASSERT", "assertion failed", "panic:")
        return [line for line in self.log.splitlines() if any(mark in line for mark in marks)]

    def threads(self, name):
        """The numbers of its threads of that name."""
        return [int(task.name) for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir()
                if (task / "comm").read_text().strip() == name]


def supports(implementation, option):
    return option in run([implementation.path, "--help"], check=False).text

"""Bounded commands and bounded waiting: nothing in a test may hang."""

import os
import signal
import subprocess
import time


class LabError(AssertionError):
    """The experiment failed; the text says which command and what it printed."""


class Result:
    """What a finished command left behind."""

    def __init__(self, argv, code, out, err):
        self.argv, self.code, self.out, self.err = argv, code, out, err

    @property
    def text(self):
        return self.out + self.err

    def __repr__(self):
        return f"{' '.join(self.argv)}\n  exit {self.code}\n  {self.text.strip()}"


def spawn(argv, **options):
    """A process in its own session, so that one signal reaches all of its children."""
    return subprocess.Popen(argv, start_new_session=True, **options)


def kill_group(process, number=signal.SIGKILL):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def run(argv, *, timeout=20, text=None, check=True, env=None, pass_fds=()):
    """Runs to the end or kills the whole group; raises on failure unless check is false."""
    argv = [str(word) for word in argv]
    process = spawn(argv, stdin=subprocess.PIPE if text is not None else subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=pass_fds,
                    env=None if env is None else {**os.environ, **env})
    try:
        out, err = process.communicate(text, timeout=timeout)
    except BaseException as error:
        kill_group(process)
        out, err = process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise LabError(f"no end within {timeout} s: {Result(argv, None, out, err)}") from None
        raise
    result = Result(argv, process.returncode, out, err)
    if check and result.code != 0:
        raise LabError(repr(result))
    return result


def wait_for(condition, what, timeout=10.0, pause=0.02):
    """Polls until condition() is true and returns what it returned."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise LabError(f"waited {timeout} s in vain for: {what}")
        time.sleep(pause)


def holds_for(condition, what, seconds, pause=0.1):
    """Fails as soon as condition() is false within the given time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not condition():
            raise LabError(f"did not hold for {seconds} s: {what}")
        time.sleep(pause)

"""One experiment: the spaces, daemons and files of a test, and their certain end."""

import contextlib
import itertools
import pathlib

from lab.daemon import Daemon
from lab.run import LabError, kill_group
from lab.space import Space


class Lab:
    """Owner of everything a test starts. close() ends it all and reports what went wrong."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.spaces, self.daemons = [], []
        self._processes = []
        self._numbers = itertools.count(1)

    def space(self, name):
        self.spaces.append(Space(name))
        return self.spaces[-1]

    def daemon(self, space, implementation, ifname="wg0"):
        """A daemon that is not started yet."""
        log = self.directory / f"{space.name}-{ifname}-{next(self._numbers)}.log"
        self.daemons.append(Daemon(space, implementation, ifname, log))
        return self.daemons[-1]

    def file(self, name, text):
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def own(self, process):
        """A helper process that must not outlive the test."""
        self._processes.append(process)
        return process

    def logs(self):
        return "\n".join(f"--- {daemon.implementation} on {daemon.ifname} in {daemon.space.name}\n"
                         + "\n".join(daemon.log.splitlines()[-60:]) for daemon in self.daemons)

    def _stop_daemons(self):
        problems = []
        for daemon in self.daemons:
            try:
                if daemon.running:
                    daemon.stop()
                    if daemon.exit_code not in (0, None):
                        problems.append(f"{daemon.implementation} ended with {daemon.exit_code}")
            except LabError as error:
                problems.append(str(error))
            problems += daemon.complaints()
        return problems

    def close(self):
        """Raises when a daemon did not end well, after everything is gone."""
        problems = self._stop_daemons()
        self.daemons = []
        for process in self._processes:
            kill_group(process)
            process.wait()
        self._processes = []
        for space in self.spaces:
            with contextlib.suppress(FileNotFoundError):
                space.close()
        self.spaces = []
        if problems:
            raise LabError("\n".join(problems))

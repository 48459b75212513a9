"""A tunnel to the guest that talks in the background, until its keys have changed."""

import contextlib
import re
import threading

from guest.meeting import Meeting
from lab.lab import Lab
from lab.run import LabError, wait_for
from lab.talk import REKEY_AFTER_S, SPARE_S, inner_pid

INTERVAL_S = 0.2


class Talk:
    """Pings from our end without pause; who began is who changes the keys."""

    def __init__(self, directory, machine, implementation, begins, tunnel):
        self.lab, self.report = Lab(directory), directory / "ping.txt"
        self.handshakes = []  # when our end completed them; how many it had initiated by then
        self._end = threading.Event()
        self._watch = threading.Thread(target=self._note_handshakes, daemon=True)
        self.meeting = Meeting(self.lab, machine, implementation, psk=True, tunnel=tunnel)
        first, second = self.meeting.ends(begins)
        first.ping(second.inner4, count=1)
        with self.report.open("w") as report:
            process, self._pid = self.meeting.ours.space.popen(
                ["ping", "-n", "-i", str(INTERVAL_S), self.meeting.kernel.inner4],
                stdout=report, stderr=report)
        self._ping = self.lab.own(process)
        self._watch.start()

    def _note_handshakes(self):
        """The guest is not asked: it answers one at a time."""
        while not self._end.wait(0.5):
            with contextlib.suppress(OSError):
                when = int(self.meeting.ours.daemon.uapi.get().value("last_handshake_time_sec"))
                if when not in dict(self.handshakes):
                    initiated = self.meeting.ours.daemon.log.count("handshake initiated")
                    self.handshakes.append((when, initiated))

    def wait(self):
        """Until a little after the new keys are due."""
        wait_for(lambda: len(self.handshakes) > 1, "a second handshake",
                 timeout=REKEY_AFTER_S + 3 * SPARE_S, pause=0.5)
        self._end.wait(2)  # pings under the new keys

    def lost(self):
        """Echo requests without a reply, the last ones left aside, and how many had one."""
        self.meeting.ours.space.run("kill", "-INT", inner_pid(self._pid))
        self._ping.wait(timeout=10)
        answered = {int(number) for number in
                    re.findall(r"icmp_seq=(\d+) ttl", self.report.read_text())}
        if not answered:
            raise LabError(f"no ping was answered: {self.report.read_text()[-1000:]}")
        return max(answered) - len(answered), len(answered)

    def close(self):
        self._end.set()
        if self._watch.is_alive():
            self._watch.join(timeout=30)
        self.lab.close()

"""tcpdump on a wire, and what tshark makes of the file."""

import re
import subprocess

from lab.run import LabError, kill_group, run, wait_for


class Capture:
    """Everything on one device of a space, from entering the block to leaving it.

    `only` leaves out what else is under way, in the words of pcap-filter(7).
    """

    def __init__(self, space, device, path, snaplen=0, only=""):
        self.space, self.device, self.path, self.snaplen = space, device, path, snaplen
        self.only = only
        self._log = path.with_suffix(".log")
        self._process, self._pid = None, None

    def __enter__(self):
        log = self._log.open("w")
        self._process, self._pid = self.space.popen(
            ["tcpdump", "-n", "-i", self.device, "-U", "--immediate-mode", "-B", "65536",
             "-s", str(self.snaplen), "-Z", "root", "-w", str(self.path), *self.only.split()],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: "listening on" in self._log.read_text(), "tcpdump to listen")
        log.close()
        return self

    def _count(self, what):
        return int(re.search(rf"(\d+) packets? {what}", self._log.read_text())[1])

    def __exit__(self, *_):
        """Ends once nothing more is being written; fails when tcpdump missed a packet."""
        sizes = []
        wait_for(lambda: sizes.append(self.path.stat().st_size) or sizes[-4:] == sizes[-1:] * 4,
                 "the capture to come to rest", pause=0.1)
        run(["kill", "-INT", self._pid])
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            kill_group(self._process)
            raise LabError("tcpdump did not end") from None
        captured, received, dropped = (self._count(what) for what in (
            "captured", "received by filter", "dropped by kernel"))
        if captured != received or dropped:
            raise LabError(f"tcpdump missed packets: {self._log.read_text()}")

    def tshark(self, *words, key_log=None):
        """Both ports of the labs are named: else another dissector's guess could come first."""
        options = ["-d", "udp.port==1001,wg", "-d", "udp.port==1002,wg"]
        options += ["-o", f"wg.keylog_file:{key_log}"] if key_log else []
        return run(["tshark", "-n", "-r", self.path, *options, *words], timeout=60).out

    def packets(self, fields, key_log=None):
        """One dictionary per packet; of a field that occurs twice, the outermost."""
        words = [word for field in fields for word in ("-e", field)]
        text = self.tshark("-T", "fields", "-E", "occurrence=f", *words, key_log=key_log)
        return [dict(zip(fields, line.split("\t"))) for line in text.splitlines()]

"""QEMU with the guest in it, in a space of its own.

    the space                     the guest
    eth0 10.0.0.1, fd00:a::1  ---  eth0 10.0.0.2, fd00:a::2
    the daemon under test         the kernel's WireGuard

QEMU is a process of the space: however a run ends, the kernel ends it with the space.
The processor is emulated: a host need not have /dev/kvm, and one that has it may not boot this.
"""

import contextlib
import itertools
import pathlib
import shlex
import socket
import subprocess
import time

from guest import initramfs
from lab.run import LabError, Result, kill_group, wait_for
from lab.space import Space

QEMU = "qemu-system-x86_64"
BOOT_S = 120  # it takes 5 on an idle machine
SPARE_S = 30  # beyond the time that a command should take
MEMORY = "256M"


class Machine:
    """The guest, to be asked as a Space is: run(), ip(), address()."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.console = self.directory / "console.log"
        self.space, self._numbers = Space("machine"), itertools.count(1)
        self._process, self._control, self._rest, self._broken = None, None, b"", None
        try:
            self._boot()
        except BaseException:
            self.close()
            raise

    def _command(self, control, archive):
        return [
            QEMU, "-accel", "tcg", "-machine", "pc", "-cpu", "max", "-m", MEMORY,
            "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
            "-kernel", initramfs.kernel(), "-initrd", archive,
            "-append", "console=ttyS0 panic=-1 oops=panic",
            "-chardev", f"file,id=console,path={self.console}", "-serial", "chardev:console",
            "-device", "virtio-serial-pci,max_ports=2",
            "-chardev", f"socket,id=control,fd={control}",
            "-device", "virtserialport,chardev=control",
            "-netdev", "tap,id=wire,ifname=eth0,script=no,downscript=no",
            "-device", "virtio-net-pci,netdev=wire,romfile="]

    def _boot(self):
        archive, started = self.directory / "initramfs.cpio", time.monotonic()
        archive.write_bytes(initramfs.build())
        self._control, far = socket.socketpair()
        with far, (self.directory / "qemu.log").open("w") as log:
            self._process, _ = self.space.popen(
                self._command(far.fileno(), archive), pass_fds=(far.fileno(),),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if self._line(BOOT_S) != "ready":
            raise LabError(f"the guest did not boot:\n{self.logs()}")
        self.boot_s = time.monotonic() - started
        for end, number in ((self.space, 1), (self, 2)):
            end.ip("link set eth0 up")
            end.address("eth0", f"10.0.0.{number}/24", f"fd00:a::{number}/64")

    def logs(self):
        """The end of what QEMU and the guest's kernel said."""
        texts = [path.read_text(errors="replace") if path.exists() else ""
                 for path in (self.directory / "qemu.log", self.console)]
        return "\n".join(line for text in texts for line in text.splitlines()[-40:])

    def _line(self, seconds):
        """The next line of the guest; a machine that does not give it is not asked again."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._rest:
            self._control.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data, why = self._control.recv(1 << 16), "the guest has ended"
            except OSError as error:
                data, why = b"", f"no answer of the guest: {error}"
            if not data:
                self._broken = f"{why}\n{self.logs()}"
                raise LabError(self._broken)
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")

    def run(self, *argv, timeout=20, text=None, check=True):
        """Runs a command in the guest, as Space.run does it in a space."""
        script = shlex.join(str(word) for word in argv)
        return self.shell(script if text is None else f"printf %s {shlex.quote(text)} | {script}",
                          timeout=timeout, check=check)

    def shell(self, script, timeout=20, check=True):
        """Runs a script of the guest's /bin/sh; a step of it that may fail says so itself."""
        if self._broken:
            raise LabError(self._broken)
        mark, lines = f"mark-{next(self._numbers)}", []
        with contextlib.suppress(OSError):  # of a guest that has ended, as reading will tell
            self._control.sendall(f"{mark}\n{script}\n{mark}\n".encode())
        while not (line := self._line(timeout + SPARE_S)).startswith(f"{mark} "):
            lines.append(line)
        result = Result(["guest:", script], int(line.split()[1]), "\n".join(lines) + "\n", "")
        if check and result.code != 0:
            raise LabError(repr(result))
        return result

    def ip(self, words, **options):
        return self.run("ip", *words.split(), **options)

    def address(self, device, *addresses):
        for address in addresses:
            self.ip(f"addr add {address} dev {device}")

    def wait_udp_port(self, port):
        wait_for(lambda: f":{port} " in self.run("netstat", "-lun").out, f"UDP port {port}")

    def close(self):
        if self._control:
            self._control.close()
        self.space.close()
        if self._process:
            kill_group(self._process)
            self._process.wait(timeout=10)

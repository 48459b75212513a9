"""A daemon to which time has passed, as on a machine that slept, in no time."""

import pathlib
import struct

from lab.daemon import Implementation
from lab.run import run

SOURCE = pathlib.Path(__file__).with_name("asleep.c")


class Asleep:
    """Start `implementation`. What waits for its alarm is not woken: send data to it."""

    def __init__(self, lab, implementation):
        library, self._slept = lab.directory / "asleep.so", lab.directory / "slept"
        run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE)])
        self._slept.write_bytes(bytes(8))
        self.implementation = Implementation(
            f"{implementation.name} that sleeps", implementation.path, implementation.options,
            {**implementation.env, "LD_PRELOAD": str(library), "ASLEEP_FILE": str(self._slept)})

    def sleep(self, seconds):
        with self._slept.open("r+b") as file:
            file.write(struct.pack("=q", seconds))

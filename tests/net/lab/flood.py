"""Initiations that say nothing, but have a valid mac1: whoever gets many of them is under load."""

import base64
import contextlib
import os
import sys

from lab.peer import INITIATION, with_macs
from lab.run import kill_group, wait_for

FLOOD = """
import contextlib, socket, sys, time
to, message = (sys.argv[1], int(sys.argv[2])), bytes.fromhex(sys.argv[3])
burst, pause = int(sys.argv[4]), float(sys.argv[5])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as flooder:
    flooder.connect(to)
    while True:
        for _ in range(burst):
            with contextlib.suppress(OSError):
                flooder.send(message)
        with contextlib.suppress(BlockingIOError):
            while True:
                if flooder.recv(2048)[0] == 3:
                    print("cookie", flush=True)
        time.sleep(pause)
"""


@contextlib.contextmanager
def flooded(space, to, public_key, said, *, burst, pause=0.05):
    """From space, `burst` of them after each `pause` to the address and port `to`; the block begins
    when the first cookie has come back. `said` is a file to write to."""
    noise = bytes([INITIATION, 0, 0, 0]) + os.urandom(112)
    message = with_macs(noise, base64.b64decode(public_key))
    with said.open("w") as out:
        process, _ = space.popen([sys.executable, "-c", FLOOD, to[0], str(to[1]), message.hex(),
                                  str(burst), str(pause)], stdout=out)
    try:
        wait_for(lambda: "cookie" in said.read_text(), "a cookie for who floods")
        yield
        assert process.poll() is None, "the flood ended before its time"
    finally:
        kill_group(process)
        process.wait()

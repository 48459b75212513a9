"""UDP datagrams at a rate from one inner address to another, and what comes back from there.

    chat.py ADDRESS PEER PORT RATE BYTES

Says "ready" when it listens. A line on standard input begins the sending, the next one ends it; the
end of the input ends all, and what was counted is said in JSON.
"""

import contextlib
import json
import selectors
import socket
import struct
import sys
import time


def chat(address, peer, port, rate, size):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((address, port))
    selector = selectors.DefaultSelector()
    selector.register(sock, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    counted = {"sent": 0, "refused": 0, "received": 0}
    print("ready", flush=True)
    talking, begin, due = False, 0.0, 0
    while True:
        wait = max(0.0, begin + due / rate - time.monotonic()) if talking else None
        for key, _ in selector.select(wait):
            if key.fileobj is sock:
                with contextlib.suppress(OSError):
                    while True:
                        sock.recv(65536)
                        counted["received"] += 1
            elif not sys.stdin.readline():
                return counted
            else:
                talking, begin = not talking, time.monotonic()
        if talking and time.monotonic() >= begin + due / rate:
            due += 1
            try:
                sock.sendto(struct.pack("<Q", due).ljust(size, b"\0"), (peer, port))
                counted["sent"] += 1
            except OSError:  # no route for the moment, or no room
                counted["refused"] += 1


if __name__ == "__main__":
    print(json.dumps(chat(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))), flush=True)

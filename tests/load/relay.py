"""The lossy way between the ends of the soak: UDP in user space, an address for each path.

    relay.py SEED LOSS REORDER HUB HUB_PORT [FACE_HUB FACE_SPOKE]...

One pair of addresses for each spoke, both of the relay's own space: the hub hears the spoke from
FACE_HUB, the spoke hears the hub from FACE_SPOKE. Where the spoke is, is learnt from what it sends;
when that changes, the port towards the hub changes too, as a NAT would do it. LOSS and REORDER are
shares of all datagrams; who is put behind waits 5 to 50 ms.

Commands on standard input, one a line, answered by one line of JSON:
    lossless     nothing is lost or put behind from here on
    report       what was counted, by path and direction: of data that carries something (a
                 keepalive has 32 bytes), and of all other messages together
"""

import heapq
import json
import random
import selectors
import socket
import struct
import sys
import time

SO_MEMINFO, SO_RCVBUFFORCE, MEMINFO_DROPS = 55, 33, 8
BUFFER_BYTES = 8 << 20
DATA, KEEPALIVE_BYTES = 4, 32
TO_HUB, TO_SPOKE = "to hub", "to spoke"


def is_data(message):
    return len(message) > KEEPALIVE_BYTES and message[0] == DATA


class Face:
    """What one side hears: a socket, and those before it, where late datagrams still arrive."""

    def __init__(self, address, port):
        self.address = address
        self.socks = []
        self.open(port)

    def open(self, port=0):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        sock.setblocking(False)
        sock.bind((self.address, port))
        self.socks.append(sock)

    @property
    def sock(self):
        return self.socks[-1]

    def dropped(self):
        return sum(struct.unpack("9I", sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))
                   [MEMINFO_DROPS] for sock in self.socks)


class Path:
    """One spoke's way to the hub and back. faces[way] hears what goes that way."""

    def __init__(self, relay, hub_face, spoke_face):
        self.relay = relay
        self.faces = {TO_SPOKE: Face(hub_face, relay.hub_port),
                      TO_HUB: Face(spoke_face, relay.hub_port)}
        self.ends = {TO_HUB: (relay.hub, relay.hub_port), TO_SPOKE: None}
        self.moves = 0
        self.counted = {way: dict.fromkeys(
            ("data_in", "data_out", "data_lost", "data_unsent", "other_in", "other_out",
             "other_lost", "other_unsent", "behind"), 0) for way in (TO_HUB, TO_SPOKE)}
        for way in self.faces:
            self.listen(way)

    def listen(self, way):
        sock = self.faces[way].sock
        self.relay.selector.register(sock, selectors.EVENT_READ, (self, way, sock))

    def take(self, way, sock):
        """All that waits on one socket; `way` is where it is going."""
        while True:
            try:
                message, source = sock.recvfrom(65536)
            except BlockingIOError:
                return
            except OSError:  # what an ICMP said of an earlier datagram
                continue
            kind = "data" if is_data(message) else "other"
            self.counted[way][f"{kind}_in"] += 1
            if way == TO_HUB and source != self.ends[TO_SPOKE]:
                self.spoke_is_at(source)
            self.relay.pass_on(self, way, kind, message)

    def spoke_is_at(self, source):
        known, self.ends[TO_SPOKE] = self.ends[TO_SPOKE], source
        if known is not None:
            self.moves += 1
            self.faces[TO_SPOKE].open()
            self.listen(TO_SPOKE)

    def send(self, way, kind, message):
        """Out of the face that the receiver knows: the other one than it came in by."""
        face, target = self.faces[TO_SPOKE if way == TO_HUB else TO_HUB], self.ends[way]
        try:
            if target is None:
                raise OSError("nobody there yet")
            face.sock.sendto(message, target)
            self.counted[way][f"{kind}_out"] += 1
        except OSError:
            self.counted[way][f"{kind}_unsent"] += 1

    def report(self):
        face = self.faces[TO_SPOKE]
        return {"moves": self.moves, "hears_hub_at": "%s:%d" % face.sock.getsockname(), **{
            way: {**self.counted[way], "kernel_dropped": self.faces[way].dropped()}
            for way in (TO_HUB, TO_SPOKE)}}


class Relay:
    """All paths, and the datagrams that have been put behind others."""

    def __init__(self, words):
        seed, loss, reorder, self.hub, hub_port, *faces = words
        self.random, self.loss, self.reorder = random.Random(int(seed)), float(loss), float(reorder)
        self.hub_port = int(hub_port)
        self.selector = selectors.DefaultSelector()
        self.behind, self.number = [], 0
        self.paths = [Path(self, *pair) for pair in zip(faces[::2], faces[1::2])]
        self.selector.register(sys.stdin, selectors.EVENT_READ, None)

    def pass_on(self, path, way, kind, message):
        chance = self.random.random()
        if chance < self.loss:
            path.counted[way][f"{kind}_lost"] += 1
        elif chance < self.loss + self.reorder:
            path.counted[way]["behind"] += 1
            self.number += 1
            due = time.monotonic() + self.random.uniform(0.005, 0.05)
            heapq.heappush(self.behind, (due, self.number, path, way, kind, message))
        else:
            path.send(way, kind, message)

    def run(self):
        print("ready", flush=True)
        while True:
            now = time.monotonic()
            while self.behind and self.behind[0][0] <= now:
                _, _, path, way, kind, message = heapq.heappop(self.behind)
                path.send(way, kind, message)
            wait = max(0.0, self.behind[0][0] - now) if self.behind else None
            for key, _ in self.selector.select(wait):
                if key.data is None:
                    if not self.obey(sys.stdin.readline()):
                        return
                else:
                    path, way, sock = key.data
                    path.take(way, sock)

    def obey(self, line):
        """False at the end of the input."""
        word = line.strip()
        if word == "lossless":
            self.loss = self.reorder = 0.0
        if word:
            print(json.dumps({"behind": len(self.behind),
                              "paths": [path.report() for path in self.paths]}), flush=True)
        return bool(line)


if __name__ == "__main__":
    Relay(sys.argv[1:]).run()

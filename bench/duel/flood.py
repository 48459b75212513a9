"""UDP datagrams as fast as one process can send them, or at a rate; and the process that counts.

    flood.py sink ADDRESS PORT SECONDS             says "ready", later one line of JSON
    flood.py blast ADDRESS PORT BYTES RATE SECONDS     RATE 0 is as fast as it goes

Who receives counts, not the interface: a TUN counts a super-packet of many datagrams as one, and
the UDP counters of a namespace hold the tunnel's own datagrams as well. What the sink's socket
dropped was delivered too, by the tunnel, and is told apart. Not iperf3: its control connection
would go through the saturated tunnel, and one system call per datagram at both of its ends takes
from the daemons the processor time that is to be measured.
"""

import ctypes
import errno
import json
import os
import signal
import socket
import struct
import sys
import time

BATCH = 32
SILENCE_S, SPARE_S = 0.4, 8
SO_MEMINFO, SO_RCVBUFFORCE, MEMINFO_DROPS = 55, 33, 8
MSG_WAITFORONE = 0x10000
BUFFER_BYTES = 16 << 20


class IoVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class MsgHdr(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("name_length", ctypes.c_uint32),
                ("vectors", ctypes.POINTER(IoVec)), ("vector_count", ctypes.c_size_t),
                ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
                ("flags", ctypes.c_int)]


class MMsgHdr(ctypes.Structure):
    _fields_ = [("header", MsgHdr), ("length", ctypes.c_uint)]


class Batch:
    """BATCH messages that share one buffer: nobody looks at what is inside."""

    def __init__(self, size):
        self.buffer = ctypes.create_string_buffer(size)
        self.vector = IoVec(ctypes.addressof(self.buffer), size)
        self.messages = (MMsgHdr * BATCH)()
        for message in self.messages:
            message.header.vectors = ctypes.pointer(self.vector)
            message.header.vector_count = 1
        self.libc = ctypes.CDLL(None, use_errno=True)

    def send(self, fd, count):
        """Number of messages sent, or -errno."""
        sent = self.libc.sendmmsg(fd, self.messages, count, 0)
        return sent if sent >= 0 else -ctypes.get_errno()

    def receive(self, fd):
        """Number of messages received, at least one, or -errno."""
        got = self.libc.recvmmsg(fd, self.messages, BATCH, MSG_WAITFORONE, None)
        return got if got >= 0 else -ctypes.get_errno()


def sink(address, port, seconds):
    """Counts for a time from the first datagram on, and then until nothing comes for a while."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO,
                    struct.pack("ll", 0, int(SILENCE_S * 1e6)))
    sock.bind((address, port))
    print("ready", flush=True)
    batch, fd, received, first, last = Batch(2048), sock.fileno(), 0, 0.0, 0.0
    deadline = time.monotonic() + seconds + SPARE_S
    while (now := time.monotonic()) < deadline:
        got = batch.receive(fd)
        if got > 0:
            last = time.monotonic()
            first = first or last
            received += got
        elif received and now - first > seconds:
            break
    dropped = struct.unpack("9I", sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))
    return {"received": received, "dropped": dropped[MEMINFO_DROPS], "seconds": last - first}


def blast(address, port, size, rate, seconds):
    """Sends for a time; a full queue costs the datagram, as it does for any sender."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((address, port))
    batch, fd, sent, refused = Batch(size), sock.fileno(), 0, 0
    begin = now = time.monotonic()
    while now - begin < seconds:
        due = min(BATCH, int((now - begin) * rate) - sent) if rate else BATCH
        if due <= 0:
            time.sleep(0.0005)
        else:
            done = batch.send(fd, due)
            if done in (-errno.ENOBUFS, -errno.EAGAIN, -errno.ECONNREFUSED):
                refused += 1
            elif done < 0:
                raise OSError(-done, os.strerror(-done))
            sent += max(0, done)
        now = time.monotonic()
    return {"sent": sent, "refused": refused, "seconds": now - begin}


def main(words):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    mode, address, port, *numbers = words
    if mode == "sink":
        result = sink(address, int(port), float(numbers[0]))
    else:
        size, rate, seconds = numbers
        result = blast(address, int(port), int(size), int(rate), float(seconds))
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""A WireGuard peer in Python on a plain UDP socket, without a TUN: inner packets are bytes.

It follows the WireGuard paper, section 5.4, and shares no code with what is tested. As it knows
its own ephemeral keys it can write the key log with which tshark opens a capture.
"""

import base64
import os
import socket
import struct
import time

from lab.noise import (BASE_POINT, CONSTRUCTION, IDENTIFIER, LABEL_COOKIE, LABEL_MAC1, blake2s,
                       hchacha20, kdf, mac, open_sealed, seal, x25519)

INITIATION, RESPONSE, COOKIE, DATA = 1, 2, 3, 4


class Symmetric:
    """Chaining key and hash of one handshake."""

    def __init__(self, responder_public):
        self.chaining = blake2s(CONSTRUCTION)
        self.hash = blake2s(blake2s(self.chaining, IDENTIFIER), responder_public)

    def mix_hash(self, data):
        self.hash = blake2s(self.hash, data)

    def mix_public(self, public):
        self.mix_hash(public)
        self.chaining, = kdf(1, self.chaining, public)

    def mix_key(self, secret):
        self.chaining, key = kdf(2, self.chaining, secret)
        return key

    def mix_preshared(self, psk):
        self.chaining, tau, key = kdf(3, self.chaining, psk)
        self.mix_hash(tau)
        return key

    def seal(self, key, plaintext):
        sealed = seal(key, 0, plaintext, self.hash)
        self.mix_hash(sealed)
        return sealed

    def open(self, key, sealed):
        plaintext = open_sealed(key, 0, sealed, self.hash)
        self.mix_hash(sealed)
        return plaintext


class Session:
    """Transport keys of one finished handshake."""

    def __init__(self, send_key, receive_key, local_index, remote_index):
        self.send_key, self.receive_key = send_key, receive_key
        self.local_index, self.remote_index, self.counter = local_index, remote_index, 0

    def seal(self, inner, counter=None):
        """A data message; the counter goes on from the highest one used."""
        counter = self.counter if counter is None else counter
        padded = inner + bytes(-len(inner) % 16)
        header = struct.pack("<IIQ", DATA, self.remote_index, counter)
        self.counter = max(self.counter, counter + 1)
        return header + seal(self.send_key, counter, padded)

    def open(self, message):
        kind, index, counter = struct.unpack_from("<IIQ", message)
        if (kind, index) != (DATA, self.local_index):
            raise ValueError(f"not data for this session: type {kind}")
        return open_sealed(self.receive_key, counter, message[16:])


def tai64n(ahead_s=0):
    """Now, or some seconds from now."""
    seconds, nanoseconds = divmod(time.time_ns() + ahead_s * 10 ** 9, 10 ** 9)
    return struct.pack(">QI", 2 ** 62 + 10 + seconds, nanoseconds & ~0xFFFFFF)


def with_macs(message, receiver_public):
    return message + mac(blake2s(LABEL_MAC1, receiver_public), message) + bytes(16)


def with_second_mac(message, cookie):
    return message[:-16] + mac(cookie, message[:-16])


def open_cookie(reply, message, sender_public):
    """The cookie that is the answer to this message."""
    nonce, sealed = reply[8:32], reply[32:]
    key = hchacha20(blake2s(LABEL_COOKIE, sender_public), nonce[:16])
    counter, = struct.unpack("<Q", nonce[16:])
    return open_sealed(key, counter, sealed, message[-32:-16])


class PythonPeer:
    """One peer of one daemon."""

    def __init__(self, sock, remote, key, remote_public, psk=None):
        self.sock, self.remote = sock, remote
        self.key = key
        self.private = base64.b64decode(key.private)
        self.public = base64.b64decode(key.public)
        self.remote_public = base64.b64decode(remote_public)
        self.psk = base64.b64decode(psk) if psk else bytes(32)
        self.session, self._ephemerals = None, []

    def _ephemeral(self):
        self._ephemerals.append(os.urandom(32))
        return self._ephemerals[-1]

    def receive(self, kind):
        """The next datagram of this type; keepalives and others before it are passed over."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            message, address = self.sock.recvfrom(65535)
            if message[0] == kind:
                return message, address
        raise TimeoutError(f"no message of type {kind}")

    def initiation(self, stamp=None, low_order=None, static=None):
        """(message, what is needed to take its response). With points of low order for its
        ephemeral key, or its static one, all is as it should be for who takes the zeros that they
        agree on."""
        state, local_index = Symmetric(self.remote_public), os.urandom(4)
        ephemeral = self._ephemeral()
        public = low_order or x25519(ephemeral, BASE_POINT)
        agreed = bytes(32) if low_order else x25519(ephemeral, self.remote_public)
        state.mix_public(public)
        sealed = state.seal(state.mix_key(agreed), static or self.public)
        key = state.mix_key(bytes(32) if static else x25519(self.private, self.remote_public))
        stamp = state.seal(key, stamp or tai64n())
        message = struct.pack("<I", INITIATION) + local_index + public + sealed + stamp
        return with_macs(message, self.remote_public), (state, ephemeral, local_index)

    def initiate(self, stamp=None):
        """Handshake as initiator."""
        message, waiting = self.initiation(stamp)
        self.sock.sendto(message, self.remote)
        self._accept_response(*waiting, self.receive(RESPONSE)[0])

    def hears_nothing(self, seconds=0.5):
        """True when no datagram comes within the time."""
        self.sock.settimeout(seconds)
        try:
            message, sender = self.sock.recvfrom(65535)
            print(f"heard from {sender}: {len(message)} bytes, {message[:32].hex()}")
            return False
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(5)

    def _accept_response(self, state, ephemeral, local_index, message):
        remote_index, receiver = message[4:8], message[8:12]
        assert len(message) == 92 and receiver == local_index
        state.mix_public(message[12:44])
        state.mix_key(x25519(ephemeral, message[12:44]))
        state.mix_key(x25519(self.private, message[12:44]))
        assert state.open(state.mix_preshared(self.psk), message[44:60]) == b""
        send, receive = kdf(2, state.chaining, b"")
        self._begin(send, receive, local_index, remote_index)

    def respond(self, received=None):
        """Answers an initiation: the one received (message, address), or the next that comes."""
        message, self.remote = received or self.receive(INITIATION)
        assert len(message) == 148
        assert message[116:132] == mac(blake2s(LABEL_MAC1, self.public), message[:116])
        state = Symmetric(self.public)
        remote_ephemeral = message[8:40]
        state.mix_public(remote_ephemeral)
        static = state.open(state.mix_key(x25519(self.private, remote_ephemeral)), message[40:88])
        assert static == self.remote_public
        stamp = state.open(state.mix_key(x25519(self.private, static)), message[88:116])
        assert len(stamp) == 12
        self._send_response(state, remote_ephemeral, message[4:8])

    def _send_response(self, state, remote_ephemeral, remote_index):
        ephemeral, local_index = self._ephemeral(), os.urandom(4)
        public = x25519(ephemeral, BASE_POINT)
        state.mix_public(public)
        state.mix_key(x25519(ephemeral, remote_ephemeral))
        state.mix_key(x25519(ephemeral, self.remote_public))
        empty = state.seal(state.mix_preshared(self.psk), b"")
        message = struct.pack("<I", RESPONSE) + local_index + remote_index + public + empty
        self.sock.sendto(with_macs(message, self.remote_public), self.remote)
        receive, send = kdf(2, state.chaining, b"")
        self._begin(send, receive, local_index, remote_index)

    def _begin(self, send, receive, local_index, remote_index):
        self.session = Session(send, receive, *struct.unpack("<II", local_index + remote_index))

    def send(self, inner):
        self.sock.sendto(self.session.seal(inner), self.remote)

    def receive_inner(self):
        """The next inner packet with its padding; keepalives are passed over."""
        while True:
            inner = self.session.open(self.receive(DATA)[0])
            if inner:
                return inner

    def key_log(self):
        """Lines for tshark's wg.keylog_file: an ephemeral, then the key that belongs to it."""
        encode = base64.b64encode
        lines = [f"LOCAL_STATIC_PRIVATE_KEY = {self.key.private}",
                 f"REMOTE_STATIC_PUBLIC_KEY = {encode(self.remote_public).decode()}"]
        for ephemeral in self._ephemerals:
            lines += [f"LOCAL_EPHEMERAL_PRIVATE_KEY = {encode(ephemeral).decode()}",
                      f"PRESHARED_KEY = {encode(self.psk).decode()}"]
        return "\n".join(lines) + "\n"


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(source, target, sequence, payload=b"wgring" * 8):
    """An IPv4 packet with an ICMP echo request."""
    icmp = struct.pack(">BBHHH", 8, 0, 0, 0x77, sequence) + payload
    icmp = icmp[:2] + struct.pack(">H", checksum(icmp)) + icmp[4:]
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(icmp), sequence, 0, 64, 1, 0,
                         socket.inet_aton(source), socket.inet_aton(target))
    return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + icmp


def is_echo_reply(inner):
    return inner[9] == 1 and inner[20] == 0


def echo_reply(request):
    """The answer to an echo request that came as an inner packet."""
    length = struct.unpack_from(">H", request, 2)[0]
    icmp = b"\0\0\0\0" + request[24:length]
    icmp = icmp[:2] + struct.pack(">H", checksum(icmp)) + icmp[4:]
    return request[:12] + request[16:20] + request[12:16] + icmp

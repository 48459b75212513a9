"""Keys in the image of the process: there while they are needed, and nowhere afterwards.

    near  eth0 10.0.0.1       --- wire ---  eth0 10.0.0.2  far: a peer in Python, which knows
          wg0  192.168.241.1                inner 192.168.241.2   the session's keys as well
"""

import base64
import re
import signal

import pytest

from lab import peers
from lab.asleep import Asleep
from lab.counters import counters
from lab.daemon import Implementation
from lab.memory import flags_at, places_in_memory
from lab.noise import x25519
from lab.peer import DATA, is_echo_reply
from lab.python_end import DEVICE, WithPython
from lab.retries import NO_SECOND_TRY
from lab.run import wait_for
from lab.wgtool import Key, preshared_key

pytestmark = [pytest.mark.ours, NO_SECOND_TRY]


def clamped(private):
    key = bytearray(base64.b64decode(private))
    key[0] &= 248
    key[31] = key[31] & 127 | 64
    return bytes(key)


class Talked(WithPython):
    """Both ends have begun a handshake and sent data: every kind of key has been in use."""

    def __init__(self, lab, implementation):
        self.psk = preshared_key()
        super().__init__(lab, implementation, self.psk)
        self.private = self.wg.dump().private_key
        self.sessions = []
        for begin in (self.peer.initiate, self.be_called):
            begin()
            for sequence in range(20):
                self.peer.send(self.echo(sequence))
                assert is_echo_reply(self.peer.receive_inner())
            self.sessions.append(self.peer.session)

    def be_called(self):
        """The daemon's own handshake: it forgets its session, and sends what is to be answered."""
        self.near.ip(f"link set {DEVICE} down")
        self.near.ip(f"link set {DEVICE} up")
        self.near.wait_udp_port(1001)
        self.tell_endpoint()
        self.wg.set(f"peer {self.far_public} persistent-keepalive 60")
        self.peer.respond()
        self.peer.receive(DATA)  # who responds may not speak before the other end has

    def keys(self):
        keys = {"private": clamped(self.private), "preshared": base64.b64decode(self.psk)}
        for number, session in enumerate(self.sessions):
            keys[f"receiving {number}"] = session.send_key
            keys[f"sending {number}"] = session.receive_key
        keys["shared"] = x25519(keys["private"], base64.b64decode(self.far_public))
        return keys

    def found(self):
        """Which keys are somewhere in the daemon's memory."""
        return {name: places for name, key in self.keys().items()
                if (places := places_in_memory(self.daemon.pid, key))}


@pytest.fixture(params=[[], ["--shards=2", "--lanes=1"]], ids=["one", "several"])
def talked(request, lab, each_engine):
    return Talked(lab, each_engine.with_options(*request.param))


def test_keys_are_found_while_they_are_in_use(talked):
    """Else the other tests would find nothing for want of looking."""
    wanted = {"private", "preshared", "shared", "receiving 1", "sending 1"}
    assert wanted <= set(talked.found())


def test_keys_that_were_told_leave_no_text(talked):
    """What `wg` was shown, and what it said, was hexadecimal."""
    talked.wg.set_preshared_key(talked.far_public, talked.psk)
    talked.wg.dump()
    keys = talked.keys()
    for name in ("private", "preshared"):
        wait_for(lambda: not places_in_memory(talked.daemon.pid, keys[name].hex().encode()),
                 f"the end of the {name} key's text")


def test_keys_are_in_locked_memory_that_no_dump_and_no_child_has(talked):
    found = talked.found()
    assert {"private", "preshared", "shared", "receiving 1", "sending 1"} <= set(found)
    for name, places in found.items():
        flags = [set(flags_at(talked.daemon.pid, place)) for place in places]
        assert all("lo" in one for one in flags), f"{name}: {places}"
        assert all({"dd", "dc"} <= one for one in flags), f"{name}: {places}"


def test_keys_in_the_background_are_locked_as_well(lab, each_engine):
    """Locks do not outlive a fork()."""
    daemon = lab.daemon(lab.space("background"), each_engine)
    assert daemon.start_background().code == 0
    private = Key().private
    assert daemon.uapi.set(f"private_key={base64.b64decode(private).hex()}").errno == 0
    places = places_in_memory(daemon.pid, clamped(private))
    assert places
    assert all({"lo", "dd", "dc"} <= set(flags_at(daemon.pid, place)) for place in places), places


def test_where_memory_cannot_be_locked_the_log_says_so(lab, ours):
    limited = Implementation("limited", "/usr/bin/setpriv", [
        "--inh-caps=-ipc_lock,-sys_resource", "--bounding-set=-ipc_lock,-sys_resource",
        "prlimit", "--memlock=65536:65536", str(ours.path), *ours.options])
    daemon = lab.daemon(lab.space("limited"), limited).start()
    assert "memory is not locked, keys may be swapped out: RLIMIT_MEMLOCK" in daemon.log


def test_keys_of_a_session_are_gone_with_it(talked):
    assert not {"receiving 0", "sending 0"} & set(talked.found())


def test_a_removed_peer_leaves_no_key(talked):
    talked.wg.set(f"peer {talked.far_public} remove")
    assert set(talked.found()) == {"private"}


def test_replaced_keys_are_gone(talked):
    keys = talked.keys()
    talked.wg.set_preshared_key(talked.far_public, preshared_key())
    talked.wg.set_private_key(Key().private)
    for name in ("private", "preshared", "shared"):  # what was sent before may still come
        assert not places_in_memory(talked.daemon.pid, keys[name]), name


def test_link_down_leaves_no_key_of_a_session(talked):
    talked.near.ip(f"link set {DEVICE} down")
    wait_for(lambda: "link down" in talked.daemon.log.rpartition("link up")[2], "the link's end")
    assert set(talked.found()) == {"private", "preshared", "shared"}


def test_a_removed_private_key_is_gone(talked):
    talked.wg.set_private_key(None)
    assert not {"private", "shared"} & set(talked.found())


@pytest.mark.parametrize("slept_s, left", [(530, {"receiving 1", "sending 1"}), (545, set())])
def test_nine_minutes_of_silence_leave_no_key_of_a_session(lab, each_engine, slept_s, left):
    asleep = Asleep(lab, each_engine)
    talked = Talked(lab, asleep.implementation)
    static = {"private", "preshared", "shared"}
    asleep.sleep(slept_s)
    talked.peer.send(talked.echo())
    asked_for_it = {"dropped.expired_key", "dropped.unknown_index"}
    wait_for(lambda: asked_for_it & set(counters(talked.daemon)), "the shard to wake up")
    assert set(talked.found()) == static | left


@pytest.mark.parametrize("aead", ["boringssl", "sodium"])
def test_other_ciphers_leave_no_key_either(lab, aead):
    talked = Talked(lab, peers.under_test().with_options(f"--aead={aead}"))
    assert {"receiving 1", "sending 1"} <= set(talked.found())
    talked.wg.set(f"peer {talked.far_public} remove")
    assert set(talked.found()) == {"private"}


def forms(secret):
    """Pieces of a secret as they might be written, separators left out."""
    pieces = [secret[first:first + 8] for first in range(0, len(secret) - 7, 8)]
    return [*pieces, *(piece.hex().encode() for piece in pieces), base64.b64encode(secret)[:10],
            base64.b64encode(secret)[-12:]]


# fault: freebsd-import
def test_the_log_holds_no_packet_and_no_key(talked):
    """At its highest level, after traffic, and after things that are worth a line."""
    daemon, secrets = talked.daemon, talked.keys()
    secrets["packet"] = b"wgring" * 8
    refused = base64.b64decode(Key().private)
    secrets["refused"] = refused
    secrets["half a key"] = refused[1:31]
    stranger = talked.far_peer(Key(), 1003)
    stranger.sock.sendto(stranger.initiation()[0], stranger.remote)
    talked.peer.send(b"\x45" + secrets["packet"])
    for line in (f"private_key={refused.hex()}", f"preshared_key={secrets['half a key'].hex()}",
                 f"nonsense={refused.hex()}"):
        assert daemon.uapi.set(line, "listen_port=nonsense").errno != 0
    daemon.signal(signal.SIGUSR1)
    for counted in ("bad_inner=1", "bad_handshake=1"):
        wait_for(lambda: counted in daemon.log, f"{counted} in the log")
    assert daemon.log.count("set refused") == 3
    log = daemon.log_path.read_bytes()
    log += re.sub(rb"0x|[ :,\n]", b"", log).lower()
    assert [name for name, secret in secrets.items() for form in forms(secret) if form in log] == []

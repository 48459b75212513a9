"""The configuration protocol by raw socket: values, errors, order, and many connections.

    solo   one space, one daemon, interface wg0
"""

import contextlib
import errno
import socket
import struct

import pytest

from lab.memory import places_in_memory
from lab.run import wait_for
from lab.wgtool import Key

A, B, C = "a1" * 32, "b2" * 32, "c3" * 32
ZERO = "0" * 64


def peer_values(reply, public_key, key):
    """Values of one key within one peer's section, in order."""
    found, here = [], False
    for name, value in reply.pairs:
        if name == "public_key":
            here = value == public_key
        elif here and name == key:
            found.append(value)
    return found


def accepted(daemon, *lines):
    reply = daemon.uapi.set(*lines)
    assert reply.text == "errno=0", reply.text
    return daemon.uapi.get()


# Get after set

def test_fresh_device_shows_no_identity(solo):
    reply = solo.uapi.get()
    assert reply.errno_text == "0"
    assert reply.value("private_key") is None
    assert reply.values("public_key") == []


def test_device_values_come_back(solo):
    key = Key()
    reply = accepted(solo, f"private_key={key.private_hex}", "listen_port=4242", "fwmark=51820")
    assert reply.value("private_key") == key.private_hex
    assert reply.value("listen_port") == "4242"
    assert reply.value("fwmark") == "51820"


def test_private_key_comes_back_clamped(solo):
    reply = accepted(solo, f"private_key={'ff' * 32}")
    assert reply.value("private_key") == "f8" + "ff" * 30 + "7f"


def test_zero_private_key_removes_identity(solo):
    accepted(solo, f"private_key={Key().private_hex}")
    assert accepted(solo, f"private_key={ZERO}").value("private_key") is None


def test_peer_values_come_back_in_the_documented_order(solo):
    reply = accepted(solo, f"public_key={A}", f"preshared_key={B}", "endpoint=10.1.2.3:4567",
                     "persistent_keepalive_interval=25", "replace_allowed_ips=true",
                     "allowed_ip=10.9.0.0/16", "allowed_ip=fd00::/8", "protocol_version=1")
    pairs = reply.pairs[[pair[0] for pair in reply.pairs].index("public_key"):]
    assert pairs[:9] == [
        ("public_key", A), ("preshared_key", B), ("protocol_version", "1"),
        ("endpoint", "10.1.2.3:4567"), ("last_handshake_time_sec", "0"),
        ("last_handshake_time_nsec", "0"), ("tx_bytes", "0"), ("rx_bytes", "0"),
        ("persistent_keepalive_interval", "25")]
    assert sorted(pairs[9:]) == [("allowed_ip", "10.9.0.0/16"), ("allowed_ip", "fd00::/8")]


@pytest.mark.ours
def test_peers_come_back_in_the_order_they_were_made(solo):
    keys = [f"{number:02x}" * 32 for number in (9, 3, 250, 7, 100)]
    accepted(solo, *[f"public_key={key}" for key in keys])
    reply = accepted(solo, f"public_key={keys[2]}", "persistent_keepalive_interval=1")
    assert reply.values("public_key") == keys


@pytest.mark.parametrize("text", ["10.1.2.3:4567", "[fd00::5]:1", "[::1]:65535"])
def test_endpoint_forms(solo, text):
    assert peer_values(accepted(solo, f"public_key={A}", f"endpoint={text}"), A,
                       "endpoint") == [text]


def test_host_bits_of_an_allowed_ip_are_masked(solo):
    reply = accepted(solo, f"public_key={A}", "allowed_ip=10.1.2.3/8", "allowed_ip=fd00::5/16")
    assert sorted(peer_values(reply, A, "allowed_ip")) == ["10.0.0.0/8", "fd00::/16"]


def test_allowed_ip_moves_to_the_peer_named_last(solo):
    reply = accepted(solo, f"public_key={A}", "allowed_ip=10.0.0.0/8", "allowed_ip=10.1.0.0/16",
                     f"public_key={B}", "allowed_ip=10.0.0.0/8")
    assert peer_values(reply, A, "allowed_ip") == ["10.1.0.0/16"]
    assert peer_values(reply, B, "allowed_ip") == ["10.0.0.0/8"]


@pytest.mark.ours
def test_minus_removes_one_prefix(solo):
    accepted(solo, f"public_key={A}", "allowed_ip=10.0.0.0/8", "allowed_ip=fd00::/8")
    reply = accepted(solo, f"public_key={A}", "allowed_ip=-10.0.0.0/8")
    assert peer_values(reply, A, "allowed_ip") == ["fd00::/8"]


@pytest.mark.ours
def test_minus_of_a_prefix_of_another_peer_does_nothing(solo):
    accepted(solo, f"public_key={A}", "allowed_ip=10.0.0.0/8", f"public_key={B}")
    reply = accepted(solo, f"public_key={B}", "allowed_ip=-10.0.0.0/8")
    assert peer_values(reply, A, "allowed_ip") == ["10.0.0.0/8"]


def test_replace_allowed_ips_clears_only_this_peer(solo):
    accepted(solo, f"public_key={A}", "allowed_ip=10.0.0.0/8", f"public_key={B}",
             "allowed_ip=11.0.0.0/8")
    reply = accepted(solo, f"public_key={A}", "replace_allowed_ips=true", "allowed_ip=12.0.0.0/8")
    assert peer_values(reply, A, "allowed_ip") == ["12.0.0.0/8"]
    assert peer_values(reply, B, "allowed_ip") == ["11.0.0.0/8"]


def test_replace_peers_removes_all_that_are_not_named(solo):
    accepted(solo, f"public_key={A}", f"public_key={B}")
    assert accepted(solo, "replace_peers=true", f"public_key={C}").values("public_key") == [C]


def test_remove_takes_one_peer_away(solo):
    accepted(solo, f"public_key={A}", f"public_key={B}")
    assert accepted(solo, f"public_key={A}", "remove=true").values("public_key") == [B]


def test_two_sections_of_one_peer_are_applied_one_after_the_other(solo):
    reply = accepted(solo, f"public_key={A}", "allowed_ip=10.0.0.0/8",
                     "persistent_keepalive_interval=5", f"public_key={B}", "allowed_ip=10.2.0.0/16",
                     f"public_key={A}", "allowed_ip=10.3.0.0/16", "persistent_keepalive_interval=7",
                     f"public_key={B}", "remove=true", f"public_key={B}")
    assert reply.values("public_key") == [A, B]
    assert peer_values(reply, A, "allowed_ip") == ["10.0.0.0/8", "10.3.0.0/16"]
    assert peer_values(reply, A, "persistent_keepalive_interval") == ["7"]
    assert peer_values(reply, B, "allowed_ip") == []


def test_update_only_makes_no_peer(solo):
    reply = accepted(solo, f"public_key={A}", "update_only=true", "allowed_ip=10.0.0.0/8",
                     "persistent_keepalive_interval=5")
    assert reply.values("public_key") == []


def test_update_only_changes_a_peer_that_is_there(solo):
    accepted(solo, f"public_key={A}")
    reply = accepted(solo, f"public_key={A}", "update_only=true",
                     "persistent_keepalive_interval=5")
    assert peer_values(reply, A, "persistent_keepalive_interval") == ["5"]


def test_peer_with_our_own_key_is_ignored(solo):
    key = Key()
    accepted(solo, f"private_key={key.private_hex}")
    reply = accepted(solo, f"public_key={key.public_hex}", "allowed_ip=10.0.0.0/8",
                     f"public_key={A}")
    assert reply.values("public_key") == [A]
    assert peer_values(reply, A, "allowed_ip") == []


def test_private_key_removes_the_peer_that_has_its_public_key(solo):
    key = Key()
    accepted(solo, f"public_key={key.public_hex}", f"public_key={A}")
    assert accepted(solo, f"private_key={key.private_hex}").values("public_key") == [A]


def test_zero_preshared_key_removes_it(solo):
    accepted(solo, f"public_key={A}", f"preshared_key={B}")
    reply = accepted(solo, f"public_key={A}", f"preshared_key={ZERO}")
    assert peer_values(reply, A, "preshared_key") == [ZERO]


# Errors

BAD_SETS = [
    (["nonsense=1"], errno.EINVAL), (["public_key"], errno.EPROTO),
    (["private_key=" + "a" * 63], errno.EINVAL), (["private_key=" + "a" * 65], errno.EINVAL),
    (["private_key=" + "g" * 64], errno.EINVAL), (["public_key=" + "z" * 64], errno.EINVAL),
    (["listen_port=65536"], errno.EINVAL), (["listen_port=-1"], errno.EINVAL),
    (["listen_port="], errno.EINVAL), (["listen_port=12x"], errno.EINVAL),
    (["fwmark=4294967296"], errno.EINVAL), (["replace_peers=false"], errno.EINVAL),
    (["allowed_ip=10.0.0.0/8"], errno.EINVAL), (["endpoint=1.2.3.4:5"], errno.EINVAL),
    ([f"public_key={A}", "allowed_ip=10.0.0.0/33"], errno.EINVAL),
    ([f"public_key={A}", "allowed_ip=fd00::/129"], errno.EINVAL),
    ([f"public_key={A}", "allowed_ip=10.0.0.0/-1"], errno.EINVAL),
    ([f"public_key={A}", "allowed_ip=10.0.0/8"], errno.EINVAL),
    ([f"public_key={A}", "endpoint=10.0.0.1"], errno.EINVAL),
    ([f"public_key={A}", "endpoint=10.0.0.1:65536"], errno.EINVAL),
    ([f"public_key={A}", "endpoint=example.org:51820"], errno.EINVAL),
    ([f"public_key={A}", "endpoint=fd00::1:51820"], errno.EINVAL),
    ([f"public_key={A}", "persistent_keepalive_interval=65536"], errno.EINVAL),
    ([f"public_key={A}", "protocol_version=2"], errno.EINVAL),
    ([f"public_key={A}", "remove=yes"], errno.EINVAL),
    ([f"public_key={A}", "update_only=1"], errno.EINVAL),
    ([f"public_key={A}", "replace_allowed_ips=TRUE"], errno.EINVAL),
    ([f"public_key={A}", "preshared_key=" + "a" * 62], errno.EINVAL),
]


@pytest.mark.ours
@pytest.mark.parametrize("lines, number", BAD_SETS, ids=lambda value: str(value)[-44:])
def test_bad_line_is_refused_and_nothing_is_changed(solo, lines, number):
    before = accepted(solo, "fwmark=7", f"public_key={B}", "allowed_ip=10.0.0.0/8").text
    reply = solo.uapi.set("fwmark=8", *lines)
    assert reply.text == f"errno=-{number}"
    key, equals, _ = lines[-1].partition("=")
    place = f"line {2 + len(lines)}: {key + ': ' if equals else ''}"  # set=1 and fwmark come before
    refused = [line for line in solo.log.splitlines() if "set refused" in line]
    assert len(refused) == 1 and place in refused[0], (place, refused)
    assert solo.uapi.get().text == before
    assert accepted(solo, "fwmark=9").value("fwmark") == "9"


@pytest.mark.ours
def test_late_error_takes_back_all_that_came_before(solo):
    before = accepted(solo, "fwmark=7", f"public_key={A}", f"public_key={B}").text
    reply = solo.uapi.set(f"private_key={A}", "fwmark=8", f"public_key={C}", f"public_key={B}",
                          "remove=true", f"public_key={A}", "allowed_ip=10.0.0.0/8",
                          "allowed_ip=10.0.0.0/33")
    assert reply.errno == -errno.EINVAL
    assert solo.uapi.get().text == before


@pytest.mark.ours
def test_unknown_operation_gets_an_error_or_is_cut_off(solo):
    with contextlib.suppress(EOFError), solo.uapi.connect() as connection:
        assert connection.ask("nonsense=1\n\n").errno != 0
    assert solo.uapi.get().errno == 0


@pytest.mark.ours
def test_error_of_get_is_positive(solo):
    """`wg` reads digits only after get: a minus sign would be taken for a protocol fault."""
    with solo.uapi.connect() as connection:
        assert connection.ask("get=1\nnonsense=1\n\n").errno > 0


@pytest.mark.ours
def test_reply_to_set_fits_the_buffer_of_wg(solo):
    assert len(solo.uapi.set("nonsense=1").text) + 2 <= 32


# Connections

def test_many_requests_on_one_connection(solo):
    with solo.uapi.connect() as connection:
        for number in range(1, 50):
            assert connection.ask(f"set=1\nfwmark={number}\n\n").errno == 0
            assert connection.ask("get=1\n\n").value("fwmark") == str(number)


@pytest.mark.ours
def test_pipelined_requests_are_answered_in_order(solo):
    with solo.uapi.connect() as connection:
        connection.send("".join(f"set=1\nfwmark={number}\n\nget=1\n\n" for number in range(1, 20)))
        for number in range(1, 20):
            assert connection.receive().errno == 0
            assert connection.receive().value("fwmark") == str(number)


@pytest.mark.ours
def test_request_in_single_bytes(solo):
    with solo.uapi.connect() as connection:
        for byte in "set=1\nfwmark=77\n\n":
            connection.send(byte)
        assert connection.receive().errno == 0
    assert solo.uapi.get().value("fwmark") == "77"


def test_half_a_request_changes_nothing(solo):
    accepted(solo, "fwmark=7")
    with solo.uapi.connect() as connection:
        connection.send("set=1\nlisten_port=7777\nfwm")
    assert accepted(solo, "fwmark=8").value("fwmark") == "8"


@pytest.mark.ours
def test_set_without_its_blank_line_changes_nothing(solo):
    accepted(solo, "fwmark=7")
    with solo.uapi.connect() as connection:
        connection.send("set=1\nfwmark=8\n")
        connection.socket.shutdown(socket.SHUT_WR)
        with contextlib.suppress(EOFError, OSError):
            assert connection.receive().errno != 0
    assert solo.uapi.get().value("fwmark") == "7"


def test_empty_connections_are_harmless(solo):
    for _ in range(500):
        solo.uapi.connect().close()
    assert solo.uapi.get().errno == 0


def test_connections_that_reset_are_harmless(solo):
    for _ in range(50):
        with solo.uapi.connect() as connection:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                         struct.pack("ii", 1, 0))
            connection.send("get=1\n\n")
    assert solo.uapi.get().errno == 0


@pytest.mark.ours
def test_hundreds_of_open_connections_do_not_block_the_next(solo):
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(solo.uapi.connect()) for _ in range(300)]
        for connection in idle[::3]:
            connection.send("set=1\nfwmark")
        assert solo.uapi.get().errno == 0
        assert idle[1].ask("get=1\n\n").errno == 0
        idle[0].send("=5\n\n")
        assert idle[0].receive().errno == 0


def test_reader_that_does_not_read_holds_nobody_up(solo):
    lines = [f"public_key={number:064x}" for number in range(1, 2000)]
    accepted(solo, *lines)
    with solo.uapi.connect() as lazy:
        lazy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.send("get=1\n\n" * 3)
        assert len(solo.uapi.get().values("public_key")) == 1999
        assert len(lazy.receive().values("public_key")) == 1999


@pytest.mark.ours
def test_get_crossed_by_a_replace_shows_each_peer_once(solo):
    keys = [f"{number:064x}" for number in range(1, 3000)]
    accepted(solo, *[f"public_key={key}" for key in keys])
    with solo.uapi.connect() as slow:
        slow.send("get=1\n\n")
        slow.socket.recv(1, socket.MSG_PEEK)
        accepted(solo, "replace_peers=true", *[f"public_key={key}" for key in keys])
        reply = slow.receive()
    assert reply.errno == 0
    assert reply.values("public_key") == keys


@pytest.mark.ours
def test_what_was_read_and_not_parsed_is_wiped(solo):
    """A connection is closed at an endless line; a key behind it came in with the same read."""
    half, behind = "5e" * 32, "7d" * 32
    with solo.uapi.connect() as open_one, solo.uapi.connect() as connection:
        open_one.send(f"set=1\nprivate_key={half}")
        connection.send("set=1\n" + "x" * 5000 + f"\nprivate_key={behind}\n\n")
        assert connection.receive().errno == -errno.EPROTO
        assert connection.socket.recv(1) == b""
        wait_for(lambda: places_in_memory(solo.pid, half.encode()), "what is there to be found")
        assert not places_in_memory(solo.pid, behind.encode())
    wait_for(lambda: not places_in_memory(solo.pid, half.encode()), "the half request to be wiped")


@pytest.mark.ours
@pytest.mark.parametrize("text", [b"set=1\n" + b"x" * 200_000, b"set=1\nfwmark=\0\0\n\n",
                                  b"\xff" * 5000, b"\n" * 1000, b"set=1\n=\n\n", b"get=1"],
                         ids=["long-line", "nul", "binary", "newlines", "no-key", "cut"])
def test_garbage_harms_neither_the_configuration_nor_the_next_client(solo, text):
    before = accepted(solo, "fwmark=7").text
    with contextlib.suppress(OSError), solo.uapi.connect() as connection:
        connection.send(text)
        connection.socket.shutdown(socket.SHUT_WR)
        while connection.socket.recv(4096):
            pass
    assert solo.uapi.get().text == before
    wait_for(lambda: solo.running, "the daemon")

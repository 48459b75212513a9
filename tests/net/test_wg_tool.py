"""Round trips through `wg`, and what it says when something is wrong.

    solo   one space, one daemon, interface wg0
"""

import base64
import socket

import pytest

from lab.capture import Capture
from lab.noise import LOW_ORDER
from lab.traffic import ping
from lab.wgtool import Key, Wg, preshared_key


@pytest.fixture
def wg(solo):
    return Wg(solo.space, "wg0")


def config(key, *peers):
    """Text for setconf: one device, then peers as (public key, lines)."""
    lines = ["[Interface]", f"PrivateKey = {key.private}", "ListenPort = 3333", "FwMark = 0x10"]
    for public, more in peers:
        lines += ["[Peer]", f"PublicKey = {public}", *more]
    return "\n".join(lines) + "\n"


def refused(result, words):
    assert result.code != 0, result
    assert words in result.err, result


# Set and show

def test_private_key_is_shown_and_removed(wg):
    key = Key()
    wg.set_private_key(key.private)
    assert wg.dump().private_key == key.private
    assert wg.dump().public_key == key.public
    wg.set_private_key(None)
    assert wg.dump().private_key is None


def test_preshared_key_is_shown_and_removed(wg):
    peer, psk = Key().public, preshared_key()
    wg.set_preshared_key(peer, psk)
    assert wg.peer(peer).preshared_key == psk
    wg.set_preshared_key(peer, None)
    assert wg.peer(peer).preshared_key is None


def test_port_and_fwmark_are_shown(wg):
    wg.set("listen-port 9999 fwmark 0xca6c")
    assert (wg.dump().listen_port, wg.dump().fwmark) == (9999, 0xca6c)
    wg.set("fwmark 0")
    assert wg.dump().fwmark == 0


def test_peer_with_everything_is_shown(wg):
    peer = Key().public
    wg.set(f"peer {peer} endpoint [fd00::9]:5 persistent-keepalive 25 "
           "allowed-ips 10.1.0.0/16,fd00::/16,0.0.0.0/0")
    shown = wg.peer(peer)
    assert shown.endpoint == "[fd00::9]:5"
    assert shown.persistent_keepalive == 25
    assert sorted(shown.allowed_ips) == ["0.0.0.0/0", "10.1.0.0/16", "fd00::/16"]
    assert (shown.latest_handshake, shown.rx_bytes, shown.tx_bytes) == (0, 0, 0)


def test_peer_is_removed(wg):
    first, second = Key().public, Key().public
    wg.set(f"peer {first} peer {second}")
    wg.set(f"peer {first} remove")
    assert [peer.public_key for peer in wg.dump().peers] == [second]


def test_adding_a_peer_with_our_own_key_is_ignored(wg):
    own = Key()
    wg.set_private_key(own.private)
    wg.set(f"peer {own.public} allowed-ips 10.0.0.0/8")
    assert wg.dump().peers == []


def test_a_key_that_was_ours_is_one_of_a_peer_until_it_is_ours_again(wg):
    own = Key()
    wg.set_private_key(own.private)
    wg.set_private_key(Key().private)
    wg.set(f"peer {own.public} allowed-ips 10.0.0.0/8")
    assert [peer.public_key for peer in wg.dump().peers] == [own.public]
    wg.set_private_key(own.private)
    assert wg.dump().peers == []


def test_overlapping_prefixes_can_be_replaced_in_any_order(wg):
    peer = Key().public
    for prefixes in ("0.0.0.0/0", "10.0.0.0/8,0.0.0.0/0", "10.0.0.0/8,10.0.0.0/9", "0.0.0.0/0",
                     "::/0,0.0.0.0/0,10.0.0.0/32"):
        wg.set(f"peer {peer} allowed-ips {prefixes}")
        assert sorted(wg.peer(peer).allowed_ips) == sorted(prefixes.split(","))
    wg.tool("set", "wg0", "peer", peer, "allowed-ips", "")
    assert wg.peer(peer).allowed_ips == []


def test_show_prints_for_people(wg):
    key, peer = Key(), Key().public
    wg.set_private_key(key.private)
    wg.set(f"listen-port 7000 peer {peer} allowed-ips 10.0.0.0/8 endpoint 1.2.3.4:5")
    text = wg.show()
    for words in ("interface: wg0", f"public key: {key.public}", "private key: (hidden)",
                  "listening port: 7000", f"peer: {peer}", "endpoint: 1.2.3.4:5",
                  "allowed ips: 10.0.0.0/8"):
        assert words in text


def test_show_of_an_absent_device_fails(wg):
    refused(wg.space.run("wg", "show", "absent0", check=False), "Unable to access interface")


# Files

def test_setconf_then_showconf_gives_the_file_back(wg):
    key, peer, psk = Key(), Key().public, preshared_key()
    text = config(key, (peer, [f"PresharedKey = {psk}", "AllowedIPs = 10.0.0.0/8",
                               "Endpoint = 1.2.3.4:5", "PersistentKeepalive = 9"]))
    wg.configure("setconf", text)
    shown = [line.strip() for line in wg.showconf().splitlines() if line.strip()]
    assert sorted(shown) == sorted(line for line in text.split("\n") if line)


def test_showconf_fed_to_setconf_changes_nothing(wg):
    wg.configure("setconf", config(Key(), *((Key().public, [f"AllowedIPs = 10.{n}.0.0/16"])
                                            for n in range(20))))
    before = wg.show("dump")
    wg.configure("setconf", wg.showconf())
    assert sorted(wg.show("dump").split("\n")) == sorted(before.split("\n"))


def test_setconf_replaces_all_peers(wg):
    wg.set(f"peer {Key().public}")
    only = Key().public
    wg.configure("setconf", config(Key(), (only, [])))
    assert [peer.public_key for peer in wg.dump().peers] == [only]


def test_addconf_adds_to_what_is_there(wg):
    key, first, second = Key(), Key().public, Key().public
    wg.configure("setconf", config(key, (first, ["AllowedIPs = 10.0.0.0/8"])))
    wg.configure("addconf", f"[Peer]\nPublicKey = {second}\nAllowedIPs = 11.0.0.0/8\n")
    assert {peer.public_key for peer in wg.dump().peers} == {first, second}
    assert wg.dump().private_key == key.private


def test_syncconf_keeps_the_session_of_a_peer_that_stays(pair):
    pair.left.space.run("ping", "-c", "1", "-W", "5", pair.right.inner4)
    before = pair.left.view(pair.right)
    other = Key().public
    pair.left.wg.configure("syncconf", pair.left.wg.showconf()
                           + f"[Peer]\nPublicKey = {other}\nAllowedIPs = 11.0.0.0/8\n")
    after = pair.left.view(pair.right)
    assert after.latest_handshake == before.latest_handshake > 0
    assert after.rx_bytes >= before.rx_bytes > 0
    assert pair.left.wg.peer(other).allowed_ips == ["11.0.0.0/8"]


def test_syncconf_removes_what_is_no_longer_in_the_file(wg):
    key, stays, goes = Key(), Key().public, Key().public
    wg.configure("setconf", config(key, (stays, ["AllowedIPs = 10.0.0.0/8"]),
                                   (goes, ["AllowedIPs = 11.0.0.0/8"])))
    wg.configure("syncconf", config(key, (stays, ["AllowedIPs = 12.0.0.0/8"])))
    assert [peer.public_key for peer in wg.dump().peers] == [stays]
    assert wg.peer(stays).allowed_ips == ["12.0.0.0/8"]


@pytest.mark.ours
def test_dump_is_the_same_each_time_and_in_order_of_making(wg):
    keys = [Key().public for _ in range(30)]
    wg.configure("setconf", config(Key(), *((key, []) for key in keys)))
    assert [peer.public_key for peer in wg.dump().peers] == keys
    assert wg.show("dump") == wg.show("dump")


# fault: CVE-2024-26950
@pytest.mark.ours
def test_dump_beside_setconf_shows_each_peer_once(lab, wg):
    keys = [Key().public for _ in range(400)]
    text = config(Key(), *((key, []) for key in keys))
    wg.configure("setconf", text)
    script = 'while wg setconf wg0 "$1"; do :; done'
    again, _ = wg.space.popen(["sh", "-c", script, "sh", str(lab.file("wg0.conf", text))])
    lab.own(again)
    for _ in range(100):
        assert [peer.public_key for peer in wg.dump().peers] == keys
    assert again.poll() is None


# Errors

def test_port_in_use_is_said(wg):
    wg.space.ip("link set wg0 up")
    with wg.space.udp_socket(bind=("0.0.0.0", 5001)):
        refused(wg.set("listen-port 5001", check=False), "Address already in use")


@pytest.mark.ours
@pytest.mark.parametrize("family, address", [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")])
def test_old_port_stays_when_the_new_one_is_in_use(wg, family, address):
    wg.space.ip("link set wg0 up")
    wg.set("listen-port 5000")
    with wg.space.udp_socket(family, bind=(address, 5001)):
        assert wg.set("listen-port 5001", check=False).code != 0
    assert wg.dump().listen_port == 5000
    assert ":5000 " in wg.space.run("ss", "-lun").out


@pytest.mark.parametrize("words", [
    "listen-port x", "fwmark 0x1ffffffff", "peer short allowed-ips 10.0.0.0/8",
    "peer {key} allowed-ips 10.0.0.0/33", "peer {key} endpoint 10.0.0.1",
    "peer {key} persistent-keepalive 65536", "nonsense 1"])
def test_wrong_words_change_nothing(wg, words):
    before = wg.show("dump")
    assert wg.set(words.format(key=Key().public), check=False).code != 0
    assert wg.show("dump") == before


def test_wrong_file_changes_nothing(wg):
    wg.configure("setconf", config(Key(), (Key().public, ["AllowedIPs = 10.0.0.0/8"])))
    before = wg.show("dump")
    text = config(Key(), (Key().public, ["AllowedIPs = 10.0.0.0/8", "Nonsense = 1"]))
    assert wg.configure("setconf", text, check=False).code != 0
    assert wg.show("dump") == before


# Large allowed-ip lists

def prefixes(peer, count):
    return [f"10.{peer}.{n // 256}.{n % 256}/32" for n in range(count)]


def test_40_peers_of_52_prefixes_survive_the_round_trip(wg):
    expect_round_trip(wg, [52] * 40)


def test_30_peers_of_whom_the_last_has_two_prefixes_survive_the_round_trip(wg):
    expect_round_trip(wg, [1] * 29 + [2])


def test_a_peer_of_197_prefixes_behind_one_of_none_survives_the_round_trip(wg):
    expect_round_trip(wg, [0, 197])


def expect_round_trip(wg, counts):
    wanted = {Key().public: prefixes(number, count) for number, count in enumerate(counts)}
    wg.configure("setconf", config(Key(), *(
        (key, ["AllowedIPs = " + ", ".join(ips)] if ips else []) for key, ips in wanted.items())))
    shown = {peer.public_key: peer.allowed_ips for peer in wg.dump().peers}
    assert {key: sorted(ips) for key, ips in shown.items()} \
        == {key: sorted(ips) for key, ips in wanted.items()}


def test_public_keys_of_low_order_are_accepted_but_never_spoken_to(lab, each_engine):
    """Neither a keepalive nor a packet for it starts a handshake: the wire stays empty."""
    space = lab.space("low")
    lab.daemon(space, each_engine).start()
    wg = Wg(space, "wg0")
    wg.set_private_key(Key().private)
    space.ip("link set lo up")
    space.address("wg0", "10.0.0.1/24")
    for number, key in enumerate(LOW_ORDER):
        wg.set(f"peer {base64.b64encode(key).decode()} persistent-keepalive 1 "
               f"allowed-ips 10.0.0.{10 + number}/32 endpoint 127.0.0.1:9000")
    with Capture(space, "lo", lab.directory / "lo.pcap") as capture:
        space.ip("link set wg0 up")
        for number in range(len(LOW_ORDER)):
            ping(space, f"10.0.0.{10 + number}", count=1, wait=0.3, check=False)
    assert capture.packets(["frame.protocols"]) == []
    assert len(wg.dump().peers) == len(LOW_ORDER)

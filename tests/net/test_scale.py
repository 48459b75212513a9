"""Thousands of peers through `wg`.

    solo   one space, one daemon, interface wg0
"""

import errno
import os
import threading

import pytest

from lab.pair import Pair
from lab.run import LabError
from lab.traffic import ping
from lab.wgtool import Wg, from_hex

PEERS_MAX = 1 << 20  # of a device
PEERS_IN_A_PIECE = 4096


def many(count):
    """setconf text and the lines of the dump it must give, peer n owning one /32 and one /128."""
    lines, wanted = ["[Interface]", "ListenPort = 5555"], []
    for number in range(count):
        key = from_hex(f"{number + 1:08x}" + os.urandom(28).hex())
        inner4 = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}/32"
        inner6 = f"fd00::1:{number + 1:x}/128"
        lines += ["[Peer]", f"PublicKey = {key}", f"AllowedIPs = {inner4}, {inner6}",
                  f"Endpoint = 192.0.2.1:{1024 + number}"]
        wanted.append((key, {inner4, inner6}, f"192.0.2.1:{1024 + number}"))
    return "\n".join(lines) + "\n", wanted


def shown(wg):
    return [(peer.public_key, set(peer.allowed_ips), peer.endpoint) for peer in wg.dump().peers]


@pytest.mark.ours
@pytest.mark.parametrize("count", [1000, 10000])
def test_many_peers_are_configured_and_dumped_in_order(solo, count):
    wg = Wg(solo.space, "wg0")
    text, wanted = many(count)
    wg.configure("setconf", text, timeout=60)
    assert shown(wg) == wanted
    assert wg.show("dump") == wg.show("dump")


def test_a_thousand_peers_are_all_there_after_syncconf_and_gone_after_setconf(solo):
    wg = Wg(solo.space, "wg0")
    text, wanted = many(1000)
    wg.configure("setconf", text, timeout=60)
    wg.configure("syncconf", text, timeout=60)
    assert sorted(shown(wg), key=str) == sorted(wanted, key=str)
    wg.configure("setconf", "[Interface]\nListenPort = 5555\n")
    assert wg.dump().peers == []


def test_one_peer_with_many_prefixes_survives_the_round_trip(solo):
    wg = Wg(solo.space, "wg0")
    prefixes = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}/32" for n in range(130_560)]
    key = from_hex("07" * 32)
    wg.configure("setconf", "[Peer]\nPublicKey = " + key + "\n"
                 + "".join(f"AllowedIPs = {prefix}\n" for prefix in prefixes), timeout=60)
    assert sorted(wg.peer(key).allowed_ips) == sorted(prefixes)


def test_traffic_passes_beside_thousands_of_idle_peers(pair):
    text, _ = many(2000)
    pair.left.wg.configure("addconf", text.partition("[Peer]")[1] + text.partition("[Peer]")[2],
                           timeout=60)
    pair.left.space.run("ping", "-c", "1", "-W", "5", pair.right.inner4)


def strangers(count):
    """UAPI text of so many peers, each with an address of its own, in pieces."""
    for first in range(0, count, PEERS_IN_A_PIECE):
        numbers = range(first, min(first + PEERS_IN_A_PIECE, count))
        yield "".join(f"public_key={os.urandom(32).hex()}\n"
                      f"allowed_ip=fd01::{number >> 16:x}:{number & 0xFFFF:x}/128\n"
                      for number in numbers)


@pytest.mark.ours
def test_a_million_peers_come_and_go_beside_one_that_works(lab, ours):
    pair = Pair(lab, ours, ours).know_endpoint()
    left, over = pair.left, threading.Event()
    answered, failed = [], []

    def ping_on():
        try:
            while not over.is_set():
                answered.append(ping(left.space, pair.right.inner4, count=20, interval=0.01))
        except (LabError, OSError) as error:
            failed.append(error)

    pinging = threading.Thread(target=ping_on)
    pinging.start()
    try:
        assert left.daemon.uapi.set_in_pieces(strangers(PEERS_MAX - 1)).errno == 0
        assert answered and not failed, failed
        assert left.daemon.uapi.count_peers() == PEERS_MAX
        assert left.daemon.uapi.set_in_pieces(strangers(1)).errno == -errno.ENOMEM
        assert left.daemon.uapi.count_peers() == PEERS_MAX
    finally:
        over.set()
        pinging.join()
    assert not failed, failed
    assert left.daemon.uapi.set("replace_peers=true").errno == 0
    assert left.daemon.uapi.count_peers() == 0

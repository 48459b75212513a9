"""An end that changes its address, family or key goes on talking.

    left  eth0 10.0.0.1, fd00:a::1  --- wire ---  right  eth0 10.0.0.2, fd00:a::2
          then 10.0.0.11, fd00:a::11
"""

import pytest

from lab.pair import DEVICE
from lab.traffic import ping
from lab.wgtool import Key

NEW = {4: "10.0.0.11", 6: "fd00:a::11"}


def shown(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def readdress(end, family):
    """The old outer address goes, the new one comes."""
    old, bits = (end.outer4, 24) if family == 4 else (end.outer6, 64)
    end.space.ip(f"addr del {old}/{bits} dev eth0")
    end.space.address("eth0", f"{NEW[family]}/{bits}")


@pytest.mark.ours  # wireguard-go keeps a cached source that is no longer an address
@pytest.mark.parametrize("family", [4, 6])
def test_new_address_of_the_initiator_is_learnt(pair, family):
    left, right = pair.left, pair.right
    pair.know_endpoint(family)
    ping(left.space, right.inner4)
    readdress(left, family)
    ping(left.space, right.inner4, count=1, wait=1)
    assert right.view(left).endpoint == shown(NEW[family], left.port)
    ping(right.space, left.inner4)


@pytest.mark.ours  # wireguard-go keeps a cached source that is no longer an address
@pytest.mark.parametrize("family", [4, 6])
def test_new_address_of_the_responder_is_learnt(pair, family):
    left, right = pair.left, pair.right
    pair.know_endpoint(family)
    ping(left.space, right.inner4)
    readdress(right, family)
    ping(right.space, left.inner4, count=1, wait=1)
    assert left.view(right).endpoint == shown(NEW[family], right.port)
    ping(left.space, right.inner4)


@pytest.mark.parametrize("first, second", [(4, 6), (6, 4)])
def test_a_change_of_family_is_followed(pair, first, second):
    left, right = pair.left, pair.right
    pair.know_endpoint(first)
    ping(left.space, right.inner4)
    pair.know_endpoint(second)
    ping(left.space, right.inner4)
    assert right.view(left).endpoint == left.endpoint(second)
    ping(right.space, left.inner4)


@pytest.mark.ours  # wireguard-go keeps a cached source that is no longer an address
def test_roaming_needs_no_new_handshake(pair):
    left, right = pair.left, pair.right
    ping(left.space, right.inner4)
    before, counted = right.view(left).latest_handshake, right.view(left).rx_bytes
    readdress(left, 4)
    ping(left.space, right.inner4, count=1)
    assert right.view(left).latest_handshake == before
    assert right.view(left).rx_bytes == counted + 128


def test_unauthenticated_datagrams_do_not_move_the_endpoint(pair):
    left, right = pair.left, pair.right
    ping(left.space, right.inner4)
    with left.space.udp_socket(bind=("10.0.0.1", 7777)) as stranger:
        for payload in (b"", b"\1" + bytes(147), b"\2" + bytes(91), b"\3" + bytes(63),
                        b"\4" + bytes(31), b"\4" + bytes(127), bytes(1400), b"\xff" * 60000):
            stranger.sendto(payload, (right.outer4, right.port))
    assert right.view(left).endpoint == left.endpoint(4)
    ping(right.space, left.inner4)


def test_new_key_on_one_side_and_new_peer_on_the_other_work_within_a_second(pair):
    left, right = pair.left, pair.right
    ping(left.space, right.inner4)
    left.key = Key()
    left.wg.set_private_key(left.key.private)
    right.add_peer(left)
    ping(left.space, right.inner4, count=1, wait=1)


def test_a_restarted_end_is_found_again(pair):
    """The session of left is worthless after right's restart: only a new handshake helps."""
    left, right = pair.left, pair.right
    ping(left.space, right.inner4)
    right.daemon.stop()
    right.daemon.start()
    right.up(1420)
    right.add_peer(left)
    right.set_endpoint(left, 4)
    ping(right.space, left.inner4, count=1, wait=8)
    ping(left.space, right.inner4)
    assert DEVICE in right.space.run("ip", "-o", "link").out

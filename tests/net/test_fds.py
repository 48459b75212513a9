"""Descriptors handed over, and a TUN that lives in another namespace than the sockets.

    near   the daemon and its UDP sockets         far   the far end of the wire
           eth0 10.0.0.1  ------- wire -------          eth0 10.0.0.2
    inner  only the TUN wg0, 192.168.241.1              wg0  192.168.241.2
"""

import contextlib
import os
import pathlib
import select

import pytest

from lab import peers
from lab.pair import DEVICE, End
from lab.run import wait_for
from lab.traffic import ping, reaches
from lab.tun import IFF_NO_PI, IFF_TAP, IFF_TUN, IFF_VNET_HDR, listening_socket, open_tun
from lab.wgtool import Wg


class Split:
    """left's sockets in one space and its TUN in another; right is an ordinary end."""

    def __init__(self, lab, ours):
        self.left, self.right = End(lab, "left", 1, ours), End(lab, "right", 2, ours)
        self.inner = lab.space("inner")
        self.left.space.wire(self.right.space, "eth0", "eth0")
        for end in (self.left, self.right):
            end.space.address("eth0", f"{end.outer4}/24")
        self.right.daemon.start()
        self.right.up(1420)

    def configure(self):
        """Keys and peers of both; the TUN of left gets its address where it is now."""
        self.left.wg.set_private_key(self.left.key.private)
        self.left.wg.set(f"listen-port {self.left.port}")
        self.left.add_peer(self.right)
        self.right.add_peer(self.left)
        self.left.set_endpoint(self.right, 4)
        self.inner.address(DEVICE, f"{self.left.inner4}/24")
        self.inner.ip(f"link set {DEVICE} mtu 1420 up")
        # Away from home the daemon learns of it by the first packet, which pays for it.
        wait_for(lambda: reaches(self.inner, self.right.inner4), "traffic through the split tunnel")

    def move(self):
        self.left.space.ip(f"link set {DEVICE} netns {self.inner.pid}")


@pytest.fixture
def split(lab, each_engine):
    return Split(lab, each_engine)


@pytest.fixture
def moved(split):
    """left's TUN was moved after start, then configured and set up."""
    split.left.daemon.start()
    split.move()
    split.configure()
    return split


def test_given_tun_is_used(lab, ours):
    space = lab.space("given")
    fd = open_tun(space, "wg0")
    daemon = lab.daemon(space, ours).start(env={"WG_TUN_FD": str(fd)}, pass_fds=(fd,))
    os.close(fd)
    space.ip("link set wg0 up")
    wait_for(lambda: daemon.uapi.get().value("listen_port"), "sockets after link up")
    daemon.stop()
    assert "wg0" not in space.run("ip", "-o", "link").out


@pytest.mark.ours
@pytest.mark.parametrize("header", [0, IFF_VNET_HDR], ids=["plain", "vnet"])
def test_given_tun_carries_packets(split, header):
    fd = open_tun(split.inner, DEVICE, IFF_TUN | IFF_NO_PI | header)
    split.left.daemon.start(env={"WG_TUN_FD": str(fd)}, pass_fds=(fd,))
    os.close(fd)
    split.configure()
    ping(split.inner, split.right.inner4)


@pytest.mark.ours
def test_given_tap_is_refused(lab, ours):
    space = lab.space("given")
    fd = open_tun(space, DEVICE, IFF_TAP | IFF_NO_PI)
    result = space.run(*ours.argv("wg0", "-f"), env={"WG_TUN_FD": str(fd)}, pass_fds=(fd,),
                       check=False)
    os.close(fd)
    assert result.code == 1
    assert "IFF_TUN | IFF_NO_PI" in result.err


@pytest.mark.ours
@pytest.mark.parametrize("value", ["x", "-1", "9999", "3x"])
def test_bad_tun_descriptor_is_refused(lab, ours, value):
    space = lab.space("bad")
    result = space.run(*ours.argv("wg0", "-f"), env={"WG_TUN_FD": value}, check=False)
    assert result.code == 1
    assert "WG_TUN_FD" in result.err


@pytest.mark.ours
def test_descriptor_that_is_no_tun_is_refused(lab, ours):
    space = lab.space("bad")
    result = space.run(*ours.argv("wg0", "-f"), env={"WG_TUN_FD": "0"}, check=False)
    assert result.code == 1
    assert "WG_TUN_FD" in result.err


def kept_by_exec(pid):
    kept = {}
    for entry in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since
            flags = int(entry.read_text().partition("flags:")[2].split()[0], 8)
            if not flags & os.O_CLOEXEC:
                kept[int(entry.name)] = os.readlink(f"/proc/{pid}/fd/{entry.name}")
    return kept


@pytest.mark.ours
def test_exec_closes_every_descriptor(lab, each_engine):
    """Also those that were handed over, which came open for it."""
    space = lab.space("given")
    tun = open_tun(space, DEVICE)
    with listening_socket(space, SOCKET) as sock:
        given = (tun, sock.fileno())
        daemon = lab.daemon(space, each_engine).start(
            env={"WG_TUN_FD": str(tun), "WG_UAPI_FD": str(sock.fileno())}, pass_fds=given)
    os.close(tun)
    space.ip(f"link set {DEVICE} up")
    wait_for(lambda: daemon.uapi.get().value("listen_port"), "sockets after link up")
    with daemon.uapi.connect():
        assert set(kept_by_exec(daemon.pid)) <= {0, 1, 2}


SOCKET = "/var/run/wireguard/wg0.sock"


def test_given_uapi_socket_is_used(lab, ours):
    space = lab.space("given")
    with listening_socket(space, SOCKET) as sock:
        daemon = lab.daemon(space, ours).start(env={"WG_UAPI_FD": str(sock.fileno())},
                                               pass_fds=(sock.fileno(),))
    assert Wg(space, "wg0").dump().peers == []
    space.run("rm", SOCKET)
    assert daemon.wait_end() == 0


@pytest.mark.ours
def test_given_socket_of_another_file_leaves_a_live_daemon_its_own(lab, ours):
    """The interface of the first has moved away, so a second one of the same name can be."""
    space, inner = lab.space("given"), lab.space("inner")
    first = lab.daemon(space, ours).start()
    space.ip(f"link set wg0 netns {inner.pid}")
    with listening_socket(space, "/run/other.sock") as sock:
        second = lab.daemon(space, ours).start(env={"WG_UAPI_FD": str(sock.fileno())},
                                               pass_fds=(sock.fileno(),))
    wait_for(lambda: "wg0" in space.run("ip", "-o", "link").out, "the second interface")
    assert second.stop() == 0
    assert first.uapi.get().errno == 0
    assert first.running


@pytest.mark.ours
def test_both_given_descriptors_reach_the_background(lab, ours):
    space = lab.space("given")
    tun = open_tun(space, "wg0")
    with listening_socket(space, SOCKET) as sock:
        daemon = lab.daemon(space, ours)
        given = {"WG_TUN_FD": str(tun), "WG_UAPI_FD": str(sock.fileno())}
        assert daemon.start_background(env=given, pass_fds=(tun, sock.fileno())).code == 0
    os.close(tun)
    space.ip("link set wg0 up")
    wait_for(lambda: daemon.uapi.get().value("listen_port"), "sockets after link up")
    daemon.stop()
    assert "wg0" not in space.run("ip", "-o", "link").out


@pytest.mark.ours
@pytest.mark.parametrize("foreground", [True, False])
@pytest.mark.parametrize("variable", ["WG_TUN_FD", "WG_UAPI_FD"])
@pytest.mark.parametrize("number", range(3, 10))
def test_number_that_the_starter_did_not_open_is_refused(lab, ours, variable, number, foreground):
    """Such a number is free at first, and one of our own descriptors a moment later."""
    more = ["-f"] if foreground else []
    result = lab.space("alias").run(*ours.argv("wg0", *more), env={variable: str(number)},
                                    check=False)
    assert result.code == 1
    assert f"{variable}: descriptor {number} is not open" in result.err


@pytest.mark.ours
def test_empty_variables_are_not_set(lab, ours):
    daemon = lab.daemon(lab.space("empty"), ours)
    daemon.start(env={"WG_TUN_FD": "", "WG_UAPI_FD": ""})
    assert daemon.socket_path.exists()


@pytest.mark.ours
def test_background_daemon_keeps_no_descriptor_of_its_starter(lab, ours):
    daemon = lab.daemon(lab.space("inherited"), ours)
    reader, writer = os.pipe()
    assert daemon.start_background(pass_fds=(writer,)).code == 0
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], 5)
    os.close(reader)
    assert ready, "the other end is still open"


@pytest.mark.ours
@pytest.mark.parametrize("value", ["x", "-1", "9999", "0"])
def test_bad_uapi_descriptor_is_refused(lab, ours, value):
    space = lab.space("bad")
    result = space.run(*ours.argv("wg0", "-f"), env={"WG_UAPI_FD": value}, check=False)
    assert result.code == 1
    assert "WG_UAPI_FD" in result.err


@pytest.mark.ours
def test_tun_born_elsewhere_leaves_the_sockets_here(split):
    fd = open_tun(split.inner, DEVICE)
    split.left.daemon.start(env={"WG_TUN_FD": str(fd)}, pass_fds=(fd,))
    os.close(fd)
    split.configure()
    ping(split.inner, split.right.inner4)
    assert f":{split.left.port} " in split.left.space.run("ss", "-lun").out
    assert f":{split.left.port} " not in split.inner.run("ss", "-lun").out


def test_tun_moved_after_start_carries_traffic(moved):
    ping(moved.inner, moved.right.inner4, wait=5)
    ping(moved.right.space, moved.left.inner4)


def test_sockets_stay_where_they_were_born(moved):
    wait_for(lambda: f":{moved.left.port} " in moved.left.space.run("ss", "-lun").out,
             "the sockets in the first space")
    assert f":{moved.left.port} " not in moved.inner.run("ss", "-lun").out


def test_configuration_goes_on_after_the_move(moved):
    moved.left.wg.set("listen-port 1003")
    ping(moved.inner, moved.right.inner4, wait=5)
    assert moved.right.view(moved.left).endpoint == f"{moved.left.outer4}:1003"


@pytest.mark.ours
def test_link_down_and_up_is_followed_after_the_move(moved):
    ping(moved.inner, moved.right.inner4, wait=5)
    moved.inner.ip(f"link set {DEVICE} down")
    wait_for(lambda: f":{moved.left.port} " not in moved.left.space.run("ss", "-lun").out,
             "sockets to close after link down")
    moved.inner.ip(f"link set {DEVICE} up")
    wait_for(lambda: reaches(moved.inner, moved.right.inner4), "traffic after link up")


# Those of kernels that do not say in which namespace a TUN is (before 5.2).
NAMESPACE_UNKNOWN = peers.PERSONA.startswith("4.")


@pytest.mark.ours
def test_mtu_change_is_followed_after_the_move(moved):
    """Padding stops at the MTU: a full packet of 1297 bytes may not grow to 1312. Where the MTU
    cannot be read any more, that is said, and the one that was known last stays."""
    ping(moved.inner, moved.right.inner4, wait=5)
    moved.inner.ip(f"link set {DEVICE} mtu 1297")
    if NAMESPACE_UNKNOWN:
        wait_for(lambda: "is taken to stay 1420" in moved.left.daemon.log, "the log to say so")
        assert padded_size(moved, 1297 - 28) == 1312 + 32
    else:
        wait_for(lambda: padded_size(moved, 1297 - 28) == 1297 + 32, "the new MTU", timeout=15)
        assert "is taken to stay" not in moved.left.daemon.log


def padded_size(split, payload):
    """UDP payload of one pinged packet, from the transfer counters of the sender."""
    before = split.left.view(split.right).tx_bytes
    ping(split.inner, split.right.inner4, count=1, size=payload)
    return split.left.view(split.right).tx_bytes - before


def test_end_of_the_moved_link_ends_the_daemon(moved):
    moved.inner.ip(f"link del {DEVICE}")
    assert moved.left.daemon.wait_end(timeout=15) == 0
    assert not moved.left.daemon.socket_path.exists()


def test_tun_comes_home_again(moved):
    ping(moved.inner, moved.right.inner4, wait=5)
    moved.inner.ip(f"link set {DEVICE} netns {moved.left.space.pid}")
    moved.left.space.address(DEVICE, f"{moved.left.inner4}/24")
    moved.left.space.ip(f"link set {DEVICE} up")
    wait_for(lambda: reaches(moved.left.space, moved.right.inner4), "traffic at home",
             timeout=15)

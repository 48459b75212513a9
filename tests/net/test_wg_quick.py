"""`wg-quick` with WG_QUICK_USERSPACE_IMPLEMENTATION, also as a full tunnel.

    left  eth0 10.0.0.1, fd00:a::1  --- wire ---  right  eth0 10.0.0.2, fd00:a::2
          wg0 by wg-quick                                wg0 192.168.241.2, fd00:b::2
                                                         lo  10.99.0.1, fd00:99::1 ("the world")
"""

import re

import pytest

from lab.pair import DEVICE, End
from lab.run import wait_for
from lab.traffic import ping, reaches
from lab.tunnel import Tunnel

WORLD = {4: "10.99.0.1", 6: "fd00:99::1"}


class Quick:
    """left is driven by wg-quick alone; right is an ordinary end that knows left."""

    def __init__(self, lab, implementation, far=None):
        self.lab, self.implementation = lab, implementation
        self.env = {}  # more for the daemon
        self.left, self.right = (End(lab, "left", 1, implementation),
                                 End(lab, "right", 2, far or implementation))
        self.left.space.wire(self.right.space, "eth0", "eth0")
        for end in (self.left, self.right):
            end.space.address("eth0", f"{end.outer4}/24", f"{end.outer6}/64")
        self.left.space.ip("route add default via 10.0.0.2")
        self.left.space.ip("-6 route add default via fd00:a::2")
        self.right.daemon.start()
        Tunnel.up(self.right, self.left, None, "")
        self.right.space.address("lo", f"{WORLD[4]}/32", f"{WORLD[6]}/128")
        self.path = lab.directory / f"{DEVICE}.conf"

    def configure(self, allowed, *more):
        lines = ["[Interface]", f"PrivateKey = {self.left.key.private}",
                 f"Address = {self.left.inner4}/24, {self.left.inner6}/64", *more,
                 "[Peer]", f"PublicKey = {self.right.key.public}", f"AllowedIPs = {allowed}",
                 f"Endpoint = {self.right.endpoint(4)}"]
        self.lab.file(self.path.name, "\n".join(lines) + "\n")

    def quick(self, verb, **options):
        """The daemon may keep the output of wg-quick open, so it goes to a file."""
        log = self.lab.directory / "wg-quick.log"
        wrapper = ["sh", "-c", 'log=$1; shift; "$@" >"$log" 2>&1 || { cat "$log"; exit 1; }', "sh",
                   log]
        return self.left.space.run(*wrapper, "wg-quick", verb, self.path, env={
            "WG_QUICK_USERSPACE_IMPLEMENTATION": str(self.implementation.path),
            "LOG_LEVEL": "error", **self.env}, **options)

    def up(self):
        self.quick("up")
        self.left.daemon.pid = self.left.space.pids(self.implementation.path.name)[0]

    def rules(self):
        return self.left.space.run("ip", "rule").out + self.left.space.run("ip", "-6", "rule").out


@pytest.fixture
def world(lab, ours):
    """A tunnel for the inner network alone."""
    made = Quick(lab, ours)
    made.configure("192.168.241.0/24, fd00:b::/64")
    return made


@pytest.fixture
def full(lab, ours):
    """A tunnel that takes everything: policy routing by mark."""
    made = Quick(lab, ours)
    made.configure("0.0.0.0/0, ::/0")
    return made


def test_up_makes_a_tunnel_that_works(world):
    world.up()
    ping(world.left.space, world.right.inner4)
    ping(world.left.space, world.right.inner6)


def test_variables_stand_for_the_options_that_wg_quick_does_not_pass_on(world):
    world.env = {"WGRING_ENGINE": "epoll", "WGRING_SHARDS": "2"}
    world.up()
    assert len(world.left.daemon.threads("wgring-shard")) == 2
    ping(world.left.space, world.right.inner4)


def test_up_sets_the_mtu_to_that_of_the_route_less_80(world):
    world.up()
    link = world.left.space.run("ip", "-o", "link", "show", DEVICE).out
    assert re.search(r"mtu (\d+)", link)[1] == "1420"


def test_down_ends_the_daemon_and_removes_its_socket(world):
    world.up()
    ping(world.left.space, world.right.inner4)
    world.quick("down")
    world.left.daemon.wait_end()
    assert not world.left.daemon.socket_path.exists()
    assert DEVICE not in world.left.space.run("ip", "-o", "link").out


# fault: CVE-2019-14899
@pytest.mark.parametrize("allowed, answered", [("192.168.241.0/24", True), ("0.0.0.0/0", False)])
def test_full_tunnel_keeps_who_is_on_the_link_from_the_inner_address(lab, ours, allowed, answered):
    """CVE-2019-14899. What is allowed less is not kept from him, by wg-quick."""
    made = Quick(lab, ours)
    made.configure(allowed)
    made.up()
    made.right.space.ip(f"route replace {made.left.inner4}/32 via {made.left.outer4} dev eth0")
    assert reaches(made.right.space, made.left.inner4) == answered


def test_up_again_after_down(world):
    for _ in range(3):
        world.up()
        wait_for(lambda: reaches(world.left.space, world.right.inner4), "traffic")
        world.quick("down")
        world.left.daemon.wait_end()


def test_up_twice_is_refused_and_the_tunnel_stays(world):
    world.up()
    assert world.quick("up", check=False).code != 0
    ping(world.left.space, world.right.inner4)


def test_up_with_settings_for_everything(world):
    world.configure("192.168.241.0/24, fd00:b::/64", "ListenPort = 7777", "MTU = 1300",
                    "FwMark = 0x77", "PostUp = ip route add 10.99.0.1 dev %i")
    world.up()
    state = world.left.wg.dump()
    assert (state.listen_port, state.fwmark) == (7777, 0x77)
    assert "mtu 1300" in world.left.space.run("ip", "-o", "link", "show", DEVICE).out
    assert DEVICE in world.left.space.run("ip", "route", "get", "10.99.0.1").out


def test_save_writes_what_strip_reads_back(world):
    world.up()
    world.left.wg.set(f"peer {world.right.key.public} persistent-keepalive 25")
    world.quick("save")
    assert "PersistentKeepalive = 25" in world.path.read_text()
    stripped = world.left.space.run("wg-quick", "strip", world.path).out
    world.left.wg.configure("syncconf", stripped)
    assert world.left.view(world.right).persistent_keepalive == 25


def test_bad_configuration_leaves_nothing(world):
    world.configure("192.168.241.0/33")
    assert world.quick("up", check=False).code != 0
    wait_for(lambda: not world.left.space.pids(world.implementation.path.name), "no daemon")
    assert DEVICE not in world.left.space.run("ip", "-o", "link").out
    assert not world.left.daemon.socket_path.exists()


@pytest.mark.parametrize("family", [4, 6])
def test_full_tunnel_carries_the_world_inside(full, family):
    """right does not answer the world outside the tunnel, so an answer came through it."""
    full.right.wg.set(f"peer {full.left.key.public} allowed-ips "
                      f"{full.left.inner4}/32,{full.left.inner6}/128")
    full.right.space.run("iptables" if family == 4 else "ip6tables", "-A", "INPUT", "-i", "eth0",
                         "-d", WORLD[family], "-j", "DROP")
    assert not reaches(full.left.space, WORLD[family])
    full.up()
    ping(full.left.space, WORLD[family], count=100)


def test_full_tunnel_marks_its_own_packets_and_cleans_up(full):
    before = full.rules()
    full.up()
    assert full.left.wg.dump().fwmark == 51820
    assert "suppress_prefixlength 0" in full.rules()
    full.quick("down")
    full.left.daemon.wait_end()
    assert full.rules() == before
    assert full.left.space.run("nft", "list", "ruleset").out.strip() == ""

"""The command line: how it starts, when it is ready, what ends it, what it leaves.

    solo   one space, one daemon, interface wg0
"""

import os
import pathlib
import re
import signal
import stat
import subprocess
import sys
import time

import pytest

from lab import peers
from lab.asleep import Asleep
from lab.daemon import Implementation, alive
from lab.pair import Pair
from lab.peer import INITIATION, is_echo_reply
from lab.python_end import FAR_INNER, WithPython
from lab.run import holds_for, wait_for
from lab.space import children_of
from lab.traffic import ping

QUIET = {"LOG_LEVEL": "error"}


def one_line(result):
    """The only line a failed start printed on standard error."""
    lines = [line for line in result.err.splitlines() if line.strip()]
    assert len(lines) == 1, result
    return lines[0]


def links(space):
    return space.run("ip", "-o", "link").out


def stopped_cleanly(daemon):
    """The daemon has ended, and neither its socket nor its link is left."""
    daemon.wait_end()
    assert not daemon.socket_path.exists()
    assert daemon.ifname not in links(daemon.space)
    return daemon.exit_code


@pytest.fixture
def background(lab, ours):
    daemon = lab.daemon(lab.space("background"), ours)
    assert daemon.start_background().code == 0
    return daemon


# Time

@pytest.mark.ours
def test_time_asleep_counts(lab, each_engine):
    """The clock that runs on while a machine sleeps is far ahead of the one that does not.

    Were ages read from one and alarms set by the other, all would be due at once, or never.
    """
    moved = Implementation(f"{each_engine.name}, after sleep", "/usr/bin/unshare",
                           ["--time", "--boottime", "1000000", "--fork", "--kill-child",
                            each_engine.path, *each_engine.options])
    pair = Pair(lab, moved, each_engine).know_endpoint()
    left, right = pair.left, pair.right
    left.daemon.pid, = left.space.pids(peers.under_test_path().name)  # not that of unshare
    left.wg.set(f"peer {right.key.public} persistent-keepalive 1")
    ping(left.space, right.inner4, count=2)
    begin, before = time.monotonic(), right.view(left).rx_bytes
    time.sleep(5)
    keepalives = (right.view(left).rx_bytes - before) / 32
    assert 3 <= keepalives <= time.monotonic() - begin + 1
    clocks = [re.search(r"clockid: (\d+)", info.read_text())
              for info in pathlib.Path(f"/proc/{left.daemon.pid}/fdinfo").iterdir()]
    assert str(time.CLOCK_BOOTTIME) in {found[1] for found in clocks if found}


@pytest.mark.ours
@pytest.mark.parametrize("slept_s, is_too_old", [(170, False), (181, True)])
def test_a_key_grows_old_in_sleep(lab, each_engine, slept_s, is_too_old):
    """What is on the wire after a machine slept: nothing under a key older than 180 s."""
    asleep = Asleep(lab, each_engine)
    world = WithPython(lab, asleep.implementation)
    peer = world.peer
    peer.initiate()
    peer.send(world.echo())
    assert is_echo_reply(peer.receive_inner())
    received = world.view().rx_bytes
    asleep.sleep(slept_s)
    peer.send(world.echo())
    peer.sock.settimeout(10)
    if not is_too_old:
        assert is_echo_reply(peer.receive_inner())
        return
    world.near.popen(["ping", "-q", "-c", "1", "-W", "9", FAR_INNER], stdout=subprocess.DEVNULL)
    heard = peer.sock.recvfrom(65535)
    assert heard[0][0] == INITIATION
    assert world.view().rx_bytes == received
    peer.respond(heard)
    peer.receive_inner()


# fault: boringtun-clock
@pytest.mark.ours
def test_a_clock_that_goes_back_stands_still(lab, each_engine):
    """The kernel never does that; some hypervisors were said to."""
    asleep = Asleep(lab, each_engine)
    asleep.sleep(30)
    world = WithPython(lab, asleep.implementation)
    peer = world.peer

    def answered():
        peer.send(world.echo())
        return is_echo_reply(peer.receive_inner())

    peer.initiate()
    assert answered()
    time.sleep(0.1)  # of one peer two initiations within 20 ms are a flood
    assert answered()
    asleep.sleep(0)
    assert answered()
    peer.initiate()
    assert answered()


# Start

def test_background_start_returns_when_the_socket_answers(lab, ours):
    for number in range(5):
        daemon = lab.daemon(lab.space("ready"), ours, f"ready{number}")
        assert daemon.start_background().code == 0
        assert daemon.uapi.get().errno == 0
        assert daemon.ifname in links(daemon.space)


def test_background_daemon_leaves_the_session_of_its_starter(background):
    session = open(f"/proc/{background.pid}/stat").read().rpartition(")")[2].split()[3]
    assert session != open("/proc/self/stat").read().rpartition(")")[2].split()[3]
    assert background.pid in children_of(background.space.pid)


def test_wg_works_right_after_background_start(lab, ours):
    """No waiting in between: this is what wg-quick does."""
    space = lab.space("race")
    script = (f"{ours.path} wg0 >/dev/null 2>&1 && wg set wg0 listen-port 1234"
              " && wg show wg0 listen-port")
    assert space.run("sh", "-c", script, env=QUIET).out.strip() == "1234"


@pytest.mark.ours
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_background_start_with_closed_streams(lab, ours, closed):
    daemon = lab.daemon(lab.space("closed"), ours)
    script = f'exec "$@" {closed}'
    assert daemon.space.run("sh", "-c", script, "sh", *ours.argv("wg0"), env=QUIET).code == 0
    assert daemon.uapi.get().errno == 0
    daemon.pid = daemon.space.pids(ours.path.name)[-1]
    for stream in range(3):
        assert os.readlink(f"/proc/{daemon.pid}/fd/{stream}") == "/dev/null"


@pytest.mark.ours
def test_failed_start_with_closed_streams_still_returns(lab, ours):
    script = 'exec "$@" <&- >&- 2>&-'
    result = lab.space("closed").run("sh", "-c", script, "sh", *ours.argv("wg0"), check=False,
                                     env={"WG_TUN_FD": "77"})
    assert result.code == 1


def test_foreground_option_keeps_the_process(solo):
    assert solo.running
    assert solo.process.poll() is None


def test_foreground_by_environment(lab, ours):
    space = lab.space("environment")
    daemon = lab.daemon(space, ours)
    process, pid = space.popen(ours.argv("wg0"), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={"WG_PROCESS_FOREGROUND": "1", "PATH": "/usr/bin:/usr/sbin"})
    daemon.process, daemon.pid = process, pid
    daemon.wait_ready()
    assert daemon.running


def test_second_instance_is_refused_and_the_first_goes_on(solo):
    solo.uapi.set("listen_port=4321")
    result = solo.space.run(*solo.implementation.argv("wg0", "-f"), check=False)
    assert result.code == 1
    assert solo.uapi.get().value("listen_port") == "4321"


def test_socket_left_by_a_killed_daemon_is_replaced(lab, ours):
    space = lab.space("stale")
    first = lab.daemon(space, ours).start()
    first.signal(signal.SIGKILL)
    first.wait_end()
    assert first.socket_path.exists()
    wait_for(lambda: "wg0" not in links(space), "the kernel to remove the link")
    second = lab.daemon(space, ours).start()
    assert second.uapi.get().errno == 0


# fault: key-files
def test_socket_is_for_its_owner_only(solo):
    assert stat.S_IMODE(solo.socket_path.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE(solo.socket_path.parent.stat().st_mode) == 0o755


def test_open_umask_does_not_open_the_socket(lab, ours):
    daemon = lab.daemon(lab.space("umask"), ours)
    daemon.space.run("sh", "-c", f"umask 000; exec {ours.path} wg0 >/dev/null 2>&1",
                     env=QUIET)
    assert stat.S_IMODE(daemon.socket_path.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE(daemon.socket_path.parent.stat().st_mode) & 0o022 == 0


def test_two_interfaces_live_beside_each_other(lab, ours):
    space = lab.space("two")
    first, second = (lab.daemon(space, ours, name).start() for name in ("wga", "wgb"))
    assert sorted(space.run("wg", "show", "interfaces").out.split()) == ["wga", "wgb"]
    first.stop()
    assert second.uapi.get().errno == 0


@pytest.mark.ours
def test_engine_is_named_in_the_log(lab, each_engine):
    daemon = lab.daemon(lab.space("engine"), each_engine).start(env={"LOG_LEVEL": "info"})
    line = next(line for line in daemon.log.splitlines() if "engine:" in line)
    assert each_engine.options[0].removeprefix("--engine=") in line


@pytest.mark.ours
def test_the_basic_ring_is_only_for_who_asks_for_a_ring(lab):
    """Where there is no ring at all nobody can ask for one."""
    choices = [("auto", "epoll")]
    why = ""
    if len(peers.engines()) > 1:
        choices.append(("uring", "uring-basic"))
        why = "io_uring_register(PBUF_RING)"
    for asked, taken in choices:
        daemon = lab.daemon(lab.space(asked), peers.with_a_basic_ring(asked))
        daemon.start(env={"LOG_LEVEL": "info"})
        assert f"engine: {taken} ({why}" in daemon.log


@pytest.mark.ours
@pytest.mark.parametrize("name", ["boringssl", "sodium"])
def test_cipher_and_its_self_test_are_named_in_the_log(lab, ours, name):
    daemon = lab.daemon(lab.space("aead"), ours)
    daemon.start(f"--aead={name}", env={"LOG_LEVEL": "info"})
    assert f"aead: {name} (self-test passed)" in daemon.log


# Refused starts

BAD_NAMES = ["", ".", "..", "a/b", "with space", "tab\tname", "sixteen_letters_", "new\nline"]


# fault: shell-text
@pytest.mark.ours
@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_interface_name_is_refused_in_one_line(lab, ours, name):
    space = lab.space("name")
    result = space.run(*ours.argv(name, "-f"), check=False, env=QUIET)
    assert result.code == 1
    assert one_line(result)
    assert not list(space.path("/run/wireguard").glob("*.sock"))


@pytest.mark.ours
def test_longest_interface_name_is_taken(lab, ours):
    daemon = lab.daemon(lab.space("name"), ours, "fifteen_letters").start()
    assert "fifteen_letters" in links(daemon.space)


@pytest.mark.ours
@pytest.mark.parametrize("option", ["--nonsense", "--engine=nonsense"])
def test_bad_option_is_named_in_the_error(lab, ours, option):
    result = lab.space("option").run(ours.path, option, "wg0", check=False)
    assert result.code != 0
    assert "nonsense" in result.err


@pytest.mark.ours
def test_missing_interface_name_is_an_error(lab, ours):
    result = lab.space("option").run(ours.path, check=False)
    assert result.code != 0
    assert result.err.strip()


@pytest.mark.ours
@pytest.mark.parametrize("option, words", [("--help", ["--foreground", "--engine", "IFNAME"]),
                                           ("--version", ["wgring"])])
def test_help_and_version_go_to_standard_output(lab, ours, option, words):
    result = lab.space("option").run(ours.path, option)
    assert all(word in result.out for word in words)
    assert result.err == ""


def refuse(lab, ours, prepare, *wrapper, foreground):
    """Starts in a space where set-up must fail; returns the result."""
    space = lab.space("refused")
    for command in prepare:
        space.run(*command.split())
    more = ["-f"] if foreground else []
    result = space.run(*wrapper, *ours.argv("wg0", *more), check=False, env=QUIET)
    assert result.code == 1, result
    assert not space.path("/run/wireguard/wg0.sock").exists()
    return result


@pytest.mark.parametrize("foreground", [True, False])
def test_without_tun_device_file_set_up_fails(lab, ours, foreground):
    refuse(lab, ours, ["mount -t tmpfs tmpfs /dev/net"], foreground=foreground)


@pytest.mark.ours
@pytest.mark.parametrize("foreground", [True, False])
def test_missing_tun_device_file_is_named_in_one_line(lab, ours, foreground):
    result = refuse(lab, ours, ["mount -t tmpfs tmpfs /dev/net"], foreground=foreground)
    assert "/dev/net/tun" in one_line(result)


@pytest.mark.ours
@pytest.mark.parametrize("foreground", [True, False])
def test_without_the_right_to_make_links_set_up_fails_in_one_line(lab, ours, foreground):
    wrapper = "setpriv --inh-caps=-net_admin --bounding-set=-net_admin".split()
    result = refuse(lab, ours, [], *wrapper, foreground=foreground)
    assert one_line(result)


@pytest.mark.ours
@pytest.mark.parametrize("foreground", [True, False])
def test_unwritable_socket_directory_fails_in_one_line(lab, ours, foreground):
    prepare = ["mkdir /run/wireguard", "mount -t tmpfs -o ro tmpfs /run/wireguard"]
    assert "wireguard" in one_line(refuse(lab, ours, prepare, foreground=foreground))


@pytest.mark.ours
def test_name_of_another_kind_of_link_is_refused(lab, ours):
    space = lab.space("taken")
    space.ip("link add wg0 type veth peer name other0")
    result = space.run(*ours.argv("wg0", "-f"), check=False, env=QUIET)
    assert result.code == 1
    assert "wg0" in one_line(result)
    assert "wg0" in links(space)


# Ends

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_foreground_daemon(solo, number):
    solo.signal(number)
    assert stopped_cleanly(solo) == 0


def test_link_deletion_ends_the_foreground_daemon(solo):
    solo.space.ip("link del wg0")
    assert stopped_cleanly(solo) == 0


def test_socket_deletion_ends_the_foreground_daemon(solo):
    solo.space.run("rm", "/var/run/wireguard/wg0.sock")
    assert stopped_cleanly(solo) == 0


@pytest.mark.ours
def test_hangup_ends_the_foreground_daemon(solo):
    solo.signal(signal.SIGHUP)
    assert stopped_cleanly(solo) == 0


@pytest.mark.ours
def test_hangup_that_the_starter_ignores_is_ignored(lab, ours):
    under_nohup = Implementation("nohup", "/usr/bin/nohup", [ours.path])
    daemon = lab.daemon(lab.space("nohup"), under_nohup).start()
    daemon.signal(signal.SIGHUP)
    holds_for(lambda: daemon.running, "the daemon", 0.5)
    daemon.signal(signal.SIGTERM)
    assert stopped_cleanly(daemon) == 0


@pytest.mark.ours
def test_hangup_does_not_end_the_background_daemon(background):
    background.signal(signal.SIGHUP)
    holds_for(lambda: background.running, "the daemon", 0.5)
    assert background.uapi.get().errno == 0


BLOCKED = """import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
os.execv(sys.argv[1], sys.argv[1:])"""


@pytest.mark.ours
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_that_the_starter_blocked_ends_the_daemon(lab, ours, number):
    blocked = Implementation("blocked", sys.executable, ["-c", BLOCKED, ours.path])
    daemon = lab.daemon(lab.space("blocked"), blocked).start()
    daemon.signal(number)
    assert stopped_cleanly(daemon) == 0


@pytest.mark.ours  # wireguard-go may still be without its handlers when the parent returns
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_background_daemon(background, number):
    background.signal(number)
    stopped_cleanly(background)
    assert not alive(background.pid)


REMOVE = """import os
print("ready", flush=True)
while True:
    try:
        os.unlink("/var/run/wireguard/wg0.sock")
        break
    except FileNotFoundError:
        pass"""


@pytest.mark.ours
@pytest.mark.parametrize("attempt", range(3))
def test_socket_deletion_during_the_start_ends_the_daemon(lab, ours, attempt):
    space = lab.space("early")
    remover, _ = space.popen([sys.executable, "-S", "-c", REMOVE], stdout=subprocess.PIPE)
    lab.own(remover)
    assert remover.stdout.readline() == b"ready\n"
    daemon = lab.daemon(space, ours).start(wait_ready=False)
    remover.communicate(timeout=10)
    assert stopped_cleanly(daemon) == 0


def test_link_deletion_ends_the_background_daemon(background):
    background.space.ip("link del wg0")
    stopped_cleanly(background)


def test_socket_deletion_ends_the_background_daemon(background):
    background.space.run("rm", "/var/run/wireguard/wg0.sock")
    stopped_cleanly(background)


def test_end_comes_while_the_link_is_up_and_peers_are_there(pair):
    pair.left.daemon.signal(signal.SIGTERM)
    assert stopped_cleanly(pair.left.daemon) == 0
    assert pair.right.view(pair.left).public_key == pair.left.key.public


def test_other_files_of_the_directory_may_come_and_go(solo):
    directory = "/var/run/wireguard"
    solo.space.run("sh", "-c", f"touch {directory}/other.sock && rm {directory}/other.sock")
    assert solo.uapi.get().errno == 0
    assert solo.running

"""What the daemon may still do when it is set up, and what it may not.

    near   the daemon, eth0 10.0.0.1 --- wire --- eth0 10.0.0.2  far   another
           wg0 192.168.241.1                      wg0 192.168.241.2
"""

import os
import pathlib
import pwd
import resource

import pytest

from lab import inject, peers
from lab.daemon import Implementation
from lab.pair import DEVICE, Pair
from lab.retries import NO_SECOND_TRY
from lab.run import wait_for
from lab.traffic import ping, reaches
from lab.wgtool import Key

pytestmark = [pytest.mark.ours, NO_SECOND_TRY]

# Numbers of linux/capability.h.
NET_BIND_SERVICE, NET_ADMIN, IPC_LOCK, SYS_RESOURCE, BPF = 10, 12, 14, 24, 39
NOBODY = pwd.getpwnam("nobody")

PROT_READ_EXEC, MAP_PRIVATE_ANONYMOUS = 5, 0x22
AF_PACKET, SOCK_RAW, TUNSETIFF = 17, 3, 0x400454CA
BPF_MAP_CREATE, BPF_PROG_LOAD = 0, 5
IORING_REGISTER_BUFFERS = 0
AT_FDCWD = 2 ** 64 - 100
PR_GET_DUMPABLE = 3
SEVERAL = ["--shards=2", "--lanes=1"]

# What an intruder would want, with arguments that the kernel would find wrong but for the sandbox.
FATAL = [("execve", 0, 0, 0), ("execveat", AT_FDCWD, 0, 0, 0, 0), ("fork",), ("vfork",),
         ("clone", 0, 0, 0, 0, 0), ("clone3", 0, 0), ("ptrace", 0, 0, 0, 0),
         ("process_vm_readv", 0, 0, 0, 0, 0, 0), ("pidfd_getfd", 2 ** 64 - 1, 0, 0), ("setuid", 0),
         ("capset", 0, 0), ("mount", 0, 0, 0, 0, 0), ("setns", 0, 0), ("unshare", 0),
         ("io_uring_setup", 1, 0)]
REFUSED = [("openat", AT_FDCWD, 0, 0), ("chmod", 0, 0), ("socket", AF_PACKET, SOCK_RAW, 0),
           ("ioctl", 0, TUNSETIFF, 0), ("bpf", BPF_PROG_LOAD, 0, 0),
           ("mmap", 0, 4096, PROT_READ_EXEC, MAP_PRIVATE_ANONYMOUS, 2 ** 64 - 1, 0),
           ("mprotect", 0, 0, PROT_READ_EXEC), ("io_uring_register", 0, IORING_REGISTER_BUFFERS)]


def names(calls):
    return [call[0] for call in calls]


def statuses(daemon):
    """/proc/PID/task/*/status of each thread, as dictionaries."""
    found = []
    for task in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        found.append({key: value.strip() for key, _, value in (line.partition(":")
                                                               for line in lines)})
    return found


def capabilities(status, kind):
    bits = int(status[f"Cap{kind}"], 16)
    return {number for number in range(64) if bits >> number & 1}


def limit(daemon, name):
    """[soft, hard], as /proc/PID/limits has them."""
    line, = (line for line in pathlib.Path(f"/proc/{daemon.pid}/limits").read_text().splitlines()
             if line.startswith(name))
    return line.removeprefix(name).split()[:2]


def limits_can_be_raised():
    bits = int(pathlib.Path("/proc/self/status").read_text().partition("CapEff:")[2].split()[0], 16)
    return bool(bits >> SYS_RESOURCE & 1)


def expected_capabilities(shards=1):
    """The limit of locked memory stays where the tests themselves may not raise it."""
    limited = (resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY
               and not limits_can_be_raised())
    steered = shards > 1 and peers.PERSONA not in peers.UNSTEERED_PERSONAS
    return ({NET_ADMIN, NET_BIND_SERVICE} | ({IPC_LOCK} if limited else set())
            | ({BPF} if steered else set()))


def start(lab, implementation, *options):
    return lab.daemon(lab.space("solo"), implementation.with_options(*options)).start()


@pytest.mark.parametrize("shards", [1, 2])
def test_few_capabilities_are_kept_by_each_thread(lab, each_engine, shards):
    daemon = start(lab, each_engine, *(SEVERAL if shards == 2 else []))
    found = statuses(daemon)
    assert len(found) > shards
    for status in found:
        for kind in ("Eff", "Prm"):
            assert capabilities(status, kind) == expected_capabilities(shards)
        for kind in ("Inh", "Amb", "Bnd"):
            assert capabilities(status, kind) == set()


@pytest.mark.parametrize("options", [[], SEVERAL], ids=["one", "several"])
def test_every_thread_is_in_the_sandbox_and_gains_nothing_by_exec(lab, each_engine, options):
    filtered = "2"
    found = statuses(start(lab, each_engine, *options))
    assert len(found) > len(options)
    for status in found:
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", filtered)


@pytest.mark.injects
@pytest.mark.parametrize("user", [[], ["--user=nobody"]], ids=["root", "nobody"])
def test_in_the_background_it_has_no_more(lab, each_engine, user):
    daemon = lab.daemon(lab.space("background"), each_engine.with_options(*user))
    assert daemon.start_background().code == 0
    for status in statuses(daemon):
        assert capabilities(status, "Prm") == expected_capabilities()
        assert capabilities(status, "Bnd") == set()
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert user == [] or status["Uid"].split() == [str(NOBODY.pw_uid)] * 4
    assert limit(daemon, "Max core file size") == ["0", "0"]
    daemon.stop()
    daemon = lab.daemon(lab.space("background"), each_engine.with_options("--sandbox=off", *user))
    assert daemon.start_background(env={"WGRING_SANDBOX": "off"}).code == 0
    assert inject.call(daemon.pid, "prctl", PR_GET_DUMPABLE) == 0


@pytest.mark.injects
@pytest.mark.parametrize("user", [[], ["--user=nobody"]], ids=["root", "nobody"])
def test_no_core_and_no_dump_and_no_new_rights_also_without_the_sandbox(lab, ours, user):
    daemon = start(lab, ours, "--sandbox=off", *user)
    assert limit(daemon, "Max core file size") == ["0", "0"]
    for status in statuses(daemon):
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "0")
    assert inject.call(daemon.pid, "prctl", PR_GET_DUMPABLE) == 0


@pytest.mark.injects
@pytest.mark.parametrize("user", [[], ["--user=nobody"]], ids=["root", "nobody"])
def test_the_thread_of_floods_may_come_to_the_usual_priority_and_not_above_it(lab, ours, user):
    daemon = start(lab, ours, "--sandbox=auto", *user)
    own = resource.getrlimit(resource.RLIMIT_NICE)
    usual = 20
    raised = limits_can_be_raised() or own[1] >= usual
    expected = [max(usual, one) for one in own] if raised else list(own)
    assert [int(word) for word in limit(daemon, "Max nice priority")] == expected
    flood, = daemon.threads("wgring-flood")
    others = os.sched_getscheduler(0)
    assert os.sched_getscheduler(flood) == (os.SCHED_IDLE if others == os.SCHED_OTHER else others)
    no_parameter = 0  # nothing changes, and the kernel says so after the sandbox had its say
    for policy in (os.SCHED_OTHER, os.SCHED_IDLE):
        assert inject.call(daemon.pid, "sched_setscheduler", flood, policy,
                           no_parameter) == "EINVAL"
    for policy in (os.SCHED_FIFO, os.SCHED_RR):
        assert inject.call(daemon.pid, "sched_setscheduler", flood, policy,
                           no_parameter) == "ENOSYS"
    assert daemon.stop() == 0


def test_groups_of_the_starter_are_given_up(lab, ours):
    daemon = lab.daemon(lab.space("solo"), ours)
    with_groups = Implementation("wgring with groups", pathlib.Path("/usr/bin/setpriv"),
                                 ["--groups=1,2", str(ours.path), *ours.options, "--user=nobody"])
    daemon.implementation = with_groups
    for status in statuses(daemon.start()):
        assert status["Groups"] == ""


def test_user_is_changed_for_good(lab, each_engine):
    for status in statuses(start(lab, each_engine, "--user=nobody")):
        assert status["Uid"].split() == [str(NOBODY.pw_uid)] * 4
        assert status["Gid"].split() == [str(NOBODY.pw_gid)] * 4
        assert status["Groups"] == ""
        assert capabilities(status, "Eff") == expected_capabilities()


def test_user_by_number_needs_no_account(lab, ours):
    for status in statuses(start(lab, ours, "--user=987654")):
        assert status["Uid"].split() == status["Gid"].split() == ["987654"] * 4


def test_unknown_user_is_refused_in_one_line(lab, ours):
    result = lab.space("solo").run(*ours.argv("wg0", "-f", "--user=nobody-of-that-name"),
                                   check=False)
    assert result.code == 1
    assert "--user: no user 'nobody-of-that-name'" in result.err


def test_who_is_not_root_becomes_no_other(lab, ours):
    """With CAP_NET_ADMIN alone an interface can be made, and another user cannot be become."""
    keep = ["setpriv", "--reuid=987654", "--regid=987654", "--clear-groups",
            "--inh-caps=+net_admin,+dac_override", "--ambient-caps=+net_admin,+dac_override"]
    result = lab.space("solo").run(*keep, *ours.argv("wg0", "-f", "--user=nobody"), check=False)
    assert result.code == 1
    assert "start as root" in result.err


def test_root_is_not_needed(lab, ours):
    """Who starts it has CAP_NET_ADMIN, and may open /dev/net/tun, which may be root's."""
    few = Implementation("few", "/usr/bin/setpriv", [
        "--reuid=987654", "--regid=987654", "--clear-groups",
        "--inh-caps=+net_admin,+dac_override", "--ambient-caps=+net_admin,+dac_override",
        str(ours.path), *ours.options])
    daemon = lab.daemon(lab.space("solo"), few)
    daemon.socket_path.parent.mkdir()
    os.chown(daemon.socket_path.parent, 987654, 987654)
    daemon.start()
    for status in statuses(daemon):
        assert capabilities(status, "Prm") == {NET_ADMIN}
    assert daemon.uapi.set("fwmark=7").errno == 0
    assert daemon.stop() == 0
    assert not daemon.socket_path.exists()


@pytest.fixture(params=[[], ["--user=nobody"], ["--user=nobody", *SEVERAL]],
                ids=["root", "nobody", "nobody, several"])
def pair_of_few_rights(request, lab, each_engine):
    return Pair(lab, each_engine.with_options(*request.param), peers.under_test()).know_endpoint()


def test_port_mark_and_keys_can_still_be_changed(pair_of_few_rights):
    """A port below 1024 takes CAP_NET_BIND_SERVICE, a mark takes CAP_NET_ADMIN."""
    left, right = pair_of_few_rights.left, pair_of_few_rights.right
    ping(left.space, right.inner4)
    for port, mark in ((53, 1), (1001, 0)):
        left.wg.set(f"listen-port {port} fwmark {mark}")
        wait_for(lambda: reaches(left.space, right.inner4), f"traffic from port {port}")
        assert right.view(left).endpoint == f"{left.outer4}:{port}"
    former, left.key = left.key, Key()
    left.wg.set_private_key(left.key.private)
    right.wg.set(f"peer {former.public} remove")
    right.add_peer(left)
    wait_for(lambda: reaches(left.space, right.inner4), "traffic under another key")
    left.wg.set(f"peer {Key().public} allowed-ips 192.168.241.9/32")  # the map of prefixes
    assert "refused" not in left.daemon.log


def test_interface_is_followed_into_another_namespace(lab, each_engine):
    """Its MTU is asked for there, which is no reason to keep CAP_SYS_ADMIN."""
    daemon = start(lab, each_engine)
    inner = lab.space("inner")
    daemon.space.ip(f"link set {DEVICE} netns {inner.pid}")
    inner.ip(f"link set {DEVICE} mtu 1300 up")
    if not peers.PERSONA.startswith("4."):
        wait_for(lambda: "mtu 1300" in daemon.log, "the new MTU", timeout=10)
    wait_for(lambda: "link up" in daemon.log, "link up", timeout=10)


def test_socket_file_stays_watched_where_its_directory_is_closed(lab, ours):
    daemon = lab.daemon(lab.space("solo"), ours.with_options("--user=nobody"))
    daemon.socket_path.parent.mkdir(mode=0o700)
    daemon.start()
    assert daemon.uapi.get().errno == 0
    daemon.socket_path.unlink()
    assert daemon.wait_end() == 0


def test_socket_that_another_user_left_is_replaced(lab, ours):
    daemon = start(lab, ours, "--user=nobody")
    assert daemon.stop() == 0
    again = lab.daemon(daemon.space, ours).start()
    assert again.uapi.get().errno == 0


@pytest.mark.injects
def test_an_injected_call_is_carried_out(lab, each_engine):
    """Else the tests below would show nothing."""
    daemon = start(lab, each_engine)
    for task in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir():
        own_number = max(int(word) for word in statuses(daemon)[0]["NSpid"].split()[1:] or
                         [daemon.pid])
        assert inject.call(int(task.name), "getpid") in (daemon.pid, own_number)
    assert daemon.uapi.get().errno == 0
    assert daemon.stop() == 0


@pytest.mark.injects
@pytest.mark.parametrize("call", FATAL, ids=names(FATAL))
def test_what_only_an_intruder_would_call_is_fatal(lab, ours, call):
    daemon = start(lab, ours, "--sandbox=auto")
    assert inject.call(daemon.pid, *call) == "killed"
    assert inject.ended_by(daemon.wait_end()) == "SIGSYS"


@pytest.mark.injects
@pytest.mark.parametrize("call", REFUSED, ids=names(REFUSED))
def test_what_is_not_needed_is_as_if_the_kernel_had_it_not(lab, each_engine, call):
    daemon = start(lab, each_engine, "--sandbox=auto")
    for task in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir():
        assert inject.call(int(task.name), *call) == "ENOSYS"
    assert daemon.stop() == 0


@pytest.mark.injects
def test_a_ring_is_not_entered_where_epoll_is_the_engine(lab):
    daemon = start(lab, peers.under_test("epoll"), "--sandbox=auto", *SEVERAL)
    for task in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir():
        assert inject.call(int(task.name), "io_uring_enter", 0, 0, 0, 0, 0, 0) == "ENOSYS"
    assert daemon.stop() == 0


@pytest.mark.injects
def test_kill_makes_every_other_call_fatal(lab, ours):
    daemon = start(lab, ours, "--sandbox=kill")
    assert inject.call(daemon.pid, "chmod", 0, 0) == "killed"
    assert inject.ended_by(daemon.wait_end()) == "SIGSYS"


@pytest.mark.injects
def test_map_of_prefixes_is_changed_only_while_packets_are_steered(lab, ours):
    daemon = start(lab, ours, "--sandbox=auto", "--shards=2")
    assert inject.call(daemon.pid, "bpf", BPF_MAP_CREATE, 0, 0) == "ENOSYS"


@pytest.mark.injects
def test_off_refuses_nothing_and_says_so(lab, ours):
    daemon = start(lab, ours, "--sandbox=off")
    assert inject.call(daemon.pid, "chmod", 0, 0) == "EFAULT"
    assert "sandbox: off (by option)" in daemon.log


def test_log_says_what_was_kept(lab, ours):
    daemon = start(lab, ours, "--sandbox=auto", "--user=nobody")
    assert f"user {NOBODY.pw_uid}" in daemon.log
    assert "capabilities: net_admin, net_bind_service" in daemon.log
    assert "sandbox: on" in daemon.log

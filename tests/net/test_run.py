"""What must hold of the run itself."""

import pathlib
import re

import pytest

from lab import peers
from lab.daemon import alive
from lab.run import LabError, run
from lab.space import Space, processes_in


def test_everything_there_is_to_run_is_run():
    """Outside CI the summary says what was left out; in CI that is a failure."""
    if peers.IN_CI:
        assert peers.not_run() == []


def filters_of(process):
    """How many seccomp filters the kernel asks about calls of this process."""
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"^Seccomp_filters:\s+(\d+)$", status, re.M)[1])


def test_the_daemon_runs_under_the_persona_asked_for(solo):
    assert filters_of(solo.pid) >= filters_of("self") + bool(peers.PERSONA)


def test_a_closed_space_leaves_no_process_and_no_namespace(lab, ours):
    space = lab.space("gone")
    daemon = lab.daemon(space, ours).start()
    assert daemon.pid in processes_in(space.inode)
    space.close()
    assert not alive(daemon.pid)
    assert not daemon.running
    assert space not in Space.not_closed


def test_a_space_has_its_own_runtime_directory(solo):
    name = solo.socket_path.name
    assert solo.socket_path.exists()
    assert not (pathlib.Path("/run/wireguard") / name).exists()


def test_a_command_that_hangs_is_killed():
    with pytest.raises(LabError, match="no end within"):
        run(["sleep", "60"], timeout=0.2)

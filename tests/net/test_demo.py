"""`./dev demo` where it cannot run: one clear message. That it runs is a stage of .ci/run.

    bare   one space, nothing in it
"""

import types

import pytest

import demo
from lab import peers
from lab.run import LabError

PYTHON, DEMO = "/usr/bin/python3", "tests/net/demo.py"


@pytest.fixture
def bare(lab):
    return lab.space("bare")


def told(result):
    """The lines of a demo that did not begin; a traceback is not a message."""
    assert result.code == 1, result
    assert result.out == "", result
    assert "Traceback" not in result.err, result
    first, *lines = result.err.strip().splitlines()
    assert first == "the demo cannot run:", result
    return [line.strip() for line in lines]


def test_without_tun_device_file_the_demo_says_so(bare):
    bare.run("mount", "-t", "tmpfs", "tmpfs", "/dev/net")
    lines = told(bare.run(PYTHON, peers.ROOT / DEMO, check=False))
    assert len(lines) == 1 and lines[0].startswith("/dev/net/tun is missing"), lines


def test_without_root_the_demo_says_so(bare):
    """On a copy that everybody may read, wherever the sources are."""
    bare.run("mount", "-t", "tmpfs", "tmpfs", "/mnt")
    bare.run("mkdir", "/mnt/tests")
    bare.run("cp", "-r", peers.ROOT / "tests/net", "/mnt/tests")
    bare.run("chmod", "-R", "a+rX", "/mnt")
    result = bare.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", PYTHON,
                      f"/mnt/{DEMO}", check=False)
    lines = told(result)
    assert len(lines) == 1 and lines[0].startswith("root is needed"), lines


def test_a_daemon_that_does_not_name_its_engine_fails_the_demo():
    daemon = types.SimpleNamespace(implementation="wgring", log="aead: boringssl\nengine: epoll\n")
    assert demo.engine_line(daemon) == "engine: epoll"
    daemon.log = "aead: boringssl\n"
    with pytest.raises(LabError, match="wgring did not say which engine"):
        demo.engine_line(daemon)

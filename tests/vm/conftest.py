"""The machine is booted once for all tests; each test makes tunnels of its own to it."""

import functools
import itertools
import pathlib
import signal
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "net")]

from guest import debian  # noqa: E402
from guest.machine import QEMU, Machine  # noqa: E402
from guest.meeting import Meeting  # noqa: E402
from guest.talk import Talk  # noqa: E402
from lab import peers  # noqa: E402
from lab.retries import (is_second_try, note_retried,  # noqa: E402
                         pytest_runtest_logreport, tell_retried)
from lab.run import LabError  # noqa: E402
from lab.space import Space, processes_in  # noqa: E402

pytest_plugins = ["lab.fixtures"]
assert pytest_runtest_logreport  # a hook: pytest finds it by its name here
TOOLS = ("wg", "ip", "ss", "tcpdump", "tshark", "nsenter", "unshare")


def pytest_sessionstart(session):
    peers.TOOLS[QEMU] = "qemu-system-x86"
    lines = peers.missing_prerequisites((*TOOLS, QEMU)) + debian.missing()
    try:
        path = peers.under_test_path()
    except LabError as error:
        lines.append(str(error))
    if lines:
        pytest.exit("tests/vm cannot run:\n  " + "\n  ".join(lines), returncode=1)
    print(f"daemon under test: {path}; guest: {debian.KERNEL.resolve().name}")
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("SIGTERM", returncode=143))


@pytest.hookimpl(tryfirst=True)  # before the report is written
def pytest_sessionfinish(session):
    """Neither the machine nor a daemon may be left."""
    note_retried(session.config)
    left = {space.name: processes_in(space.inode) for space in Space.not_closed}
    if left:
        print(f"\nLEFT BEHIND: {left}", file=sys.stderr)
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter):
    tell_retried(terminalreporter)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.get_closest_marker("background") is not None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    for name in ("lab", "machine"):
        if report.failed and hasattr(given := item.funcargs.get(name), "logs"):
            report.sections.append((f"logs of {name}", given.logs()))


@pytest.fixture(scope="session")
def machine(tmp_path_factory):
    machine = Machine(tmp_path_factory.mktemp("machine"))
    try:
        print(f"booted in {machine.boot_s:.1f} s")
        yield machine
    finally:
        machine.close()


@pytest.fixture
def meet(lab, machine):
    """Makes the test's tunnel; what it leaves in the guest the next one removes."""
    return functools.partial(Meeting, lab, machine)


TALKS = {"ours": 1, "kernel": 2}  # who began, and the number of the tunnel


@pytest.fixture(scope="session", autouse=True)
def talks(request, machine, tmp_path_factory):
    """Tunnels that talk while other tests run; begun first when some test will ask for them."""
    begun = {}
    try:
        if any(item.get_closest_marker("background") for item in request.session.items):
            for engine, (begins, tunnel) in zip(itertools.cycle(peers.engines()), TALKS.items()):
                begun[begins] = Talk(tmp_path_factory.mktemp(begins), machine,
                                     peers.under_test(engine), begins, tunnel)
        yield begun
    finally:
        for talk in begun.values():
            talk.close()


@pytest.fixture
def talk(request, talks, machine, tmp_path_factory):
    """The test's talk. A second try has one of its own: the first has ended the other."""
    who = request.node.callspec.params["who"]
    if is_second_try(request):
        talks[who, "again"] = Talk(tmp_path_factory.mktemp(f"{who}-again"), machine,
                                   peers.under_test(), who, TALKS[who] + len(TALKS))
        return talks[who, "again"]
    return talks[who]

"""Fixtures and the rules of the run: what it needs, what it may not leave behind."""

import collections
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from lab import inject, peers  # noqa: E402
from lab.lab import Lab  # noqa: E402
from lab.pair import Pair  # noqa: E402
from lab.retries import (is_second_try, note_retried,  # noqa: E402
                         pytest_runtest_logreport, tell_retried)
from lab.run import LabError, run  # noqa: E402
from lab.space import Space, processes_in  # noqa: E402
from lab.talk import Talk  # noqa: E402

pytest_plugins = ["lab.fixtures"]


def host_state():
    """What the machine shows of namespaces, links and sockets outside ours."""
    directory = pathlib.Path("/run/wireguard")
    sockets = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    shown = run(["ip", "-o", "link"]).out.splitlines()
    links = sorted(line.split(":")[1].strip() for line in shown)
    return {"sockets": sockets, "links": links}


def pytest_addoption(parser):
    parser.addoption("--part", default="1/1", metavar="K/N",
                     help="only the K-th of N parts of the tests, split by file: they spend most "
                          "of their time waiting, so parts may run at the same time")


assert pytest_runtest_logreport  # a hook: pytest finds it by its name here


def pytest_sessionstart(session):
    lines = peers.missing_prerequisites()
    if lines:
        pytest.exit("tests/net cannot run:\n  " + "\n  ".join(lines), returncode=1)
    try:
        path = peers.under_test_path()
    except LabError as error:
        pytest.exit(str(error), returncode=1)
    remarks = " (stand-in)" if peers.STANDIN else ""
    remarks += f" (persona {peers.PERSONA})" if peers.PERSONA else ""
    print(f"daemon under test: {path}{remarks}")
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("SIGTERM", returncode=143))
    session.config.host_state_before = host_state()


@pytest.hookimpl(tryfirst=True)  # before the report is written
def pytest_sessionfinish(session):
    """Nothing of ours may be left: neither process, namespace, link nor socket file."""
    note_retried(session.config)
    before = getattr(session.config, "host_state_before", None)
    if before is None:
        return
    left = {space.name: processes_in(space.inode) for space in Space.not_closed}
    after = host_state()
    if left or after != before:
        print(f"\nLEFT BEHIND: processes {left}; before {before}; after {after}", file=sys.stderr)
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter):
    tell_retried(terminalreporter)
    for line in peers.not_run():
        terminalreporter.write_line(f"NOT RUN: {line}", red=True, bold=True)


def paths_of_part(items, part):
    """The files of the part "K/N": the largest first, each to the part with the fewest cases."""
    number, count = (int(word) for word in part.split("/"))
    if not 1 <= number <= count:
        raise pytest.UsageError(f"--part {part}: K of K/N is 1 to N")
    sizes = collections.Counter(item.path for item in items)
    cases = [0] * count
    paths = set()
    for path, size in sorted(sizes.items(), key=lambda file: (-file[1], file[0])):
        lightest = cases.index(min(cases))
        cases[lightest] += size
        if lightest == number - 1:
            paths.add(path)
    return paths


def keep_only(config, items, wanted):
    left_out = [item for item in items if not wanted(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if wanted(item)]


def pytest_collection_modifyitems(config, items):
    """`ours` tests have no meaning for a stand-in; what runs in the background is asked last."""
    if peers.STANDIN:
        keep_only(config, items, lambda item: not item.get_closest_marker("ours"))
    if not inject.possible:
        keep_only(config, items, lambda item: not item.get_closest_marker("injects"))
    paths = paths_of_part(items, config.getoption("part"))
    keep_only(config, items, lambda item: item.path in paths)
    items.sort(key=lambda item: item.get_closest_marker("background") is not None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.failed and isinstance(lab, Lab):
        report.sections.append(("daemon logs", lab.logs()))


@pytest.fixture(scope="session")
def go_current():
    return peers.current_wireguard_go()


@pytest.fixture(scope="session", autouse=True)
def talks(request, tmp_path_factory):
    """Talks that go on while other tests run; begun first when some test will ask for them."""
    begun = {}
    try:
        wanted = [item.callspec.params["name"] for item in request.session.items
                  if "talks" in getattr(item, "fixturenames", ())
                  and item.get_closest_marker("background")]
        for name in wanted:
            begun[name] = Talk(tmp_path_factory.mktemp(name))
            begun[name].begin(name)
        yield begun
    finally:
        problems = [problem for talk in begun.values() for problem in talk.close()]
    assert not problems, "\n".join(problems)


@pytest.fixture
def talk(request, talks, tmp_path_factory):
    """The talk of the test's name. A second try has its own: the first has ended the other."""
    name = request.node.callspec.params["name"]
    if is_second_try(request):
        talks[name, "again"] = Talk(tmp_path_factory.mktemp(f"{name}-again"))
        talks[name, "again"].begin(name)
        return talks[name, "again"]
    return talks[name]


@pytest.fixture(params=peers.others())
def other(request):
    """The far end: ours, or another implementation."""
    if request.param == "ours":
        return peers.under_test()
    if request.param == "go-debian":
        return peers.debian_wireguard_go()
    return request.getfixturevalue("go_current")


@pytest.fixture
def pair(lab, each_engine):
    """Ours on both ends, wired and configured, endpoint of right known to left over IPv4."""
    return Pair(lab, each_engine, each_engine).know_endpoint()


@pytest.fixture
def solo(lab, ours):
    """One daemon alone in one space, in the foreground and answering."""
    return lab.daemon(lab.space("solo"), ours).start()

"""The harness is imported from bench/, its laboratory from tests/net/."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests/net"), str(pathlib.Path(__file__).parent)]

from lab.retries import note_retried, pytest_runtest_logreport, tell_retried  # noqa: E402

assert pytest_runtest_logreport  # a hook: pytest finds it by its name here


def pytest_sessionfinish(session):
    note_retried(session.config)


def pytest_terminal_summary(terminalreporter):
    tell_retried(terminalreporter)

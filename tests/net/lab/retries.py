"""A second try of pytest-rerunfailures leaves no trace in the report but this."""

import pytest

# For what a failure now and then would matter as much as one each time: keys that are found one
# time in ten are found. Stronger than --reruns.
NO_SECOND_TRY = pytest.mark.flaky(reruns=0)
# For a case among such that depends on how busy the machine is; it says how.
SECOND_TRY = pytest.mark.flaky(reruns=1)

retried = {}  # why, by case


def pytest_runtest_logreport(report):
    if report.outcome == "rerun":
        sections = [f"--- {title}\n{text}" for title, text in report.sections]
        retried[report.nodeid] = "\n".join([report.longreprtext, *sections])


def note_retried(config):
    """For .ci/tally.py."""
    for plugin in config.pluginmanager.get_plugins():
        if hasattr(plugin, "add_global_property"):  # of --junitxml
            for nodeid in retried:
                plugin.add_global_property("retried", nodeid)


def tell_retried(terminalreporter):
    for nodeid, why in retried.items():
        terminalreporter.section(f"first try of {nodeid}", sep="-")
        terminalreporter.write_line(why)


def is_second_try(request):
    """For a fixture whose thing the first try has used up."""
    return getattr(request.node, "execution_count", 1) > 1

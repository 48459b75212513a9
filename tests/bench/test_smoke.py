"""A duel of ours alone, one second a trial, so that the harness cannot rot."""

import json
import math
import os
import subprocess
import sys

import pytest
from conftest import ROOT
from lab import peers

TRIALS = {"epoll": ("tcp-1", "udp-64", "ping", "idle", "peers-1k"), "uring": ("tcp-1", "udp-64")}
ENGINES = [engine for engine in TRIALS if engine in peers.engines()]
CASES = [(engine, trial) for engine in ENGINES for trial in TRIALS[engine]]


def duel(output, *words):
    path = os.pathsep.join([str(ROOT / "bench"), str(ROOT / "tests/net")])
    return subprocess.run(
        [sys.executable, "-m", "duel", "duel", "--rounds", "1", "--seconds", "1", *words,
         "--output", str(output)], env={**os.environ, "PYTHONPATH": path}, text=True,
        capture_output=True, timeout=120)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """{engine: (the finished process, its document)}."""
    found = {}
    for engine in ENGINES:
        output = tmp_path_factory.mktemp("duel") / f"{engine}.json"
        process = duel(output, "--contestants", f"ours-{engine}",
                       "--only", ",".join(TRIALS[engine]))
        assert output.exists(), process.stdout + process.stderr
        found[engine] = process, json.loads(output.read_text())
    return found


@pytest.mark.parametrize("engine, trial", CASES)
def test_a_trial_gives_figures_that_make_sense(runs, engine, trial):
    process, document = runs[engine]
    samples = [one for one in document["samples"] if one["trial"] == trial]
    assert len(samples) == 1 and "failure" not in samples[0], samples
    figures = samples[0]["figures"]
    assert all(math.isfinite(value) and value >= 0 for value in figures.values()), figures
    main = {"tcp-1": "gbps", "udp-64": "delivered_kpps", "ping": "average_us", "idle": "rss_mb",
            "peers-1k": "setconf_s"}[trial]
    assert figures[main] > 0
    assert document["figures"][trial][main][f"ours-{engine}"]["median"] == figures[main]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_run_ends_well_and_tells_its_targets(runs, engine):
    process, document = runs[engine]
    assert process.returncode == 0, process.stdout + process.stderr
    assert "Targets" in process.stdout and document["machine"]["kernel"] in process.stdout


def test_the_ceiling_without_a_cipher_carries_traffic_and_is_no_contestant_of_ours(tmp_path):
    output = tmp_path / "ceiling.json"
    process = duel(output, "--contestants", "no-crypto", "--only", "tcp-1,peers-1k")
    document = json.loads(output.read_text())
    assert process.returncode == 0, process.stdout + process.stderr
    assert [one["kind"] for one in document["contestants"]] == ["ceiling"]
    assert document["figures"]["tcp-1"]["gbps"]["no-crypto"]["median"] > 0
    assert not any(one["contestant"] == "no-crypto" for one in document["targets"])


def test_a_contestant_that_dies_is_reported_and_the_run_goes_on(tmp_path):
    output = tmp_path / "dies.json"
    process = duel(output, "--contestants", "nobody", "--command",
                   "dies=sh -c 'echo last words >&2; exit 3' {ifname}", "--only", "idle,peers-1k")
    document = json.loads(output.read_text())
    assert process.returncode == 0 and list(document["not_run"]) == ["nobody"]
    assert [one["trial"] for one in document["samples"]] == ["idle", "peers-1k"]
    assert all("last words" in one["failure"] for one in document["samples"])
    assert "FAILED dies in idle" in process.stdout

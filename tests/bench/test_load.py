"""Small runs of ./dev load, so that its scripts cannot rot; what they claim needs longer ones."""

import json
import os
import subprocess
import sys

from conftest import ROOT


def load(output, *words):
    path = os.pathsep.join(str(ROOT / folder) for folder in ("tests", "bench", "tests/net"))
    process = subprocess.run(
        [sys.executable, "-m", "load", *words, "--output", str(output)], text=True,
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, timeout=150)
    assert output.exists(), process.stdout + process.stderr
    return process, json.loads(output.read_text())


def test_a_flood_is_measured_and_told_apart(tmp_path):
    process, found = load(tmp_path / "flood.json", "flood", "--contestants", "ours-epoll",
                          "--rounds", "1", "--seconds", "1", "--newcomer-rounds", "0",
                          "--no-proven", "--kinds", "none,nowhere,garbage,mac1,mac2",
                          "--rate", "20000")
    assert not found["failures"], process.stdout
    by_kind = {one["kind"]: one for one in found["samples"]}
    assert by_kind["none"]["figures"]["flood_kpps"] < 1 < by_kind["mac1"]["figures"]["flood_kpps"]
    seen = {kind: set(one["counters"]) for kind, one in by_kind.items()}
    assert {"dropped.bad_mac1", "dropped.unknown_index", "dropped.malformed"} <= seen["garbage"]
    judged = {claim: holds for claim, _, holds in found["claims"]["ours-epoll"]}
    assert judged["memory flat from the first round of floods to the last"] is None
    assert sum("handshakes a second" in claim for claim in judged) == 2
    for kind in ("mac1", "mac2"):
        assert seen[kind] & {"dropped.cookie_sent", "dropped.bad_handshake"}
    assert not seen["nowhere"] & {"dropped.cookie_sent", "dropped.bad_mac1"}
    assert "| ours-epoll | mac1 |" in (tmp_path / "flood.md").read_text()


def test_a_short_churn_changes_what_carries_traffic(tmp_path):
    process, found = load(tmp_path / "churn.json", "churn", "--minutes", "0.2",
                          "--engines", "epoll", "--one-shard")
    assert process.returncode == 0, process.stdout + process.stderr
    [one] = found["variants"]
    assert one["failure"] is None and one["variant"] == "epoll"
    assert sum(one["changes"].values()) > 3
    assert one["packets"] > 50 * sum(one["changes"].values()) and one["segments"] > 50
    assert "| epoll |" in (tmp_path / "churn.md").read_text()


def test_the_books_of_a_short_soak_balance(tmp_path):
    process, found = load(tmp_path / "soak.json", "soak", "--minutes", "0.5", "--no-tcp")
    assert process.returncode == 0, process.stdout + process.stderr
    ours = [line for line in found["books"]["members"] if line["balanced"] is not None]
    assert len(ours) == 3 and all(line["balanced"] for line in ours)
    held = {claim for claim, _, holds in found["claims"] if holds}
    assert {"the run came to its end", "there was a roam", "there was a forget",
            "the relay lost datagrams and put some behind on each way"} <= held
    assert found["events"]["roam"] and found["moved"]["spoke-epoll"]
    assert sum(one["handshakes"] > 0 for one in found["handshakes"]) == 6

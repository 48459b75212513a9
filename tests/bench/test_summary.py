"""What follows from samples: medians, ratios, verdicts, and the text of it."""

import pytest
import sample
from duel import rounds, summary, table
from duel.contestants import Command, Contestant, resolve
from duel.trials import TRIALS, Trial, configuration
from lab.run import LabError


@pytest.fixture(scope="module")
def result():
    return sample.completed()


def test_a_figure_has_median_spread_and_both_ratios(result):
    one = result["figures"]["tcp-1"]["gbps"]["ours-epoll"]
    assert (one["median"], one["min"], one["max"], one["samples"]) == (6.2, 6.1, 6.3, 3)
    assert one["against_go"] == pytest.approx(6.2 / 2.2)
    assert one["against_rust"] == pytest.approx(6.2 / 1.7)


def test_the_best_of_the_two_is_the_lower_one_where_less_is_better(result):
    one = result["figures"]["tcp-1"]["cpu_s_per_gb"]["ours-epoll"]
    assert one["against_rust"] == pytest.approx(6.2 / 1.2)


def test_a_failed_round_costs_only_its_sample(result):
    assert result["figures"]["ping"]["average_us"]["gotatun"]["samples"] == 2
    assert "gotatun" not in result["figures"]["tcp-16"]["gbps"]
    assert len(summary.failures_of(result)) == 4
    assert not summary.ours_failed(result)


def test_peak_memory_is_that_of_the_worst_trial_of_each_round(result):
    one = result["figures"]["load"]["rss_peak_mb"]["wireguard-go"]
    assert (one["min"], one["max"], one["samples"]) == (2.1, 2.3, 3)


@pytest.mark.parametrize("value, wanted, better, said", [
    (3.1, (2.5, 3.0), "more", "stretch reached"), (2.5, (2.5, 3.0), "more", "reached"),
    (2.49, (2.5, 3.0), "more", "missed"), (0.33, (0.33, None), "less", "reached"),
    (0.34, (0.33, None), "less", "missed"), (None, (0.33, None), "less", "not measured"),
])
def test_verdict(value, wanted, better, said):
    assert summary.verdict(value, wanted, better) == said


def test_every_target_names_a_figure_that_a_trial_gives():
    known = {trial.name for trial in TRIALS} | {summary.UNDER_LOAD[0]}
    for target in summary.TARGETS:
        assert target.trial in known and target.figure in summary.FIGURES
        assert target.go or target.rust


def test_the_text_names_all_failures_and_all_targets(result):
    text = "\n".join(table.lines(result))
    assert "NOT RUN absent" in text
    assert text.count("FAILED gotatun in tcp-16") == 3
    for target in summary.TARGETS:
        assert target.title in text


def test_an_empty_result_has_a_text_as_well():
    empty = {**sample.document(), "samples": []}
    assert "not measured" in "\n".join(table.lines(summary.complete(empty)))


def test_turns_are_taken_within_a_trial_and_the_first_one_changes():
    ready = [Contestant(name, "ours", implementation=name) for name in "abc"]
    ready.append(Contestant("veth", "ceiling"))
    trials = [Trial("one", "", None), Trial("two", "", None, needs_daemon=True)]
    names = [f"{number}{trial.name[0]}{one.name[0]}"
             for number, trial, one in rounds.schedule(2, trials, ready)]
    assert names == ("1oa 1ob 1oc 1ov 1ta 1tb 1tc "
                     "2ob 2oc 2ov 2oa 2tb 2tc 2ta").split()


@pytest.mark.parametrize("error", [LabError("x"), OSError("y"), ZeroDivisionError("z")])
def test_whatever_goes_wrong_is_a_result(error):
    def work(contestant, seconds):
        raise error
    found = rounds.measure(Trial("t", "t", work), None, 1)
    assert found["failure"] == f"{type(error).__name__}: {error}" and "figures" not in found


def test_a_long_failure_is_shortened_but_keeps_both_ends():
    text = rounds.short(LabError("\n".join(f"line {number}" for number in range(100))))
    assert text.splitlines()[0] == "line 0" and text.splitlines()[-1] == "line 99"
    assert len(text.splitlines()) == rounds.FAILURE_LINES


def test_a_command_of_the_operator_gets_the_interface():
    command = Command("mine", "sh -c 'exec true {ifname}'")
    assert command.argv("wg7", "-f")[1:] == ["-c", "exec true wg7"]


@pytest.mark.parametrize("name", ["nobody", "ours-", "ours-kqueue", "x=", "x=/no/such {ifname}",
                                  "x=sh"])
def test_a_name_that_means_nothing_is_refused(name):
    with pytest.raises(LabError):
        resolve(name)


def test_a_configuration_has_one_line_of_each_kind_per_peer():
    text = configuration(300)
    for word in ("[Peer]", "PublicKey", "AllowedIPs", "Endpoint"):
        assert text.count(word) == 300
    assert len(set(text.splitlines())) == 3 + 1 + 3 * 300

"""The example that counts false alarms: what it simulates, what it finds in few simulations, what its results say."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from sklearn import metrics

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
EXCHANGEABLE = ("exchangeable", "speaker effects")


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("false_alarms", EXAMPLES / "false_alarms.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # a dataclass looks itself up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def results():
    return json.loads((EXAMPLES / "results" / "false-alarms.json").read_text())


@pytest.mark.parametrize("name", ["exchangeable", "skewed speaker effects", "other errors"])
def test_over_all_speakers_the_two_systems_are_as_good(example, name):
    scenario = example.SCENARIOS[name]
    labels, ours, theirs = example.draw_pair(scenario, 3000, np.random.default_rng(0))
    f1 = [metrics.f1_score(labels.ravel(), guesses.ravel(), average="macro") for guesses in (ours, theirs)]
    assert f1 == pytest.approx([example.population_f1(0.5, 0.0)] * 2, abs=0.008)
    right = ours == labels, theirs == labels
    assert right[0].mean() == pytest.approx(0.5 + scenario.advantage, abs=0.008)
    assert np.corrcoef(right[0].ravel(), right[1].ravel())[0, 1] > 0.4


def test_few_simulations_show_what_many_do(example):
    """With effects of speakers the test over speakers keeps its word; McNemar's, which knows none, does not."""
    row = example.rates(("speaker effects", 8), simulations=150, seed=1)
    assert scipy.stats.binomtest(round(row["sign_flip"]["rate"] * 150), 150, 0.05).pvalue > 0.001
    assert row["mcnemar"]["interval"][0] > 0.1
    assert row["subset_t_test"] is None and row["interval_without_zero"]["rate"] < 0.15
    assert example.rates(("speaker effects", 8), simulations=3, seed=1) == example.rates(
        ("speaker effects", 8), simulations=3, seed=1
    )


def test_a_document_names_what_it_was_made_with(example):
    found = example.document(simulations=2, seed=3, speakers=(2, 24), command=["python"])
    assert (found["format"], found["seed"], found["simulations"]) == ("sertool-false-alarms-1", 3, 2)
    assert [scenario["scenario"] for scenario in found["scenarios"]] == list(example.SCENARIOS)
    few, enough = found["scenarios"][0]["rows"]
    assert few["interval_without_zero"] is None and few["subset_t_test"] is None
    assert all(enough[test]["rate"] in (0.0, 0.5, 1.0) for test in example.TESTS)


def test_in_the_results_the_sign_flip_test_keeps_its_word(example, results):
    assert results["simulations"] >= 1000 and not any(word.startswith("/") for word in results["command"])
    scenarios = {scenario["scenario"]: scenario["rows"] for scenario in results["scenarios"]}
    for name in EXCHANGEABLE:
        assert [row["speakers"] for row in scenarios[name]] == list(example.SPEAKERS)
        for row in scenarios[name]:
            # One of a hundred rates may leave its interval: 99.9 % ones hold all of them together.
            hits = round(row["sign_flip"]["rate"] * results["simulations"])
            assert scipy.stats.binomtest(hits, results["simulations"], 0.05, alternative="greater").pvalue > 0.001
    for row in scenarios["speaker effects"]:
        assert row["mcnemar"]["interval"][0] > 0.1

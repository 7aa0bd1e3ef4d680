"""Which utterances are played."""

import pandas as pd
import pytest

from sertool.core.evaluation.report.listening import IMPROVEMENT, TRUE_LABEL, choose, chosen_by


def outcomes(gains, condition="0 dB", **columns) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "file": [f"{place}.wav" for place in range(len(gains))],
            "condition": condition,
            "emotion": "anger",
            "predicted": "calm",
            "unprocessed_si_sdr": 1.0,
            "enhanced_si_sdr": [None if gain is None else 1.0 + gain for gain in gains],
        }
    )
    return table.assign(**columns)


def test_the_best_median_and_worst_improvement_are_chosen():
    table = outcomes([3.0, 9.0, -2.0, 5.0, 4.0])
    assert choose(table, "0 dB") == [("best", "1.wav"), ("median", "4.wav"), ("worst", "2.wav")]
    assert chosen_by(table, "0 dB") == IMPROVEMENT


def test_only_the_condition_asked_for_counts():
    table = pd.concat([outcomes([1.0, 2.0, 3.0]), outcomes([9.0, 8.0, 7.0], condition="5 dB")])
    assert choose(table, "5 dB") == [("best", "0.wav"), ("median", "1.wav"), ("worst", "2.wav")]
    assert choose(table, "20 dB") == []


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 3, 1, 4, 2, 0]])
def test_ties_are_decided_by_the_file_name(order):
    table = outcomes([2.0, 2.0, 2.0, 2.0, 1.0, 1.0]).iloc[order]
    assert choose(table, "0 dB") == [("best", "0.wav"), ("median", "2.wav"), ("worst", "5.wav")]


def test_utterances_without_a_score_are_passed_over():
    assert choose(outcomes([None, 2.0, 1.0]), "0 dB") == [("best", "1.wav"), ("worst", "2.wav")]
    assert choose(outcomes([None, 2.0]), "0 dB") == [("median", "1.wav")]


def test_without_enhancement_the_probability_of_the_truth_decides():
    table = outcomes([None, None, None], p_anger=[0.2, 0.7, 0.4], p_calm=[0.8, 0.1, 0.5])
    expected = [("best", "1.wav"), ("median", "2.wav"), ("worst", "0.wav")]
    assert choose(table, "0 dB") == expected
    assert choose(table.drop(columns=["unprocessed_si_sdr", "enhanced_si_sdr"]), "0 dB") == expected
    assert chosen_by(table, "0 dB") == TRUE_LABEL


def test_what_has_neither_label_nor_score_is_not_chosen():
    table = outcomes([None, None], p_anger=[0.2, 0.7], emotion=[None, "boredom"])
    assert choose(table, "0 dB") == []

"""Selective prediction against the definition by hand, every order of ties, and scikit-learn."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from sertool.core.metrics.selective import abstention_scores, selective_accuracy

outcomes = st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=25)
scores = st.lists(st.integers(-3, 3), min_size=1, max_size=30)


def test_scores_by_hand():
    scores = selective_accuracy([True, False, True, False], [0.9, 0.3, 0.8, 0.6])
    # in order of confidence: right, right, wrong, wrong
    assert scores["aurc"] == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    # 4, 3, 2 and 1 kept: at 1.0, .7, .5 and .2, the largest tenths at which so many are
    assert scores["coverage"] == [1.0, 0.7, 0.5, 0.2]
    assert scores["accuracy"] == pytest.approx([1 / 2, 2 / 3, 1, 1])


def test_ten_coverages_from_ten_utterances_up():
    for count in (10, 11, 57):
        assert selective_accuracy([True] * count, range(count))["coverage"] == [
            1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1
        ]  # fmt: skip
    found = selective_accuracy(np.arange(20) >= 10, np.arange(20))
    assert found["accuracy"] == pytest.approx([1 / 2, 10 / 18, 10 / 16, 10 / 14, 10 / 12, 1, 1, 1, 1, 1])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1)), min_size=1, max_size=6))
def test_ties_give_the_mean_over_all_orders(pairs):
    curves = []
    for order in itertools.permutations(pairs):
        by_confidence = sorted(order, key=lambda pair: -pair[1])  # stable: ties stay in this order
        right = np.cumsum([pair[0] for pair in by_confidence])
        curves.append(right / np.arange(1, len(pairs) + 1))
    expected = np.mean(curves, axis=0)
    found = selective_accuracy(*zip(*pairs, strict=True))
    assert found["aurc"] == pytest.approx(np.mean(1 - expected))
    kept = [math.ceil(round(coverage * len(pairs), 9)) for coverage in found["coverage"]]
    assert found["accuracy"] == pytest.approx([expected[k - 1] for k in kept])
    assert kept == list(range(len(pairs), 0, -1))


@given(outcomes, st.randoms())
def test_the_order_of_utterances_does_not_matter(pairs, random):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    first, second = (selective_accuracy(*zip(*each, strict=True)) for each in (pairs, shuffled))
    assert first == second


@given(outcomes)
def test_everything_kept_is_plain_accuracy_and_only_ranks_matter(pairs):
    correct, confidence = (np.array(column) for column in zip(*pairs, strict=True))
    found = selective_accuracy(correct, confidence)
    assert found["coverage"][0] == 1.0 and found["accuracy"][0] == pytest.approx(correct.mean())
    assert found == selective_accuracy(correct, np.exp(confidence) - 7)


def test_a_confidence_that_says_nothing_keeps_the_accuracy():
    found = selective_accuracy([True, False] * 10, [0.5] * 20)
    assert found["accuracy"] == pytest.approx([0.5] * 10) and found["aurc"] == pytest.approx(0.5)


def test_no_utterances_give_no_scores():
    assert selective_accuracy([], []) == {"coverage": [], "accuracy": [], "aurc": None}


def test_bad_lists_are_errors():
    with pytest.raises(ValueError, match="one of each"):
        selective_accuracy([True], [])
    with pytest.raises(ValueError, match="finite"):
        selective_accuracy([True], [float("nan")])
    with pytest.raises(ValueError, match="finite"):
        abstention_scores([1.0, float("-inf")], [0.0])


@given(scores, scores)
def test_auroc_is_that_of_scikit_learn(speech, no_speech):
    found = abstention_scores(speech, no_speech)
    labels = [1] * len(speech) + [0] * len(no_speech)
    assert found["auroc"] == pytest.approx(roc_auc_score(labels, speech + no_speech))


@given(scores, scores)
def test_the_threshold_keeps_the_speech_and_no_higher_one_does(speech, no_speech):
    found = abstention_scores(speech, no_speech)
    kept = {t: np.mean([score >= t for score in speech]) for t in speech}
    assert found["threshold"] == max(t for t, share in kept.items() if share >= 0.95)
    assert found["kept"] == pytest.approx(kept[found["threshold"]])
    assert found["refused"] == pytest.approx(np.mean([score < found["threshold"] for score in no_speech]))


def test_a_score_at_the_threshold_is_not_refused():
    found = abstention_scores([1.0] * 19 + [0.0], [1.0, 1.0, 0.5, 0.0])
    assert found == {
        "n_speech": 20, "n_no_speech": 4, "auroc": pytest.approx((19 * (1 + 1 + 2 + 2) / 2 + 0.5) / 80),
        "threshold": 1.0, "kept": 0.95, "refused": 0.5,
    }  # fmt: skip
    assert abstention_scores([1.0] * 18 + [0.0] * 2, [0.5])["threshold"] == 0.0


def test_an_empty_side_has_no_scores():
    nothing = {"auroc": None, "threshold": None, "kept": None, "refused": None}
    assert abstention_scores([], [1.0]) == {"n_speech": 0, "n_no_speech": 1, **nothing}
    assert abstention_scores([1.0, 2.0], []) == {"n_speech": 2, "n_no_speech": 0, **nothing}

"""Emotion scores against scikit-learn, torchmetrics and the definitions by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from torchmetrics.functional.regression import concordance_corrcoef

from sertool.core.metrics.emotion import category_scores, ccc

CLASSES = ("anger", "happiness", "neutral", "sadness")
labels = st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1, max_size=40)
attributes = st.lists(st.tuples(st.floats(1, 7), st.floats(1, 7)), min_size=2, max_size=30)


def test_scores_by_hand():
    scores = category_scores(
        ["anger", "anger", "sadness", "neutral"], ["anger", "sadness", "sadness", "anger"], CLASSES
    )
    # anger: 1 of 2 found, 1 of 2 right: F1 1/2. sadness: recall 1, precision 1/2, F1 2/3. The others: 0.
    assert scores["n"] == 4
    assert scores["f1_macro"] == pytest.approx((1 / 2 + 2 / 3 + 0 + 0) / 4)
    assert scores["f1_micro"] == pytest.approx(2 / 4)
    assert scores["ua"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert scores["per_class"]["happiness"] == {"f1": 0.0, "precision": 0.0, "recall": None, "support": 0}
    assert scores["confusion"] == [[1, 0, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]


@given(labels)
def test_scores_are_those_of_scikit_learn(pairs):
    true, predicted = zip(*pairs, strict=True)
    scores = category_scores(true, predicted, CLASSES)
    expected = metrics.f1_score(true, predicted, labels=CLASSES, average="macro", zero_division=0)
    assert scores["f1_macro"] == pytest.approx(expected)
    assert scores["f1_micro"] == pytest.approx(metrics.accuracy_score(true, predicted))
    assert scores["ua"] == pytest.approx(
        np.mean([np.mean([guess == name for label, guess in pairs if label == name]) for name in set(true)])
    )


def test_a_class_that_never_occurs_counts_zero_in_f1_macro_but_not_in_ua():
    scores = category_scores(["anger", "sadness"], ["anger", "sadness"], CLASSES)
    assert scores["f1_macro"] == pytest.approx(0.5)
    assert scores["ua"] == 1.0


def test_predicting_one_class_only_scores_at_chance():
    scores = category_scores(list(CLASSES) * 5, ["anger"] * 20, CLASSES)
    assert scores["ua"] == pytest.approx(1 / 4)
    assert scores["f1_macro"] == pytest.approx(0.4 / 4)


def test_no_utterances_give_no_scores():
    scores = category_scores([], [], CLASSES)
    assert (scores["n"], scores["f1_macro"], scores["f1_micro"], scores["ua"]) == (0, None, None, None)


@pytest.mark.parametrize(
    ("true", "predicted", "classes", "words"),
    [
        (["anger"], [], CLASSES, "1 labels but 0"),
        (["joy"], ["anger"], CLASSES, "joy"),
        (["anger"], ["joy"], CLASSES, "joy"),
        (["anger"], ["anger"], ["anger", "anger"], "twice"),
    ],
)
def test_bad_lists_are_errors(true, predicted, classes, words):
    with pytest.raises(ValueError, match=words):
        category_scores(true, predicted, classes)


def test_ccc_by_hand():
    # means 2 and 2.5; population variances 2/3 and 1.25·(…): x = 1 2 3, y = 2 2 3.5
    x, y = [1.0, 2.0, 3.0], [2.0, 2.0, 3.5]
    variance_x, variance_y, covariance = 2 / 3, 0.5, 0.5
    assert ccc(x, y) == pytest.approx(2 * covariance / (variance_x + variance_y + 0.5**2))


def test_ccc_uses_population_statistics():
    generator = np.random.default_rng(0)
    x = generator.uniform(1, 7, 50)
    y = 0.5 * x + generator.normal(2, 1, 50)
    correlation = np.corrcoef(x, y)[0, 1]
    by_definition = 2 * correlation * x.std() * y.std() / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert ccc(x, y) == pytest.approx(by_definition, abs=1e-12)


def test_ccc_is_that_of_torchmetrics_but_for_its_n_minus_one():
    generator = np.random.default_rng(1)
    x, y = generator.uniform(1, 7, 20_000), generator.uniform(1, 7, 20_000)
    y = (x + y) / 2
    theirs = concordance_corrcoef(torch.from_numpy(y), torch.from_numpy(x)).item()
    assert ccc(x, y) == pytest.approx(theirs, abs=1e-4)
    # Where the means agree, n - 1 cancels and the two must be equal.
    x, y = x[:100] - x[:100].mean(), y[:100] - y[:100].mean()
    theirs = concordance_corrcoef(torch.from_numpy(y), torch.from_numpy(x)).item()
    assert ccc(x, y) == pytest.approx(theirs, abs=1e-9)


@given(attributes)
def test_ccc_is_symmetric_and_at_most_one(pairs):
    x, y = map(list, zip(*pairs, strict=True))
    value = ccc(x, y)
    assert value == ccc(y, x)
    assert value is None or -1.0 <= value <= 1.0


@given(st.lists(st.integers(1, 7), min_size=2, max_size=20), st.integers(0, 19), st.integers(1, 3))
def test_ccc_is_one_only_for_identical_values(values, position, change):
    changed = list(values)
    changed[position % len(values)] += change
    if len(set(values)) > 1:
        assert ccc(values, values) == pytest.approx(1.0, abs=1e-12)
    assert ccc(values, changed) < 1.0 - 1e-6


def test_ccc_where_it_is_undefined():
    assert ccc([3.0], [3.0]) is None
    assert ccc([], []) is None
    assert ccc([4.0, 4.0], [4.0, 4.0]) is None
    assert ccc([4.0, 4.0], [5.0, 5.0]) is None
    assert ccc([1.0, 7.0], [4.0, 4.0]) == 0.0  # predicting the mean is defined, and worth nothing


def test_ccc_refuses_what_is_no_number():
    with pytest.raises(ValueError, match="not finite"):
        ccc([1.0, float("nan")], [1.0, 2.0])
    with pytest.raises(ValueError, match="equally long"):
        ccc([1.0, 2.0], [1.0])

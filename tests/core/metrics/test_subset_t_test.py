"""The t-test over fifteen subsets: against scikit-learn and scipy on subsets of our own making."""

import numpy as np
import pytest
import scipy.stats
from sklearn import metrics

from sertool.core.metrics import subset_t_test as module
from sertool.core.metrics.subset_t_test import subset_t_test

CLASSES = ("anger", "happiness", "neutral", "sadness")


def outcomes(utterances, *rights, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.choice(CLASSES, utterances)
    return labels.tolist(), [
        np.where(generator.random(utterances) < right, labels, generator.choice(CLASSES, utterances)).tolist()
        for right in rights
    ]


def test_t_and_p_are_those_of_fifteen_disjoint_subsets(monkeypatch):
    monkeypatch.setattr(module, "generator_for", lambda *purpose: np.random.default_rng(9))
    labels, systems = outcomes(1510, 0.6, 0.55, 0.5, 0.52)
    found = subset_t_test(labels, systems[:2], systems[2:], CLASSES)
    places = np.random.default_rng(9).permutation(1510)
    f1 = np.zeros((4, 15))
    for subset in range(15):
        rows = np.flatnonzero(places % 15 == subset)
        assert len(rows) in (100, 101)
        for system, guesses in enumerate(systems):
            true, predicted = np.array(labels)[rows], np.array(guesses)[rows]
            f1[system, subset] = metrics.f1_score(true, predicted, labels=CLASSES, average="macro", zero_division=0)
    expected = scipy.stats.ttest_rel(f1[:2].mean(0), f1[2:].mean(0))
    assert (found["t"], found["p"]) == pytest.approx((expected.statistic, expected.pvalue))
    assert found["difference"] == pytest.approx((f1[:2].mean(0) - f1[2:].mean(0)).mean())
    assert found["subsets"] == 15


def test_exchanging_the_systems_changes_the_sign_alone():
    labels, (ours, theirs) = outcomes(1500, 0.6, 0.55)
    found = subset_t_test(labels, [ours], [theirs], CLASSES)
    exchanged = subset_t_test(labels, [theirs], [ours], CLASSES)
    assert exchanged["p"] == pytest.approx(found["p"]) and 0 < found["p"] <= 1
    assert (exchanged["t"], exchanged["difference"]) == pytest.approx((-found["t"], -found["difference"]))
    assert subset_t_test(labels, [ours], [theirs], CLASSES, seed=1) != found


def test_there_is_none_below_1500_utterances():
    labels, (ours, theirs) = outcomes(1499, 0.6, 0.5)
    assert subset_t_test(labels, [ours], [theirs], CLASSES) is None


def test_equal_systems_have_no_t():
    labels, (ours,) = outcomes(1500, 0.6)
    found = subset_t_test(labels, [ours], [ours], CLASSES)
    assert found == {"subsets": 15, "difference": 0.0, "t": None, "p": None}

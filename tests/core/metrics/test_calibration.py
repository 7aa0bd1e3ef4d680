"""Calibration against torchmetrics, scikit-learn and the definitions by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from sertool.core.metrics.calibration import calibration

CLASSES = ("anger", "happiness", "sadness")


def _draw(seed, count, *, classes=3):
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(classes, 0.5), size=count)
    labels = generator.integers(classes, size=count)
    return labels, probabilities


def test_scores_by_hand():
    probabilities = [[0.9, 0.1, 0.0], [0.95, 0.05, 0.0], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6]]
    scores = calibration(["anger", "happiness", "happiness", "sadness"], probabilities, CLASSES, bins=5)
    # (.8, 1]: mean confidence .925, one of two right. (.4, .6]: confidence .6, both right.
    assert scores["n"] == 4
    assert scores["ece"] == pytest.approx((2 * 0.425 + 2 * 0.4) / 4)
    assert scores["mce"] == pytest.approx(0.425)
    brier = (0.01 + 0.01) + (0.95**2 + 0.95**2) + (0.04 + 0.16 + 0.04) + (0.01 + 0.09 + 0.16)
    assert scores["brier"] == pytest.approx(brier / 4)
    assert [entry["n"] for entry in scores["bins"]] == [0, 0, 2, 0, 2]
    assert scores["bins"][0] == {"low": 0.0, "high": 0.2, "n": 0, "confidence": None, "accuracy": None}
    assert scores["bins"][4] == {
        "low": 0.8, "high": 1.0, "n": 2, "confidence": pytest.approx(0.925), "accuracy": 0.5
    }  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 60), bins=st.integers(1, 20))
def test_errors_are_those_of_torchmetrics(seed, count, bins):
    labels, probabilities = _draw(seed, count)
    scores = calibration([CLASSES[i] for i in labels], probabilities, CLASSES, bins=bins)
    for ours, norm in (("ece", "l1"), ("mce", "max")):
        theirs = multiclass_calibration_error(
            torch.tensor(probabilities), torch.tensor(labels), num_classes=3, n_bins=bins, norm=norm
        )
        assert scores[ours] == pytest.approx(float(theirs), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 60))
def test_brier_is_that_of_scikit_learn(seed, count):
    labels, probabilities = _draw(seed, count)
    scores = calibration([CLASSES[i] for i in labels], probabilities, CLASSES)
    one_against_rest = [brier_score_loss(labels == c, probabilities[:, c], pos_label=True) for c in range(3)]
    assert scores["brier"] == pytest.approx(sum(one_against_rest))


@given(seed=st.integers(0, 10**6), count=st.integers(1, 60), bins=st.integers(1, 20))
def test_every_utterance_is_in_one_bin_that_holds_its_confidence(seed, count, bins):
    labels, probabilities = _draw(seed, count)
    diagram = calibration([CLASSES[i] for i in labels], probabilities, CLASSES, bins=bins)["bins"]
    assert len(diagram) == bins and sum(entry["n"] for entry in diagram) == count
    for entry in diagram:
        inside = (probabilities.max(1) > entry["low"]) & (probabilities.max(1) <= entry["high"])
        assert entry["n"] == inside.sum()
        assert entry["n"] == 0 or entry["low"] < entry["confidence"] <= entry["high"] + 1e-12


@pytest.mark.parametrize(
    ("top", "bins", "expected"), [(0.5, 10, 4), (0.6, 5, 2), (0.75, 4, 2), (1.0, 10, 9), (1.0, 1, 0), (0.9, 10, 8)]
)
def test_a_confidence_on_an_edge_is_in_the_bin_below(top, bins, expected):
    diagram = calibration(["a"], [[top, 1.0 - top]], ["a", "b"], bins=bins)["bins"]
    assert [m for m, entry in enumerate(diagram) if entry["n"]] == [expected]


def test_a_sure_and_right_model_has_no_error():
    scores = calibration(["a", "b"], np.eye(2), ["a", "b"])
    assert (scores["ece"], scores["mce"], scores["brier"]) == (0.0, 0.0, 0.0)


def test_of_equal_probabilities_the_first_category_is_predicted():
    assert calibration(["a"], [[0.5, 0.5]], ["a", "b"])["mce"] == 0.5
    assert calibration(["b"], [[0.5, 0.5]], ["a", "b"])["bins"][7]["accuracy"] == 0.0


@pytest.mark.parametrize("nothing", [[], np.zeros((0, 3)), np.zeros((0, 0))])
def test_no_utterances_give_no_scores(nothing):
    scores = calibration([], nothing, CLASSES)
    assert (scores["n"], scores["ece"], scores["mce"], scores["brier"]) == (0, None, None, None)
    assert len(scores["bins"]) == 15 and not any(entry["n"] for entry in scores["bins"])


def test_rounded_probabilities_are_still_a_distribution():
    assert calibration(["anger"], [[0.333, 0.333, 0.333]], CLASSES)["n"] == 1


@pytest.mark.parametrize(
    ("true", "probabilities", "options", "words"),
    [
        (["anger"], [[0.5, 0.3, 0.1]], {}, "sum to 0.9"),
        (["anger", "anger"], [[1, 0, 0], [0.5, 0.4, 0.3]], {}, "sum to 1.2"),
        (["anger"], [[1.2, -0.2, 0.0]], {}, "negative"),
        (["anger"], [[float("nan"), 0.5, 0.5]], {}, "finite"),
        (["anger"], [[0.5, 0.5]], {}, "3 classes"),
        (["anger", "anger"], [[1.0, 0.0, 0.0]], {}, "2 utterances"),
        (["joy"], [[1.0, 0.0, 0.0]], {}, "joy"),
        (["anger"], [[1.0, 0.0, 0.0]], {"bins": 0}, "0 bins"),
    ],
)
def test_bad_input_is_an_error(true, probabilities, options, words):
    with pytest.raises(ValueError, match=words):
        calibration(true, probabilities, CLASSES, **options)


def test_a_class_named_twice_is_an_error():
    with pytest.raises(ValueError, match="twice"):
        calibration(["a"], [[0.5, 0.5]], ["a", "a"])

"""Agreement against scikit-learn and the definition by hand."""

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from sertool.core.metrics.agreement import agreement

NAMES = ("anger", "neutral", "sadness")
pairs = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), min_size=1, max_size=30)


def test_agreement_by_hand():
    found = agreement(["a", "a", "b", "b"], ["a", "b", "b", "b"])
    # observed 3/4; by chance 1/2 · 1/4 + 1/2 · 3/4 = 1/2
    assert found == {"n": 4, "share": 0.75, "kappa": pytest.approx((0.75 - 0.5) / (1 - 0.5))}


@given(pairs)
def test_kappa_is_that_of_scikit_learn(drawn):
    first, second = zip(*drawn, strict=True)
    found = agreement(first, second)
    assert found["share"] == pytest.approx(sum(a == b for a, b in drawn) / len(drawn))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns where kappa is undefined
        expected = cohen_kappa_score(first, second)
    if len({*first, *second}) == 1:
        assert found["kappa"] is None
    else:
        assert found["kappa"] == pytest.approx(expected)


def test_unchanged_predictions_agree_wholly():
    assert agreement(NAMES, NAMES) == {"n": 3, "share": 1.0, "kappa": 1.0}


def test_one_category_throughout_leaves_kappa_undefined():
    assert agreement(["a", "a"], ["a", "a"]) == {"n": 2, "share": 1.0, "kappa": None}
    assert agreement(["a", "a"], ["b", "b"]) == {"n": 2, "share": 0.0, "kappa": 0.0}


def test_no_utterances_give_no_scores():
    assert agreement([], []) == {"n": 0, "share": None, "kappa": None}


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (["a"], [], "1 predictions but 0"),
        (["a", None], ["a", "a"], "1 predictions"),
        (["a"], [float("nan")], "missing"),
    ],
)
def test_bad_lists_are_errors(first, second, words):
    with pytest.raises(ValueError, match=words):
        agreement(first, second)

"""McNemar's test against scipy's binomial test and numbers by hand."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.metrics.mcnemar import mcnemar

outcomes = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def test_mcnemar_by_hand():
    # Only ours right 5 times, only theirs once: p = 2 · (C(6,0) + C(6,1)) / 2^6 = 14 / 64.
    ours = [True] * 5 + [False] + [True] * 7 + [False] * 2
    theirs = [False] * 5 + [True] + [True] * 7 + [False] * 2
    assert mcnemar(ours, theirs) == {
        "only_ours": 5,
        "only_theirs": 1,
        "p": pytest.approx(14 / 64),
        "cohens_g": pytest.approx(5 / 6 - 1 / 2),
        "odds_ratio": 5.0,
    }


@given(outcomes)
def test_p_is_that_of_scipys_binomial_test_and_the_same_both_ways(pairs):
    ours, theirs = zip(*pairs, strict=True)
    found, exchanged = mcnemar(ours, theirs), mcnemar(theirs, ours)
    b, c = sum(x and not y for x, y in pairs), sum(y and not x for x, y in pairs)
    assert (found["only_ours"], found["only_theirs"]) == (b, c)
    if b + c:
        assert found["p"] == pytest.approx(scipy.stats.binomtest(b, b + c, 0.5).pvalue, abs=1e-12)
        assert found["cohens_g"] == pytest.approx(-exchanged["cohens_g"])
    assert found["p"] == exchanged["p"] and 0 < found["p"] <= 1


def test_for_many_utterances_p_is_near_the_chi_squared_form():
    generator = np.random.default_rng(0)
    ours, theirs = generator.random(4000) < 0.6, generator.random(4000) < 0.58
    found = mcnemar(ours, theirs)
    b, c = found["only_ours"], found["only_theirs"]
    assert found["p"] == pytest.approx(scipy.stats.chi2.sf((abs(b - c) - 1) ** 2 / (b + c), 1), rel=0.05)


def test_systems_right_at_the_same_time_do_not_differ():
    assert mcnemar([True, False], [True, False]) == {
        "only_ours": 0,
        "only_theirs": 0,
        "p": 1.0,
        "cohens_g": None,
        "odds_ratio": None,
    }
    assert mcnemar([True], [False])["odds_ratio"] is None


def test_lists_of_different_lengths_are_an_error():
    with pytest.raises(ValueError, match="shapes"):
        mcnemar([True], [True, False])

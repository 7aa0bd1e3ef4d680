"""Quartiles of duration: whole, in order, and the same for equal durations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, lists

from sertool.core.metrics.by_duration import quartile_bounds, quartile_of, scores_by_duration

seconds = lists(floats(0.01, 60.0).map(lambda value: round(value, 1)), min_size=1, max_size=60)


@given(seconds)
def test_longer_utterances_are_in_later_quartiles_and_equal_ones_in_one(durations_s):
    quartiles = quartile_of(durations_s, quartile_bounds(durations_s))
    assert set(quartiles) <= {0, 1, 2, 3}
    order = np.argsort(durations_s, kind="stable")
    assert (np.diff(quartiles[order]) >= 0).all()
    for duration_s in set(durations_s):
        assert len(set(quartiles[np.array(durations_s) == duration_s])) == 1


def test_different_durations_are_parted_evenly():
    durations_s = np.random.default_rng(0).permutation(40) / 10
    assert np.bincount(quartile_of(durations_s, quartile_bounds(durations_s))).tolist() == [10, 10, 10, 10]


def test_a_quartile_without_utterances_has_no_scores():
    durations_s = [2.0] * 9 + [3.0]
    records = scores_by_duration(
        ["a"] * 10, ["a"] * 10, ["a", "b"], durations_s=durations_s, bounds=quartile_bounds(durations_s)
    )
    assert records[0] == {"range_s": [2.0, 2.0], "n": 9, "f1_macro": 0.5, "ua": 1.0}
    assert records[1] == records[2] == {"range_s": None, "n": 0, "f1_macro": None, "ua": None}
    assert records[3]["n"] == 1


@pytest.mark.parametrize("durations_s", [[], [1.0, float("nan")]])
def test_durations_that_are_none_are_refused(durations_s):
    with pytest.raises(ValueError, match="finite numbers expected"):
        quartile_bounds(durations_s)

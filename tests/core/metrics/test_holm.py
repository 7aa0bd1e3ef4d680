"""Holm's correction by hand, and by his own procedure."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.metrics.holm import holm

p_values = st.lists(st.floats(0, 1), max_size=12)


def test_holm_by_hand():
    # From the smallest: .01 · 4; .02 · 3 = .06; .022 · 2 = .044, but not below .06; .5 · 1.
    assert holm([0.022, 0.5, 0.01, 0.02]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.4, 0.9, 0.8]) == [1.0, 1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@given(p_values, st.sampled_from([0.01, 0.05, 0.2]))
def test_what_is_below_alpha_is_what_holms_procedure_rejects(values, alpha):
    """Step down from the smallest p while p ≤ alpha / (how many are left)."""
    rejected = set()
    for step, place in enumerate(np.argsort(values, kind="stable")):
        if values[place] * (len(values) - step) > alpha:
            break
        rejected.add(int(place))
    assert {place for place, p in enumerate(holm(values)) if p <= alpha} == rejected


@given(p_values.filter(len), st.data())
def test_holm_is_monotone_and_knows_no_order(values, data):
    adjusted = holm(values)
    assert all(p <= q <= min(1.0, len(values) * p + 1e-12) for p, q in zip(values, adjusted, strict=True))
    assert np.all(np.diff(np.array(adjusted)[np.argsort(values, kind="stable")]) >= 0)
    order = data.draw(st.permutations(range(len(values))))
    assert holm([values[place] for place in order]) == [adjusted[place] for place in order]
    place = data.draw(st.integers(0, len(values) - 1))
    larger = [min(1.0, p + 0.1) if one == place else p for one, p in enumerate(values)]
    assert all(after >= before for before, after in zip(adjusted, holm(larger), strict=True))


@pytest.mark.parametrize("values", [[1.1], [-0.1], [float("nan")], [[0.1]]])
def test_what_is_no_p_is_an_error(values):
    with pytest.raises(ValueError, match="from 0 to 1"):
        holm(values)

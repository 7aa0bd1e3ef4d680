"""What no measure can score."""

import numpy as np
import pytest

from sertool.core.metrics import unscored
from sertool.core.metrics.unscored import Unscored, is_silent, refuse_unscorable


@pytest.mark.parametrize(
    ("samples", "silent"),
    [
        (np.zeros(9), True),
        (np.full(9, 0.1), True),
        (np.full(9, np.float32(0.3)), True),
        (1e-30 * np.arange(9.0), False),
    ],
)
def test_silence_is_what_does_not_vary(samples, silent):
    assert is_silent(samples) is silent


@pytest.mark.parametrize(
    ("clean", "estimate", "reason"),
    [
        (np.zeros(0), np.zeros(0), unscored.NO_SAMPLES),
        (np.zeros(4), np.array([1, np.nan, 2, 3]), unscored.NOT_FINITE),
        (np.arange(4.0), np.array([1, -np.inf, 2, 3]), unscored.NOT_FINITE),
        (np.arange(4.0), np.array([1, 1e200, 2, 3]), unscored.NOT_FINITE),
        (np.zeros(4), np.zeros(4), unscored.SILENT_CLEAN),
        (np.arange(4.0), np.ones(4), unscored.SILENT_ESTIMATE),
    ],
)
def test_the_first_reason_is_told(clean, estimate, reason):
    with pytest.raises(Unscored) as refused:
        refuse_unscorable(clean, estimate)
    assert str(refused.value) == reason


def test_a_faint_pair_is_let_through():
    refuse_unscorable(1e-30 * np.arange(4.0), np.arange(4.0))

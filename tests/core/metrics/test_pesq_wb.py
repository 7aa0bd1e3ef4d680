"""PESQ-WB: the reference code's range, and what it must not be asked."""

import numpy as np
import pytest

from sertool.core.metrics import unscored
from sertool.core.metrics.pesq_wb import pesq_wb


def test_an_equal_signal_has_the_highest_score(awkward_pairs):
    clean, noisy = awkward_pairs["clipped"]
    assert pesq_wb(clean, clean) == pytest.approx(4.644, abs=0.001)
    assert 1.0 <= pesq_wb(clean, noisy) < 3.0


def test_what_the_reference_code_fails_at_is_a_reason(awkward_pairs):
    clean, noisy = awkward_pairs["clipped"]
    click = np.pad(clean[:2000], (16_000, 30_000))
    cases = [
        (clean[:3000], noisy[:3000], unscored.PESQ_SHORT),
        (np.tile(clean, 14), np.tile(clean, 14), unscored.PESQ_LONG),
        (click, click, unscored.PESQ_NO_SPEECH),
        (clean, np.where(np.arange(len(clean)) == 9, 1e-30, 0.0), unscored.PESQ_ALIGNMENT),
        (clean, 0 * clean, unscored.SILENT_ESTIMATE),
    ]
    for reference, signal, reason in cases:
        with pytest.raises(unscored.Unscored) as refused:
            pesq_wb(reference, signal)
        assert str(refused.value) == reason


def test_another_rate_is_refused():
    with pytest.raises(ValueError, match="16000 Hz, not 8000"):
        pesq_wb(np.ones(9), np.ones(9), 8000)

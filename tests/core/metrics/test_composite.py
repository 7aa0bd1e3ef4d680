"""The composite measures by their published formulas."""

import pytest

from sertool.core.metrics.composite import COMPOSITES, composite


def test_a_middling_signal_by_hand():
    found = composite(2.0, 0.5, 40.0, 5.0)
    assert found == pytest.approx({"csig": 3.4245, "cbak": 2.625, "covl": 2.668})
    assert tuple(found) == COMPOSITES


@pytest.mark.parametrize(
    ("pesq", "llr", "wss", "snr", "end"), [(1.0, 8.0, 150.0, -10.0, 1.0), (4.64, 0.0, 0.0, 35.0, 5.0)]
)
def test_scores_stay_between_1_and_5(pesq, llr, wss, snr, end):
    assert set(composite(pesq, llr, wss, snr).values()) == {end}

"""Scores stored beside fixed mixtures: means over what was judged, and how far ours lie from them."""

import numpy as np
import pandas as pd
import pytest

from sertool.core.corpus.fixed_mixtures import FixedMixture, FixedMixtures
from sertool.core.evaluation.stored import stored_scores


@pytest.fixture
def mixtures(tmp_path):
    rows = [
        FixedMixture(f"{n}.wav", tmp_path / f"{n}.wav", "k/n.wav", tmp_path / "n.wav", 0, snr_db, 1.0, 1.0)
        for n, snr_db in enumerate((0.0, 5.0, 0.0))
    ]
    stored = {
        "unprocessed": {"si_sdr": np.array([0.1, 5.0, np.nan])},
        "theirs": {"si_sdr": np.array([3.0, 7.0, 5.0]), "stoi": np.array([np.nan, 0.8, np.nan])},
    }
    return FixedMixtures(tuple(rows), stored, tmp_path, tmp_path / "mixtures.csv")


def outcomes(*places):
    known = {0: ("0 dB", 0.0, 0.3), 1: ("5 dB", 5.0, 4.9), 2: ("0 dB", 0.0, 0.0)}
    return pd.DataFrame(
        [
            {"mixture": place, "condition": name, "snr_db": snr_db, "unprocessed_si_sdr": found}
            for place in places
            for name, snr_db, found in [known[place]]
        ]
    )


def test_means_are_over_what_was_judged_from_the_highest_snr_down(mixtures):
    found = stored_scores(mixtures, outcomes(0, 1, 2))["systems"]
    assert list(found["theirs"]) == ["5 dB", "0 dB"]
    assert found["theirs"]["0 dB"]["si_sdr"] == {"mean": 4.0, "n": 2}
    assert found["theirs"]["0 dB"]["stoi"] == {"mean": None, "n": 0}
    assert stored_scores(mixtures, outcomes(2))["systems"]["theirs"]["0 dB"]["si_sdr"] == {"mean": 5.0, "n": 1}


def test_the_largest_deviation_is_of_scores_that_both_have(mixtures):
    assert stored_scores(mixtures, outcomes(0, 1, 2))["largest_deviation"]["si_sdr"] == pytest.approx(0.2)
    assert stored_scores(mixtures, outcomes(2))["largest_deviation"] == {}

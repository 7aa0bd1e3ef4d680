"""The example that measures abstention: what it makes, and that its results are of the rule as it stands."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from sertool.core.models.abstention import SPEECH_KEPT_DB, no_speech

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("abstention_example", EXAMPLES / "abstention.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_room_tone_is_the_quietest_half_second_again_and_again(example):
    clean = np.sin(np.arange(32_000)) * np.where(np.arange(32_000) // 8000 == 2, 0.01, 1.0)
    tone = example.room_tone(clean, seconds=3.0)
    np.testing.assert_array_equal(tone, np.tile(clean[16_000:24_000], 6))


def test_near_silence_is_the_same_every_time_and_mostly_silent_to_any_model(example):
    first, again = example.near_silence(), example.near_silence()
    np.testing.assert_array_equal(first, again)
    silent = [no_speech(samples) is not None for samples in first]
    # Zeros, dither, an offset; then hiss, of which only that above -70 dB could be speech.
    assert silent[:3] == [True] * 3 and silent[3] is False and silent[5:] == [True] * 2


def test_what_has_no_active_level_is_scored_all_the_same(example):
    assert example.active(np.zeros(16_000)) == (-100.0, 0.0)


def test_the_results_are_of_the_rule_as_it_stands():
    found = json.loads((EXAMPLES / "results" / "abstention.json").read_text(encoding="utf-8"))
    assert found["threshold_db"] == SPEECH_KEPT_DB
    dev = found["splits"]["dev"]
    # What the threshold was chosen for: of speech at -5 dB about one utterance in twenty is lost.
    assert dev["noise_only_against_speech_at_-5_dB"]["kept_half_second_db"]["threshold"] == pytest.approx(-6.0, abs=0.5)
    assert dev["refused"]["0 dB"]["share"] == 0.0 and dev["refused"]["noise only"]["share"] > 0.8

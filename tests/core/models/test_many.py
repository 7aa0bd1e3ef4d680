"""Many utterances: in batches of similar lengths, with what each alone would give, in order."""

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from test_recognizer import EMOTION, noise, recognizer_of, tiny

from sertool.core.errors import InputError
from sertool.core.models import many


@pytest.fixture(scope="module")
def recognizer():
    return recognizer_of(tiny(emotion=EMOTION))


@given(lengths=st.dictionaries(st.integers(0, 1000), st.integers(1, 700_000), max_size=40))
def test_every_utterance_is_in_one_group_of_similar_lengths(lengths):
    groups = many.alike(lengths)
    assert sorted(utterance for group in groups for utterance in group) == sorted(lengths)
    for group in groups:
        found = [lengths[utterance] for utterance in group]
        assert 1 <= len(group) <= many.BATCH and max(found) <= many.STRETCH * min(found)


def test_equal_lengths_fill_their_groups():
    assert [len(group) for group in many.alike(dict.fromkeys(range(20), 16_000))] == [8, 8, 4]


def test_many_are_heard_as_each_alone_and_in_order(recognizer, monkeypatch):
    monkeypatch.setattr(many, "AT_HAND", 7)
    sizes = [4000, 16_000, 900, 4100, 15_000, 1, 4200, 5000, 3900, 12_000]
    utterances = [noise(size, 1 + size % 2) for size in sizes]
    together = recognizer.predict_many((samples for samples in utterances), 16_000)
    for found, samples in zip(together, utterances, strict=True):
        alone = recognizer.predict(samples, 16_000)
        assert found.label == alone.label
        np.testing.assert_allclose(list(found.probabilities.values()), list(alone.probabilities.values()), atol=1e-5)
        np.testing.assert_allclose(list(found.attributes.values()), list(alone.attributes.values()), atol=1e-5)
    assert len({tuple(found.probabilities.values()) for found in together}) == len(sizes)


def test_files_long_ones_and_other_rates_are_heard_too(recognizer, tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(6000), 8000, subtype="FLOAT")
    long = noise(41 * 16_000)
    by_name, as_samples = recognizer.predict_many([tmp_path / "a.wav", long], 16_000)
    assert by_name == recognizer.predict(noise(6000), 8000)
    assert as_samples == recognizer.predict(long, 16_000)


def test_nothing_in_nothing_out(recognizer):
    assert recognizer.predict_many([], 16_000) == []


def test_an_utterance_that_cannot_be_used_is_named_by_its_number(recognizer):
    with pytest.raises(InputError, match="utterance 2: some samples are not numbers"):
        recognizer.predict_many([noise(100), noise(100), np.array([np.nan])], 16_000)

"""The store of chunks against spectra and hidden states computed here, one utterance at a time."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sertool.core.audio.files import audio_info, read_audio
from sertool.core.audio.spectra import utterance_statistics
from sertool.core.clustering.config import ClusterConfig, EncoderInput, MelInput
from sertool.core.clustering.mel import mel_spectrum
from sertool.core.clustering.store import open_store, write_store
from sertool.core.models.compact import CompactEncoder
from sertool.core.models.config import BaseConfig, CompactConfig

SIZES = {"chunk_s": 0.2, "chunks": 3, "categories": ("anger", "neutral")}


@pytest.fixture(scope="module")
def paths(corpus):
    return [str(path) for path in sorted(corpus.glob("[au]*.wav"))]  # the longest in the middle


def _store(folder, paths, config, encoder=None):
    durations = np.array([audio_info(path).duration_s for path in paths])
    write_store(folder, paths, durations, config, encoder=encoder, workers=2)
    return open_store(folder, config)


def test_chunks_are_those_of_the_spectrum(paths, tmp_path):
    config = ClusterConfig(input=MelInput(mels=32, log=True, channels=(4,) * 7), **SIZES)
    store = _store(tmp_path, paths, config)
    assert config.chunk_frames == 12 and len(store) == len(paths) + 2
    whole = store.whole(np.arange(len(store)))
    for row, utterance in enumerate(store.sentences.utterance):
        spectrum = mel_spectrum(read_audio(paths[utterance]), mels=32, log=True)
        for place, start in enumerate(store.sentences.starts[row]):
            expected = spectrum[start : start + 12]
            own = whole[row, place][: len(expected)].numpy()
            np.testing.assert_array_equal(own, expected)
            assert whole[row, place][len(expected) :].isnan().all()
    picks = np.array([[3, 2], [0, 0], [len(store) - 1, 1]])
    picked = store.picked(picks[:, 0], picks[:, 1])
    torch.testing.assert_close(picked, whole[picks[:, 0], picks[:, 1]], equal_nan=True, rtol=0, atol=0)


def test_statistics_are_those_of_all_frames(paths, tmp_path):
    config = ClusterConfig(input=MelInput(mels=32, channels=(4,) * 7), **SIZES)
    frames = np.concatenate([mel_spectrum(read_audio(path), mels=32, log=False) for path in paths])
    mean, deviation = _store(tmp_path, paths, config).statistics()
    np.testing.assert_allclose(mean, frames.mean(0, dtype=np.float64), rtol=1e-5)
    np.testing.assert_allclose(deviation, frames.std(0, dtype=np.float64), rtol=1e-5)


@pytest.mark.parametrize("layer", [None, 1])
def test_vectors_are_mean_and_deviation_of_hidden_states(paths, tmp_path, layer):
    torch.manual_seed(0)
    encoder = CompactEncoder(CompactConfig(dim=8, layers=2, kernel=3)).eval()
    heard = EncoderInput(encoder=encoder.config, base=BaseConfig(name="x", digest="0" * 64), layer=layer)
    config = ClusterConfig(input=heard, **SIZES)
    store = _store(tmp_path, paths, config, encoder)
    found = store.whole(np.arange(len(store)))
    assert found.shape == (len(store), 3, 16)
    for row, utterance in enumerate(store.sentences.utterance):
        samples = torch.from_numpy(read_audio(paths[utterance]))[None]
        lengths = torch.tensor([samples.shape[1]])
        with torch.no_grad():
            prepared = encoder.prepare(samples, lengths, utterance_statistics(samples, lengths))
            states = encoder(prepared, lengths).hidden_states
        if layer is None:
            heard_states = torch.stack([F.layer_norm(state, (8,)) for state in states]).mean(0)[0]
        else:
            heard_states = states[layer][0]
        for place, start in enumerate(store.sentences.starts[row]):
            chunk = heard_states[start : start + config.chunk_frames]
            expected = torch.cat([chunk.mean(0), chunk.std(0, correction=0)])
            torch.testing.assert_close(found[row, place], expected, rtol=1e-4, atol=1e-5)


def test_what_is_there_is_not_computed_again(paths, tmp_path, monkeypatch):
    config = ClusterConfig(input=MelInput(mels=32, channels=(4,) * 7), **SIZES)
    _store(tmp_path, paths, config)
    before = (tmp_path / "values.f32").stat().st_mtime_ns
    _store(tmp_path, paths, config)
    assert (tmp_path / "values.f32").stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["index", "values", "empty"])
def test_a_store_that_is_not_whole_is_written_again(paths, tmp_path, damage):
    config = ClusterConfig(input=MelInput(mels=32, channels=(4,) * 7), **SIZES)
    before = _store(tmp_path, paths, config).whole(np.array([0]))
    if damage == "index":
        (tmp_path / "index.json").write_text('{"num_fra')
    else:
        (tmp_path / "values.f32").write_bytes(
            (tmp_path / "values.f32").read_bytes()[:-512] if damage == "values" else b""
        )
    torch.testing.assert_close(_store(tmp_path, paths, config).whole(np.array([0])), before, equal_nan=True)

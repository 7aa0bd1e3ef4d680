"""Resampling, pauses and bands of STOI against pystoi's own steps."""

import numpy as np
import pytest
import torch
from pystoi import utils
from pystoi.stoi import OBM

from sertool.core.metrics import third_octaves as third_octaves_module
from sertool.core.metrics.third_octaves import band_matrix, resample, third_octaves


@pytest.mark.parametrize("rate", [16_000, 8000, 44_100, 11_025, 10_000, 20_000])
@pytest.mark.parametrize("samples", [1, 2, 255, 4801])
def test_resampling_is_octave_s(rate, samples):
    signals = np.random.default_rng(0).standard_normal((2, samples))
    found = resample(torch.from_numpy(signals), rate)
    for ours, signal in zip(found.numpy(), signals, strict=True):
        assert ours == pytest.approx(signal if rate == 10_000 else utils.resample_oct(signal, 10_000, rate), abs=1e-12)


def test_silence_stays_silence():
    signal = torch.zeros(1, 16_000, dtype=torch.float64)
    signal[0, 8000] = 1.0
    found = resample(signal, 16_000)[0]
    assert (found[:4900] == 0).all() and (found[5100:] == 0).all() and found[5000] > 0.5


def test_the_bands_bins_are_pystoi_s():
    assert np.array_equal(band_matrix().numpy(), OBM)


def theirs(clean: np.ndarray, estimate: np.ndarray) -> list[np.ndarray]:
    signals = [utils.resample_oct(samples, 10_000, 16_000) for samples in (clean, estimate)]
    signals = utils.remove_silent_frames(*signals, 40, 256, 128)
    spectra = [utils.stft(samples, 256, 512, overlap=2).T for samples in signals]
    return [np.sqrt(OBM @ np.abs(spectrum) ** 2) for spectrum in spectra]


def test_the_frames_with_speech_are_pystoi_s_whatever_the_block(awkward_pairs, batched, monkeypatch):
    pairs = [pair for name, pair in awkward_pairs.items() if name != "long"]
    for block in (61, 10_000):
        monkeypatch.setitem(third_octaves_module.BLOCK_FRAMES, "cpu", block)
        found = third_octaves(*batched(pairs))
        parts = zip(
            *(bands.split(found.counts.tolist(), dim=1) for bands in (found.clean, found.estimate)), strict=True
        )
        for pair, ours in zip(pairs, parts, strict=True):
            for bands, expected in zip(ours, theirs(*pair), strict=True):
                assert bands.numpy() == pytest.approx(expected, abs=1e-10)


def test_pairs_without_a_frame_have_none(awkward_pairs, batched):
    clean, noisy = awkward_pairs["clipped"]
    pairs = [(clean[:length], noisy[:length]) for length in (1, 409, 410, 700, len(clean))]
    found = third_octaves(*batched(pairs))
    assert found.counts[:4].tolist() == [0, 0, 0, 1]
    assert found.clean.shape == (15, int(found.counts.sum()))
    assert third_octaves(*batched(pairs[:2])).clean.shape == (15, 0)

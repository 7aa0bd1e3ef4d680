"""The mel spectrum against torchaudio's own transform."""

import numpy as np
import pytest
import torch
from torchaudio.transforms import MelSpectrogram

from sertool.core.clustering.mel import mel_spectrum


@pytest.mark.parametrize("samples", [1, 255, 256, 16_000])
def test_equals_torchaudio(samples):
    signal = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    transform = MelSpectrogram(
        16_000, n_fft=512, hop_length=256, n_mels=64, norm="slaney", mel_scale="slaney", pad_mode="constant"
    )
    expected = transform(torch.from_numpy(signal / np.abs(signal).max())).T.numpy()
    assert expected.shape[0] == 1 + samples // 256
    np.testing.assert_allclose(mel_spectrum(signal, mels=64, log=False), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(mel_spectrum(signal, mels=64, log=True), np.log(expected + 1e-6), rtol=1e-3, atol=1e-3)


def test_the_level_does_not_matter_and_silence_is_nothing():
    signal = np.random.default_rng(1).standard_normal(4000).astype(np.float32)
    np.testing.assert_allclose(
        mel_spectrum(signal, mels=128, log=False), mel_spectrum(0.01 * signal, mels=128, log=False), rtol=1e-4
    )
    assert not mel_spectrum(np.zeros(1000, np.float32), mels=128, log=False).any()


def test_no_band_is_deaf():
    noise = np.random.default_rng(2).standard_normal(32_000).astype(np.float32)
    assert (mel_spectrum(noise, mels=128, log=False).mean(0) > 0).all()

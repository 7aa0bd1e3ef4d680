"""Compressed spectra: perfect reconstruction, no padding heard, SciPy's numbers, and gradients that are finite."""

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis.strategies import integers

from sertool.core.audio.compressed_spectra import (
    POWER,
    STEP,
    WINDOW,
    analyse,
    compress,
    expand,
    num_frames,
    root_hann,
    synthesise,
)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@settings(max_examples=30, deadline=None)
@given(first=integers(1, 2000), second=integers(1, 2000))
def test_what_is_analysed_is_synthesised_but_for_its_offset(first, second):
    lengths, window = torch.tensor([first, second]), root_hann()
    waveform = noise(2, max(first, second))
    spectrum = analyse(waveform, lengths, window)
    assert spectrum.shape[1] == int(num_frames(lengths).max())
    again = synthesise(spectrum, lengths, window, waveform.shape[1])
    # What is missing is the level of every frame, faded from one into the next by the squared window.
    padded = torch.nn.functional.pad(waveform, (STEP, 2 * STEP))
    for row, length in enumerate((first, second)):
        padded[row, STEP + length :] = 0
        expected = padded[row].clone()
        for start in range(0, padded.shape[1] - WINDOW + 1, STEP):
            level = padded[row, start : start + WINDOW] @ window / window.sum()
            expected[start : start + WINDOW] -= level * window.square()
        torch.testing.assert_close(again[row, :length], expected[STEP : STEP + length], atol=2e-6, rtol=0)
        assert not again[row, length:].any()


def test_what_lies_in_the_padding_is_not_synthesised():
    lengths, window, waveform = torch.tensor([2000, 700]), root_hann(), noise(2, 2000)
    spectrum = analyse(waveform, lengths, window)
    spoilt = spectrum.clone()
    spoilt[1, int(num_frames(lengths[1])) :] = 1.0
    assert torch.equal(synthesise(spoilt, lengths, window, 2000), synthesise(spectrum, lengths, window, 2000))


def test_frames_are_those_of_scipy():
    waveform = noise(1, 1500)
    frames = analyse(waveform, torch.tensor([1500]), root_hann())
    padded = np.pad(waveform[0].numpy(), (STEP, 6 * STEP - 1500))
    window = np.sqrt(scipy.signal.get_window("hann", WINDOW))
    transform = scipy.signal.ShortTimeFFT(window, STEP, 16_000, phase_shift=None)
    wanted = transform.stft(padded, p0=1, p1=1 + frames.shape[1], k_offset=0)
    wanted = wanted - np.fft.rfft(window)[:, None] * wanted[0] / window.sum()  # each frame less its own level
    np.testing.assert_allclose(frames[0].T.numpy(), wanted[1:] / 16, atol=1e-5)  # 16² is the sum of the squared window


def test_an_offset_is_not_heard():
    lengths = torch.tensor([5000])
    without, with_offset = (analyse(noise(1, 5000) + offset, lengths, root_hann()) for offset in (0.0, 10.0))
    torch.testing.assert_close(with_offset[:, 1:-2], without[:, 1:-2], atol=1e-4, rtol=0)


def test_white_noise_has_bins_of_its_variance():
    spectrum = analyse(3.0 * noise(1, 200_000), torch.tensor([200_000]), root_hann())
    assert spectrum.abs().square().mean().item() == pytest.approx(9.0, rel=0.01)


def test_compression_raises_magnitudes_and_keeps_phases():
    spectrum = torch.polar(torch.tensor([0.0, 1e-6, 0.5, 30.0]), torch.tensor([0.0, 1.0, -2.0, 3.0]))
    compressed = compress(spectrum)
    torch.testing.assert_close(compressed.abs(), spectrum.abs().pow(POWER))
    torch.testing.assert_close(compressed[1:].angle(), spectrum[1:].angle())
    torch.testing.assert_close(expand(compressed), spectrum)


def test_the_gradient_of_silence_is_finite():
    silent = torch.zeros(4, dtype=torch.complex64, requires_grad=True)
    expand(silent).abs().square().sum().backward()
    assert silent.grad.isfinite().all()

"""Short-time spectra: equal to torch's and scipy's alone, and indifferent to padding in a batch."""

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis.strategies import integers, lists

from sertool.core.audio.spectra import (
    HOP,
    N_FFT,
    centred_stft,
    inverse_stft,
    log_magnitude,
    reflect_ends,
    standardise,
    stft_frames,
    utterance_statistics,
)

WINDOW = torch.hamming_window(N_FFT)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_reflection_is_numpys_for_each_utterance_alone():
    waveform = noise(2, 900)
    lengths = torch.tensor([900, 500])
    padded = reflect_ends(waveform, lengths, 200)
    for row, length in enumerate(lengths.tolist()):
        expected = np.pad(waveform[row, :length].numpy(), 200, mode="reflect")
        np.testing.assert_array_equal(padded[row, : length + 400].numpy(), expected)
        assert not padded[row, length + 400 :].any()


@pytest.mark.parametrize("length", [1, 2, 3, 150])
def test_reflection_of_the_very_short_goes_back_and_forth(length):
    waveform = noise(1, length)
    expected = np.pad(waveform[0].numpy(), 200, mode="reflect") if length > 1 else np.full(401, waveform[0, 0].item())
    np.testing.assert_array_equal(reflect_ends(waveform, torch.tensor([length]), 200)[0].numpy(), expected)


def test_spectrum_is_torchs():
    waveform = noise(1, 8000)
    spectrum = centred_stft(waveform, torch.tensor([8000]), WINDOW)
    expected = torch.stft(waveform, N_FFT, HOP, window=WINDOW, center=True, pad_mode="reflect", return_complex=True)
    assert spectrum.shape == (1, 51, 201)  # half a second: 51 frames of 201 bins
    torch.testing.assert_close(spectrum, expected.transpose(1, 2))


def test_spectrum_is_scipys():
    waveform = noise(1, 4000).double()
    window = torch.hamming_window(N_FFT, dtype=torch.float64)
    spectrum = centred_stft(waveform, torch.tensor([4000]), window)[0]
    padded = np.pad(waveform[0].numpy(), N_FFT // 2, mode="reflect")
    frames = scipy.signal.ShortTimeFFT(window.numpy(), HOP, fs=16000)
    expected = frames.stft(padded, p0=0, p1=1 + len(padded) // HOP)
    # scipy centres its frame p on sample p * hop of what it is given; ours on p * hop of the unpadded signal.
    reference = np.stack(
        [np.fft.rfft(padded[t * HOP : t * HOP + N_FFT] * window.numpy()) for t in range(len(spectrum))]
    )
    np.testing.assert_allclose(spectrum.numpy(), reference, atol=1e-10)
    assert expected.shape[0] == spectrum.shape[1]


@settings(max_examples=30, deadline=None)
@given(lengths=lists(integers(1, 3000), min_size=1, max_size=4))
def test_there_and_back_again_in_any_batch(lengths):
    lengths = torch.tensor(lengths)
    waveform = noise(len(lengths), int(lengths.max())) * (torch.arange(int(lengths.max())) < lengths[:, None])
    spectrum = centred_stft(waveform, lengths, WINDOW)
    back = inverse_stft(spectrum, lengths, WINDOW, waveform.shape[1])
    torch.testing.assert_close(back, waveform, atol=2e-5, rtol=0)


def test_an_utterances_frames_do_not_depend_on_its_batch():
    lengths = torch.tensor([3000, 1234])
    waveform = noise(2, 3000)  # the padding is noise too: it must not be heard
    together = centred_stft(waveform, lengths, WINDOW)
    alone = centred_stft(waveform[1:, :1234], lengths[1:], WINDOW)
    own = int(stft_frames(lengths[1:])[0])
    torch.testing.assert_close(together[1, :own], alone[0])


def test_inverse_is_torchs():
    spectrum = centred_stft(noise(1, 3200), torch.tensor([3200]), WINDOW) * noise(1, 21, 201).abs()
    ours = inverse_stft(spectrum, torch.tensor([3200]), WINDOW, 3200)
    torchs = torch.istft(spectrum.transpose(1, 2), N_FFT, HOP, window=WINDOW, length=3200)
    torch.testing.assert_close(ours, torchs, atol=1e-5, rtol=1e-4)


def test_standardised_speech_has_no_mean_and_unit_deviation_over_its_own_samples():
    waveform, lengths = 0.1 + 0.01 * noise(2, 4000), torch.tensor([4000, 1700])
    result = standardise(waveform, lengths, utterance_statistics(waveform, lengths))
    for row, length in enumerate(lengths.tolist()):
        assert abs(result[row, :length].mean()) < 1e-4
        assert result[row, :length].std(correction=0) == pytest.approx(1.0, abs=1e-3)
        assert not result[row, length:].any()


def test_silence_stays_silence():
    waveform, lengths = torch.zeros(1, 1000), torch.tensor([1000])
    assert not standardise(waveform, lengths, utterance_statistics(waveform, lengths)).any()


def test_log_magnitude_is_the_published_formula():
    spectrum = torch.tensor([3 + 4j])
    assert log_magnitude(spectrum).item() == pytest.approx(np.log(1 + 5 + 1e-6))

"""Short-time spectra of padded batches, in which no utterance feels the padding of another."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

N_FFT = 400
"""Length of window and transform: 25 ms at 16 kHz, 201 bins (system 1 of the literature this toolkit implements)."""

HOP = 160
"""Samples between frames: 10 ms at 16 kHz."""

NUM_BINS = N_FFT // 2 + 1

LOG_OFFSET = 1e-6


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation an utterance was standardised with, each of shape (B, 1)."""

    mean: Tensor
    std: Tensor


def frame_mask(lengths: Tensor, num_frames: int) -> Tensor:
    """Return which positions of a padded batch are real: bool, shape (B, num_frames)."""
    return torch.arange(num_frames, device=lengths.device) < lengths[:, None]


def stft_frames(lengths: Tensor) -> Tensor:
    """Return how many centred frames utterances of these lengths in samples have: 1 + L // hop."""
    return 1 + lengths // HOP


def utterance_statistics(waveform: Tensor, lengths: Tensor) -> Statistics:
    """Return mean and standard deviation of each utterance over its own samples.

    Args:
        waveform: (B, S), padded with anything.
        lengths: samples of each utterance, (B,).
    """
    mask = frame_mask(lengths, waveform.shape[1])
    count = lengths[:, None].to(waveform.dtype)
    mean = (waveform * mask).sum(1, keepdim=True) / count
    variance = ((waveform - mean).square() * mask).sum(1, keepdim=True) / count
    return Statistics(mean=mean, std=variance.sqrt())


def standardise(waveform: Tensor, lengths: Tensor, statistics: Statistics) -> Tensor:
    """Return (waveform - mean) / std, zero in the padding; silence stays zero."""
    mask = frame_mask(lengths, waveform.shape[1])
    return (waveform - statistics.mean) / (statistics.std + 1e-7) * mask


def reflect_ends(waveform: Tensor, lengths: Tensor, pad: int) -> Tensor:
    """Return each utterance continued by reflection at its own two ends, then by zeros.

    A reflection at the end of the padded batch would make the last frames of a short utterance depend on the longest
    one beside it. Utterances shorter than the reflection are reflected again and again.

    Args:
        waveform: (B, S).
        lengths: samples of each utterance, (B,), at least 1.
        pad: samples to add at either end.

    Returns:
        (B, S + 2 * pad).
    """
    position = torch.arange(-pad, waveform.shape[1] + pad, device=waveform.device).expand(len(lengths), -1)
    period = (2 * (lengths - 1)).clamp(min=1)[:, None]
    folded = position.remainder(period)
    source = torch.minimum(folded, period - folded).clamp(max=waveform.shape[1] - 1)
    source = torch.where(lengths[:, None] == 1, torch.zeros_like(source), source)
    return waveform.gather(1, source) * (position < lengths[:, None] + pad)


def centred_stft(waveform: Tensor, lengths: Tensor, window: Tensor) -> Tensor:
    """Return the short-time spectrum, frame t centred on sample t * hop.

    Args:
        waveform: (B, S).
        lengths: samples of each utterance, (B,).
        window: (N_FFT,).

    Returns:
        Complex, shape (B, T, NUM_BINS), T = 1 + S // HOP; an utterance's own frames are the first 1 + L // HOP.
    """
    padded = reflect_ends(waveform, lengths, N_FFT // 2)
    spectrum = torch.stft(padded, N_FFT, HOP, window=window, center=False, return_complex=True)  # (B, F, T)
    return spectrum.transpose(1, 2)


def inverse_stft(spectrum: Tensor, lengths: Tensor, window: Tensor, num_samples: int) -> Tensor:
    """Return the waveform of a centred short-time spectrum by weighted overlap-add.

    Only an utterance's own frames are added, and only their windows divided out: torch.istft would divide the end of a
    short utterance by windows that belong to the padding.

    Args:
        spectrum: complex, (B, T, NUM_BINS).
        lengths: samples of each utterance, (B,).
        window: (N_FFT,).
        num_samples: samples to return, S.

    Returns:
        (B, S), zero in the padding.
    """
    own = frame_mask(stft_frames(lengths), spectrum.shape[1])[:, :, None]
    frames = torch.fft.irfft(spectrum, n=N_FFT, dim=-1) * window * own  # (B, T, N_FFT)
    weights = window.square() * own
    total = (spectrum.shape[1] - 1) * HOP + N_FFT
    summed = _overlap_add(frames, total)
    envelope = _overlap_add(weights.expand_as(frames).to(frames.dtype), total)
    waveform = (summed / envelope.clamp(min=1e-8))[:, N_FFT // 2 :][:, :num_samples]
    waveform = F.pad(waveform, (0, num_samples - waveform.shape[1]))
    return waveform * frame_mask(lengths, num_samples)


def log_magnitude(spectrum: Tensor) -> Tensor:
    """Return log(1 + |X| + 1e-6), the compressed magnitude the enhancement head works on."""
    return torch.log1p(spectrum.abs() + LOG_OFFSET)


def _overlap_add(frames: Tensor, total: int) -> Tensor:
    folded = F.fold(frames.transpose(1, 2), output_size=(1, total), kernel_size=(1, N_FFT), stride=(1, HOP))
    return folded[:, 0, 0]

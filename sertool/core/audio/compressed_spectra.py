"""Complex short-time spectra in root-Hann windows, their magnitudes compressed: what speech is enhanced in.

A window of 32 ms every 16 ms, as in GTCRN and UL-UNAS, analyses and synthesises; where two of them meet their squares
add up to one, so that nothing is divided out. Frame t is centred on sample 256 t, and what lies outside the signal is
zero: a frame never waits for samples beyond its own window.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from sertool.core.audio.spectra import frame_mask

WINDOW = 512
"""Length of window and transform: 32 ms at 16 kHz."""

STEP = 256
"""Samples between frames: 16 ms, 62.5 frames a second."""

BINS = WINDOW // 2
"""Bins 1 to 256, 31 Hz to 8 kHz. The level of each window is taken off, so that bin 0 is empty and left out, and a
constant offset neither heard nor kept."""

POWER = 0.3
"""Magnitudes are raised to it (Braun & Tashev, ICASSP 2021), so that soft parts of speech count beside loud ones."""

_UNIT = WINDOW // 2
"""Sum of the squared window: spectra are divided by its root, and white noise of variance 1 has bins of power 1."""


def num_frames(lengths: Tensor) -> Tensor:
    """Return how many frames utterances of these lengths in samples have: all in which their samples are heard."""
    return 1 + (lengths + STEP - 1) // STEP


def root_hann(device: torch.device | None = None) -> Tensor:
    """Return the window, (WINDOW,), sin(pi n / WINDOW)."""
    return torch.sin(torch.arange(WINDOW, dtype=torch.float64, device=device) * torch.pi / WINDOW).float()


def analyse(waveform: Tensor, lengths: Tensor, window: Tensor) -> Tensor:
    """Return the short-time spectrum of waveforms.

    Args:
        waveform: (B, S), padded with anything.
        lengths: samples of each utterance, (B,).
        window: see `root_hann`.

    Returns:
        Complex, (B, T, BINS); zero in frames that hear nothing of an utterance.
    """
    waveform = waveform * frame_mask(lengths, waveform.shape[1])
    frames = 1 + -(-waveform.shape[1] // STEP)
    padded = F.pad(waveform, (STEP, frames * STEP - waveform.shape[1]))
    return analyse_frames(padded.unfold(1, WINDOW, STEP), window)


def analyse_frames(frames: Tensor, window: Tensor) -> Tensor:
    """Return the spectra of windows of samples (…, WINDOW), each less its own level, complex, (…, BINS)."""
    # Without bin 0 alone an offset would stay in the bins beside it, 10 dB softer, and come out as a hum of 62.5 Hz.
    level = (frames @ window / window.sum())[..., None]
    return torch.fft.rfft((frames - level) * window)[..., 1:] / _UNIT**0.5


def synthesise_frames(spectrum: Tensor, window: Tensor) -> Tensor:
    """Return windows of samples (…, WINDOW), to be added where they overlap, of spectra (…, BINS)."""
    return torch.fft.irfft(F.pad(spectrum, (1, 0)), n=WINDOW) * (window * _UNIT**0.5)


def overlap_add(frames: Tensor) -> Tensor:
    """Add windows of samples (B, T, WINDOW) where they overlap, (B, (T + 1) * STEP)."""
    early, late = frames[..., :STEP], frames[..., STEP:]
    return (F.pad(early, (0, 0, 0, 1)) + F.pad(late, (0, 0, 1, 0))).flatten(1)


def synthesise(spectrum: Tensor, lengths: Tensor, window: Tensor, num_samples: int) -> Tensor:
    """Return the waveforms of short-time spectra.

    Args:
        spectrum: complex, (B, T, BINS).
        lengths: samples of each utterance, (B,).
        window: see `root_hann`.
        num_samples: samples to return, S.

    Returns:
        (B, S), zero in the padding.
    """
    # Frames in the padding reach no sample of an utterance.
    samples = overlap_add(synthesise_frames(spectrum, window))[:, STEP:][:, :num_samples]
    return F.pad(samples, (0, num_samples - samples.shape[1])) * frame_mask(lengths, num_samples)


def compress(spectrum: Tensor) -> Tensor:
    """Return a complex spectrum with its magnitudes raised to POWER, phases kept; zero stays zero."""
    return spectrum * spectrum.abs().square().clamp(min=1e-24).pow((POWER - 1.0) / 2.0)


def expand(compressed: Tensor) -> Tensor:
    """Return the spectrum that `compress` makes a compressed one of; its gradient is finite everywhere."""
    power = compressed.real.square() + compressed.imag.square()
    return compressed * power.pow((1.0 / POWER - 1.0) / 2.0)

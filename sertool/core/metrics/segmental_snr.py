"""Segmental SNR: the mean SNR of short frames, limited to what is audible (Hansen & Pellom, ICSLP 1998)."""

import torch
from torch import Tensor

from sertool.core.metrics.frames import Frames, count_frames, frame_values, mean_of_frames

LOWEST_DB, HIGHEST_DB = -10.0, 35.0
"""What the SNR of a frame is limited to."""

_EPSILON = torch.finfo(torch.float64).eps


def segmental_snr(clean: Tensor, estimate: Tensor, lengths: Tensor, rate: int = 16_000) -> Tensor:
    """Return the segmental SNR of each pair in dB, as in Hu & Loizou's composite measures.

    Frames of 30 ms under a Hann window, 75 % overlap; the noise is estimate minus clean, so the scale counts; all
    frames count, a silent one as -10 dB.

    Args:
        clean: the references, shape (N, S).
        estimate: the signals to score, shape (N, S).
        lengths: samples of each pair, shape (N,).
        rate: in Hz.

    Returns:
        Shape (N,), from -10 to 35 dB; NaN where a pair has no frame.
    """
    [values] = frame_values([frame_snr_db], clean, estimate, lengths, rate)
    return mean_of_frames(values, count_frames(lengths, rate))


def frame_snr_db(frames: Frames) -> Tensor:
    """Return the SNR of each frame in dB, limited, shape (M,)."""
    signal = frames.clean.square().sum(-1)
    noise = (frames.clean - frames.estimate).square().sum(-1)
    return (10 * torch.log10(signal / (noise + _EPSILON) + _EPSILON)).clamp(LOWEST_DB, HIGHEST_DB)

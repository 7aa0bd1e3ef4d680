"""What the shared model says of a batch, and the part of the spectrum it is asked about in training."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from sertool.core.audio.spectra import HOP, Statistics, frame_mask


@dataclass(frozen=True)
class Crop:
    """Which spectral frames of each utterance the enhancement head sees: first frames (B,), and how many of each."""

    starts: Tensor
    num_frames: int


@dataclass(frozen=True)
class EnhancedSpectra:
    """What the dual-path head says of a batch, under a crop if one was asked for.

    Attributes:
        noisy: compressed spectrum of the input at a level about 1, complex, (B, T, F).
        enhanced: the same under the mask.
        level: what the spectrum was divided by before it was compressed, (B, T, 1).
        frame_lengths: frames of each utterance, (B,).
    """

    noisy: Tensor
    enhanced: Tensor
    level: Tensor
    frame_lengths: Tensor


@dataclass(frozen=True)
class SharedOutput:
    """What the shared model says of a batch; None where it has no such head.

    Attributes:
        category_logits: (B, C).
        attributes: (B, A), on the 1–7 scale.
        noisy_log_spectrum: log1p magnitude of the standardised input, (B, T, 201).
        enhanced_log_spectrum: the same under the mask, (B, T, 201).
        spectrum_lengths: spectral frames of each utterance, (B,), within the crop if one was asked for.
        statistics: what the input was standardised with; a clean target is to be standardised with the same.
        pretext_logits: of each pre-training task, by name, (B, C).
        cluster_logits: of every frame, (B, T, K); None where no frames were hidden.
        spectra: what the dual-path head says, in place of log spectra.
    """

    category_logits: Tensor | None
    attributes: Tensor | None
    noisy_log_spectrum: Tensor | None
    enhanced_log_spectrum: Tensor | None
    spectrum_lengths: Tensor
    statistics: Statistics
    pretext_logits: dict[str, Tensor] = field(default_factory=dict)
    cluster_logits: Tensor | None = None
    spectra: EnhancedSpectra | None = None


@dataclass(frozen=True)
class EnhancedSpeech:
    """What the enhancement head gives back of a batch.

    Attributes:
        waveform: (B, S), zero in the padding.
        top_octave_gain: what the mask leaves of the magnitude from 4 to 8 kHz, 0 to 1, (B, T).
        gain_hop: samples from one of these gains to the next.
    """

    waveform: Tensor
    top_octave_gain: Tensor
    gain_hop: int = HOP


def crop_frames(frames: Tensor, crop: Crop) -> Tensor:
    """Cut `crop.num_frames` frames from each row of (B, T, D), reading on at the last frame where it ends sooner."""
    index = crop.starts[:, None] + torch.arange(crop.num_frames, device=frames.device)
    index = index.clamp(max=frames.shape[1] - 1)
    return frames.gather(1, index[:, :, None].expand(-1, -1, frames.shape[2]))


def cropped_lengths(lengths: Tensor, crop: Crop) -> Tensor:
    """Return how many frames of each utterance (B,) lie within the crop."""
    return (lengths - crop.starts).clamp(min=1, max=crop.num_frames)


def spectrum_mask(output: SharedOutput) -> Tensor:
    """Return which spectral frames of an output belong to utterances, bool, (B, T)."""
    return frame_mask(output.spectrum_lengths, output.noisy_log_spectrum.shape[1])

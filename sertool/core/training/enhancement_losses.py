"""What enhanced spectra are judged by in training: compressed spectra, spectra at several resolutions, and SI-SDR.

Each loss is a mean over an utterance's own frames or samples, and utterances count by their frames; so the loss of a
whole batch is a sum over a denominator that lengths alone determine, as `sertool.core.training.losses` asks for.
"""

from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from sertool.core.audio.compressed_spectra import STEP, analyse, compress, expand, overlap_add, synthesise_frames
from sertool.core.audio.spectra import Statistics, frame_mask
from sertool.core.models.dual_path_head import DualPathHead
from sertool.core.models.output import Crop, EnhancedSpectra, crop_frames
from sertool.core.training.recipe_file import Section

RESOLUTIONS = ((256, 64), (512, 128), (1024, 256))
"""Window and hop, in samples, of the resolutions at which waveforms are compared: 16, 32 and 64 ms."""

SOFTEST = 1e-3
"""Power, beside that of the noisy speech, below which neither speech nor error counts: SI-SDR is not driven beyond
30 dB, and where nobody speaks the error is all there is (ours, after Wisdom et al., NeurIPS 2020)."""

Weight = Annotated[float, Field(ge=0.0, le=1e3)]


class SpectralWeights(Section):
    """Weights of the losses of the dual-path head; 0 leaves one out."""

    magnitude: Weight = 0.7
    """Of the squared error of compressed magnitudes (Braun & Tashev, ICASSP 2021)."""
    complex: Weight = 0.3
    """Of the squared error of compressed complex spectra."""
    resolutions: Weight = 0.1
    """Of the absolute error of compressed magnitudes of the waveforms, at three resolutions (Yamamoto et al., ICASSP
    2020, whose magnitudes are not compressed)."""
    si_sdr: Weight = 0.01
    """Of the scale-invariant signal-to-distortion ratio in dB, negated (Le Roux et al., ICASSP 2019)."""

    @property
    def used(self) -> tuple[str, ...]:
        """Names of the losses that have weight."""
        return tuple(name for name, weight in self if weight)

    @model_validator(mode="after")
    def _check_any(self) -> "SpectralWeights":
        if not self.used:
            raise ValueError("no loss has weight, so that nothing is learned: give one of them some")
        return self


def clean_spectrum(
    head: DualPathHead, clean: Tensor, lengths: Tensor, spectra: EnhancedSpectra, crop: Crop | None
) -> Tensor:
    """Return the target: clean speech (B, S) divided by the levels of the *noisy* speech, compressed, (B, T, F)."""
    with torch.autocast(clean.device.type, enabled=False):
        target = analyse(clean.float(), lengths, head.window)
        if crop:
            parts = crop_frames(torch.view_as_real(target).flatten(2), crop)
            target = torch.view_as_complex(parts.unflatten(2, (-1, 2)))
        return compress(target / spectra.level)


def spectral_losses(
    spectra: EnhancedSpectra, target: Tensor, window: Tensor, statistics: Statistics, weights: SpectralWeights
) -> dict[str, Tensor]:
    """Return the losses of each utterance by name, unweighted, (B,); those without weight are left out.

    Args:
        spectra: the head's, under a crop if there was one.
        target: see `clean_spectrum`.
        window: the head's.
        statistics: of the noisy speech, by whose deviation waveforms are divided.
        weights: say which losses there are.
    """
    lengths, losses = spectra.frame_lengths, {}
    own = frame_mask(lengths, target.shape[1])[:, :, None]
    with torch.autocast(target.device.type, enabled=False):
        if weights.magnitude:
            losses["magnitude"] = _frame_mean((spectra.enhanced.abs() - target.abs()).square() * own, lengths)
        if weights.complex:
            error = torch.view_as_real(spectra.enhanced - target).square().sum(-1)
            losses["complex"] = _frame_mean(error * own, lengths)
        if weights.resolutions or weights.si_sdr:
            level = spectra.level / statistics.std.clamp(min=1e-7)[:, :, None]
            noisy, enhanced, clean = (
                overlap_add(synthesise_frames(expand(one) * level * own, window))
                for one in (spectra.noisy, spectra.enhanced, target)
            )
            samples = (lengths + 1) * STEP
            if weights.resolutions:
                losses["resolutions"] = resolution_error(enhanced, clean, samples)
            if weights.si_sdr:
                losses["si_sdr"] = -soft_si_sdr(enhanced, clean, noisy)
    return losses


def weighted_sum(losses: dict[str, Tensor], weights: SpectralWeights) -> Tensor:
    """Return the weighted sum of losses by name, (B,)."""
    return sum(getattr(weights, name) * value for name, value in losses.items())


def soft_si_sdr(estimate: Tensor, target: Tensor, noisy: Tensor) -> Tensor:
    """Return the SI-SDR in dB of estimates (B, S), both powers raised by SOFTEST of the noisy speech's, (B,)."""
    floor = SOFTEST * noisy.square().sum(1) + 1e-10
    scale = (estimate * target).sum(1) / target.square().sum(1).clamp(min=1e-10)
    speech = scale[:, None] * target
    error = (estimate - speech).square().sum(1)
    return 10.0 * torch.log10((speech.square().sum(1) + floor) / (error + floor))


def resolution_error(estimate: Tensor, target: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean error over RESOLUTIONS of compressed magnitudes of waveforms (B, S), zero in padding, (B,)."""
    total = torch.zeros(len(estimate), device=estimate.device)
    for size, hop in RESOLUTIONS:
        window = torch.hann_window(size, device=estimate.device)
        found, wanted = (
            _compressed_magnitude(
                torch.stft(F.pad(one, (0, size)), size, hop, window=window, center=False, return_complex=True)
            )
            for one in (estimate, target)
        )  # (B, F, T)
        frames = 1 + (lengths - 1) // hop
        total = total + (found - wanted).abs().mean(1).sum(1) / frames
    return total / len(RESOLUTIONS)


def _compressed_magnitude(spectrum: Tensor) -> Tensor:
    """Return magnitudes raised to 0.3, at a scale where white noise of variance 1 has power near 1; safe at zero."""
    power = torch.view_as_real(spectrum).square().sum(-1) / (0.375 * 2 * (spectrum.shape[1] - 1))
    return (power + 1e-5).pow(0.15)


def _frame_mean(values: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean of values (B, T, F), zero in the padding, over an utterance's own frames and all bins, (B,)."""
    return values.mean(2).sum(1) / lengths

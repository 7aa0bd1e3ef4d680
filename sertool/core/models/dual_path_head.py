"""The dual-path enhancement head: a complex mask from recurrences over time and over frequency by turns.

After dual-path RNN (Luo, Chen & Yoshioka, ICASSP 2020) and band-split RNN (Luo & Yu, TASLP 2023). Bands with weights of
their own, in place of strided convolutions, since all of it then is dense products, several times faster on a
processor, and harmonics a band apart stay apart. The mask multiplies the compressed spectrum (ours): errors are then
made, and judged, on one scale; and silence stays silence.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sertool.core.audio.compressed_spectra import (
    BINS,
    STEP,
    analyse,
    compress,
    expand,
    num_frames,
    root_hann,
    synthesise,
)
from sertool.core.audio.spectra import Statistics
from sertool.core.models.band_linear import BandLinear, num_bands
from sertool.core.models.config import DualPathConfig
from sertool.core.models.output import Crop, EnhancedSpectra, EnhancedSpeech, crop_frames, cropped_lengths
from sertool.core.models.time_recurrence import State, TimeRecurrence

LEVEL_FRAMES = 500
"""Frames, 8 s, over which the causal head measures the level it divides by."""

QUIETEST = 1e-7
"""Level below which nothing is made louder: about a step of 24-bit audio."""

LARGEST_GAIN = 2.0
"""Most the mask multiplies a compressed magnitude by: 20 dB."""

FEATURE_STEP = 320
"""Samples from one frame of the encoder's features to the next, 50 Hz."""


class DualPathHead(nn.Module):
    """Estimate a complex mask over the compressed spectrum, each utterance's own whatever batch it lies in.

    Compressed spectrum (re, im, magnitude) → bands of C channels, plus the encoder's features where they are heard → N
    blocks of recurrence over time, band by band, and over the bands, frame by frame → two layers a band → mask.
    """

    def __init__(self, dim: int, config: DualPathConfig) -> None:
        super().__init__()
        self.config = config
        channels, bands = config.channels, num_bands()
        with torch.device("cpu"):  # as in SharedModel
            self.register_buffer("window", root_hann())
        self.split = BandLinear(3, channels, to_bands=True)
        self.hear_features = None
        if config.features == "encoder":
            self.hear_features = nn.Sequential(
                nn.LayerNorm(dim), nn.Linear(dim, channels), nn.GELU(), nn.Linear(channels, bands * channels)
            )
        self.blocks = nn.ModuleList(DualPathBlock(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(channels)
        self.widen = BandLinear(channels, config.decoder, to_bands=True, whole_bands=True)
        self.mask = BandLinear(config.decoder, 2, to_bands=False)

    def forward(
        self,
        waveform: Tensor,
        lengths: Tensor,
        statistics: Statistics,
        features: tuple[Tensor, Tensor] | None = None,
        crop: Crop | None = None,
    ) -> EnhancedSpectra:
        """Return the spectrum of waveforms, and what the mask makes of it.

        Args:
            waveform: samples at 16 kHz, any level, (B, S).
            lengths: samples of each utterance, (B,).
            statistics: of the utterances, or of the longer ones they are cut from; the causal head does without.
            features: of the encoder at 50 Hz, (B, T', D), and the frames of each utterance, (B,).
            crop: the part of the spectrum to enhance, for training.
        """
        frame_lengths = num_frames(lengths)
        with torch.autocast(waveform.device.type, enabled=False):
            centred = waveform if self.config.causal else waveform - statistics.mean
            spectrum = analyse(centred.float(), lengths, self.window)  # (B, T, F)
            level = self.running_level(spectrum)[0] if self.config.causal else statistics.std[:, :, None]
            level = level.clamp(min=QUIETEST).expand(-1, spectrum.shape[1], 1)
            noisy = compress(spectrum / level)
        heard = None if features is None else _at_frames(*features, noisy.shape[1])
        if crop:
            frame_lengths = cropped_lengths(frame_lengths, crop)
            noisy, level = crop_frames(torch.view_as_real(noisy).flatten(2), crop), crop_frames(level, crop)
            noisy = torch.view_as_complex(noisy.unflatten(2, (-1, 2)))
            heard = None if heard is None else crop_frames(heard, crop)
        mask = self.mask_of(noisy, frame_lengths, heard)[0]
        return EnhancedSpectra(noisy=noisy, enhanced=mask * noisy, level=level, frame_lengths=frame_lengths)

    def mask_of(
        self, noisy: Tensor, frame_lengths: Tensor | None, features: Tensor | None, states: list[State] | None = None
    ) -> tuple[Tensor, list[State]]:
        """Return the mask of compressed spectra, and the states of the recurrences over time after their last frame.

        Args:
            noisy: compressed spectrum at a level about 1, complex, (B, T, F).
            frame_lengths: frames of each utterance, (B,); None for the causal head, which hears no padding.
            features: at the same frames, (B, T, D); None where the head does without.
            states: from before the first frame, one a block; None at the beginning of a signal.
        """
        parts = torch.stack([noisy.real, noisy.imag, noisy.abs()], dim=-1)  # (B, T, F, 3)
        x = self.split(parts.transpose(0, 1))  # (T, B, K, C): time first, so that recurrences copy nothing
        if self.hear_features is not None:
            x = x + self.hear_features(features.transpose(0, 1)).view_as(x)
        after = []
        for i, block in enumerate(self.blocks):
            x, state = block(x, frame_lengths, states[i] if states else None)
            after.append(state)
        values = self.mask(F.gelu(self.widen(self.norm(x)))).float()  # (T, B, F, 2)
        values = values + values.new_tensor([1.0, 0.0])  # what has learned nothing leaves the speech as it is
        # Of gains up to one this changes less than a thousandth.
        over = values.square().sum(-1, keepdim=True) / LARGEST_GAIN**2
        bounded = values * (1.0 + over.pow(4)).pow(-0.125)
        return torch.view_as_complex(bounded.transpose(0, 1).contiguous()), after

    def running_level(self, spectrum: Tensor, powers: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the level of each frame from it and what came before, (B, T, 1), and the last frames' powers.

        Args:
            spectrum: complex, (B, T, F).
            powers: those that this returned for the frames before, (B, N); None at the beginning of a signal.
        """
        own = spectrum.abs().square().mean(-1)  # (B, T)
        known = own if powers is None else torch.cat([powers, own], dim=1)
        before = known.shape[1] - own.shape[1]
        padded = F.pad(known, (LEVEL_FRAMES - 1 - before, 0))[:, None]
        counts = torch.arange(1, own.shape[1] + 1, device=own.device).add(before).clamp(max=LEVEL_FRAMES)
        mean = F.avg_pool1d(padded, LEVEL_FRAMES, stride=1)[:, 0] * (LEVEL_FRAMES / counts)
        return mean.sqrt()[:, :, None], known[:, -(LEVEL_FRAMES - 1) :]

    def speech(self, spectra: EnhancedSpectra, lengths: Tensor, num_samples: int) -> EnhancedSpeech:
        """Return the enhanced speech (B, num_samples) of spectra that were not cropped."""
        enhanced = expand(spectra.enhanced) * spectra.level
        samples = synthesise(enhanced, lengths, self.window, num_samples)
        return EnhancedSpeech(samples, top_octave_gain(spectra.noisy, spectra.enhanced), gain_hop=STEP)


class DualPathBlock(nn.Module):
    """Recurrence over time in each band, then over the bands of each frame, both residual."""

    def __init__(self, config: DualPathConfig) -> None:
        super().__init__()
        self.over_time = TimeRecurrence(config.channels, config.hidden, causal=config.causal)
        self.norm = nn.LayerNorm(config.channels)
        self.over_bands = nn.LSTM(config.channels, config.hidden, bidirectional=True)
        self.join = nn.Linear(2 * config.hidden, config.channels)

    def forward(self, x: Tensor, frame_lengths: Tensor | None, state: State | None) -> tuple[Tensor, State]:
        """Map (T, B, K, C) to the same shape, and return the state over time after the last frame."""
        x, state = self.over_time(x, frame_lengths, state)
        frames, batch, bands, channels = x.shape
        y = self.norm(x).permute(2, 0, 1, 3).reshape(bands, frames * batch, channels)
        y = self.join(self.over_bands(y)[0])  # (K, T * B, C)
        return x + y.view(bands, frames, batch, channels).permute(1, 2, 0, 3), state


def top_octave_gain(noisy: Tensor, enhanced: Tensor) -> Tensor:
    """Return the mean gain over the upper half of the bins of compressed spectra (B, T, F), by magnitude, (B, T)."""
    before, after = (expand(one[:, :, BINS // 2 :]).abs().sum(2) for one in (noisy, enhanced))
    return (after / before.clamp(min=1e-12)).clamp(max=1.0)


def _at_frames(features: Tensor, frame_lengths: Tensor, num_frames: int) -> Tensor:
    """Bring 50 Hz features (B, T', D) to the spectrum's frames, (B, num_frames, D): the nearest, of its utterance."""
    nearest = (torch.arange(num_frames, device=features.device) * STEP + FEATURE_STEP // 2) // FEATURE_STEP
    index = torch.minimum(nearest[None], frame_lengths[:, None] - 1)
    return features.gather(1, index[:, :, None].expand(-1, -1, features.shape[2]))

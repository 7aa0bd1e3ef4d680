"""The dual-path enhancement head in a form that can be exported: complex numbers as pairs of real ones.

All utterances of a batch are equally long and fill their rows.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sertool.core.audio.compressed_spectra import BINS, POWER, STEP, WINDOW
from sertool.core.exporting.short_time import transform_kernels
from sertool.core.models.band_linear import BANDS, BandLinear
from sertool.core.models.dual_path_head import FEATURE_STEP, LARGEST_GAIN, LEVEL_FRAMES, QUIETEST, DualPathHead


class FrozenDualPath(nn.Module):
    """Maps waveforms (B, S), and the encoder's features (B, T', D) where they are heard, to enhanced speech (B, S)."""

    def __init__(self, head: DualPathHead) -> None:
        super().__init__()
        self.causal = head.config.causal
        self.hear_features, self.blocks, self.norm = head.hear_features, head.blocks, head.norm
        self.split, self.widen, self.mask = (_Bands(layer) for layer in (head.split, head.widen, head.mask))
        analysis, synthesis = transform_kernels(head.window)
        window = head.window.detach().double().cpu()
        analysis = analysis - analysis.sum(1, keepdim=True) * window / window.sum()  # less its own level
        own = torch.cat([torch.arange(1, BINS + 1), torch.arange(1, BINS + 1) + BINS + 1])  # without bin 0
        unit = (WINDOW / 2) ** 0.5
        self.register_buffer("analysis", (analysis[own] / unit).float()[:, None])  # (2 · BINS, 1, WINDOW)
        self.register_buffer("synthesis", (synthesis[own] * unit).float()[:, None])
        self.register_buffer("outside", torch.zeros(1, WINDOW - 1))
        self.register_buffer("before", torch.zeros(1, 1, LEVEL_FRAMES - 1))
        self.register_buffer("together", torch.ones(1, 1, LEVEL_FRAMES))
        self.register_buffer("unmasked", torch.tensor([1.0, 0.0]))

    def forward(self, waveform: Tensor, features: Tensor | None, mean: Tensor, std: Tensor) -> Tensor:
        """Return it at the waveform's own level; mean and deviation are (B, 1), and the causal head does without."""
        # Frames reach at most a sample less than a window beyond the end; an incomplete one more is not made.
        centred = waveform if self.causal else waveform - mean
        outside = self.outside.expand(waveform.shape[0], -1)
        padded = torch.cat([outside[:, :STEP], centred, outside], dim=1)
        spectrum = F.conv1d(padded[:, None], self.analysis, stride=STEP)  # (B, 2 · F, T)
        level = self._running_level(spectrum) if self.causal else std[:, :, None]
        level = level.clamp(min=QUIETEST)
        # Not by unflatten, of which the exporter would keep the number of frames it was shown.
        pairs = torch.stack((spectrum / level).chunk(2, dim=1), dim=-1)  # (B, F, T, 2)
        noisy = _to_power(pairs.permute(2, 0, 1, 3), POWER)
        enhanced = _to_power(_product(self._mask(noisy, features), noisy), 1.0 / POWER)
        frames = enhanced.permute(1, 3, 2, 0).flatten(1, 2) * level  # (B, 2 · F, T)
        samples = F.conv_transpose1d(frames, self.synthesis, stride=STEP)[:, 0]
        return samples[:, STEP:][:, : waveform.shape[1]]

    def _mask(self, noisy: Tensor, features: Tensor | None) -> Tensor:
        """Return the mask (T, B, F, 2) of compressed spectra (T, B, F, 2)."""
        x = self.split(torch.cat([noisy, _power(noisy).sqrt()], dim=-1))  # (T, B, K, C)
        if self.hear_features is not None:
            nearest = (torch.arange(noisy.shape[0]) * STEP + FEATURE_STEP // 2) // FEATURE_STEP
            own = features[:, nearest.clamp(max=features.shape[1] - 1)].transpose(0, 1)
            x = x + self.hear_features(own).view_as(x)
        for block in self.blocks:
            x, _ = block(x, None, None)
        values = self.mask(F.gelu(self.widen(self.norm(x)))) + self.unmasked
        return values * (1.0 + (_power(values) / LARGEST_GAIN**2).pow(4)).pow(-0.125)

    def _running_level(self, spectrum: Tensor) -> Tensor:
        """Return the level of each frame of spectra (B, 2 · F, T) from it and those before, (B, 1, T)."""
        powers = spectrum.square().sum(1, keepdim=True) / BINS
        # How many frames there are so far is counted the same way.
        sums, counts = (self._over_last_frames(values) for values in (powers, torch.ones_like(powers)))
        return (sums / counts).sqrt()

    def _over_last_frames(self, values: Tensor) -> Tensor:
        """Return the sum of each value (B, 1, T) and those before it, at most LEVEL_FRAMES."""
        before = self.before.expand(values.shape[0], -1, -1)
        return F.conv1d(torch.cat([before, values], dim=2), self.together)


class _Bands(nn.Module):
    """A linear layer for each band, (T, B, F or K, inputs) to (T, B, K or F, outputs), whatever T and B are."""

    def __init__(self, layer: BandLinear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        layer, rows, start, parts = self.layer, x.flatten(0, 1), 0, []  # (N, F or K, inputs)
        for (count, width), weight, bias in zip(BANDS, layer.weights, layer.biases, strict=True):
            taken = count * width if layer.from_bins else count
            own = rows[:, start : start + taken].reshape(-1, count, weight.shape[1]).transpose(0, 1)
            product = (own @ weight + bias).transpose(0, 1)  # (N, count, fan_out)
            made = count if layer.to_bands else count * width
            parts.append(product.reshape(-1, made, layer.values))
            start += taken
        joined = torch.cat(parts, dim=1)
        return joined.reshape(x.shape[0], x.shape[1], joined.shape[1], layer.values)


def _power(pairs: Tensor) -> Tensor:
    """Return the squared magnitude of complex numbers (…, 2), (…, 1)."""
    return pairs.square().sum(-1, keepdim=True)


def _to_power(pairs: Tensor, exponent: float) -> Tensor:
    """Return complex numbers (…, 2) with their magnitudes raised to a power, phases kept; zero stays zero."""
    return pairs * _power(pairs).clamp(min=1e-24).pow((exponent - 1.0) / 2.0)


def _product(first: Tensor, second: Tensor) -> Tensor:
    """Return the products of complex numbers (…, 2)."""
    (a, b), (c, d) = first.split(1, dim=-1), second.split(1, dim=-1)
    return torch.cat([a * c - b * d, a * d + b * c], dim=-1)

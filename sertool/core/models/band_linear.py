"""Linear layers from bins to bands and back, with weights of their own for each band."""

import math

import torch
from torch import Tensor, nn

BANDS = ((16, 4), (8, 8), (8, 16))
"""Bands from the lowest up, as (how many, bins of each): 125 Hz to 2 kHz, 250 Hz to 4 kHz, 500 Hz to 8 kHz. Ours, near
those of band-split RNN (100, 250 and 500 Hz), with so few widths that bands of one width make one product."""


def num_bands() -> int:
    """Return how many bands there are."""
    return sum(count for count, _ in BANDS)


class BandLinear(nn.Module):
    """A linear layer for each band: from its bins to its channels, from its channels to bins, or between channels."""

    def __init__(self, inputs: int, outputs: int, *, to_bands: bool, whole_bands: bool = False) -> None:
        """Make the layers.

        Args:
            inputs: values of a bin, or with `whole_bands` or without `to_bands` of a band.
            outputs: values of a band, or without `to_bands` of a bin.
            to_bands: whether bands come out, or bins.
            whole_bands: whether bands go in although bands come out.
        """
        super().__init__()
        self.from_bins, self.to_bands = to_bands and not whole_bands, to_bands
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for count, width in BANDS:
            fan_in = inputs * width if self.from_bins else inputs
            fan_out = outputs if to_bands else outputs * width
            bound = 1.0 / math.sqrt(fan_in)
            self.weights.append(nn.Parameter(torch.empty(count, fan_in, fan_out).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.zeros(count, 1, fan_out)))
        self.values = outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, F, inputs) or (…, K, inputs) to (…, K, outputs) or (…, F, outputs)."""
        lead, start, parts = x.shape[:-2], 0, []
        x = x.flatten(0, -3)  # (N, F or K, inputs)
        for (count, width), weight, bias in zip(BANDS, self.weights, self.biases, strict=True):
            rows = count * width if self.from_bins else count
            own = x[:, start : start + rows].reshape(len(x), count, -1).transpose(0, 1)  # (count, N, fan_in)
            product = torch.baddbmm(bias, own, weight).transpose(0, 1)  # (N, count, fan_out)
            parts.append(product if self.to_bands else product.reshape(len(x), count * width, self.values))
            start += rows
        return torch.cat(parts, dim=1).view(*lead, -1, self.values)

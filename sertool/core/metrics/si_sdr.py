"""Scale-invariant signal-to-distortion ratio (SI-SDR; Le Roux et al., ICASSP 2019)."""

import torch
from torch import Tensor

RELIABLE_DB = 140.0
"""float32 samples are rounded to about -150 dB: beyond this ratio, either way, only rounding differs."""


def si_sdr(clean: Tensor, estimate: Tensor, lengths: Tensor) -> Tensor:
    """Return the SI-SDR of each pair in dB (Le Roux et al. 2019, eq. 3).

    Both signals are brought to zero mean first, as the definition assumes.

    Args:
        clean: the references, shape (N, S).
        estimate: the signals to score, shape (N, S).
        lengths: samples of each pair, shape (N,); what lies behind them does not count.

    Returns:
        Shape (N,). Infinity where a signal equals its reference up to scale; minus infinity where it has nothing of
        it; both from 140 dB on. NaN where a signal is silent.
    """
    inside = torch.arange(clean.shape[-1], device=clean.device) < lengths[:, None]  # (N, S)
    clean, estimate = (_centred(samples, inside, lengths) for samples in (clean, estimate))
    scale = _dot(estimate, clean) / _dot(clean, clean)  # (N,)
    residual = estimate - scale[:, None] * clean  # (N, S)
    target_energy, residual_energy = scale.square() * _dot(clean, clean), _dot(residual, residual)
    ratio = 10 * torch.log10(target_energy / residual_energy)  # (N,)
    unreliable = ratio.abs() >= RELIABLE_DB
    return torch.where(unreliable, torch.copysign(torch.full_like(ratio, torch.inf), ratio), ratio)


def _centred(samples: Tensor, inside: Tensor, lengths: Tensor) -> Tensor:
    samples = torch.where(inside, samples, 0.0)
    return samples.sub_(samples.sum(-1, keepdim=True) / lengths[:, None]).mul_(inside)


def _dot(first: Tensor, second: Tensor) -> Tensor:
    return torch.einsum("ns,ns->n", first, second)  # without the product in memory

"""The short-time spectrum and its inverse without complex numbers, which ONNX has not: as convolutions.

The numbers are those of `sertool.core.audio.spectra` but for rounding, for utterances that fill their rows.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def transform_kernels(window: Tensor) -> tuple[Tensor, Tensor]:
    """Return what a windowed frame is multiplied by to be transformed, and back.

    Args:
        window: (n_fft,), n_fft even.

    Returns:
        Twice (2 · bins, n_fft), float64, the rows of real parts first: a frame's spectrum is the first one times the
        frame; the windowed frame of a spectrum is that times the second one.
    """
    window = window.detach().double().cpu()
    n_fft, bins = len(window), len(window) // 2 + 1
    # In whole numbers modulo n_fft first: an angle of many turns would lose digits.
    turns = torch.arange(bins)[:, None] * torch.arange(n_fft) % n_fft
    angle = 2.0 * torch.pi * turns.double() / n_fft  # (bins, n_fft)
    # Of a real signal every bin but the first and the last stands for two, itself and its conjugate.
    share = torch.full((bins, 1), 2.0, dtype=torch.float64)
    share[0] = share[-1] = 1.0
    analysis = torch.cat([angle.cos(), -angle.sin()]) * window
    return analysis, torch.cat([share * angle.cos(), -share * angle.sin()]) * window / n_fft


class ShortTimeSpectrum(nn.Module):
    """Centred short-time spectra (B, 2 · bins, T) of waveforms (B, S), real parts first, then imaginary ones.

    A frame's discrete Fourier transform is 2 · bins products with windowed cosines and sines: a convolution with these
    as kernels, every `hop` samples. Ours is that it is no fast transform: with windows of 400 samples onnxruntime takes
    18 times as long for ONNX's own STFT (34 ms in place of 2 for 10 s of audio, one thread), which is less exact too.
    """

    def __init__(self, window: Tensor, hop: int) -> None:
        """Take a window (n_fft,), n_fft even, and the samples between frames, at most n_fft / 2."""
        super().__init__()
        self.n_fft, self.hop, self.bins = len(window), hop, len(window) // 2 + 1
        analysis, synthesis = transform_kernels(window)
        self.register_buffer("analysis", analysis.float()[:, None])  # (2 · bins, 1, n_fft)
        self.register_buffer("synthesis", synthesis.float()[:, None])
        self.register_buffer("squares", window.detach().cpu().square().float()[None, None])

    def forward(self, waveform: Tensor) -> Tensor:
        """Return the spectrum of waveforms (B, S), T = 1 + S // hop, frame t centred on sample t · hop."""
        return F.conv1d(self._reflected(waveform)[:, None], self.analysis, stride=self.hop)

    def inverse(self, spectrum: Tensor, num_samples: Tensor | int) -> Tensor:
        """Return the waveform (B, S) of a spectrum (B, 2 · bins, T) by weighted overlap-add."""
        summed = F.conv_transpose1d(spectrum, self.synthesis, stride=self.hop)[:, 0]
        envelope = F.conv_transpose1d(torch.ones_like(spectrum[:1, :1]), self.squares, stride=self.hop)[:, 0]
        waveform = summed / envelope.clamp(min=1e-8)
        return waveform[:, self.n_fft // 2 :][:, :num_samples]

    def _reflected(self, waveform: Tensor) -> Tensor:
        """Return waveforms continued by reflection at both ends; short ones are reflected again and again."""
        pad, samples = self.n_fft // 2, waveform.shape[1]
        period = (2 * torch.arange(samples)[-1:]).clamp(min=1)  # 2 (S - 1), of a length known only when it runs

        def mirrored(position: Tensor) -> Tensor:
            folded = position.remainder(period)
            return waveform[:, torch.minimum(folded, period - folded).clamp(max=samples - 1)]

        left, right = mirrored(torch.arange(-pad, 0)), mirrored(torch.arange(0, pad) + samples)
        return torch.cat([left, waveform, right], dim=1)


def magnitude(spectrum: Tensor) -> Tensor:
    """Return the magnitude (B, bins, T) of a spectrum (B, 2 · bins, T)."""
    real, imaginary = spectrum.chunk(2, dim=1)
    return (real.square() + imaginary.square()).sqrt()

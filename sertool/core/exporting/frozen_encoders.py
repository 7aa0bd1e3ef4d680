"""Encoders in a form that can be exported: the same modules, their forward pass in what ONNX has.

All utterances of a batch fill their rows, so there is no padding to be minded.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from sertool.core.audio.spectra import HOP
from sertool.core.errors import InputError
from sertool.core.exporting.short_time import ShortTimeSpectrum, magnitude
from sertool.core.models.adaptation import merge_adaptation, select_masks
from sertool.core.models.compact import CompactEncoder
from sertool.core.models.encoder import Encoder
from sertool.core.models.log_mel import LOG_CENTRE, LOG_FLOOR, LOG_SPREAD, LogMelEncoder
from sertool.core.models.masked_linear import MaskedLinear


class FrozenEncoder(nn.Module):
    """Maps waveforms at 16 kHz to hidden states (B, T, D), all of them utterances' own."""

    def forward(self, waveform: Tensor, mean: Tensor, std: Tensor) -> tuple[Tensor, ...]:
        """Return the L + 1 hidden states of waveforms (B, S) of this mean and deviation, each (B, 1)."""
        raise NotImplementedError


def frozen(encoder: Encoder, head: str) -> FrozenEncoder:
    """Return an encoder in its exported form, as one head hears it; the encoder itself stays as it is.

    Args:
        encoder: on the CPU, in evaluation mode.
        head: whose masks are to hold, where each head has its own.

    Raises:
        InputError: it is of a kind that has no such form yet.
    """
    encoder = copy.deepcopy(encoder)
    select_masks(encoder, head)
    for name, module in list(encoder.named_modules()):
        if isinstance(module, MaskedLinear):
            encoder.set_submodule(name, module.merged())
    merge_adaptation(encoder)
    if isinstance(encoder, CompactEncoder):
        return _FrozenCompact(encoder)
    if isinstance(encoder, LogMelEncoder):
        return _FrozenLogMel(encoder)
    # Imported here, so that a compact model does not wait for transformers to be imported.
    from sertool.core.models.ssl import SSLEncoder

    if isinstance(encoder, SSLEncoder):
        return _FrozenSSL(encoder)
    raise InputError(
        f"an encoder of the kind '{type(encoder).__name__}' cannot be exported to ONNX yet; expected a compact, "
        "log-mel or SSL one: export with --format hf"
    )


class _LogMel(nn.Module):
    """Log-mel energies at 100 Hz, (B, mels, T)."""

    def __init__(self, window: Tensor, filters: Tensor) -> None:
        super().__init__()
        self.spectrum = ShortTimeSpectrum(window, HOP)
        # As a kernel over one frame: a linear layer would be quantised with the others, and its range is too wide.
        self.register_buffer("filters", filters.detach().T[:, :, None] / self.spectrum.n_fft)

    def forward(self, waveform: Tensor) -> Tensor:
        energies = F.conv1d(magnitude(self.spectrum(waveform)).square(), self.filters)
        return (torch.log(energies + LOG_FLOOR) - LOG_CENTRE) / LOG_SPREAD


class _FrozenCompact(FrozenEncoder):
    def __init__(self, encoder: CompactEncoder) -> None:
        super().__init__()
        self.log_mel = _LogMel(encoder.window, encoder.mel_filters)
        self.front_end, self.layers, self.final_norm = encoder.front_end, encoder.layers, encoder.final_norm
        for layer in self.layers:
            layer.over_time = _OverTime(_Convolution(layer.over_time))

    def forward(self, waveform: Tensor, mean: Tensor, std: Tensor) -> tuple[Tensor, ...]:
        frames = self.log_mel((waveform - mean) / (std + 1e-7))
        x = F.gelu(self.front_end.first(frames))
        x = self.front_end.norm(self.front_end.second(x).transpose(1, 2))  # (B, T, D)
        states, everywhere = [x], torch.ones(())
        for layer in self.layers:
            x = layer(x, everywhere)
            states.append(x)
        states[-1] = self.final_norm(x)
        return tuple(states)


class _Convolution(nn.Module):
    """A convolution over time, (B, C, T) to (B, C', T'), its weights as they are now."""

    def __init__(self, convolution: nn.Conv1d) -> None:
        super().__init__()
        bias = convolution.bias
        self.register_buffer("weight", convolution.weight.detach())
        self.register_buffer("bias", None if bias is None else bias.detach())
        self.settings = {name: getattr(convolution, name) for name in ("stride", "padding", "dilation", "groups")}

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(x, self.weight, self.bias, **self.settings)


class _OverTime(nn.Module):
    """A convolution of frames (B, T, D)."""

    def __init__(self, convolution: _Convolution) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(x.transpose(1, 2)).transpose(1, 2)


class _FrozenLogMel(FrozenEncoder):
    def __init__(self, encoder: LogMelEncoder) -> None:
        super().__init__()
        self.log_mel = _LogMel(encoder.window, encoder.mel_filters)

    def forward(self, waveform: Tensor, mean: Tensor, std: Tensor) -> tuple[Tensor, ...]:
        frames = self.log_mel((waveform - mean) / (std + 1e-7)).transpose(1, 2)
        # Two adjacent frames side by side; an odd last one stands there twice.
        second = torch.cat([frames[:, 1:], frames[:, -1:]], dim=1)
        return (torch.cat([frames, second], dim=2)[:, ::2],)


class _FrozenSSL(FrozenEncoder):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        from sertool.core.exporting.position_bias import export_position_bias

        self.encoder, self.normalise = encoder, encoder.config.normalise
        self.register_buffer("silence", torch.zeros(1, encoder._shortest))
        export_position_bias(encoder)
        for name, module in list(encoder.named_modules()):
            if isinstance(module, nn.Conv1d) and parametrize.is_parametrized(module):
                # The weight norm of the position embedding; to remove it would remove it from the original's class.
                encoder.set_submodule(name, _Convolution(module))

    def forward(self, waveform: Tensor, mean: Tensor, std: Tensor) -> tuple[Tensor, ...]:
        if self.normalise:
            waveform = (waveform - mean) / torch.sqrt(std.square() + 1e-7)
        # Lengthened to one frame of the convolutions; of longer ones, nothing is left of this silence.
        silence = self.silence[:, waveform.shape[1] :].expand(waveform.shape[0], -1)
        x = torch.cat([waveform, silence], dim=1)[:, None]
        for layer in self.encoder.feature_extractor.conv_layers:
            x = layer(x)
        return self.encoder._transformed(x.transpose(1, 2), None, None)

"""The parts of self-supervised encoders that would hear the padding of a batch, so that they do not.

Two of them do in `transformers`: the group norm of the first convolution of the "base" models, whose statistics are
taken over the whole padded row; and the five positional convolutions of data2vec, of which all but the first see what
the one before it made of padded frames. The same computations are here confined to each utterance's own frames. The
modules, their names and their weights are those of `transformers`.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sertool.core.audio.spectra import frame_mask


def at_least(waveform: Tensor, lengths: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Return waveforms (B, S) of which each is at least so many samples long, by zeros at its end, and the lengths."""
    # What lies behind an utterance's end becomes its own where it is lengthened.
    waveform = waveform * frame_mask(lengths, waveform.shape[1])
    return F.pad(waveform, (0, max(0, samples - waveform.shape[1]))), lengths.clamp(min=samples)


def convolved(extractor: nn.Module, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features of the convolutional front end, and how many are each utterance's own.

    Args:
        extractor: `feature_extractor` of a model of `transformers`.
        waveform: (B, S), S at least the receptive field.
        lengths: samples of each utterance, (B,), likewise.

    Returns:
        (B, T, C), arbitrary in the padding; and (B,).
    """
    if waveform.device.type != "cpu":
        return _convolved_together(extractor, waveform, lengths)
    # On a CPU a batch saves no time here, and another width or batch size is another kernel of torch's, whose other
    # order of additions differs by rounding. Where features are small, the norm behind them enlarges that up to a
    # thousandfold. By itself, an utterance has the very features that it has alone.
    rows, width, frame_lengths = [], waveform.shape[1], lengths
    for layer in extractor.conv_layers:
        width, frame_lengths = (_convolved_length(layer, length) for length in (width, frame_lengths))
    for row, own in enumerate(lengths.tolist()):
        features, _ = _convolved_together(extractor, waveform[row : row + 1, :own], lengths[row : row + 1])
        rows.append(F.pad(features, (0, 0, 0, width - features.shape[1])))
    return torch.cat(rows), frame_lengths


def _convolved_together(extractor: nn.Module, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    padded = bool((lengths < waveform.shape[1]).any())
    x = waveform[:, None]  # (B, 1, S)
    for layer in extractor.conv_layers:
        lengths = _convolved_length(layer, lengths)
        norm = getattr(layer, "layer_norm", None)
        if padded and isinstance(norm, nn.GroupNorm):
            x = layer.activation(masked_group_norm(norm, layer.conv(x), lengths))
        else:
            x = layer(x)
    return x.transpose(1, 2), lengths


def _convolved_length(layer: nn.Module, length: Any) -> Any:
    return (length - layer.conv.kernel_size[0]) // layer.conv.stride[0] + 1


def masked_group_norm(norm: nn.GroupNorm, x: Tensor, lengths: Tensor) -> Tensor:
    """Normalise each channel over an utterance's own frames (Wu & He 2018, eq. 2–6, with one channel a group).

    Args:
        norm: as many groups as channels.
        x: (B, C, T).
        lengths: frames of each utterance, (B,).

    Returns:
        (B, C, T), computed in float32 at least, and left so under autocast; arbitrary in the padding.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    result = wide if torch.is_autocast_enabled(x.device.type) else x.dtype
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(wide)
        own = frame_mask(lengths, x.shape[2])[:, None]  # (B, 1, T)
        count = lengths[:, None, None].to(x.dtype)
        centred = (x - (x * own).sum(2, keepdim=True) / count) * own
        variance = centred.square().sum(2, keepdim=True) / count
        scale = torch.rsqrt(variance + norm.eps) * norm.weight[:, None]
        return (centred * scale + norm.bias[:, None]).to(result)


def positional(embedding: nn.Module, hidden: Tensor, own: Tensor | None) -> Tensor:
    """Return the convolutional position embedding of hidden states.

    Args:
        embedding: `encoder.pos_conv_embed` of a model of `transformers`.
        hidden: (B, T, D), zero in the padding.
        own: which frames are an utterance's own, (B, T, 1); None where all are.

    Returns:
        (B, T, D), arbitrary in the padding.
    """
    batch_norm = getattr(embedding, "batch_norm", None)
    if own is None or not (batch_norm is not None or hasattr(embedding, "layers")):
        return embedding(hidden)  # one convolution, which sees zeros behind the end as it would alone
    x, own = hidden.transpose(1, 2), own.transpose(1, 2)
    if batch_norm is not None:
        return embedding.activation(embedding.padding(embedding.conv(batch_norm(x) * own))).transpose(1, 2)
    for layer in embedding.layers:
        x = layer(x) * own
    return x.transpose(1, 2)

"""Samples as callers have them, arrays or torch tensors on any device; and results given back in the same kind."""

import math
import numbers
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sertool.core.audio.blocks import (
    HIGHEST_RATE,
    LOUDEST,
    LOWEST_RATE,
    MOST_CHANNELS,
    ArraySource,
    AudioSource,
    FileSource,
)
from sertool.core.errors import AudioError, InputError

Samples = np.ndarray | Tensor | Sequence[float]
"""Samples in memory, shape (S,) or (S, channels), floating point, nominally in [-1, 1]."""

Audio = Samples | Path | str | AudioSource
"""What may be listened to: samples in memory, an audio file's name, or a source."""

FEW_CHANNELS = 8
"""Samples with more channels than this, and more channels than samples, are taken for (channels, S), which torchaudio
uses and sertool does not (ours)."""


def as_source(samples: Audio, rate: int | None) -> AudioSource:
    """Return samples, or the file of a name, as a source; a source as it is.

    Args:
        samples: in memory; or an audio file's name; or a source.
        rate: of samples in memory, in Hz; a file and a source state their own, and it is not looked at.

    Raises:
        InputError: the samples or their rate cannot be used.
    """
    if hasattr(samples, "blocks"):
        return samples
    if isinstance(samples, str | Path):
        return FileSource(samples)
    return ArraySource(as_array(samples), checked_rate(rate))


def as_array(samples: Samples) -> np.ndarray:
    """Return samples in memory as an array, float32, shape (S,) or (S, channels); nothing is copied needlessly.

    Raises:
        AudioError: as `as_floats`; or they have another shape.
    """
    array = as_floats(samples)
    _check_shape(array.shape)
    return array


def as_floats(samples: Samples) -> np.ndarray:
    """Return samples in memory as an array, float32, of whatever shape; nothing is copied needlessly.

    Raises:
        AudioError: they are no floating point, or some are not finite numbers or beyond all measure.
    """
    array = samples.detach().cpu() if isinstance(samples, Tensor) else _numpy(samples)
    floating = array.is_floating_point() if isinstance(array, Tensor) else array.dtype.kind == "f"
    if not floating:
        kind = str(array.dtype).removeprefix("torch.")
        # Of other kinds a divisor would mislead: bytes have an offset, and a list of whole numbers is of 64 bits.
        scale = {"int16": 2**15, "int32": 2**31}.get(kind)
        remedy = f"divide them by {scale}" if scale else "convert them to float32"
        raise AudioError(f"samples are {kind}; expected floating point, nominally in [-1, 1]: {remedy}")
    array = array.float().numpy() if isinstance(array, Tensor) else array.astype(np.float32, copy=False)
    loudest = np.abs(array).max(initial=0.0)
    if not np.isfinite(loudest):
        raise AudioError("some samples are not numbers (NaN or infinite); expected finite ones: mend them first")
    if loudest > LOUDEST:
        raise AudioError(f"samples reach {loudest:g}; expected about -1 to 1: scale them first")
    return array


def checked_rate(rate: Any) -> int:
    """Return a rate in Hz.

    Raises:
        InputError: none was given, or it is no rate audio may have.
    """
    if rate is None:
        raise InputError(
            "the rate of the samples was not given; expected it in Hz beside them, as in enhance(samples, 16_000): "
            "say it (a file states its own)"
        )
    if isinstance(rate, bool) or not isinstance(rate, numbers.Real) or not math.isfinite(rate):
        raise InputError(f"the rate of the samples is {rate!r}; expected a number of Hz: give one, as 16_000")
    if rate != int(rate) or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise InputError(
            f"the rate of the samples is {rate} Hz; expected a whole number from {LOWEST_RATE} to {HIGHEST_RATE}: "
            "give the rate they were recorded at"
        )
    return int(rate)


def in_kind_of(samples: Any, result: np.ndarray) -> np.ndarray | Tensor:
    """Return a result as a tensor of the samples' type on their device where these are a tensor; else as it is."""
    if not isinstance(samples, Tensor):
        return result
    return torch.from_numpy(np.ascontiguousarray(result)).to(dtype=samples.dtype, device=samples.device)


def in_shape_of(samples: Any, result: np.ndarray) -> np.ndarray | Tensor:
    """Return enhanced samples (S, channels) in the shape and kind of those in memory they were made of."""
    in_memory = not hasattr(samples, "blocks") and not isinstance(samples, str | Path)
    return in_kind_of(samples, result.reshape(np.shape(samples)) if in_memory else result)


def _numpy(samples: Any) -> np.ndarray:
    try:
        return np.asarray(samples)
    except (ValueError, TypeError) as error:
        raise AudioError(
            "samples are a list of several lengths; expected one utterance, (S,) or (S, channels): give them one by "
            "one, or all to predict_many"
        ) from error


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) not in (1, 2) or 0 in shape:
        raise AudioError(
            f"samples have the shape {shape}; expected (S,) or (S, channels), S at least 1: check the array"
        )
    length, channels = shape if len(shape) == 2 else (shape[0], 1)
    if channels > max(length, FEW_CHANNELS) or channels > MOST_CHANNELS:
        raise AudioError(
            f"samples have the shape {shape}, which is {channels} channels of {length} samples; expected "
            f"(S, channels), at most {MOST_CHANNELS} of them: transpose (channels, S) with .T"
        )

"""Streaming enhancement: samples in, enhanced samples out, block by block, those of the whole signal at once."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from sertool.core.audio.compressed_spectra import (
    STEP,
    WINDOW,
    analyse_frames,
    compress,
    expand,
    overlap_add,
    synthesise_frames,
)
from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.errors import InputError
from sertool.core.models.array_types import as_floats
from sertool.core.models.dual_path_head import QUIETEST, DualPathHead, top_octave_gain
from sertool.core.models.shared import SharedModel

LATENCY = WINDOW
"""Samples that must have come in before an enhanced one goes out, itself among them: at most so many, 32 ms."""

LATENCY_MS = 1000.0 * LATENCY / SAMPLE_RATE

MOST_FRAMES = 1000
"""Frames enhanced at once, 16 s, however much is pushed: memory stays bounded."""


class EnhancementStream:
    """Enhances a signal at 16 kHz as it comes in; every channel by itself. One thread at a time may use it.

    What comes out is what `SharedModel.estimate` makes of the whole signal, but for rounding, however the signal is
    cut into blocks. It comes in steps of 16 ms: after N samples, 256 · (N // 256 - 1) have come out.
    """

    def __init__(
        self,
        model: SharedModel,
        channels: int | None = None,
        *,
        turn: Callable[[], AbstractContextManager] = nullcontext,
    ) -> None:
        """Begin a stream.

        Args:
            model: with a causal enhancement head, in evaluation mode.
            channels: of the signal, whose blocks then are (n, channels); None for blocks (n,).
            turn: gives a lock to hold while the model computes.

        Raises:
            InputError: the model's enhancement head is not causal, or it has none.
        """
        head = model.enhancement_head
        if not isinstance(head, DualPathHead) or not head.config.causal:
            raise InputError(
                "this model cannot enhance a stream, since it hears what comes after; expected a causal head: train "
                "one with enhancement.dual_path.causal, or enhance whole recordings"
            )
        self._head, self._turn, self.channels = head, turn, channels
        self._begin()

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take the next samples, (n,) or (n, channels), n at least 0; return those that are enhanced by now.

        Raises:
            InputError: they are no floating point, or not finite; the stream then is as it was before.
        """
        return self.hear(samples)[0]

    def flush(self) -> np.ndarray:
        """End the signal and return what is left of it, so that as many samples have come out as went in.

        The stream then is at the beginning of another signal.
        """
        return self.finish()[0]

    def hear(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Do as `push`, and return besides what the mask leaves of the top octave at every sample, 0 to 1."""
        samples = as_floats(samples)
        expected = 1 if self.channels is None else 2
        if samples.ndim != expected or (self.channels is not None and samples.shape[1] != self.channels):
            shape = "(n,)" if self.channels is None else f"(n, {self.channels})"
            raise ValueError(f"a block has the shape {samples.shape}: this stream takes {shape}")
        self._taken += len(samples)
        # Copied: the caller may fill the same array again, and torch takes none that runs backwards.
        rows = np.array(samples.reshape(len(samples), len(self._waiting)).T, order="C")  # (B, n)
        rows = torch.from_numpy(rows).to(self._waiting.device)
        return self._advance(torch.cat([self._waiting, rows], dim=1))

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Do as `flush`, and return besides what `hear` does."""
        rest = self._taken - self._given
        frames = 1 + -(-self._taken // STEP)  # those of the whole signal
        missing = (frames + 1) * STEP - (self._taken + STEP)
        silence = self._waiting.new_zeros(len(self._waiting), missing)
        speech, gains = self._advance(torch.cat([self._waiting, silence], dim=1))
        self._begin()
        return speech[:rest], gains[:rest]

    def _begin(self) -> None:
        """Forget everything: half a window of silence lies before the first sample, as in `analyse`."""
        batch, window = self.channels or 1, self._head.window
        self._waiting = window.new_zeros(batch, STEP)
        self._tail = window.new_zeros(batch, STEP)
        self._gain: Tensor | None = None
        self._powers: Tensor | None = None
        self._states = None
        self._taken = self._given = 0

    @torch.inference_mode()
    def _advance(self, signal: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Enhance all whole windows in a signal (B, S), keep what is left of it, and return what is complete."""
        speech, gains = [], []
        frames = max(0, signal.shape[1] // STEP - 1)
        for first in range(0, frames, MOST_FRAMES):
            last = min(first + MOST_FRAMES, frames)
            with self._turn():
                part = self._enhance(signal[:, first * STEP : (last + 1) * STEP].unfold(1, WINDOW, STEP))
            for parts, one in zip((speech, gains), part, strict=True):
                parts.append(one)
        self._waiting = signal[:, frames * STEP :].clone()
        empty = signal.new_zeros(len(signal), 0)
        out = tuple(self._shaped(torch.cat([empty, *parts], dim=1)) for parts in (speech, gains))
        self._given += len(out[0])
        return out

    def _enhance(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the samples that windows (B, T, WINDOW) complete, and their gains, (B, n)."""
        head = self._head
        spectrum = analyse_frames(frames, head.window)
        level, self._powers = head.running_level(spectrum, self._powers)
        level = level.clamp(min=QUIETEST)
        noisy = compress(spectrum / level)
        mask, self._states = head.mask_of(noisy, None, None, self._states)
        enhanced = mask * noisy
        samples = overlap_add(synthesise_frames(expand(enhanced) * level, head.window))
        samples[:, :STEP] += self._tail
        self._tail = samples[:, -STEP:].clone()
        gain = top_octave_gain(noisy, enhanced)  # (B, T)
        begins = self._gain is None
        known = gain if begins else torch.cat([self._gain, gain], dim=1)
        self._gain = gain[:, -1:]
        steps = torch.arange(STEP, device=gain.device) / STEP
        gains = (known[:, :-1, None] + known.diff(dim=1)[:, :, None] * steps).flatten(1)
        # The first frame completes nothing but the silence before the signal.
        return samples[:, STEP if begins else 0 : -STEP], gains

    def _shaped(self, rows: Tensor) -> np.ndarray:
        samples = rows.T.float().cpu().numpy()
        return np.ascontiguousarray(samples[:, 0] if self.channels is None else samples)

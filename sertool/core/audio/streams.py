"""Audio of any length as the models hear it: surveyed once, then cut into blocks with context, or into windows."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from sertool.core.audio.blocks import AudioSource, RateConverter
from sertool.core.audio.files import SAMPLE_RATE

ALIGNMENT = 320
"""Blocks begin at multiples of this many samples, so that their frames (every 160 and 320) are those of the whole."""

BLOCK = 1500 * ALIGNMENT
"""Samples of a block's own stretch: 30 s."""

FADE = 50 * ALIGNMENT
"""Samples over which one block fades into the next, half of them on either side of where they meet: 1 s."""


@dataclass(frozen=True)
class Survey:
    """What a first pass over a source finds, each channel by itself.

    Attributes:
        frames: samples of a channel at the source's own rate.
        heard: samples of a channel at 16 kHz, at least 1.
        mean: at 16 kHz, (channels,), float64.
        std: at 16 kHz, (channels,), float64.
        silent: which channels are zero throughout, (channels,).
    """

    frames: int
    heard: int
    mean: np.ndarray
    std: np.ndarray
    silent: np.ndarray


@dataclass(frozen=True)
class Block:
    """A stretch of a signal, with its context.

    Attributes:
        samples: (N, channels), context included.
        begin: where the first of them lies in the signal, a multiple of ALIGNMENT.
        start: where the block's own stretch begins in the signal, a multiple of ALIGNMENT.
        stop: where it ends: where the next one begins, or with the signal.
        last: whether the signal ends with it.
    """

    samples: np.ndarray
    begin: int
    start: int
    stop: int
    last: bool

    def own(self, step: int = 1) -> slice:
        """Return which of the frames computed from `samples`, one every `step` samples, are the block's own.

        Frames are counted from the block's first sample; those of the last block go on to its end.
        """
        return slice((self.start - self.begin) // step, None if self.last else (self.stop - self.begin) // step)


def heard(source: AudioSource, *, mono: bool = False) -> Iterator[np.ndarray]:
    """Yield a source as the models hear it: blocks (n, channels) at 16 kHz, channels averaged if `mono`."""
    converter = RateConverter(source.rate, SAMPLE_RATE, 1 if mono else source.channels)
    first, total = None, 0
    for block in source.blocks():
        block = block.mean(axis=1, keepdims=True) if mono else block
        first = block[:1] if first is None else first
        converted = converter.push(block)
        total += len(converted)
        yield converted
    rest = converter.finish()
    # A file of a sample or two rounds to nothing at a lower rate; it still is an utterance.
    yield rest if total + len(rest) else first


def survey(source: AudioSource, *, mono: bool = False) -> Survey:
    """Go through a source once: its length, its statistics, and every fault its reader notices."""
    counted = _Counted(source)
    total, sums, squares, peaks = 0, 0.0, 0.0, 0.0
    for block in heard(counted, mono=mono):
        total += len(block)
        exact = block.astype(np.float64)
        sums, squares = sums + exact.sum(axis=0), squares + np.square(exact).sum(axis=0)
        peaks = np.maximum(peaks, np.abs(block).max(axis=0, initial=0.0))
    mean = sums / total
    std = np.sqrt(np.maximum(squares / total - mean**2, 0.0))
    return Survey(frames=counted.frames, heard=total, mean=mean, std=std, silent=peaks == 0)


def in_blocks(chunks: Iterable[np.ndarray], *, context: int, block: int = BLOCK) -> Iterator[Block]:
    """Cut a stream into blocks with context on either side, less where the stream begins and ends.

    The last block's own stretch is what is left: at most `block + context` samples, and where there are several blocks
    more than `context`.

    Args:
        chunks: (n, channels) each.
        context: samples, a multiple of ALIGNMENT.
        block: samples of a block's own stretch, a multiple of ALIGNMENT.
    """
    pending, start = Pending(), 0
    for chunk in chunks:
        pending.append(chunk)
        while pending.stop > start + block + context:
            samples = pending.rows(pending.begin, start + block + context)
            yield Block(samples, pending.begin, start, start + block, last=False)
            start += block
            pending.forget(start - context)
    yield Block(pending.rows(pending.begin, pending.stop), pending.begin, start, pending.stop, last=True)


def joined(
    blocks: Iterable[Block], function: Callable[[Block], np.ndarray], *, step: int = 1, fade: int = FADE
) -> Iterator[np.ndarray]:
    """Compute frames of blocks, and yield them as one stream in which each block fades into the next.

    Args:
        blocks: as `in_blocks` yields them, with more context than half the fade.
        function: maps a block to its frames (T, columns), one every `step` samples from its first.
        step: samples between frames.
        fade: samples over which the weight of the next block rises linearly from 0 to 1, a multiple of 2 * step.
    """
    length, half = fade // step, fade // step // 2
    rising = ((np.arange(length, dtype=np.float32) + 0.5) / max(length, 1))[:, None]
    before = None
    for block in blocks:
        frames, own = function(block), block.own(step)
        start = own.start
        if before is not None:
            entering = frames[start - half : start - half + length]
            yield (1.0 - rising) * before + rising * entering
            start += length - half
        if block.last:
            yield frames[start:]
        else:
            yield frames[start : own.stop - half]
            before = frames[own.stop - half : own.stop - half + length]


def windows(
    chunks: Iterable[np.ndarray], *, window: int, hop: Callable[[int], int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Cut a stream into windows of equal length; the last one ends with the stream, wherever it then begins.

    Args:
        chunks: (n, …) each.
        window: samples of a window; a shorter stream is one window of its own length.
        hop: maps 0, 1, 2 … to where that window begins.

    Yields:
        Each window's first sample, and its samples.
    """
    pending, index, covered = Pending(), 0, 0
    for chunk in chunks:
        pending.append(chunk)
        while pending.stop >= (start := hop(index)) + window:
            yield start, pending.rows(start, start + window)
            index, covered = index + 1, start + window
            # What the last window may need is kept, too.
            pending.forget(min(hop(index), pending.stop - window))
    if covered < pending.stop:
        start = max(0, pending.stop - window)
        yield start, pending.rows(start, pending.stop)


class Pending:
    """The rows of a stream that are still needed, by their place in it.

    Attributes:
        begin: place of the first row kept.
        stop: place after the last row so far.
    """

    def __init__(self, source: Iterable[np.ndarray] = ()) -> None:
        self.begin = self.stop = 0
        self._source = iter(source)
        self._arrays: list[np.ndarray] = []

    def append(self, rows: np.ndarray) -> None:
        """Add the rows that follow."""
        if len(rows) or not self._arrays:
            self._arrays.append(rows)
            self.stop += len(rows)

    def read_to(self, stop: int) -> None:
        """Add rows from the source until it reaches a place, or ends."""
        while self.stop < stop and (rows := next(self._source, None)) is not None:
            self.append(rows)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return the rows between two places, none of which is forgotten."""
        if len(self._arrays) > 1:
            self._arrays = [np.concatenate(self._arrays)]
        return self._arrays[0][start - self.begin : stop - self.begin]

    def forget(self, before: int) -> None:
        """Let go of the rows before a place, if they are still kept."""
        if before > self.begin:
            # Copied: a view would keep alive what is to be forgotten.
            self._arrays = [self.rows(before, self.stop).copy()]
            self.begin = before


class _Counted:
    """A source that counts the frames that are read of it."""

    def __init__(self, source: AudioSource) -> None:
        self.rate, self.channels, self.frames = source.rate, source.channels, 0
        self._source = source

    def blocks(self) -> Iterator[np.ndarray]:
        for block in self._source.blocks():
            self.frames += len(block)
            yield block

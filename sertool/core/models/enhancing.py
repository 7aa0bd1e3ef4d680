"""From what the model makes of 16 kHz speech back to a recording: its rate, its length, its upper band."""

from collections.abc import Iterable, Iterator

import numpy as np

from sertool.core.audio.blocks import AudioSource, RateConverter
from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.audio.streams import Pending, Survey
from sertool.core.models.upper_band import UpperBand

Piece = tuple[np.ndarray, np.ndarray, np.ndarray]
"""What was heard, the enhanced speech, and the gain of the top octave: three times (n, channels) at 16 kHz."""


def at_own_rate(
    pieces: Iterable[Piece], source: AudioSource, found: Survey, *, dry: float, upper_band: UpperBand
) -> Iterator[np.ndarray]:
    """Yield the enhanced recording block by block, float32, (n, channels), as many frames as the source has.

    Args:
        pieces: the enhanced speech at 16 kHz, in order.
        source: the recording.
        found: its survey.
        dry: share of the original in the result, 0 to 1.
        upper_band: what it holds above 8 kHz.
    """
    follow = upper_band is UpperBand.FOLLOW and source.rate > SAMPLE_RATE
    originals = Pending(source.blocks() if follow or dry else ())
    done = 0
    for block in _resampled(pieces, source.rate, found.frames, with_gains=follow):
        if not len(block):  # a few samples at a high rate are none at 16 kHz
            continue
        start, done = done, done + len(block)
        if follow or dry:
            originals.read_to(done)
            original = originals.rows(start, done)
            originals.forget(done)
        if follow:
            heard, block, gains = np.split(block, 3, axis=1)
            # What resampling to 16 kHz and back takes away is what lies above, aligned to the sample.
            block = block + np.clip(gains, 0.0, 1.0) * (original - heard)
        block = np.where(found.silent, np.float32(0.0), block)
        yield ((1.0 - dry) * block + dry * original).astype(np.float32, copy=False) if dry else block


def _resampled(pieces: Iterable[Piece], rate: int, frames: int, *, with_gains: bool) -> Iterator[np.ndarray]:
    """Yield pieces at another rate, `frames` rows in all: the enhanced columns, or all three one beside the other."""
    converter, done, width = None, 0, 0
    for piece in pieces:
        columns = np.concatenate(piece, axis=1) if with_gains else piece[1]
        if converter is None:
            width = columns.shape[1]
            converter = RateConverter(SAMPLE_RATE, rate, width)
        # A second at a time: at 192 kHz and six channels a whole piece would be large.
        for start in range(0, len(columns), SAMPLE_RATE):
            block = converter.push(columns[start : start + SAMPLE_RATE])[: frames - done]
            done += len(block)
            yield block
    rest = converter.finish()[: frames - done]
    yield rest
    # Resampling there and back may round the length by a sample or two.
    yield np.zeros((frames - done - len(rest), width), np.float32)

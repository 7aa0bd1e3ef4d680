"""Signals of any length through the dual-path head in constant memory.

A causal head streams: the samples are those of one pass, but for rounding. A head that hears both ways goes through
blocks of 30 s, standardised with the statistics of the whole signal, with at least CONTEXT on either side, each fading
into the next within a second: far from either end a frame remembers next to nothing of what lies 8 s away. On 46 s of
noisy speech, by a head trained for some 500 updates, blocks and one pass differed by at most -86 dB of the peak.
"""

import math
from collections.abc import Iterator

import numpy as np

from sertool.core.audio.blocks import AudioSource
from sertool.core.audio.compressed_spectra import STEP
from sertool.core.audio.streams import ALIGNMENT, Block, Pending, Survey, heard, in_blocks, joined
from sertool.core.models.enhancing import Piece
from sertool.core.models.long_signals import CONTEXT, Turn, as_batch, encoder_context, gain_per_sample, level_of
from sertool.core.models.shared import SharedModel
from sertool.core.models.streaming import EnhancementStream

BOTH_STEPS = math.lcm(ALIGNMENT, STEP)
"""Blocks begin at multiples of so many samples, so that frames lie where those of the whole signal do."""


def long_dual_path(model: SharedModel, source: AudioSource, found: Survey, turn: Turn) -> Iterator[Piece]:
    """Yield what `long_enhanced` does, by a dual-path head."""
    if model.enhancement_head.config.causal:
        return _streamed(model, source, turn)
    return _in_overlapping_blocks(model, source, found, turn)


def _streamed(model: SharedModel, source: AudioSource, turn: Turn) -> Iterator[Piece]:
    stream, originals, done = EnhancementStream(model, source.channels, turn=turn), Pending(), 0

    def piece(speech: np.ndarray, gains: np.ndarray) -> Piece:
        nonlocal done
        start, done = done, done + len(speech)
        original = originals.rows(start, done)
        originals.forget(done)
        return original, speech, gains

    for samples in heard(source):
        originals.append(samples)
        yield piece(*stream.hear(samples))
    yield piece(*stream.finish())


def _in_overlapping_blocks(model: SharedModel, source: AudioSource, found: Survey, turn: Turn) -> Iterator[Piece]:
    device = model.window.device
    levels = [level_of(found, channel, device) for channel in range(len(found.mean))]
    context = CONTEXT + (encoder_context(model) if model.config.enhancement.hears_encoder else 0)
    context = math.ceil(context / BOTH_STEPS) * BOTH_STEPS

    def compute(block: Block) -> np.ndarray:
        speech, gains = [], []
        for channel, level in enumerate(levels):
            waveform, lengths = as_batch(block.samples[:, channel], device)
            with turn():
                found_here = model.estimate(waveform, lengths, level)
            speech.append(found_here.waveform[0].float().cpu().numpy())
            gains.append(gain_per_sample(found_here.top_octave_gain[0], waveform, found_here.gain_hop))
        return np.column_stack([block.samples, *speech, *gains])

    for columns in joined(in_blocks(heard(source), context=context), compute):
        original, speech, gains = np.split(columns, 3, axis=1)
        yield original, speech, gains

"""Signals of any length through a shared model in constant memory, with the result of one pass over the whole.

Every block is standardised with the statistics of the whole signal. The encoder hears a block with as much context as
reaches its frames. An encoder that attends to all of its input gets CONTEXT, and one block's features fade into the
next one's: they are as many as those of one pass, and lie where those lie, but attention, and the group norm of the
base models, take in a block with its context in place of the whole. The enhancement head's recurrent layers remember
without limit, so their input is kept in a temporary file (0.18 GB an hour and channel at the usual size) and gone
through in both directions.
"""

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import numpy as np
import torch
from torch import Tensor

from sertool.core.audio.blocks import AudioSource
from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.audio.spectra import HOP, Statistics
from sertool.core.audio.streams import ALIGNMENT, BLOCK, FADE, Block, Pending, Survey, heard, in_blocks, joined
from sertool.core.errors import OutputError
from sertool.core.models.blockwise_lstm import BlockwiseLSTM
from sertool.core.models.running_pooling import running
from sertool.core.models.shared import SharedModel

ONE_PASS = 40 * SAMPLE_RATE
"""Signals of up to so many samples at 16 kHz, 40 s, are heard at once."""

CONTEXT = 8 * SAMPLE_RATE
"""Samples on either side of a block for an encoder whose frames depend on all of its input."""

SYNTHESIS_CONTEXT = 2 * ALIGNMENT
"""Samples on either side of a block for a short-time spectrum and its inverse: more than a window of 400."""

CHUNK_FRAMES = BLOCK // HOP
"""Frames the recurrent layers go through at once."""

Turn = Callable[[], AbstractContextManager]
"""Gives a lock to hold while the model computes."""


def encoder_context(model: SharedModel) -> int:
    """Return how many samples of context blocks need, a multiple of ALIGNMENT."""
    reach = model.encoder.reach
    needed = CONTEXT if reach is None else reach + FADE // 2
    return math.ceil(needed / ALIGNMENT) * ALIGNMENT


def level_of(found: Survey, channel: int, device: torch.device) -> Statistics:
    """Return the statistics of a channel as the model takes them."""
    mean, std = torch.tensor([found.mean[channel], found.std[channel]], dtype=torch.float32, device=device)
    return Statistics(mean=mean.view(1, 1), std=std.view(1, 1))


@torch.inference_mode()
def long_features(
    model: SharedModel, source: AudioSource, found: Survey, turn: Turn, *, layer: int | None, head: str
) -> Iterator[np.ndarray]:
    """Yield the features (n, D) of a long signal, channels averaged; see `SharedModel.features`."""
    device = model.window.device
    statistics = level_of(found, 0, device)

    def compute(block: Block) -> np.ndarray:
        waveform, lengths = as_batch(block.samples[:, 0], device)
        with turn():
            features, _ = model.features(waveform, lengths, layer=layer, head=head, statistics=statistics)
        return features[0].float().cpu().numpy()

    blocks = in_blocks(heard(source, mono=True), context=encoder_context(model))
    yield from joined(blocks, compute, step=ALIGNMENT)


@torch.inference_mode()
def long_judgement(
    model: SharedModel, source: AudioSource, found: Survey, turn: Turn
) -> tuple[Tensor | None, Tensor | None]:
    """Return the class logits (1, C) and attributes (1, A) of a long signal, channels averaged."""
    with turn():
        pooling = running(model.emotion_head.pooling, frames_of(model, found.heard))
    for features in long_features(model, source, found, turn, layer=None, head="emotion"):
        with turn():
            pooling.add(torch.from_numpy(features).to(model.window.device))
    with turn():
        return model.emotion_head.judge(pooling.pooled())


@torch.inference_mode()
def frames_of(model: SharedModel, samples: int) -> int:
    """Return how many frames one pass over so many samples at 16 kHz, four times ALIGNMENT or more, would give."""
    # Every ALIGNMENT samples more make one frame more, whichever encoder it is: a few samples tell the rest.
    more = samples // ALIGNMENT - 4
    waveform, lengths = as_batch(np.zeros(samples - more * ALIGNMENT), model.window.device)
    return more + int(model.features(waveform, lengths)[1])


@torch.inference_mode()
def long_enhanced(
    model: SharedModel, source: AudioSource, found: Survey, turn: Turn
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield what was heard of a long signal, its enhanced speech, both (n, channels) at 16 kHz, and the gains.

    The gains are those of `EnhancedSpeech.top_octave_gain`, brought to 16 kHz, (n, channels).
    """
    device = model.window.device
    levels = [level_of(found, channel, device) for channel in range(len(found.mean))]
    with ExitStack() as stack:
        stores = [stack.enter_context(_FrameStore()) for _ in levels]
        _store_recurrent_input(model, source, levels, stores, turn)
        masks = [Pending(_masks(model, store, turn)) for store in stores]
        for block in in_blocks(heard(source), context=SYNTHESIS_CONTEXT):
            first = block.begin // HOP
            stop = first + 1 + len(block.samples) // HOP
            columns = []
            for channel, (level, mask) in enumerate(zip(levels, masks, strict=True)):
                waveform, lengths = as_batch(block.samples[:, channel], device)
                mask.read_to(stop)
                frames = torch.from_numpy(mask.rows(first, stop)).to(device)[None]
                mask.forget((block.stop - SYNTHESIS_CONTEXT) // HOP)
                with turn():
                    speech = model.masked(waveform, lengths, frames, level)
                columns.append((speech.waveform[0].cpu().numpy(), gain_per_sample(speech.top_octave_gain[0], waveform)))
            own = block.own()
            samples, gains = (np.stack(column, axis=1)[own] for column in zip(*columns, strict=True))
            yield block.samples[own], samples, gains


def gain_per_sample(gain: Tensor, waveform: Tensor, hop: int = HOP) -> np.ndarray:
    """Return gains (T,) at every `hop` samples as one a sample of a waveform (1, S), linear between, float32, (S,)."""
    position = np.arange(waveform.shape[1]) / hop
    return np.interp(position, np.arange(len(gain)), gain.cpu().numpy()).astype(np.float32)


def as_batch(samples: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return samples (S,) as a batch of one: (1, S) and (1,)."""
    # Copied in order: torch takes no array that runs backwards.
    waveform = torch.from_numpy(np.array(samples, np.float32, order="C")).to(device)[None]
    return waveform, torch.tensor([len(samples)], device=device)


def _store_recurrent_input(
    model: SharedModel, source: AudioSource, levels: list[Statistics], stores: list["_FrameStore"], turn: Turn
) -> None:
    """Run the encoder over each channel, and write down what the recurrent layers will be given."""
    width = model.enhancement_head.recurrent.input_size

    def compute(block: Block) -> np.ndarray:
        frames = []
        for channel, level in enumerate(levels):
            waveform, lengths = as_batch(block.samples[:, channel], model.window.device)
            with turn():
                frames.append(model.recurrent_input(waveform, lengths, level)[0].float().cpu().numpy())
        return np.concatenate(frames, axis=1)  # (T, channels * P)

    for frames in joined(in_blocks(heard(source), context=encoder_context(model)), compute, step=HOP):
        for channel, store in enumerate(stores):
            store.append(frames[:, channel * width : (channel + 1) * width])


@torch.inference_mode()
def _masks(model: SharedModel, store: "_FrameStore", turn: Turn) -> Iterator[np.ndarray]:
    """Yield the mask of one channel, (n, 201) each."""
    head = model.enhancement_head
    store.device = model.window.device
    with turn():
        recurrent = BlockwiseLSTM(head.recurrent, store)
    outputs = recurrent.outputs()
    while True:
        with turn():
            states = next(outputs, None)
            if states is None:
                return
            mask = head.mask_of(states).float().cpu().numpy()
        yield mask


class _FrameStore:
    """Frames written to a temporary file as they come, and read back in chunks; gone when it is closed."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self._file = tempfile.TemporaryFile(prefix="sertool-")  # noqa: SIM115 (closed in __exit__)
        self._frames = self._width = 0

    def append(self, frames: np.ndarray) -> None:
        """Add frames (n, D)."""
        try:
            self._file.write(np.ascontiguousarray(frames, dtype=np.float32))
        except OSError as error:
            raise OutputError(
                f"{tempfile.gettempdir()}: the temporary folder cannot take what a long file needs "
                f"({error.strerror}); expected 0.2 GB an hour and channel: set TMPDIR to a folder with more room"
            ) from error
        self._frames, self._width = self._frames + len(frames), frames.shape[1]

    def __len__(self) -> int:
        return math.ceil(self._frames / CHUNK_FRAMES)

    def __getitem__(self, index: int) -> Tensor:
        self._file.seek(index * CHUNK_FRAMES * self._width * 4)
        frames = self._file.read(CHUNK_FRAMES * self._width * 4)
        return torch.frombuffer(bytearray(frames), dtype=torch.float32).view(-1, self._width).to(self.device)

    def __enter__(self) -> "_FrameStore":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

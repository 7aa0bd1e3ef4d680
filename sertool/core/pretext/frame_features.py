"""What frames of speech are clustered by: cepstra, or an encoder's hidden states, 50 frames a second.

Frame k of an utterance of S samples at 16 kHz is centred on sample 320 k, k = 0 … S // 320, whatever it is made of.
There the compact encoder centres its own frame k; SSL encoders centre theirs 200 samples (12.5 ms) later.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchaudio.compliance import kaldi
from torchaudio.functional import compute_deltas

from sertool.core.audio.files import SAMPLE_RATE, audio_info, read_audio
from sertool.core.audio.spectra import utterance_statistics
from sertool.core.clustering.store import BATCH_S
from sertool.core.corpus.batches import plan_by_length
from sertool.core.engine import map_tasks
from sertool.core.models.encoder import Encoder

FRAME_HOP = 320
"""Samples from one frame to the next."""

CEPSTRA = 13

_HOP, _WINDOW = 160, 400  # of the cepstra, in samples: every second one is taken

_AT_ONCE = 1000  # utterances of which those of similar length are heard together, and whose results are kept meanwhile

Task = tuple[str, Any]
"""An audio file, and what else to tell the function that is given its frames."""

OfFrames = Callable[[Tensor, Any], np.ndarray]
"""Makes something of the frames of an utterance, (T, D), float32, and of what else it was told."""


class Hearing(Protocol):
    """Hears audio files and says what a function makes of their frames."""

    def each(self, tasks: Sequence[Task], function: OfFrames) -> Iterator[np.ndarray]:
        """Yield what the function makes of each file's frames, in the order of the tasks.

        Raises:
            AudioError: a file cannot be read.
        """


def num_frames(samples: int) -> int:
    """Return how many frames so many samples at 16 kHz have."""
    return 1 + samples // FRAME_HOP


def announced_frames(path: str) -> int:
    """Return how many frames an audio file has by its header; resampled, it may have one more or less.

    Raises:
        AudioError: the header cannot be read.
    """
    info = audio_info(path)
    return num_frames(info.frames * SAMPLE_RATE // info.rate)


def cepstra(samples: np.ndarray) -> Tensor:
    """Return mel-frequency cepstra with their first and second differences, as HuBERT's first round clusters them.

    Kaldi's, of windows of 25 ms every 10 ms, of which every second is taken. Ours: speech is standardised first, as
    encoders hear it, so that a recording's level changes no frame; and frames are centred, the signal continued by
    zeros.

    Args:
        samples: at 16 kHz, any level, (S,), at least one.

    Returns:
        float32, (1 + S // 320, 39).
    """
    centred = samples - samples.mean(dtype=np.float64)
    deviation = centred.std()
    signal = torch.from_numpy(centred / deviation if deviation > 0 else centred).float()
    before, whole = _WINDOW // 2, _HOP * (len(signal) // _HOP) + _WINDOW
    signal = F.pad(signal, (before, whole - before - len(signal)))
    found = kaldi.mfcc(signal[None], num_ceps=CEPSTRA, sample_frequency=SAMPLE_RATE, use_energy=False, dither=0.0).T
    first = compute_deltas(found)
    return torch.cat([found, first, compute_deltas(first)]).T[::2].contiguous()


@dataclass(frozen=True)
class CepstralHearing:
    """Cepstra, in as many processes as asked for; the results do not depend on how many."""

    workers: int

    def each(self, tasks: Sequence[Task], function: OfFrames) -> Iterator[np.ndarray]:
        """Yield what the function, which can be pickled, makes of each file's frames; see `Hearing`."""
        workers = min(self.workers, 1 + len(tasks) // 200)
        heard = map_tasks(
            partial(_of_cepstra, function=function), tasks, workers=workers, describe=lambda task: task[0]
        )
        with closing(heard) as outcomes:
            for outcome in outcomes:
                if outcome.error:
                    raise outcome.error
                yield outcome.value


@dataclass(frozen=True)
class EncoderHearing:
    """Hidden states of a frozen encoder, on its device; those of utterances of similar length are computed together.

    Attributes:
        encoder: in evaluation mode.
        layer: which hidden state.
        device: of the encoder.
    """

    encoder: Encoder
    layer: int
    device: torch.device

    def each(self, tasks: Sequence[Task], function: OfFrames) -> Iterator[np.ndarray]:
        """Yield what the function makes of each file's frames, which lie on the device; see `Hearing`."""
        for first in range(0, len(tasks), _AT_ONCE):
            some = tasks[first : first + _AT_ONCE]
            found: dict[int, np.ndarray] = {}
            durations_s = np.array([audio_info(path).duration_s for path, _ in some])
            for batch in plan_by_length(durations_s, batch_s=BATCH_S):
                frames = self._frames([some[index][0] for index in batch])
                found |= {index: function(own, some[index][1]) for index, own in zip(batch, frames, strict=True)}
            yield from (found[index] for index in range(len(some)))

    @torch.no_grad()
    def _frames(self, paths: list[str]) -> list[Tensor]:
        """Return the frames of each file, (T, D)."""
        samples = [torch.from_numpy(read_audio(path)) for path in paths]
        lengths = torch.tensor([len(one) for one in samples])
        raw = torch.nn.utils.rnn.pad_sequence(samples, batch_first=True).to(self.device)
        own = lengths.to(self.device)
        prepared = self.encoder.prepare(raw, own, utterance_statistics(raw, own))
        # Zeros before and behind centre the first frame on sample 0, and the last as near the end as there.
        side = self.encoder.first_centre
        output = self.encoder(F.pad(prepared, (side, side)), own + 2 * side)
        states = output.hidden_states[self.layer].float()
        heard = zip(states, output.frame_lengths.tolist(), lengths.tolist(), strict=True)
        return [_as_many(state[:count], num_frames(length)) for state, count, length in heard]


def _of_cepstra(task: Task, function: OfFrames) -> np.ndarray:
    path, told = task
    threads = torch.get_num_threads()
    # As in worker processes, so that sums, and with them labels, do not depend on how many of these there are.
    torch.set_num_threads(1)
    try:
        return function(cepstra(read_audio(path)), told)
    finally:
        torch.set_num_threads(threads)


def _as_many(frames: Tensor, count: int) -> Tensor:
    """Return so many frames: those beyond are left out, and the last stands for those missing."""
    return frames[torch.arange(count, device=frames.device).clamp(max=len(frames) - 1)]

"""Utterances as padded batches: read, mixed with noise on the fly, grouped by length."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from sertool.core.audio.files import SAMPLE_RATE, read_audio, resample
from sertool.core.corpus.frame_labels import FrameLabels
from sertool.core.corpus.frame_masks import draw_mask
from sertool.core.corpus.manifest import utterance_key
from sertool.core.corpus.mixing import Mixer
from sertool.core.corpus.variation import Variation, recorded, with_other_noise
from sertool.core.errors import InputError
from sertool.core.randomness import generator_for

POOL_BATCHES = 20
"""Batches among which utterances are sorted by length: enough to save padding, few enough to keep the order random."""


LABEL_HOP = 320
"""Samples from one frame label to the next: 50 Hz, the rate of every encoder's hidden states."""


@dataclass(frozen=True)
class Masking:
    """Frames to predict while they are hidden from the encoder.

    Attributes:
        labels: of every frame of every utterance.
        share: of the frames that begin a hidden span.
        span: frames of a span.
    """

    labels: FrameLabels
    share: float
    span: int


@dataclass(frozen=True)
class Utterances:
    """What a split holds, as arrays, so that a large corpus costs little memory in every worker.

    Attributes:
        paths: audio files, N.
        durations_s: as their headers say, (N,).
        labels: class indices, int64, (N,); -1 where an utterance has none.
        attributes: float32, (N, A), on the 1–7 scale; NaN where an utterance has none.
        vote_shares: share of the annotators for each class, float32, (N, C); rows sum to 1, or to 0 where nothing is
            known. No columns where the label is learned.
        clean_paths: the clean speech in audio that is noisy already, N; None where noise is mixed in as it is read.
        targets: class of each pre-training task, int64, (N, P); -1 where an utterance has none. None without such
            tasks.
        masking: frames to predict; None where that is no task.
    """

    paths: np.ndarray
    durations_s: np.ndarray
    labels: np.ndarray
    attributes: np.ndarray
    vote_shares: np.ndarray
    clean_paths: np.ndarray | None = None
    targets: np.ndarray | None = None
    masking: Masking | None = None

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class Pick:
    """One utterance of one pass: its index, the pass, and the SNR in dB if that is not to be drawn (NaN: clean)."""

    index: int
    epoch: int
    snr_db: float | None = None


@dataclass(frozen=True)
class Example:
    """One utterance as it is learned from.

    Attributes:
        index: of the utterance.
        noisy: samples at 16 kHz, (S,).
        clean: the speech in them, (S,).
        crop_position: where the enhancement head trains, from 0 to 1.
        frame_labels: of each frame, (T,); empty where frames are not predicted.
        hidden_frames: which frames the encoder is not to hear, bool, (T,).
    """

    index: int
    noisy: np.ndarray
    clean: np.ndarray
    crop_position: float
    frame_labels: np.ndarray
    hidden_frames: np.ndarray


@dataclass(frozen=True)
class Batch:
    """A padded batch.

    Attributes:
        indices: of the utterances, (B,).
        noisy: samples at 16 kHz, zero-padded, (B, S).
        clean: the speech in them, at the same scale, (B, S).
        lengths: samples of each utterance, (B,).
        labels: class indices, (B,); -1 for none.
        attributes: (B, A), NaN for none.
        vote_shares: (B, C), or (B, 0) where the label is learned.
        crop_position: where in each utterance the enhancement head trains, from 0 (its beginning) to 1 (its end), (B,).
        targets: class of each pre-training task, (B, P); -1 for none.
        frame_labels: cluster of each frame at 50 Hz, (B, T), -1 in the padding; (B, 0) where none are predicted.
        hidden_frames: which of them the encoder is not to hear, bool, (B, T).
    """

    indices: Tensor
    noisy: Tensor
    clean: Tensor
    lengths: Tensor
    labels: Tensor
    attributes: Tensor
    vote_shares: Tensor
    crop_position: Tensor
    targets: Tensor
    frame_labels: Tensor
    hidden_frames: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on another device."""
        return Batch(**{name: value.to(device, non_blocking=True) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Augmentation:
    """How training utterances are varied as they are read; everything off is how dev utterances are read.

    Attributes:
        max_s: longest utterance in seconds; longer ones are cut at a random place. None leaves them whole.
        speed_change: largest share by which speech is played faster or slower.
        clean_share: share of utterances left without noise.
        variation: of the noise, and of how it is recorded; None for none.
    """

    max_s: float | None = None
    speed_change: float = 0.0
    clean_share: float = 0.0
    variation: Variation | None = None


class UtteranceDataset(Dataset):
    """Reads, varies and mixes utterances; what comes out depends on the pick and the seed alone."""

    def __init__(self, utterances: Utterances, mixer: Mixer | None, augmentation: Augmentation, seed: int) -> None:
        self.utterances, self.mixer, self.augmentation, self.seed = utterances, mixer, augmentation, seed

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, pick: Pick) -> Example:
        """Return what one pick is to be learned from.

        Raises:
            AudioError: the file cannot be read.
            InputError: it is silent, so that it has no SNR.
        """
        path = Path(self.utterances.paths[pick.index])
        key = utterance_key(path)
        generator = generator_for("augment", self.seed, pick.epoch, key)
        speed, clean_draw, cut, crop_position = generator.uniform(size=4)
        noisy, clean = self._read(pick, path, key, speed, leave_clean=clean_draw < self.augmentation.clean_share)
        start = 0
        if self.augmentation.max_s is not None:
            longest = round(self.augmentation.max_s * SAMPLE_RATE)
            start = int(cut * max(0, len(clean) - longest + 1))
            if self.utterances.masking:
                start = start // LABEL_HOP * LABEL_HOP
            noisy, clean = noisy[start : start + longest], clean[start : start + longest]
        if self.augmentation.variation is not None:
            generator = generator_for("recording", self.seed, pick.epoch, key)
            noisy, clean = recorded(noisy, clean, self.augmentation.variation, generator)
        labels, hidden = self._frames(pick, key, start, len(clean))
        return Example(pick.index, noisy, clean, float(crop_position), labels, hidden)

    def _frames(self, pick: Pick, key: str, start: int, num_samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the labels of a window's frames, and which of them are hidden."""
        masking = self.utterances.masking
        if masking is None:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
        count = label_frames(num_samples)
        labels = masking.labels.of(pick.index, start // LABEL_HOP, count)
        generator = generator_for("mask", self.seed, pick.epoch, key)
        return labels, draw_mask(count, generator, share=masking.share, span=masking.span)

    def _read(
        self, pick: Pick, path: Path, key: str, speed: float, *, leave_clean: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return noisy and clean samples: of a pair of files, or mixed here."""
        if self.utterances.clean_paths is None:
            return self._mix(self._hasten(read_audio(path), speed), key, pick, path, leave_clean=leave_clean)
        noisy, clean = read_audio(path), read_audio(self.utterances.clean_paths[pick.index])
        if len(noisy) != len(clean):
            raise InputError(
                f"{path}: has {len(noisy)} samples, its clean_file {len(clean)}; expected a pair: mix again"
            )
        return self._hasten(noisy, speed), self._hasten(clean, speed)

    def _hasten(self, samples: np.ndarray, speed: float) -> np.ndarray:
        if not self.augmentation.speed_change:
            return samples
        factor = 1 + self.augmentation.speed_change * (2 * speed - 1)
        return resample(samples, round(SAMPLE_RATE * factor), SAMPLE_RATE)

    def _mix(
        self, clean: np.ndarray, key: str, pick: Pick, path: Path, *, leave_clean: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        asked_clean = pick.snr_db is not None and np.isnan(pick.snr_db)
        if self.mixer is None or asked_clean or (pick.snr_db is None and leave_clean):
            return clean, clean
        try:
            mixture = self.mixer.mix(clean, key, epoch=pick.epoch, snr_db=pick.snr_db)
        except InputError as error:
            raise type(error)(f"{path}: {error}") from error
        if self.augmentation.variation is None:
            return mixture.noisy, mixture.clean
        generator = generator_for("other noise", self.seed, pick.epoch, key)
        return with_other_noise(mixture, self.augmentation.variation, self.mixer.level, generator)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Pad examples to one batch."""
        indices = np.array([example.index for example in examples])
        targets = self.utterances.targets
        return Batch(
            indices=torch.from_numpy(indices),
            noisy=_padded([example.noisy for example in examples]),
            clean=_padded([example.clean for example in examples]),
            lengths=torch.tensor([len(example.noisy) for example in examples]),
            labels=torch.from_numpy(self.utterances.labels[indices]),
            attributes=torch.from_numpy(self.utterances.attributes[indices]),
            vote_shares=torch.from_numpy(self.utterances.vote_shares[indices]),
            crop_position=torch.tensor([example.crop_position for example in examples]),
            targets=torch.from_numpy(np.zeros((len(indices), 0), np.int64) if targets is None else targets[indices]),
            frame_labels=_padded([example.frame_labels for example in examples], fill=-1),
            hidden_frames=_padded([example.hidden_frames for example in examples]),
        )


def label_frames(num_samples: int) -> int:
    """Return how many frames of so many samples have labels: those that every encoder has, SSL encoders the fewest."""
    return max(1, (num_samples - 80) // LABEL_HOP)


def _padded(rows: list[np.ndarray], fill: float = 0) -> Tensor:
    """Return rows of different lengths as one tensor, (B, longest)."""
    return pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True, padding_value=fill)


def plan_epoch(durations_s: np.ndarray, *, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Return the batches of one pass: every utterance once, in batches of nearly equal size and similar length.

    Utterances are shuffled, sorted by length within pools of batches, and the batches shuffled again.

    Args:
        durations_s: of the utterances, (N,).
        batch_size: utterances in the largest batch.
        seed: of the run.
        epoch: pass over the data.

    Returns:
        ceil(N / batch_size) arrays of indices, each sorted by length.
    """
    generator = generator_for("order", seed, epoch)
    order = generator.permutation(len(durations_s))
    batches: list[np.ndarray] = []
    num_batches = -(-len(order) // batch_size)
    sizes = [len(part) for part in np.array_split(order, num_batches)]
    for first in range(0, num_batches, POOL_BATCHES):
        pool_sizes = sizes[first : first + POOL_BATCHES]
        pool, order = np.split(order, [sum(pool_sizes)])
        pool = pool[np.argsort(durations_s[pool], kind="stable")]
        batches += np.split(pool, np.cumsum(pool_sizes)[:-1])
    return [batches[i] for i in generator.permutation(len(batches))]


def plan_by_length(durations_s: np.ndarray, *, batch_s: float) -> list[np.ndarray]:
    """Return batches of similar length that hold at most so many seconds with their padding, for evaluation."""
    batches: list[list[int]] = []
    for index in np.argsort(durations_s, kind="stable"):
        if not batches or durations_s[index] * (len(batches[-1]) + 1) > batch_s:
            batches.append([])
        batches[-1].append(int(index))
    return [np.array(batch) for batch in batches]


def load_batches(dataset: UtteranceDataset, plan: Sequence[Sequence[Pick]], *, workers: int) -> Iterator[Batch]:
    """Yield the batches of a plan, in order, read ahead by so many processes."""
    loader = DataLoader(
        dataset,
        batch_sampler=plan,
        collate_fn=dataset.collate,
        num_workers=workers,
        worker_init_fn=_leave_interrupts_to_the_parent,
        persistent_workers=False,
    )
    return iter(loader)


def _leave_interrupts_to_the_parent(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

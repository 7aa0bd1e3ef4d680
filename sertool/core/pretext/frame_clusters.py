"""Targets of masked prediction: the cluster each 20 ms of speech belongs to (HuBERT, Hsu et al., TASLP 2021).

Label k of an utterance of S samples at 16 kHz is about the samples around 320 k, k = 0 … S // 320; how that lies to the
frames of encoders is said in `frame_features`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from sertool.core.clustering.kmeans import KMeans, assign, kmeans
from sertool.core.corpus.frame_labels import write_frame_labels
from sertool.core.errors import InputError
from sertool.core.models.base import is_trained_here, load_plain
from sertool.core.pretext.frame_features import CepstralHearing, EncoderHearing, Hearing, announced_frames
from sertool.core.randomness import generator_for
from sertool.core.training.pretext_settings import MFCC

READ_FOR_SAMPLE = 10
"""Times as many frames are read as are sampled: enough voices, and not the whole of a large corpus."""


class Settings(Protocol):
    """What a recipe says of the clusters.

    Attributes:
        clusters: K.
        features: `mfcc`; or an encoder whose hidden states are clustered, HuBERT's second round: a run, or a name that
            `transformers` knows.
        revision: of an encoder on the hub.
        layer: which hidden state; None for the middle one.
        most_frames: frames that clusters are found on, at most, a sample of the training split.
        iterations: of k-means, at most.
    """

    clusters: int
    features: str
    revision: str | None
    layer: int | None
    most_frames: int
    iterations: int


def cluster_frames(
    splits: dict[str, Sequence[str]],
    folder: Path,
    *,
    settings: Settings,
    seed: int,
    workers: int,
    device: torch.device | str,
    done: Callable[[int], None] = lambda count: None,
) -> dict[str, Any]:
    """Find clusters of the frames of the training split, and write a label for each frame of every split.

    The audio is read twice: a sample of it to find the clusters, all of it to tell which frame belongs to which. So
    memory grows with the sample alone. Ours: before k-means each dimension is standardised by the sample.

    Args:
        splits: audio files of clean speech, by split; `train` must be among them.
        folder: where `<split>.npy` is written for each, see `write_frame_labels`.
        settings: what is clustered, and how.
        seed: of the sample and of k-means.
        workers: processes that compute cepstra; the labels do not depend on how many.
        device: of k-means, and of an encoder.
        done: called with how many utterances have got labels since the last call.

    Returns:
        What the clusters are like, fit for JSON: `clusters`, `features`, `layer`, `dimensions`; `sampled_frames`,
        `iterations` and `inertia` of k-means; `frames` by split; `perplexity` of the training split's clusters; and
        `most_frequent`, the share of each split's most frequent one.

    Raises:
        InputError: there are fewer frames than clusters, or the encoder cannot be used.
        AudioError: a file cannot be read.
        OutputError: the labels cannot be written.
    """
    device = torch.device(device)
    hearing, layer = _hearing(settings, workers, device)
    tasks = _draw(splits["train"], settings.most_frames, seed)
    sampled = sum(len(rows) for _, rows in tasks)
    if sampled < settings.clusters:
        raise InputError(
            f"{sampled} frames of training speech cannot make {settings.clusters} clusters; expected at least one "
            "frame for each: ask for fewer clusters, or bring more speech"
        )
    quantiser, found = _fit(_gathered(hearing.each(tasks, _picked), sampled), settings, seed, device)
    counts = {}
    for name, paths in splits.items():
        counts[name] = np.zeros(settings.clusters, dtype=np.int64)
        labels = hearing.each([(path, None) for path in paths], quantiser)
        write_frame_labels(folder / f"{name}.npy", _counted(labels, counts[name], done))
    return {
        "clusters": settings.clusters,
        "features": settings.features,
        "layer": layer,
        "dimensions": len(quantiser.mean),
        "sampled_frames": int(found.counts.sum()),
        "iterations": found.iterations,
        "inertia": found.inertia,
        "frames": {name: int(count.sum()) for name, count in counts.items()},
        "perplexity": perplexity(counts["train"]),
        "most_frequent": {name: float(count.max() / max(1, count.sum())) for name, count in counts.items()},
    }


def perplexity(counts: np.ndarray) -> float:
    """Return exp of the entropy of how often each of K clusters occurs, (K,): K where all do equally, 1 for one."""
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


@dataclass(frozen=True)
class Quantiser:
    """Tells the cluster of each frame; small to send to another process.

    Attributes:
        mean: of each dimension, float32, (D,).
        deviation: likewise.
        centroids: of what is standardised with these, float32, (K, D).
    """

    mean: np.ndarray
    deviation: np.ndarray
    centroids: np.ndarray

    def __call__(self, frames: Tensor, _told: None = None) -> np.ndarray:
        """Return the cluster of each of some frames (T, D), uint16, (T,), found on the device they lie on."""
        mean, deviation, centroids = (
            torch.from_numpy(part).to(frames.device) for part in (self.mean, self.deviation, self.centroids)
        )
        labels, _ = assign((frames - mean) / deviation, centroids, device=frames.device)
        return labels.cpu().numpy().astype(np.uint16)


def _hearing(settings: Settings, workers: int, device: torch.device) -> tuple[Hearing, int | None]:
    """Return what hears the frames that a recipe asks for, and which hidden state it hears."""
    name, revision, layer = settings.features, settings.revision, settings.layer
    if name == MFCC:
        if revision is not None or layer is not None:
            raise InputError(
                "clusters of mfcc were asked for with a layer or a revision; expected these for an encoder alone: "
                "leave them out, or name an encoder"
            )
        return CepstralHearing(workers), None
    if revision is not None and is_trained_here(name):
        raise InputError(f"a revision, '{revision}', was given, and '{name}' has none: leave it out")
    encoder, _ = load_plain(name, revision)
    states = encoder.num_states
    if layer is not None and layer >= states:
        raise InputError(
            f"layer {layer} is to be clustered, and {name} has the hidden states 0 to {states - 1}: choose one of these"
        )
    layer = states // 2 if layer is None else layer
    return EncoderHearing(encoder.eval().requires_grad_(False).to(device), layer, device), layer


def _draw(paths: Sequence[str], most: int, seed: int) -> list[tuple[str, np.ndarray]]:
    """Return files, and which of their frames to sample: all; or so many, of some files that have ten times as many."""
    generator = generator_for("frames to cluster", seed)
    drawn, begins, total = [], [], 0
    for index in generator.permutation(len(paths)):
        drawn.append(paths[index])
        begins.append(total)
        total += announced_frames(paths[index])
        if total >= READ_FOR_SAMPLE * most:
            break
    rows = np.arange(total) if total <= most else np.sort(generator.choice(total, most, replace=False, shuffle=False))
    pieces = np.split(rows, np.searchsorted(rows, [*begins, total]))[1:-1]
    return [(path, piece - begin) for path, piece, begin in zip(drawn, pieces, begins, strict=True) if len(piece)]


def _picked(frames: Tensor, rows: np.ndarray) -> np.ndarray:
    # A file may have a frame less than its header made expect.
    return frames[torch.from_numpy(rows[rows < len(frames)]).to(frames.device)].cpu().numpy()


def _gathered(pieces: Iterator[np.ndarray], most: int) -> np.ndarray:
    """Return the rows of pieces (T, D) in one array (N, D), N at most so many; twice of it is never held."""
    first = next(pieces)
    sample, end = np.empty((most, first.shape[1]), dtype=np.float32), 0
    for piece in chain([first], pieces):
        sample[end : end + len(piece)] = piece
        end += len(piece)
    return sample[:end]


def _fit(sample: np.ndarray, settings: Settings, seed: int, device: torch.device) -> tuple[Quantiser, KMeans]:
    """Find the clusters of a sample (N, D), which is written over."""
    points = torch.from_numpy(sample)
    deviation, mean = torch.std_mean(points, 0, correction=0)
    deviation[deviation == 0] = 1.0  # what is the same in all frames tells nothing
    points.sub_(mean).div_(deviation)
    found = kmeans(points, settings.clusters, iterations=settings.iterations, seed=seed, device=device)
    return Quantiser(mean.numpy(), deviation.numpy(), found.centroids.cpu().numpy()), found


def _counted(labels: Iterator[np.ndarray], counts: np.ndarray, done: Callable[[int], None]) -> Iterator[np.ndarray]:
    """Yield labels as they come, and add to the counts how often each occurs, (K,)."""
    for one in labels:
        counts += np.bincount(one, minlength=len(counts))
        done(1)
        yield one

"""A cluster model at work: what it makes of the chunks of a store, a few sentences at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sertool.core.clustering.config import FEATURES
from sertool.core.clustering.network import ClusterModel, ClusterOutput
from sertool.core.clustering.store import ChunkStore
from sertool.core.writing import whole_file

SENTENCES = 16
"""Sentences gone through at once."""


def hear(model: ClusterModel, store: ChunkStore, picks: np.ndarray) -> Tensor:
    """Return what a model hears, on its device.

    Args:
        model: with its statistics.
        store: the chunks.
        picks: sentences (n,), for all their chunks; or sentence and place of chunks one by one, (n, 2).

    Returns:
        Normalised, zero beyond an utterance's end: (n, C, …), or (n, 1, …).
    """
    chunks = store.whole(picks) if picks.ndim == 1 else store.picked(picks[:, 0], picks[:, 1])[:, None]
    return model.normalise(chunks.to(model.input_mean.device)).nan_to_num(0.0)


@torch.no_grad()
def outputs(
    model: ClusterModel, store: ChunkStore, sentences: np.ndarray, *, done: Callable[[int], None] = lambda count: None
) -> Iterator[tuple[np.ndarray, ClusterOutput]]:
    """Yield sentences, some at a time, and what a model makes of them, in evaluation mode.

    Args:
        model: put into evaluation mode.
        store: the chunks.
        sentences: which to go through, (n,).
        done: called with how many more are done.
    """
    model.eval()
    for batch in np.array_split(sentences, -(-len(sentences) // SENTENCES) or 1):
        if len(batch):
            yield batch, model(hear(model, store, batch))
            done(len(batch))


@contextmanager
def features_file(place: Path) -> Iterator[Callable[[Tensor], None]]:
    """Give a function that appends features (…, 256) to a file, which is there when the block ends.

    Written, not mapped: on a full disk, writing to a mapped file ends the program.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(place, durable=False) as partial, open(partial, "wb") as file:
        yield lambda features: file.write(features.float().cpu().numpy().tobytes())


def read_features(place: Path) -> np.ndarray:
    """Return the features in a file, float32, (N, 256), mapped from disk."""
    if not place.stat().st_size:
        return np.zeros((0, FEATURES), np.float32)
    return np.memmap(place, np.float32, "r").reshape(-1, FEATURES)

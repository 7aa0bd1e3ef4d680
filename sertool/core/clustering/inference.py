"""A cluster model at work: what it makes of the chunks of a store, a few sentences at a time."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from sertool.core.clustering.network import ClusterModel, ClusterOutput
from sertool.core.clustering.store import ChunkStore

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

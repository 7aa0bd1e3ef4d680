"""Votes: what annotators heard in each utterance, as a distribution over the classes to learn."""

import numpy as np
import pandas as pd

from sertool.core.corpus.categories import VOTES
from sertool.core.corpus.manifest import Manifest


def voted_categories(manifest: Manifest) -> tuple[str, ...]:
    """Return the categories annotators could vote for, in the manifest's order."""
    return tuple(name.removeprefix(VOTES) for name in manifest.table.columns if name.startswith(VOTES))


def vote_counts(manifest: Manifest, categories: tuple[str, ...]) -> np.ndarray:
    """Return how many annotators voted for each category, float64, (N, C); 0 where the manifest has no such column."""
    return np.stack([_column(manifest, name) for name in categories], axis=1)


def vote_shares(manifest: Manifest, categories: tuple[str, ...]) -> np.ndarray:
    """Return the share of its annotators each class has in an utterance, float32, (N, C).

    Votes for other categories do not count. An utterance without votes for these gives all to its label; one without
    either is a row of zeros, from which nothing is learned.
    """
    counts = vote_counts(manifest, categories)
    if manifest.has("emotion"):
        label = manifest.table["emotion"].to_numpy(dtype=object, na_value=None)
        unvoted = counts.sum(1) == 0
        counts[unvoted] = label[unvoted, None] == np.array(categories, dtype=object)
    total = counts.sum(1, keepdims=True)
    return np.divide(counts, total, out=np.zeros_like(counts), where=total > 0).astype(np.float32)


def share_dropped(manifest: Manifest, categories: tuple[str, ...]) -> float:
    """Return the share of all votes that went to categories other than these, 0 without votes."""
    every = voted_categories(manifest)
    total = vote_counts(manifest, every).sum() if every else 0.0
    return 1.0 - float(vote_counts(manifest, categories).sum() / total) if total else 0.0


def _column(manifest: Manifest, category: str) -> np.ndarray:
    if VOTES + category not in manifest.table.columns:
        return np.zeros(len(manifest))
    return pd.to_numeric(manifest.table[VOTES + category]).to_numpy(dtype=np.float64, na_value=0.0)

"""A map of chunks: features of many dimensions laid out in two, so that like lies near like."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from sertool.core.randomness import generator_for, seed_for

MOST_MAPPED = 2000
"""Chunks on the map."""

FEWEST_FOR_TSNE = 30
"""Of fewer chunks the map shows the two principal components."""

MOST_COMPONENTS = 50
"""Principal components t-SNE starts from."""

PERPLEXITY = 30.0


def chunk_map(
    features: np.ndarray,
    clusters: np.ndarray,
    category: np.ndarray,
    attributes: Mapping[str, np.ndarray],
    *,
    most: int = MOST_MAPPED,
    seed: int,
) -> dict[str, Any]:
    """Return where chunks drawn at random lie on a map, with all that a picture of it needs.

    t-SNE (van der Maaten & Hinton, JMLR 2008) of the first 50 principal components, from the first two. It keeps
    neighbours near each other; how far apart groups lie, and how large they are, means nothing.

    Args:
        features: shape (N, D).
        clusters: shape (N,).
        category: place of each chunk's category among the names, -1 where there is none, shape (N,).
        attributes: name to each chunk's label, NaN where there is none, shape (N,).
        most: chunks drawn; all where there are no more.
        seed: of the drawing, and of t-SNE.

    Returns:
        `method`, "t-SNE" or, of few chunks, "PCA", or None with `why`; and for each chunk drawn `rows` (its row of the
        features), `points` (its place), `clusters`, `categories` (None where there is none) and `attributes`.
    """
    rows, sample = sample_rows(features, most, "cluster map", seed)
    method, why = "t-SNE" if len(rows) >= FEWEST_FOR_TSNE and sample.shape[1] > 1 else "PCA", None
    if constant(sample):
        method, why = None, "all chunks have the same features" if len(rows) > 1 else "there is one chunk alone"
        rows = rows[:0]
    points = _points(sample, method, seed) if method else sample[:0]
    return {
        "method": method,
        "why": why,
        "rows": rows.tolist(),
        # Four digits place a point more finely than any page shows.
        "points": [[float(f"{x:.4g}"), float(f"{y:.4g}")] for x, y in points],
        "clusters": clusters[rows].tolist(),
        "categories": [None if one < 0 else one for one in category[rows].tolist()],
        "attributes": {name: _or_none(values[rows]) for name, values in attributes.items()},
    }


def sample_rows(features: np.ndarray, most: int, purpose: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows drawn without replacement, in rising order, and their features in float64.

    Args:
        features: shape (N, D); all rows where there are no more than `most`.

    Raises:
        ValueError: a feature drawn is not finite.
    """
    rows = np.arange(len(features))
    if len(rows) > most:
        rows = np.sort(generator_for(purpose, seed).choice(len(rows), most, replace=False))
    sample = np.asarray(features[rows], dtype=np.float64)
    if not np.isfinite(sample).all():
        raise ValueError("features hold what is not a finite number: look at the model they come from")
    return rows, sample


def constant(sample: np.ndarray) -> bool:
    """Whether all rows are the same."""
    return bool((sample == sample[0]).all())


def _or_none(values: np.ndarray) -> list[float | None]:
    """Return values with None for NaN."""
    return [None if math.isnan(value) else value for value in values.tolist()]


def _points(sample: np.ndarray, method: str, seed: int) -> np.ndarray:
    """Return places on the map, shape (n, 2)."""
    components = min(MOST_COMPONENTS if method == "t-SNE" else 2, *sample.shape)
    reduced = PCA(components, svd_solver="full").fit_transform(sample)
    if method == "PCA":
        return np.pad(reduced, ((0, 0), (0, 2 - components)))
    perplexity = min(PERPLEXITY, (len(sample) - 1) / 3)
    random_state = seed_for("cluster map", seed) % 2**32
    return TSNE(2, perplexity=perplexity, init="pca", random_state=random_state).fit_transform(reduced)

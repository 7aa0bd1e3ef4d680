"""What clusters of chunks turned out to be: steady along a sentence, well apart, telling emotions or speakers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import (
    adjusted_mutual_info_score,
    davies_bouldin_score,
    normalized_mutual_info_score,
    silhouette_score,
)

from sertool.core.clustering.chunk_map import chunk_map, constant, sample_rows

FORMAT = "sertool-cluster-analysis-1"

MOST_MEASURED = 5000
"""Chunks of which silhouette and Davies–Bouldin are taken: the silhouette compares each with every other."""


def analyse(
    features: np.ndarray,
    clusters: np.ndarray,
    sentences: np.ndarray,
    order: np.ndarray,
    attributes: Mapping[str, np.ndarray],
    categories: Sequence[str | None] | None,
    *,
    seed: int,
    num_clusters: int | None = None,
    speakers: Sequence[str | None] | None = None,
) -> dict[str, Any]:
    """Return everything told of the clusters of N chunks, as JSON takes it: numbers, names, lists and null, never NaN.

    Args:
        features: what was clustered, shape (N, D); only sampled rows are copied, so a memory map will do.
        clusters: each chunk's cluster, from 0, shape (N,).
        sentences: which sentence a chunk is of, integers, shape (N,).
        order: the chunk's place in its sentence, integers, shape (N,).
        attributes: name to each chunk's label, NaN where there is none, shape (N,).
        categories: each chunk's category, None where there is none; None where no chunk has one.
        seed: of what is sampled, and of the map.
        num_clusters: K, so that empty clusters are seen; without, that of the last chunk's cluster that occurs.
        speakers: each chunk's speaker, None where unknown; None where none is known.

    Raises:
        ValueError: no chunks, arrays of different lengths, a cluster beyond K, or a sampled feature that is not finite.
    """
    clusters, sentences, order = (np.asarray(array).astype(np.int64) for array in (clusters, sentences, order))
    attributes = {name: np.asarray(values, dtype=np.float64) for name, values in attributes.items()}
    num_clusters = int(clusters.max(initial=-1)) + 1 if num_clusters is None else num_clusters
    known = {"clusters": clusters, "sentences": sentences, "order": order, **attributes}
    known |= {name: found for name, found in (("categories", categories), ("speakers", speakers)) if found is not None}
    _check(features, num_clusters, known)
    names, category = codes(categories, len(clusters))
    return {
        "format": FORMAT,
        "seed": seed,
        "chunks": len(clusters),
        "sentences": len(np.unique(sentences)),
        "clusters": cluster_sizes(clusters, num_clusters),
        "temporal": temporal_consistency(clusters, sentences, order),
        "separation": separation(features, clusters, seed=seed),
        "attributes": {name: explained(values, clusters, sentences) for name, values in attributes.items()},
        "categories": _categories(clusters, num_clusters, names, category),
        "speakers": _speakers(clusters, speakers),
        # Where clips are cut alike, clusters may tell silence before speech from speech, and little else.
        "place": agreement(clusters, order - order.min()),
        "map": chunk_map(features, clusters, category, attributes, seed=seed),
    }


def cluster_sizes(clusters: np.ndarray, num_clusters: int) -> dict[str, Any]:
    """Return how many chunks each cluster holds, which are empty, and their entropy over that of K equal ones.

    Args:
        clusters: shape (N,), from 0 to K - 1, N at least 1.
        num_clusters: K.

    Returns:
        `count` (K), `sizes` (K counts), `empty` (which clusters), `evenness`: -Σ p ln p / ln K, 1 where all are equally
        large; None for one cluster.
    """
    sizes = np.bincount(clusters, minlength=num_clusters)
    shares = sizes[sizes > 0] / sizes.sum()
    entropy = -(shares * np.log(shares)).sum()
    return {
        "count": num_clusters,
        "sizes": sizes.tolist(),
        "empty": np.flatnonzero(sizes == 0).tolist(),
        "evenness": float(abs(entropy) / np.log(num_clusters)) if num_clusters > 1 else None,
    }


def temporal_consistency(clusters: np.ndarray, sentences: np.ndarray, order: np.ndarray) -> dict[str, Any]:
    """Return how often neighbouring chunks share a cluster, beyond what their sentence's clusters would make likely.

    That temporal forms assign clusters consistently along a sentence is a claim of Lin & Busso (Speech Communication
    2024); the measure is ours: the share of pairs of chunks k, k + 1 of a sentence that are in one cluster, less that
    share in expectation when each sentence's chunks are shuffled. The expectation needs no drawing: of a sentence's C
    chunks, n_k in cluster k, any two are in one cluster with probability Σ n_k (n_k - 1) / (C (C - 1)).

    Args:
        clusters: shape (N,).
        sentences: shape (N,).
        order: place in the sentence, shape (N,).

    Returns:
        `pairs`, and over them `adjacent`, `shuffled` and their difference `consistency`; None where there is no pair.

    Raises:
        ValueError: two chunks of one sentence have the same place.
    """
    along = np.lexsort((order, sentences))
    clusters, sentences, order = clusters[along], sentences[along], order[along]
    within = sentences[1:] == sentences[:-1]
    step = order[1:] - order[:-1]
    if (within & (step == 0)).any():
        raise ValueError("two chunks of one sentence have the same place: number a sentence's chunks 0, 1, 2 …")
    pair = within & (step == 1)
    pairs = int(pair.sum())
    if pairs == 0:
        return {"pairs": 0, "adjacent": None, "shuffled": None, "consistency": None}
    sentence, _, counts = _counts(sentences, clusters)
    chunks = np.bincount(sentence, counts)
    alike = np.bincount(sentence, counts * (counts - 1))
    pairs_of = np.bincount(np.unique(sentences, return_inverse=True)[1][1:][pair], minlength=len(chunks))
    # A sentence of one chunk has no pair, so what it is divided by does not matter.
    by_chance = alike / np.maximum(chunks * (chunks - 1), 1)
    adjacent = float((clusters[1:] == clusters[:-1])[pair].mean())
    shuffled = float((by_chance * pairs_of).sum() / pairs)
    return {"pairs": pairs, "adjacent": adjacent, "shuffled": shuffled, "consistency": adjacent - shuffled}


def separation(features: np.ndarray, clusters: np.ndarray, *, most: int = MOST_MEASURED, seed: int) -> dict[str, Any]:
    """Return the silhouette (Rousseeuw 1987) and the index of Davies & Bouldin (1979) of chunks drawn at random.

    Args:
        features: shape (N, D).
        clusters: shape (N,).
        most: chunks drawn; all where there are no more.
        seed: of the drawing.

    Returns:
        `chunks` and `clusters` measured, `silhouette` (-1 to 1, higher is better), `davies_bouldin` (0 and up, lower is
        better), and `why`: why they are None, itself None where they are not.
    """
    rows, sample = sample_rows(features, most, "cluster separation", seed)
    clusters = clusters[rows]
    found = len(np.unique(clusters))
    why = None
    if found < 2:
        why = "all chunks are in one cluster"
    elif found >= len(rows):
        why = "every chunk is a cluster of its own"
    elif constant(sample):
        why = "all chunks have the same features"
    return {
        "chunks": len(rows),
        "clusters": found,
        "silhouette": None if why else float(silhouette_score(sample, clusters)),
        "davies_bouldin": None if why else float(davies_bouldin_score(sample, clusters)),
        "why": why,
    }


def explained(values: np.ndarray, clusters: np.ndarray, sentences: np.ndarray) -> dict[str, Any]:
    """Return how much of an attribute's variance lies between clusters (η²), and how much would by chance.

    η² is the sum of squares between clusters over the total, per chunk (Fisher's correlation ratio; the choice of it is
    ours). Chunks of a sentence share its label, so that even clusters that know nothing of the attribute explain some;
    ours: `by_chance` is the expectation of η² when the labels are shuffled among the sentences. With n_sk of sentence
    s's C chunks in cluster k, and N chunks of S sentences, it is (Σ_k Σ_s n_sk² / n_k - C) / (C (S - 1)).

    Args:
        values: the attribute's labels, NaN where there is none, shape (N,).
        clusters: shape (N,).
        sentences: shape (N,).

    Returns:
        `chunks` labelled, `eta_squared` (None where the labels do not differ) and `by_chance` (None, too, where
        sentences have different numbers of chunks or a sentence has several labels).
    """
    known = ~np.isnan(values)
    values, clusters, sentences = values[known], clusters[known], sentences[known]
    if len(values) == 0 or np.ptp(values) == 0:
        return {"chunks": len(values), "eta_squared": None, "by_chance": None}
    values = values - values.mean()
    sizes = np.maximum(np.bincount(clusters), 1)
    between = (np.bincount(clusters, values) ** 2 / sizes).sum()
    return {
        "chunks": len(values),
        "eta_squared": float(min(between / (values**2).sum(), 1.0)),
        "by_chance": _explained_by_chance(values, clusters, sentences),
    }


def _explained_by_chance(values: np.ndarray, clusters: np.ndarray, sentences: np.ndarray) -> float | None:
    """Return the expectation of η² when labels are shuffled among sentences; None where that cannot be told exactly."""
    by_sentence = np.argsort(sentences, kind="stable")
    _, first, chunks = np.unique(sentences[by_sentence], return_index=True, return_counts=True)
    labels = values[by_sentence]
    several = np.maximum.reduceat(labels, first) != np.minimum.reduceat(labels, first)
    if len(first) < 2 or several.any() or np.ptp(chunks) > 0:
        return None
    _, cluster, counts = _counts(sentences, clusters)
    sizes = np.bincount(clusters)
    return float(((counts**2 / sizes[cluster]).sum() - chunks[0]) / (chunks[0] * (len(first) - 1)))


def agreement(clusters: np.ndarray, groups: np.ndarray) -> dict[str, float | None]:
    """Return how well clusters and another grouping tell each other.

    Args:
        clusters: shape (N,).
        groups: shape (N,); -1 where unknown, which is left out.

    Returns:
        `nmi`: mutual information over the mean of both entropies; `ami`: the same, less its expectation by chance
        (Vinh, Epps & Bailey, JMLR 2010), which takes chunks for independent. None where either is of one group.
    """
    known = groups >= 0
    clusters, groups = clusters[known], groups[known]
    if min(len(np.unique(clusters)), len(np.unique(groups))) < 2:
        return {"nmi": None, "ami": None}
    return {
        "nmi": float(normalized_mutual_info_score(groups, clusters)),
        "ami": float(adjusted_mutual_info_score(groups, clusters)),
    }


def _categories(clusters: np.ndarray, num_clusters: int, names: list[str], category: np.ndarray) -> dict | None:
    """Return the table of cluster × category, in chunks, and how well they agree; None where none is known."""
    if not names:
        return None
    known = category >= 0
    table = np.zeros((num_clusters, len(names)), dtype=np.int64)
    np.add.at(table, (clusters[known], category[known]), 1)
    unlabelled = int((~known).sum())
    return {"names": names, "table": table.tolist(), "unlabelled": unlabelled, **agreement(clusters, category)}


def _speakers(clusters: np.ndarray, speakers: Sequence[str | None] | None) -> dict | None:
    """Return how far clusters tell speakers, who are not what they should tell; None where none is known."""
    names, speaker = codes(speakers, len(clusters))
    if not names:
        return None
    return {"count": len(names), "unknown": int((speaker < 0).sum()), **agreement(clusters, speaker)}


def codes(labels: Sequence[str | None] | None, count: int) -> tuple[list[str], np.ndarray]:
    """Return the names among labels in alphabetical order, and each label's place there: (count,), -1 for None."""
    if labels is None:
        return [], np.full(count, -1)
    names = sorted({label for label in labels if label is not None})
    places = {name: place for place, name in enumerate(names)} | {None: -1}
    return names, np.fromiter((places[label] for label in labels), np.int64, count)


def _counts(sentences: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sentence (its place among the sorted), cluster and number of chunks, wherever the two meet."""
    places = np.unique(sentences, return_inverse=True)[1]
    width = clusters.max() + 1
    meetings, counts = np.unique(places * width + clusters, return_counts=True)
    return meetings // width, meetings % width, counts


def _check(features: np.ndarray, num_clusters: int, known: Mapping[str, Any]) -> None:
    """Refuse what does not fit together."""
    if len(features) == 0:
        raise ValueError("there are no chunks to analyse: give at least one")
    for name, found in known.items():
        if len(found) != len(features):
            raise ValueError(f"{name} are {len(found)}, features {len(features)}: give one for every chunk")
    low, high = known["clusters"].min(), known["clusters"].max()
    if low < 0 or high >= num_clusters:
        raise ValueError(f"clusters are {low} to {high}; expected 0 to {num_clusters - 1}")

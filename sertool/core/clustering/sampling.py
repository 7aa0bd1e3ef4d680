"""Cluster-balanced sampling: each cluster that is not empty gets the same share of an epoch, in expectation."""

import numpy as np
from scipy.optimize import minimize

RIDGE = 1e-6
"""Weight of the squared multipliers that keeps them finite where no sampling makes the shares equal."""


def chunk_probabilities(clusters: np.ndarray, num_clusters: int) -> np.ndarray:
    """Return how probable each chunk is to be drawn: 1 / (K' N_k) for one of cluster k, K' clusters not being empty.

    Args:
        clusters: of each chunk, from 0 to num_clusters - 1, (N,).
        num_clusters: K.

    Returns:
        float64, (N,), summing to 1.
    """
    sizes = np.bincount(clusters, minlength=num_clusters)
    return 1.0 / (sizes[clusters] * (sizes > 0).sum())


def sentence_probabilities(clusters: np.ndarray, num_clusters: int) -> np.ndarray:
    """Return how probable each sentence is to be drawn with all its chunks (Lin & Busso, Speech Communication 2024).

    Published is: the sum over its chunks of w_k, proportional to 1 / N_k. That makes the clusters' shares equal only
    where a sentence's chunks lie in one cluster. Ours goes on from there, to the probabilities nearest to the published
    ones (in Kullback-Leibler divergence) under which the shares are equal; or nearly so where no sampling of whole
    sentences can make them.

    Args:
        clusters: of the chunks of each sentence, from 0 to num_clusters - 1, (S, C).
        num_clusters: K.

    Returns:
        float64, (S,), summing to 1.
    """
    sizes = np.bincount(clusters.ravel(), minlength=num_clusters)
    weights = np.divide(1.0, sizes, out=np.zeros(num_clusters), where=sizes > 0)
    published = weights[clusters].sum(1)
    published /= published.sum()
    shares = cluster_shares(clusters, num_clusters)[:, sizes > 0]  # (S, K')
    target = np.full(shares.shape[1], 1.0 / shares.shape[1])

    def dual(multipliers: np.ndarray) -> tuple[float, np.ndarray]:
        scores = shares @ multipliers
        top = scores.max()
        weighted = published * np.exp(scores - top)
        total = weighted.sum()
        value = top + np.log(total) - multipliers @ target + 0.5 * RIDGE * multipliers @ multipliers
        return value, weighted @ shares / total - target + RIDGE * multipliers

    found = minimize(dual, np.zeros(shares.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    scores = shares @ found.x
    probabilities = published * np.exp(scores - scores.max())
    return probabilities / probabilities.sum()


def cluster_shares(clusters: np.ndarray, num_clusters: int) -> np.ndarray:
    """Return the share of each sentence's chunks (S, C) that lies in each cluster, (S, K)."""
    counts = np.zeros((len(clusters), num_clusters))
    np.add.at(counts, (np.arange(len(clusters))[:, None], clusters), 1.0)
    return counts / clusters.shape[1]


def draw(probabilities: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return indices drawn with replacement, (count,)."""
    return generator.choice(len(probabilities), size=count, replace=True, p=probabilities)


def expected_shares(clusters: np.ndarray, num_clusters: int, probabilities: np.ndarray) -> dict[str, float]:
    """Return the smallest and largest share of the draws that a cluster, not empty, is to expect.

    Args:
        clusters: of the chunks of each sentence, (S, C).
        num_clusters: K.
        probabilities: of the sentences, (S,).
    """
    shares = probabilities @ cluster_shares(clusters, num_clusters)
    full = shares[np.bincount(clusters.ravel(), minlength=num_clusters) > 0]
    return {"smallest_drawn": float(full.min()), "largest_drawn": float(full.max())}

"""Where k-means starts: greedy k-means++ on a sample (Arthur & Vassilvitskii, SODA 2007)."""

import math

import numpy as np
import torch
from torch import Tensor

from sertool.core.clustering.kmeans_points import Points
from sertool.core.randomness import generator_for

SAMPLE_PER_CLUSTER = 256
"""Points a cluster in the sample, ours; all points where they are no more."""

SAMPLE = 65_536
"""Largest sample, ours, unless there are more clusters than that."""


def choose_starts(points: Points, num_clusters: int, seed: int) -> Tensor:
    """Return K of the points, far from one another; the same however many processes share the points.

    Args:
        points: of all processes, at least K.
        num_clusters: K.
        seed: of the sample and the choice.

    Returns:
        Starts, float32, shape (K, D), on the points' device.

    Raises:
        InputError: a point of the sample is not finite.
    """
    generator = generator_for("k-means starts", seed)
    size = min(points.total, max(num_clusters, min(SAMPLE_PER_CLUSTER * num_clusters, SAMPLE)))
    sample = points.rows(np.sort(generator.choice(points.total, size, replace=False, shuffle=False)))
    # One process chooses, so that no rounding of another device makes theirs differ.
    starts = sample.new_zeros(num_clusters, sample.shape[1])
    if points.process == 0:
        starts = plus_plus(sample, num_clusters, generator)
    return points.summed(starts)


def plus_plus(sample: Tensor, num_clusters: int, generator: np.random.Generator) -> Tensor:
    """Return K rows of a sample by greedy k-means++.

    Each is drawn with a probability in proportion to its squared distance to the nearest one chosen before it; of
    2 + log K such draws that one is taken which leaves the least inertia (as scikit-learn does).

    Args:
        sample: shape (S, D), float32, S at least K.
        num_clusters: K.
        generator: of the draws.

    Returns:
        Starts, shape (K, D).
    """
    trials = 2 + int(math.log(num_clusters))
    centred = sample - sample.mean(0)
    squares = centred.square().sum(1)  # (S,)
    chosen = torch.tensor([int(generator.integers(len(sample)))])
    distances = _distances(centred, squares, chosen.to(sample.device))[0]
    for _ in range(1, num_clusters):
        cumulative = distances.double().cumsum(0)
        if not cumulative[-1] > 0:  # fewer distinct points than clusters: any will do
            cumulative = torch.ones_like(cumulative).cumsum(0)
        draws = torch.from_numpy(generator.random(trials)).to(cumulative) * cumulative[-1]
        candidates = torch.searchsorted(cumulative, draws, right=True).clamp_(max=len(sample) - 1)
        left = torch.minimum(_distances(centred, squares, candidates), distances)  # (trials, S)
        best = left.sum(1, dtype=torch.float64).argmin()
        distances = left[best]
        chosen = torch.cat([chosen, candidates[best : best + 1].cpu()])
    return sample[chosen.to(sample.device)]


def _distances(centred: Tensor, squares: Tensor, candidates: Tensor) -> Tensor:
    """Return squared distances of all points of a sample to some of them, shape (candidates, S)."""
    products = centred[candidates] @ centred.T
    distances = (squares - 2 * products + squares[candidates, None]).clamp_(min=0)
    # Rounding would leave a point some distance to itself, and draw it twice.
    return distances.scatter_(1, candidates[:, None], 0.0)

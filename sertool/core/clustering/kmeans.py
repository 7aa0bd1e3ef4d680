"""K-means on a device, over any number of points and processes: Lloyd's algorithm, or mini-batches (Sculley, 2010)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from sertool.core.clustering.kmeans_points import Points, Scorer, check_finite, cluster_sums, exactly
from sertool.core.clustering.kmeans_starts import choose_starts
from sertool.core.errors import InputError
from sertool.core.randomness import generator_for

_ROUNDING = 8 * torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class KMeans:
    """Clusters as found.

    Attributes:
        centroids: float32, shape (K, D), on the device they were found on; always finite.
        counts: points nearest to each centroid, over all processes, int64, shape (K,); 0 for an empty cluster.
        inertia: sum of all points' squared distances to their nearest centroid.
        iterations: how many were made; fewer than asked for where the centroids had stopped moving, the last of them
            being the one that moved none.
    """

    centroids: Tensor
    counts: Tensor
    inertia: float
    iterations: int


def kmeans(
    points: Tensor | np.ndarray,
    num_clusters: int,
    *,
    iterations: int = 20,
    seed: int,
    starts: Tensor | None = None,
    mini_batch: int | None = None,
    device: str | torch.device = "cpu",
    accelerator: Accelerator | None = None,
) -> KMeans:
    """Find K clusters of points.

    Memory does not grow with the points: beside them there is a block of some megabytes, or a mini-batch, and the
    centroids' sums. An empty cluster is moved to the point farthest from its centroid. Several processes find what one
    would that has all their rows in turn, up to rounding.

    Args:
        points: this process's rows, shape (N, D), float32; an array may be a file mapped into memory.
        num_clusters: K.
        iterations: passes over the points, at most.
        seed: of the starts and of mini-batches.
        starts: centroids to start from, shape (K, D); None for k-means++ on a sample.
        mini_batch: points a mini-batch, over all processes together; None for Lloyd's algorithm.
        device: to work on.
        accelerator: of the processes that share the points, all of which call this; None for this one alone.

    Raises:
        InputError: there are fewer points than clusters, or points that are not finite.
        ValueError: shapes do not go together, or a number is below 1.
    """
    if min(num_clusters, iterations, 1 if mini_batch is None else mini_batch) < 1:
        raise ValueError(
            f"{num_clusters} clusters, {iterations} iterations, mini-batch {mini_batch}: expected 1 or more"
        )
    data = Points(points, device, accelerator)
    if num_clusters > data.total:
        raise InputError(
            f"{data.total} points cannot make {num_clusters} clusters; expected at least one point for each: "
            "ask for fewer clusters, or give more points"
        )
    with exactly(data.device):
        if starts is None:
            centroids = choose_starts(data, num_clusters, seed)
        else:
            centroids = _checked_starts(starts, num_clusters, data)
        step = _lloyd if mini_batch is None else _MiniBatches(num_clusters, min(mini_batch, data.total), seed)
        return _iterate(data, centroids, step, iterations)


def assign(
    points: Tensor | np.ndarray, centroids: Tensor, *, device: str | torch.device = "cpu"
) -> tuple[Tensor, Tensor]:
    """Return each point's nearest centroid, the first of equally near ones, and its squared distance to it.

    Args:
        points: shape (N, D), float32.
        centroids: shape (K, D).
        device: to work on.

    Returns:
        Labels, int64, shape (N,), and squared distances, float32, shape (N,), both on the CPU.

    Raises:
        InputError: a point is not finite.
        ValueError: shapes do not go together.
    """
    data = Points(points, device)
    centroids = _checked_starts(centroids, len(centroids), data)
    labels = torch.empty(data.count, dtype=torch.int64)
    distances = torch.empty(data.count)
    end = 0
    with exactly(data.device):
        scorer = Scorer(centroids)
        for block in data.blocks(len(centroids)):
            begin, end = end, end + len(block)
            nearest = scorer.nearest(block)
            labels[begin:end] = nearest
            distances[begin:end] = check_finite(scorer.squared_distances(block, nearest))
    return labels, distances


def _checked_starts(starts: Tensor, num_clusters: int, data: Points) -> Tensor:
    if starts.shape != (num_clusters, data.width) or not torch.isfinite(starts).all():
        raise ValueError(
            f"centroids of shape {tuple(starts.shape)}: expected finite ones of shape ({num_clusters}, {data.width})"
        )
    return starts.detach().to(data.device, torch.float32, copy=True)


def _iterate(data: Points, centroids: Tensor, step: Callable[[Points, Tensor], Tensor], iterations: int) -> KMeans:
    made = 0
    moved = True
    while moved and made < iterations:
        before, centroids = centroids, step(data, centroids)
        moved, made = not torch.equal(before, centroids), made + 1
    counts = torch.zeros(len(centroids), dtype=torch.int64, device=data.device)
    inertia = torch.zeros((), dtype=torch.float64, device=data.device)
    scorer = Scorer(centroids)
    for block in data.blocks(len(centroids)):
        labels = scorer.nearest(block)
        counts += torch.bincount(labels, minlength=len(centroids))
        inertia += scorer.squared_distances(block, labels).sum(dtype=torch.float64)
    inertia = check_finite(data.summed(inertia))
    return KMeans(centroids, data.summed(counts), inertia.item(), made)


def _lloyd(data: Points, centroids: Tensor) -> Tensor:
    """Return the means of the points nearest to each centroid (Lloyd, IEEE Trans. Inf. Theory 1982)."""
    sums, counts = (torch.zeros_like(part, dtype=torch.float64) for part in (centroids, centroids[:, 0]))
    scorer = Scorer(centroids)
    for block in data.blocks(len(centroids)):
        block_sums, block_counts = cluster_sums(block, scorer.nearest(block), len(centroids))
        sums += block_sums
        counts += block_counts
    sums, counts = check_finite(data.summed(sums)), data.summed(counts)
    return _means(*_relocate_empty(data, centroids, sums, counts), otherwise=centroids)


class _MiniBatches:
    """A pass in mini-batches: each draws its centroids towards it, the less the more points these have seen.

    c ← c + (Σ x − n c) / v, over the n points of the batch nearest to c, where v counts the points since the start
    (Sculley, WWW 2010, algorithm 1, the points of a batch at once). A pass draws as many points as there are.
    """

    def __init__(self, num_clusters: int, size: int, seed: int):
        self.size = size
        self.generator = generator_for("k-means mini-batches", seed)
        self.seen = torch.zeros(num_clusters, dtype=torch.float64)

    def __call__(self, data: Points, centroids: Tensor) -> Tensor:
        """Return the centroids behind one pass."""
        seen = self.seen.to(data.device)
        passed = torch.zeros_like(seen)
        for _ in range(-(-data.total // self.size)):
            block = data.own_rows(self.generator.integers(data.total, size=self.size))
            sums, counts = cluster_sums(block, Scorer(centroids).nearest(block), len(centroids))
            sums, counts = check_finite(data.summed(sums.double())), data.summed(counts).double()
            passed += counts
            centroids = _means(centroids * (seen + passed - counts)[:, None] + sums, seen + passed, otherwise=centroids)
        # Ours: a cluster that a whole pass went by is empty, and moved as Lloyd's are. What the others have seen was
        # for a clustering without it, so all count from one again.
        seen = (seen + passed) * (passed > 0)
        sums, counts = _relocate_empty(data, centroids, centroids * seen[:, None], seen)
        self.seen = seen if (passed > 0).all() else counts.clamp(max=1)
        return _means(sums, counts, otherwise=centroids)


def _means(sums: Tensor, counts: Tensor, *, otherwise: Tensor) -> Tensor:
    """Return the means, float32, and where nothing was counted what stands for them."""
    means = (sums / counts.clamp(min=1)[:, None]).float()
    return torch.where(counts[:, None] > 0, means, otherwise)


def _relocate_empty(data: Points, centroids: Tensor, sums: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return sums and counts in which empty clusters have taken over the points farthest from their centroids.

    The E empty clusters get the E farthest points, which leave their clusters (as in scikit-learn). A point that lies
    on its centroid is left there: there are then fewer distinct points than clusters.

    Args:
        data: the points.
        centroids: to which the points were assigned, shape (K, D).
        sums: of the points assigned to each, float64, shape (K, D), over all processes.
        counts: of them, float64, shape (K,).
    """
    empty = (counts == 0).nonzero()[:, 0]
    if not len(empty):
        return sums, counts
    labels, rows = _farthest(data, centroids, len(empty))
    empty = empty[: len(labels)]
    sums, counts = sums.clone(), counts.clone()
    sums.index_add_(0, labels, -rows)
    counts.index_add_(0, labels, -torch.ones_like(labels, dtype=torch.float64))
    sums[empty], counts[empty] = rows, 1.0
    return sums, counts


def _farthest(data: Points, centroids: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """Return labels and rows (float64) of the points farthest from their centroids, the first of equally far ones."""
    # Columns: squared distance, label, the point. Processes stand in the order of their rows, so a stable sort keeps
    # equally far points in theirs.
    found = torch.zeros(0, 2 + data.width, dtype=torch.float64, device=data.device)
    scorer = Scorer(centroids)
    for block in data.blocks(len(centroids)):
        labels = scorer.nearest(block)
        distances = scorer.squared_distances(block, labels)
        far = distances.sort(descending=True, stable=True).indices[:limit]
        columns = distances[far, None], labels[far, None], block[far]
        found = _first(torch.cat([found, torch.cat([column.double() for column in columns], 1)]), limit)
    everyones = found.new_zeros(data.processes, limit, found.shape[1])
    everyones[data.process, : len(found)] = found
    found = _first(data.summed(everyones).flatten(0, 1), limit)
    distances, labels, rows = found[:, 0], found[:, 1].long(), found[:, 2:]
    apart = distances > rows.square().sum(1) * _ROUNDING**2
    return labels[apart], rows[apart]


def _first(found: Tensor, limit: int) -> Tensor:
    return found[found[:, 0].sort(descending=True, stable=True).indices[:limit]]

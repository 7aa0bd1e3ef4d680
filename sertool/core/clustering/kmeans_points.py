"""The points to cluster: gone through in blocks on a device, and spread over processes as if they lay in one."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from sertool.core.errors import InputError

BLOCK_BYTES = {"cpu": 2**24, "cuda": 2**28}
"""Largest block of points, and of their scores: on a CPU what its last cache holds, on a GPU what keeps it busy.

Larger ones are no faster; with smaller ones the threads wait for one another more often, at length on a busy machine.
"""

_WIDTH = 16  # clusters are filled up to a multiple of it: as many numbers as a vector register holds

_PICTURE = 64  # points in one of the pictures that are convolved: of so many torch hands the work to its fast library

_SCRATCH_BYTES = 2**22  # of differences from centroids, which are written over

_NOT_FINITE = (
    "the points to cluster hold numbers that are not finite, or too large to be squared; expected finite ones: "
    "look for NaN and infinite values in what they were made of"
)


class Points:
    """What k-means asks of its points, wherever they lie; a global index counts through the processes' rows in turn."""

    def __init__(self, points: Tensor | np.ndarray, device: str | torch.device, accelerator: Accelerator | None = None):
        """Look at the points' shape; with several processes all of them call this.

        Args:
            points: this process's rows, shape (N, D), floating; N may be 0 where other processes have some.
            device: to work on.
            accelerator: of the processes that share the points; None for this one alone.

        Raises:
            ValueError: the points are no table of floating numbers.
        """
        floating = points.is_floating_point() if isinstance(points, Tensor) else points.dtype.kind == "f"
        if points.ndim != 2 or not points.shape[1] or not floating:
            raise ValueError(f"points of shape {tuple(points.shape)}, {points.dtype}: expected floating (N, D)")
        self.points, self.device, self.accelerator = points, torch.device(device), accelerator
        self.several = accelerator is not None and accelerator.num_processes > 1
        self.count, self.width = points.shape
        self.process, processes = (accelerator.process_index, accelerator.num_processes) if self.several else (0, 1)
        counts = torch.zeros(processes, dtype=torch.int64)
        counts[self.process] = self.count
        counts = self.summed(counts)
        self.total = int(counts.sum())
        self.first = int(counts[: self.process].sum())
        """Global index of this process's first row."""
        self.processes = processes

    def summed(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over the processes."""
        if not self.several:
            return tensor
        return self.accelerator.reduce(tensor.to(self.accelerator.device), "sum").to(tensor.device)

    def blocks(self, num_clusters: int) -> Iterator[Tensor]:
        """Yield this process's rows in order, float32, on the device, few enough for themselves and their scores.

        Args:
            num_clusters: scores a row, K.
        """
        limit = BLOCK_BYTES.get(self.device.type, BLOCK_BYTES["cpu"])
        rows = max(1, limit // (4 * max(self.width, num_clusters)))
        rows = rows // _PICTURE * _PICTURE or rows
        for start in range(0, self.count, rows):
            yield self._on_device(self.points[start : start + rows])

    def own_rows(self, indices: np.ndarray) -> Tensor:
        """Return those rows of this process that are among global indices, on the device."""
        own = indices[(indices >= self.first) & (indices < self.first + self.count)] - self.first
        return self._on_device(self.points[torch.from_numpy(own) if isinstance(self.points, Tensor) else own])

    def rows(self, indices: np.ndarray) -> Tensor:
        """Return the rows at global indices that rise, the same in all processes."""
        rows = torch.zeros(len(indices), self.width, device=self.device)
        own = (indices >= self.first) & (indices < self.first + self.count)
        rows[torch.from_numpy(own).to(self.device)] = self.own_rows(indices)
        return check_finite(self.summed(rows))

    def _on_device(self, rows: Tensor | np.ndarray) -> Tensor:
        if not isinstance(rows, Tensor):
            # Torch knows no array that must not be written to, such as of a file mapped for reading.
            rows = torch.from_numpy(rows if rows.flags.writeable and rows.flags.c_contiguous else rows.copy())
        return rows.to(self.device, torch.float32).contiguous()


class Scorer:
    """Tells the nearest of K centroids by one matrix product: ‖x − c‖² = ‖x − r‖² − 2 x·(c − r) + ‖c‖² − ‖r‖²."""

    def __init__(self, centroids: Tensor):
        """Prepare the product's weights.

        Args:
            centroids: shape (K, D), float32.
        """
        self.centroids, (self.num_clusters, width) = centroids, centroids.shape
        # r, the centroids' mean, costs nothing and keeps what is rounded small where the points lie far from zero.
        reference = centroids.double().mean(0)
        offsets = centroids.double() - reference
        filled = -(-self.num_clusters // _WIDTH) * _WIDTH
        self.weights = centroids.new_zeros(filled, width)
        self.weights[: self.num_clusters] = (-2 * offsets).float()
        self.bias = centroids.new_zeros(filled)
        self.bias[: self.num_clusters] = (offsets.square().sum(1) + 2 * offsets @ reference).float()
        self.convolves = centroids.device.type == "cpu" and torch.backends.mkldnn.is_available()
        if self.convolves:
            self.weights = self.weights[:, :, None, None].contiguous(memory_format=torch.channels_last)

    def nearest(self, block: Tensor) -> Tensor:
        """Return the index of the centroid nearest to each point, the first of equally near ones.

        Args:
            block: points, shape (N, D), float32, contiguous.

        Returns:
            Labels, int64, shape (N,).
        """
        if not self.convolves:
            return torch.addmm(self.bias, block, self.weights.T)[:, : self.num_clusters].min(1).indices
        # The same product, seen as a convolution over N × 1 pictures of D channels: the library behind that takes half
        # the time that torch's matrix product takes for so few columns.
        whole = len(block) // _PICTURE * _PICTURE
        sides = ((block[:whole], _PICTURE), (block[whole:], len(block) - whole))
        return torch.cat([self._convolved(part, side) for part, side in sides if len(part)])

    def _convolved(self, points: Tensor, side: int) -> Tensor:
        pictures = points.view(-1, side, 1, points.shape[1]).permute(0, 3, 1, 2)  # (pictures, D, side, 1)
        scores = nn.functional.conv2d(pictures, self.weights, self.bias).permute(0, 2, 3, 1)
        return scores.reshape(len(points), -1)[:, : self.num_clusters].min(1).indices

    def squared_distances(self, block: Tensor, labels: Tensor) -> Tensor:
        """Return each point's squared distance to the centroid of its label, float32, shape (N,), never cancelled."""
        if block.device.type != "cpu":
            return (block - self.centroids[labels]).square_().sum(1)
        distances = torch.empty(len(block))
        rows = max(1, _SCRATCH_BYTES // (4 * block.shape[1]))
        scratch = torch.empty(rows, block.shape[1])
        for start in range(0, len(block), rows):
            part, own = block[start : start + rows], labels[start : start + rows]
            differences = torch.index_select(self.centroids, 0, own, out=scratch[: len(part)]).sub_(part)
            torch.sum(differences.square_(), 1, out=distances[start : start + rows])
        return distances


def cluster_sums(block: Tensor, labels: Tensor, num_clusters: int) -> tuple[Tensor, Tensor]:
    """Return the sum of each cluster's points and how many they are.

    Args:
        block: points, shape (N, D), float32.
        labels: of each its cluster, int64, shape (N,).
        num_clusters: K.

    Returns:
        Sums, float32, shape (K, D), the same each time; counts, int64, shape (K,).
    """
    counts = torch.bincount(labels, minlength=num_clusters)
    if block.device.type != "cpu":
        return nn.functional.one_hot(labels, num_clusters).to(block).T @ block, counts
    # Two bytes a label are sorted by counting. With the points of a cluster side by side its sum is one sweep.
    small = labels.numpy().astype(np.int16 if num_clusters < 2**15 else np.int64)
    order = torch.from_numpy(np.argsort(small, kind="stable"))
    return nn.functional.embedding_bag(order, block, counts.cumsum(0) - counts, mode="sum"), counts


def check_finite(numbers: Tensor) -> Tensor:
    """Return the numbers, which were made of all points.

    Raises:
        InputError: one of them is not finite, so a point was not, or its square is not.
    """
    if not torch.isfinite(numbers).all():
        raise InputError(_NOT_FINITE)
    return numbers


@contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """Keep float32 products in float32, whatever the training around asks for, and no graph of them."""
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed

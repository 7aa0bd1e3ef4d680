"""Batch normalisation over the whole batch, of whose rows each process has some."""

import torch
from torch import Tensor, distributed, nn


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d`, whose statistics in training are those of all processes' rows together.

    So a training in several processes is the one it would be in a single one. (`torch.nn.SyncBatchNorm` does the same,
    but not on a CPU.) In training, every process has to go forward, and backward, as often as the others; one may do so
    with no rows at all. Gradients are those of the sum over processes of their losses.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (N, channels, H, W), this process's rows, to the same shape."""
        together = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
        return self._over_processes(maps) if self.training and together else super().forward(maps)

    def _over_processes(self, maps: Tensor) -> Tensor:
        # Under autocast, too, statistics are of single precision.
        wide = maps.to(torch.promote_types(maps.dtype, torch.float32))
        own = wide.new_full((1,), wide.numel() // wide.shape[1])
        sums = _sum_over_processes(torch.cat([wide.sum((0, 2, 3)), own]))
        count = sums[-1]
        mean = sums[:-1] / count
        # Deviations from the mean, once more over all processes: the mean square less the squared mean would cancel.
        deviations = wide - mean[:, None, None]
        variance = _sum_over_processes(deviations.square().sum((0, 2, 3))) / count
        self._remember(mean, variance * count / (count - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return (deviations * scale[:, None, None] + self.bias[:, None, None]).to(maps.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards these, as `torch.nn.BatchNorm2d` does."""
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def _sum_over_processes(tensor: Tensor) -> Tensor:
    """Return the sum of all processes' tensors, whose gradient is the sum of all processes' gradients."""
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(tensor)

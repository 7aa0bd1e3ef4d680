"""The emotion loss of each bin's utterances over an epoch, however it is cut over processes and steps."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sertool.core.corpus.batches import Batch
from sertool.core.models.output import SharedOutput
from sertool.core.training.objective import Objective
from sertool.core.training.pacing import Pacing

PREFIX = "bin_"
"""How the names of these sums begin, among the sums of an epoch that a run's state keeps."""


class BinLosses:
    """Adds up the emotion losses of one update's utterances by bin.

    Args:
        objective: says what an utterance's loss is.
        told: whether anybody wants to know; if not, nothing is done.
    """

    def __init__(self, objective: Objective, *, told: bool) -> None:
        self.objective, self.told = objective, told
        self.sums: Tensor | None = None

    def add(self, output: SharedOutput, batch: Batch, pacing: Pacing) -> None:
        """Add the utterances of a batch, on which the model gave this output."""
        if not self.told:
            return
        bins = pacing.bin_of[batch.indices.cpu().numpy()]
        sums = sum_by_bin(self.objective.utterance_losses(output, batch), bins, pacing.num_bins)
        self.sums = sums if self.sums is None else self.sums + sums

    def move_to(self, totals: dict[str, float], over_processes: Callable[[Tensor], Tensor]) -> None:
        """Add the sums of all processes to those of the epoch, by name, and begin anew."""
        if self.sums is None:
            return
        for number, pair in enumerate(over_processes(self.sums).T.tolist(), 1):
            for name, value in zip(_names(number), pair, strict=True):
                if pair[1]:
                    totals[name] = totals.get(name, 0.0) + value
        self.sums = None


def sum_by_bin(losses: Tensor, bins: np.ndarray, num_bins: int) -> Tensor:
    """Return the losses of each bin summed, and of how many utterances they are, float32, (2, bins), on their device.

    Args:
        losses: of the utterances of a batch, (B,); NaN does not count.
        bins: of these utterances, from 1, (B,); 0 does not count.
        num_bins: how many bins there are.
    """
    values = losses.cpu().double().numpy()
    known = ~np.isnan(values) & (bins > 0)
    sums = np.bincount(bins[known] - 1, weights=values[known], minlength=num_bins)
    counts = np.bincount(bins[known] - 1, minlength=num_bins)
    return torch.tensor(np.stack([sums, counts]), dtype=torch.float32, device=losses.device)


def mean_by_bin(totals: dict[str, float], num_bins: int) -> dict[str, float]:
    """Return the mean loss of each bin that was learned from in an epoch, by name: `loss_1`, `loss_2` and so on."""
    means = {}
    for number in range(1, num_bins + 1):
        loss, count = (totals.get(name, 0.0) for name in _names(number))
        if count > 0:
            means[f"loss_{number}"] = loss / count
    return means


def without_bins(totals: dict[str, float]) -> dict[str, float]:
    """Return the sums of an epoch that are not of bins."""
    return {name: value for name, value in totals.items() if not name.startswith(PREFIX)}


def _names(number: int) -> tuple[str, str]:
    return f"{PREFIX}{number}_loss", f"{PREFIX}{number}_count"

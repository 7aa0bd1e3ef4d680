"""How good the heads of pre-training tasks are on the dev split, beside what one class for all would score."""

import torch
from torch import Tensor

from sertool.core.corpus.batches import Batch
from sertool.core.models.config import SharedConfig
from sertool.core.models.output import SharedOutput
from sertool.core.training.losses import cross_entropy_denominator, cross_entropy_sum
from sertool.core.training.objective import Objective, hidden_labels
from sertool.core.training.pretext_settings import MASKED

SUM = torch.float64
"""Of what is added up over many batches: float32 would lose the later ones."""


class PretextScores:
    """Adds up, over the batches of the dev split, what the scores of every task are made of.

    Args:
        objective: of the run; losses here are what it trains on, over the whole dev split.
        config: of the model.
    """

    def __init__(self, objective: Objective, config: SharedConfig) -> None:
        self.objective = objective
        # Of each task: counts by true and predicted class, the summed loss, and what to divide it by.
        self._confusion = [torch.zeros(len(task.classes), len(task.classes), dtype=SUM) for task in config.pretext]
        self._losses = torch.zeros(len(config.pretext), 2, dtype=SUM)
        # Of hidden frames: how many bear each label; how many were right; their summed loss.
        self._labels = torch.zeros(config.masked.clusters if config.masked else 0, dtype=SUM)
        self._frames = torch.zeros(2, dtype=SUM)

    def add(self, output: SharedOutput | None, masked: SharedOutput | None, batch: Batch) -> None:
        """Add a batch as the model judged it with nothing hidden, and with frames hidden; None where no head asks."""
        for i, task in enumerate(self.objective.tasks):
            logits, labels = output.pretext_logits[task.name], batch.targets[:, i]
            known = labels >= 0
            pairs = labels[known].cpu(), logits[known].argmax(1).cpu()
            self._confusion[i].index_put_(pairs, torch.ones(len(pairs[0]), dtype=SUM), accumulate=True)
            self._losses[i, 0] += cross_entropy_sum(logits, labels, task.class_weights).item()
            self._losses[i, 1] += cross_entropy_denominator(labels, task.class_weights).item()

        if masked:
            self._add_masked(masked, batch)

    def _add_masked(self, output: SharedOutput, batch: Batch) -> None:
        labels = hidden_labels(batch)
        asked = labels >= 0
        labels, logits = labels[asked], output.cluster_logits[:, : asked.shape[1]][asked].float()  # (F,), (F, K)
        self._labels += torch.bincount(labels, minlength=len(self._labels)).cpu()
        right = (logits.argmax(1) == labels).sum()
        loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
        self._frames += torch.stack([right.double(), loss.double()]).cpu()

    def totals(self) -> Tensor:
        """Return all sums as one vector, to be summed over processes."""
        return torch.cat(
            [*(one.flatten() for one in self._confusion), self._losses.flatten(), self._labels, self._frames]
        )

    def scores(self, totals: Tensor) -> tuple[dict[str, float], float | None]:
        """Return the scores by name, and the weighted sum of the losses; None where nothing could be judged.

        Args:
            totals: as `totals` gives them, summed over processes.

        Returns:
            Of each task that has dev labels `accuracy_<task>`; `majority_<task>`, the share of the dev split's most
            frequent class; `ua_<task>`, the mean recall over the classes that occur; and `loss_<task>`.
        """
        sizes = [*(one.numel() for one in self._confusion), self._losses.numel(), len(self._labels), 2]
        *confusion, losses, labels, frames = totals.split(sizes)
        scores: dict[str, float] = {}
        weighted = []
        for i, task in enumerate(self.objective.tasks):
            counts, (loss, divisor) = confusion[i].view_as(self._confusion[i]), losses.view(-1, 2)[i]
            support = counts.sum(1)
            if not support.sum() or not divisor:
                continue
            recall = (counts.diagonal() / support)[support > 0]
            told = (counts.trace() / counts.sum(), support.max() / counts.sum(), recall.mean(), loss / divisor)
            scores |= _named(task.name, told)
            weighted.append(task.weight * scores[f"loss_{_slug(task.name)}"])
        if labels.sum():
            right, loss = frames
            told = (right / labels.sum(), labels.max() / labels.sum(), None, loss / labels.sum())
            scores |= _named(MASKED, told)
            weighted.append(self.objective.masked_weight * scores["loss_masked"])
        return scores, sum(weighted) if weighted else None


def _named(task: str, values: tuple[Tensor | None, ...]) -> dict[str, float]:
    names = ("accuracy", "majority", "ua", "loss")
    pairs = zip(names, values, strict=True)
    return {f"{name}_{_slug(task)}": float(value) for name, value in pairs if value is not None}


def _slug(task: str) -> str:
    return task.replace("-", "_")

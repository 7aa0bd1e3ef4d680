"""A small emotion head over fixed vectors of utterances: quick enough to train once a fold, a seed or a curriculum.

It judges predictions out of fold, is the teacher whose loss a curriculum may follow, and compares curricula: what it
learns from, in which order and how fast, is a plan.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sertool.core.models.emotion_head import MIDPOINT
from sertool.core.randomness import seed_for
from sertool.core.training.losses import ccc, class_weights

Epoch = tuple[Sequence[int], float]
"""An epoch of a plan: the utterances learned from, as row indices, and the learning rate."""


@dataclass(frozen=True)
class HeadSettings:
    """Size and batch of a small head; ours.

    Attributes:
        hidden: units of the hidden layer.
        dropout: share of them left out in training.
        batch: utterances a step.
    """

    hidden: int = 128
    dropout: float = 0.5
    batch: int = 32


class SmallHead(nn.Module):
    """Linear → LayerNorm → ReLU → Dropout → Linear, over vectors standardised with training statistics.

    There is no training mode: units are left out only where a mask is given, so that nothing random can be left on.

    Attributes:
        mean: what vectors are standardised with, (D,).
        std: the same.
    """

    def __init__(self, dim: int, outputs: int, settings: HeadSettings, *, seed: int) -> None:
        """Build a head of random weights.

        Args:
            dim: width of the vectors, D.
            outputs: classes to tell apart, or 1 for an attribute, which starts at the scale's middle.
            settings: size of the hidden layer and its dropout.
            seed: of the weights.
        """
        super().__init__()
        self.settings = settings
        self.start = 0.0 if outputs > 1 else MIDPOINT
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for("small head", seed))
            self.project = nn.Linear(dim, settings.hidden)
            self.norm = nn.LayerNorm(settings.hidden)
            self.output = nn.Linear(settings.hidden, outputs)

    def forward(self, vectors: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return logits, or estimates on the 1–7 scale.

        Args:
            vectors: (N, D).
            kept: what hidden units are multiplied with, (N, H), or (1, H) for all alike: see `kept_units`.

        Returns:
            (N, outputs).
        """
        hidden = F.relu(self.norm(self.project((vectors - self.mean) / self.std)))  # (N, H)
        return self.start + self.output(hidden if kept is None else hidden * kept)

    def kept_units(self, rows: int, generator: torch.Generator) -> Tensor:
        """Draw a dropout mask (rows, H): 0 for a unit left out, 1 / (1 − dropout) for one kept."""
        kept = torch.rand(rows, self.settings.hidden, generator=generator) >= self.settings.dropout
        return kept / (1.0 - self.settings.dropout)

    @torch.no_grad()
    def outputs(self, vectors: np.ndarray, kept: Tensor | None = None) -> np.ndarray:
        """Return logits or estimates of vectors (N, D), as `forward`, float64, (N, outputs)."""
        return self(torch.as_tensor(vectors, dtype=torch.float32), kept).double().numpy()

    def standardise(self, vectors: Tensor) -> None:
        """Take mean and deviation from training vectors, (N, D)."""
        self.mean.copy_(vectors.mean(0))
        self.std.copy_(vectors.std(0, correction=0))
        # What does not vary says nothing, and would say much of a vector in which it does.
        self.std[self.std < 1e-6] = math.inf


def steady_plan(utterances: int, *, epochs: int = 30, learning_rate: float = 1e-3) -> list[Epoch]:
    """Return the plan without a curriculum: every utterance in every epoch, at one learning rate."""
    return [(np.arange(utterances), learning_rate)] * epochs


def train_head(
    vectors: np.ndarray,
    targets: np.ndarray,
    *,
    classes: int | None,
    plan: Iterable[Epoch],
    seed: int,
    settings: HeadSettings | None = None,
    on_epoch: Callable[[int, SmallHead], None] | None = None,
) -> SmallHead:
    """Train a small head by Adam; the same head for the same arguments.

    The loss is cross-entropy, weighted by N / (C n_c) of all targets whichever of them an epoch learns from; or, of an
    attribute, 1 − CCC of each batch.

    Args:
        vectors: of the training utterances, (N, D); their statistics standardise whatever the head is shown.
        targets: class of each from 0, integers, (N,); or its attribute on the 1–7 scale.
        classes: how many classes there are; None for an attribute.
        plan: epoch by epoch, which rows are learned from, in an order drawn anew each time, and the learning rate. It
            is asked for an epoch when the one before is done: a generator may look at the head (self-paced learning).
        seed: of the weights, the order and the dropout.
        settings: size and batch; those of `HeadSettings` where None.
        on_epoch: called after each epoch with its number, from 1, and the head: to judge it, or to copy it.

    Returns:
        The head after the last epoch.

    Raises:
        ValueError: there is nothing to learn from, or a vector holds what is no number.
    """
    settings = settings or HeadSettings()
    inputs = torch.as_tensor(np.asarray(vectors), dtype=torch.float32)
    if inputs.ndim != 2 or not len(inputs) or len(inputs) != len(targets):
        raise ValueError(f"vectors of shape {tuple(inputs.shape)} and {len(targets)} targets: give one an utterance")
    if not torch.isfinite(inputs).all():
        raise ValueError("a vector holds values that are not finite numbers: leave that utterance out")
    head = SmallHead(inputs.shape[1], classes or 1, settings, seed=seed)
    head.standardise(inputs)
    loss_of = _class_loss(targets, classes) if classes else _attribute_loss(targets)
    optimizer = torch.optim.Adam(head.parameters())
    for number, (chosen, learning_rate) in enumerate(plan, start=1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        _one_epoch(head, inputs, torch.as_tensor(np.asarray(chosen)).long(), loss_of, optimizer, seed, number)
        if on_epoch is not None:
            on_epoch(number, head)
    return head


Loss = Callable[[Tensor, Tensor], Tensor]
"""Of outputs (n, outputs) and the rows (n,) they belong to."""


def _one_epoch(
    head: SmallHead, inputs: Tensor, chosen: Tensor, loss_of: Loss, optimizer: torch.optim.Adam, seed: int, number: int
) -> None:
    generator = torch.Generator().manual_seed(seed_for("epoch of a small head", seed, number))
    order = chosen[torch.randperm(len(chosen), generator=generator)]
    for rows in order.split(head.settings.batch):
        loss = loss_of(head(inputs[rows], head.kept_units(len(rows), generator)), rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _class_loss(targets: np.ndarray, classes: int) -> Loss:
    labels = torch.as_tensor(np.asarray(targets)).long()
    weights = class_weights(torch.bincount(labels, minlength=classes))
    return lambda logits, rows: F.cross_entropy(logits, labels[rows], weights)


def _attribute_loss(targets: np.ndarray) -> Loss:
    values = torch.as_tensor(np.asarray(targets), dtype=torch.float32)[:, None]
    return lambda estimates, rows: 1.0 - ccc(estimates, values[rows])[0]

"""Baby steps: cumulative bins of utterances, and a learning rate that falls as they come in.

Lin, Sridhar & Busso, IEEE/ACM TASLP 32 (2024): ten equal bins, one more every five epochs, all utterances from epoch 45
to 70, the learning rate halved at each new bin.
"""

import itertools
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sertool.core.corpus.batches import plan_epoch
from sertool.core.errors import InputError
from sertool.core.randomness import generator_for
from sertool.core.training.recipe import Curriculum, Recipe
from sertool.core.training.scores import Scores

GROWING, PUBLISHED = 45, 70
"""Epochs of the publication before all utterances are in play, and in all."""


@dataclass(frozen=True)
class Pacing:
    """Which utterances an epoch learns from, and how fast; epochs count from 0 over the whole run.

    Attributes:
        bin_of: the bin each utterance comes in with, 1 for the first, int64, (N,); 0 where bins are not made of
            certain utterances.
        num_bins: how many bins there are.
        epochs_per_bin: epochs from one bin to the next.
        rate_factor: multiplies the learning rate at each new bin.
        draws: seed by which each epoch draws its utterances from all; None where the bins are cumulative.
    """

    bin_of: np.ndarray
    num_bins: int = 1
    epochs_per_bin: int = 1
    rate_factor: float = 1.0
    draws: int | None = None

    @cached_property
    def sizes(self) -> np.ndarray:
        """Utterances in play with one bin, two bins and so on, int64, (bins,)."""
        return np.cumsum([len(part) for part in np.array_split(self.bin_of, self.num_bins)])

    def bins_in_play(self, epoch: int) -> int:
        """Return how many bins an epoch learns from."""
        return min(epoch // self.epochs_per_bin + 1, self.num_bins)

    def bin_start(self, epoch: int) -> int:
        """Return the epoch with which the newest bin in play came in."""
        return (self.bins_in_play(epoch) - 1) * self.epochs_per_bin

    def size(self, epoch: int) -> int:
        """Return how many utterances an epoch learns from."""
        return int(self.sizes[self.bins_in_play(epoch) - 1])

    def members(self, epoch: int) -> np.ndarray:
        """Return the utterances an epoch learns from, sorted, int64, (size(epoch),)."""
        if self.draws is None:
            return np.flatnonzero(self.bin_of <= self.bins_in_play(epoch))
        generator = generator_for("curriculum", self.draws, epoch)
        return np.sort(generator.choice(len(self.bin_of), size=self.size(epoch), replace=False))

    def rate(self, epoch: int) -> float:
        """Return what multiplies the learning rate in an epoch."""
        return self.rate_factor ** (self.bins_in_play(epoch) - 1)

    def in_play(self, epoch: int) -> dict[str, float]:
        """Return what an epoch's history says: bins in play, utterances, and what multiplies the learning rate."""
        numbers = {"in_play": self.bins_in_play(epoch), "utterances": self.size(epoch)}
        return numbers | {"rate_factor": self.rate(epoch)}

    def plan(self, durations_s: np.ndarray, *, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
        """Return the batches of an epoch as `plan_epoch` makes them of its utterances; arguments as there."""
        members = self.members(epoch)
        plan = plan_epoch(durations_s[members], batch_size=batch_size, seed=seed, epoch=epoch)
        return [members[batch] for batch in plan]

    def update_starts(self, epochs: int, *, batch_size: int, parts: int) -> list[int]:
        """Return how many updates are done before each epoch of a run, and as the last number those of the run.

        Args:
            epochs: of the run.
            batch_size: utterances in the largest batch.
            parts: processes × accumulation steps, into which each batch is cut.

        Raises:
            InputError: the smallest batch has no utterance for each part.
        """
        sizes = [self.size(epoch) for epoch in range(epochs)]
        counts = [-(-size // batch_size) for size in sizes]
        smallest = min(size // count for size, count in zip(sizes, counts, strict=True))
        if smallest < parts:
            raise InputError(
                f"a batch of {smallest} utterances cannot be cut for {parts} processes × steps: use fewer of them, a "
                "larger optimisation.batch_size, or fewer curriculum.bins"
            )
        return list(itertools.accumulate(counts, initial=0))

    def with_order(self, order: np.ndarray) -> "Pacing":
        """Return the same pacing of other bins: of the utterances in the order they are to come in, (N,)."""
        return replace(self, bin_of=cut_bins(order, self.num_bins))


def cut_bins(order: np.ndarray, num_bins: int) -> np.ndarray:
    """Return the bin of each utterance, 1 for the first, int64, (N,); sizes as equal as `np.array_split` makes them.

    Args:
        order: the utterances in the order they are to come in, (N,).
        num_bins: bins to cut.
    """
    bins = np.empty(len(order), dtype=np.int64)
    for number, part in enumerate(np.array_split(order, num_bins), 1):
        bins[part] = number
    return bins


def make_pacing(recipe: Recipe, num_utterances: int, scores: Scores | None) -> Pacing:
    """Return the pacing of a recipe; without a curriculum, every epoch learns from every utterance.

    Args:
        recipe: of the run.
        num_utterances: in the training split.
        scores: of the table the recipe names, if it names one.

    Raises:
        InputError: there are not enough utterances, or epochs, for the bins.
    """
    settings = recipe.curriculum
    if settings is None:
        return Pacing(bin_of=np.ones(num_utterances, dtype=np.int64))
    if num_utterances < settings.bins:
        raise InputError(
            f"curriculum.bins is {settings.bins} and there are {num_utterances} training utterances; expected one or "
            "more a bin: lower curriculum.bins"
        )
    epochs = sum(stage.epochs for stage in recipe.stages())
    pacing = Pacing(
        bin_of=np.zeros(num_utterances, dtype=np.int64),
        num_bins=settings.bins,
        epochs_per_bin=epochs_per_bin(settings, epochs),
        rate_factor=settings.rate_factor,
        draws=recipe.seed if settings.order == "none" else None,
    )
    if pacing.bins_in_play(epochs - 1) < pacing.num_bins:
        raise InputError(
            f"curriculum: the last of {pacing.num_bins} bins comes in after "
            f"{(pacing.num_bins - 1) * pacing.epochs_per_bin} epochs, and the run has {epochs}; expected more, so that "
            "all is heard: raise optimisation.epochs, or lower curriculum.bins or curriculum.epochs_per_bin"
        )
    if settings.order == "self-paced":
        return pacing.with_order(generator_for("self-paced", recipe.seed).permutation(num_utterances))
    if scores is None:
        return pacing
    return pacing.with_order(scores.order[::-1] if settings.order == "hard-first" else scores.order)


def describe_curriculum(recipe: Recipe, pacing: Pacing, scores: Scores | None) -> dict[str, Any]:
    """Return what a run's record says of its curriculum: order, bins, epochs_per_bin, rate_factor, metric, target."""
    settings = recipe.curriculum
    about = {"order": settings.order, "bins": pacing.num_bins, "epochs_per_bin": pacing.epochs_per_bin}
    about |= {"rate_factor": pacing.rate_factor}
    return about | ({"metric": scores.metric, "target": scores.target} if scores else {})


def curriculum_title(recipe: Recipe, scores: Scores | None) -> str:
    """Return what a curriculum is, in a few words, such as `easy-first by deepmi for emotion`."""
    if recipe.curriculum.order == "none":
        return "none (utterances drawn anew each epoch, as many as a curriculum's)"
    return f"{recipe.curriculum.order} by {scores.title if scores else 'its own loss'}"


def epochs_per_bin(settings: Curriculum, epochs: int) -> int:
    """Return the epochs from one bin to the next in a run of so many; by default in the publication's proportion."""
    if settings.epochs_per_bin != "auto":
        return settings.epochs_per_bin
    return max(1, epochs * GROWING // (PUBLISHED * max(1, settings.bins - 1)))

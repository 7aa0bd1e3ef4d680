"""Small heads by fold: every utterance is judged by a head that never heard its speaker.

The folds keep speakers apart for the head alone. Where the vectors come from a cluster model that learned these labels
from these speakers, they still carry what it learned: only the head is out of fold, and its predictions are less
optimistic than the model's own estimates, not free of optimism.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sertool.core.curriculum.small_head import SmallHead, steady_plan, train_head
from sertool.core.curriculum.target import Target
from sertool.core.errors import InputError

FOLDS = 5
"""Ours; fewer where there are fewer speakers."""


@dataclass(frozen=True)
class FoldedHeads:
    """Heads, and which of them judges each utterance.

    Attributes:
        heads: one a fold.
        folds: the fold of each utterance, int64, (N,).
    """

    heads: tuple[SmallHead, ...]
    folds: np.ndarray

    def judge(self, vectors: np.ndarray, outputs_of: Callable[[SmallHead, np.ndarray], np.ndarray]) -> np.ndarray:
        """Return what `outputs_of(head, vectors of its fold)` says of each utterance, float64, (…, N, outputs)."""
        judged = [outputs_of(head, vectors[self.folds == fold]) for fold, head in enumerate(self.heads)]
        together = np.empty((*judged[0].shape[:-2], len(vectors), judged[0].shape[-1]))
        for fold, outputs in enumerate(judged):
            together[..., self.folds == fold, :] = outputs
        return together


def speaker_folds(speakers: Sequence[str | None], *, folds: int = FOLDS) -> np.ndarray:
    """Deal speakers to folds of about equally many utterances, each whole to one: the largest first, to the smallest.

    Utterances whose speaker nobody knows may all be one person's, and share a fold.

    Args:
        speakers: who speaks in each utterance, (N,); None where nobody knows.
        folds: at most so many; no more than there are speakers.

    Returns:
        Fold of each utterance from 0, int64, (N,); whatever the order of rows.

    Raises:
        InputError: fewer than two speakers are known.
    """
    counts = Counter(speakers)
    known = len(counts) - (None in counts)
    if known < 2:
        found = "no speaker is known" if not known else "only one speaker is known"
        raise InputError(
            f"{found}; expected two or more, to judge each by a head that never heard them: name the speakers, or say "
            "--predictions in-sample"
        )
    sizes = [0] * min(folds, len(counts))
    fold_of: dict[str | None, int] = {}
    for speaker, count in sorted(counts.items(), key=lambda item: (-item[1], item[0] is None, item[0] or "")):
        smallest = sizes.index(min(sizes))
        fold_of[speaker] = smallest
        sizes[smallest] += count
    return np.array([fold_of[speaker] for speaker in speakers], dtype=np.int64)


def train_folded(
    vectors: np.ndarray,
    target: Target,
    folds: np.ndarray,
    *,
    seed: int,
    done: Callable[[], object] = lambda: None,
) -> FoldedHeads:
    """Train a head for each fold on all the others.

    Args:
        vectors: (N, D).
        target: a label for every utterance.
        folds: of each utterance, from `speaker_folds`.
        seed: of the heads.
        done: called after each head.
    """
    heads = []
    for fold in range(folds.max() + 1):
        others = folds != fold
        heads.append(train_on(vectors[others], target.rows(others), seed=seed))
        done()
    return FoldedHeads(tuple(heads), folds)


def train_in_sample(vectors: np.ndarray, target: Target, *, seed: int) -> FoldedHeads:
    """Train one head on all utterances, by which they are then judged."""
    return FoldedHeads((train_on(vectors, target, seed=seed),), np.zeros(len(vectors), dtype=np.int64))


def train_on(vectors: np.ndarray, target: Target, *, seed: int) -> SmallHead:
    """Train a head on vectors (N, D) with every utterance in each epoch."""
    labels, classes = (target.codes, target.outputs) if target.values is None else (target.values, None)
    return train_head(vectors, labels, classes=classes, plan=steady_plan(len(vectors)), seed=seed)

"""Shortcuts to a target: how well loudness, duration, the sentence spoken or the corpus alone predicts it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from sertool.core.randomness import seed_for

LEAVES = 8
"""Most intervals into which a level or a duration is cut."""

FEWEST_IN_LEAF = 5
"""Training utterances an interval holds at the least."""

NAMES = ("level", "duration", "sentence", "corpus")
"""What may give a target away, in the order in which it is told."""


@dataclass(frozen=True)
class Covariates:
    """What is known of N utterances besides what is to be learned.

    Attributes:
        level_db: RMS level in dB, float64, (N,); not finite where there is none (silence).
        duration_s: float64, (N,).
        sentence: what is said, None where that is not known; N.
        corpus: which corpus it comes from; N.
    """

    level_db: np.ndarray
    duration_s: np.ndarray
    sentence: list[str | None]
    corpus: list[str]

    def columns(self) -> dict[str, np.ndarray]:
        """Return level, duration, sentence and corpus by name, (N,) each, the last two as objects.

        Raises:
            ValueError: they are not equally long.
        """
        numbers = (np.asarray(self.level_db, dtype=np.float64), np.asarray(self.duration_s, dtype=np.float64))
        words = (np.array(self.sentence, dtype=object), np.array(self.corpus, dtype=object))
        columns = dict(zip(NAMES, (*numbers, *words), strict=True))
        if len({column.shape for column in columns.values()}) > 1:
            shapes = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
            raise ValueError(f"covariates are not equally long: {shapes}; give one of each an utterance")
        return columns


def shortcuts(
    train: Covariates,
    dev: Covariates,
    train_labels: np.ndarray,
    dev_labels: np.ndarray,
    *,
    num_classes: int,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Return how well each covariate alone predicts a target: what it gives away teaches nothing about emotion.

    Learned from the labelled utterances of the train split, judged on those of the dev split. How is ours. Level and
    duration: a decision tree of at most 8 leaves, each of at least 5 training utterances and 2 % of them; it finds
    relations that do not go one way only, and has too few leaves to learn hundreds of utterances by heart. Sentence
    and corpus: the class most frequent with that sentence or corpus in training; of classes equally frequent there,
    the one more frequent in all of training, then the lower one. A sentence that training lacks gets the class most
    frequent in all of training. Utterances without a level (silence), or whose sentence is not known, are left out of
    that covariate's numbers.

    Args:
        train: covariates of the train split, N utterances.
        dev: covariates of the dev split, M utterances.
        train_labels: classes from 0 to num_classes - 1, or -1 for none, int64, (N,).
        dev_labels: the same of the dev split, int64, (M,).
        num_classes: classes of the target, whether or not all occur.
        seed: of what the trees draw.

    Returns:
        For "level", "duration", "sentence" and "corpus": `accuracy` and `ua` (mean recall over the classes that occur
        among the dev utterances judged), from 0 to 1, and `n_train` and `n_dev`, the utterances that these come from;
        or `why`, a few words, where it cannot be told. Beside them "majority", what always saying the most frequent
        class of the dev split would give: its `class`, `accuracy`, `ua` (1 / classes that occur) and `n_dev`; or `why`.

    Raises:
        ValueError: lengths differ, or a label is no class.
    """
    train_columns, dev_columns = train.columns(), dev.columns()
    train_labels, dev_labels = (np.asarray(labels, dtype=np.int64) for labels in (train_labels, dev_labels))
    labelled = _labelled(train_columns, train_labels, num_classes)
    dev_labelled = _labelled(dev_columns, dev_labels, num_classes)
    found: dict[str, dict[str, Any]] = {}
    for name in NAMES:
        split = _known(train_columns[name], train_labels, labelled)
        dev_split = _known(dev_columns[name], dev_labels, dev_labelled)
        why = _why_not(name, split, dev_split)
        if why:
            found[name] = {"why": why}
            continue
        if split[0].dtype == object:
            predicted = _by_value(*split, dev_split[0], num_classes)
        else:
            predicted = _by_tree(*split, dev_split[0], seed_for("shortcuts", name, seed))
        found[name] = _scores(dev_split[1], predicted, num_classes) | {"n_train": len(split[0])}
    return found | {"majority": _majority(dev_labels[dev_labelled], num_classes)}


def balance(labels: np.ndarray, classes: Sequence[str]) -> dict[str, int]:
    """Return how many utterances are of each class, by name, and under "none" how many have no label.

    Args:
        labels: indices of classes, or -1 for none, int64, (N,).
        classes: their names.

    Raises:
        ValueError: a label is no class.
    """
    labels = np.asarray(labels, dtype=np.int64)
    _check_classes(labels, len(classes))
    counts = np.bincount(labels + 1, minlength=len(classes) + 1).tolist()
    return dict(zip((*classes, "none"), (*counts[1:], counts[0]), strict=True))


def told(name: str, classes: Sequence[str], found: dict[str, dict[str, Any]]) -> str:
    """Return one line on a target: what predicts it how well (accuracy), and what could not be told.

    Args:
        name: of the target.
        classes: their names.
        found: by `shortcuts`.
    """
    majority = found["majority"]
    if "why" in majority:
        return f"{name}: what gives it away cannot be told ({majority['why']})"
    known = [f"{covariate} {found[covariate]['accuracy']:.0%}" for covariate in NAMES if _told(found, covariate)]
    unknown = [
        f"{covariate} not told ({found[covariate]['why']})" for covariate in NAMES if not _told(found, covariate)
    ]
    most = f"most frequent class: {classes[majority['class']]}, {majority['accuracy']:.0%}"
    if not known:
        return f"{name}: {'; '.join((most, *unknown))}"
    first, *rest = known
    first = first.replace(" ", " alone predicts ", 1)
    return "; ".join((f"{name}: {', '.join((first, *rest))} of the dev split ({most})", *unknown))


def worth_a_warning(found: dict[str, dict[str, Any]]) -> str | None:
    """Return what gives the target away most, with its number, or None where nothing does.

    It does (ours) where its UA on the dev split lies more than halfway from chance to 1: above 75 % for two classes.

    Args:
        found: by `shortcuts`.
    """
    if "why" in found["majority"]:
        return None
    chance = found["majority"]["ua"]
    told_of = [name for name in NAMES if _told(found, name)]
    most = max(told_of, key=lambda name: found[name]["ua"], default=None)
    if most is None or found[most]["ua"] <= (1.0 + chance) / 2.0:
        return None
    return f"{most} alone predicts it with a UA of {found[most]['ua']:.0%} (chance: {chance:.0%})"


Split = tuple[np.ndarray, np.ndarray]
"""The values of a covariate and the labels of the same utterances."""


def _labelled(columns: dict[str, np.ndarray], labels: np.ndarray, num_classes: int) -> np.ndarray:
    if labels.shape != columns["level"].shape:
        raise ValueError(f"{labels.shape} labels for {columns['level'].shape} utterances: give each a label, or -1")
    _check_classes(labels, num_classes)
    return labels >= 0


def _check_classes(labels: np.ndarray, num_classes: int) -> None:
    outside = labels[(labels < -1) | (labels >= num_classes)]
    if len(outside):
        raise ValueError(f"label {outside[0]} is none of the {num_classes} classes: give 0 to {num_classes - 1}, or -1")


def _known(values: np.ndarray, labels: np.ndarray, labelled: np.ndarray) -> Split:
    if values.dtype == object:
        # A table's missing text may come as NaN, which is no sentence either.
        known = labelled & np.array([isinstance(value, str) for value in values], dtype=bool)
    else:
        known = labelled & np.isfinite(values)
    return values[known], labels[known]


def _why_not(name: str, train: Split, dev: Split) -> str | None:
    """Return in a few words why a covariate's part cannot be told, or None where it can."""
    (values, labels), (dev_values, dev_labels) = train, dev
    for split, found in (("train", labels), ("dev", dev_labels)):
        if not len(found):
            return f"no labelled utterance of the {split} split has a {name}"
    distinct = set(values.tolist())
    if len(distinct) == 1:
        return f"the same {name} throughout the train split"
    if len(set(dev_labels.tolist())) == 1:
        return f"the dev utterances with a {name} are of one class"
    if values.dtype != object:
        few = len(values) < 2 * FEWEST_IN_LEAF
        return f"{len(values)} labelled training utterances; at least {2 * FEWEST_IN_LEAF}" if few else None
    return None if distinct & set(dev_values.tolist()) else f"no {name} of the dev split occurs in the train split"


def _by_tree(values: np.ndarray, labels: np.ndarray, wanted: np.ndarray, seed: int) -> np.ndarray:
    """Return the class of each wanted value by the intervals a decision tree makes, (M,)."""
    tree = DecisionTreeClassifier(
        max_leaf_nodes=LEAVES, min_samples_leaf=max(FEWEST_IN_LEAF, len(values) // 50), random_state=seed % 2**32
    )
    return tree.fit(values[:, None], labels).predict(wanted[:, None])


def _by_value(values: np.ndarray, labels: np.ndarray, wanted: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the class most frequent beside each wanted value, (M,)."""
    names, row = np.unique(values, return_inverse=True)
    counts = np.zeros((len(names), num_classes), dtype=np.int64)
    np.add.at(counts, (row, labels), 1)
    # Of equal counts argmax takes the first: the class most frequent in all, and of such the lowest.
    order = np.argsort(-counts.sum(0), kind="stable")
    chosen = dict(zip(names.tolist(), order[counts[:, order].argmax(1)].tolist(), strict=True))
    return np.array([chosen.get(value, order[0]) for value in wanted], dtype=np.int64)


def _scores(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> dict[str, Any]:
    right = labels == predicted
    total = np.bincount(labels, minlength=num_classes)
    recall = np.bincount(labels[right], minlength=num_classes)[total > 0] / total[total > 0]
    return {"accuracy": float(right.mean()), "ua": float(recall.mean()), "n_dev": len(labels)}


def _majority(labels: np.ndarray, num_classes: int) -> dict[str, Any]:
    if not len(labels):
        return {"why": "no utterance of the dev split has a label"}
    most = int(np.bincount(labels).argmax())
    return _scores(labels, np.full_like(labels, most), num_classes) | {"class": most}


def _told(found: dict[str, dict[str, Any]], name: str) -> bool:
    return "why" not in found[name]

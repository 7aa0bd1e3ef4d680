"""Emotion scores: F1-macro, F1-micro and UA for categories, the concordance correlation (CCC) for attributes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import f1_score, precision_recall_fscore_support


def category_scores(true: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    """Score predicted categories against the labels.

    F1-macro is the plain mean of the F1 of *all* classes, whether or not they occur: a class without a true positive
    counts 0, and so does one that neither occurs nor is predicted (scikit-learn's `zero_division=0` over
    `labels=classes`). Leaving such a class out would make the score depend on which utterances happen to be in the
    test. UA, in contrast, is the mean recall over the classes that occur in `true`: recall of a class nobody spoke
    has no meaning.

    Args:
        true: the label of each utterance.
        predicted: the category predicted for each, in the same order.
        classes: all classes of the corpus and the model; every label and prediction must be among them.

    Returns:
        `n` utterances; `f1_macro`; `f1_micro` (with one label an utterance: the accuracy, or WA); `ua`;
        `per_class`: for each class its `f1`, `precision`, `recall` (null where the class does not occur) and
        `support`; `confusion`: counts, one row a true class, one column a predicted one, in the order of `classes`.
        The three scores are None where there are no utterances.

    Raises:
        ValueError: the lengths differ, a class is named twice, or a label is outside `classes`.
    """
    true, predicted, classes = list(true), list(predicted), list(classes)
    if len(true) != len(predicted):
        raise ValueError(f"{len(true)} labels but {len(predicted)} predictions: give one of each for every utterance")
    if len(set(classes)) != len(classes):
        raise ValueError(f"classes {classes} name one twice: name each once")
    if outside := sorted((set(true) | set(predicted)) - set(classes)):
        raise ValueError(f"categories {outside} are not among the classes {classes}: exclude them or add the classes")
    if not true:
        return {"n": 0, "f1_macro": None, "f1_micro": None, "ua": None, "per_class": {}, "confusion": []}
    precision, recall, f1, support = precision_recall_fscore_support(true, predicted, labels=classes, zero_division=0)
    occurs = support > 0
    index = {name: i for i, name in enumerate(classes)}
    confusion = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(confusion, ([index[name] for name in true], [index[name] for name in predicted]), 1)
    return {
        "n": len(true),
        "f1_macro": float(f1_score(true, predicted, labels=classes, average="macro", zero_division=0)),
        "f1_micro": float(np.mean([label == guess for label, guess in zip(true, predicted, strict=True)])),
        "ua": float(recall[occurs].mean()),
        "per_class": {
            name: {
                "f1": float(f1[i]),
                "precision": float(precision[i]),
                "recall": float(recall[i]) if occurs[i] else None,
                "support": int(support[i]),
            }
            for i, name in enumerate(classes)
        },
        "confusion": confusion.tolist(),
    }


def ccc(true: Sequence[float], predicted: Sequence[float]) -> float | None:
    """Return the concordance correlation coefficient of predictions with true values (Lin 1989).

    CCC = 2ρσxσy / (σx² + σy² + (μx − μy)²), with population statistics (divided by n, not n − 1): 1 only where every
    prediction equals its label.

    Args:
        true: the labels.
        predicted: the predictions, in the same order.

    Returns:
        From -1 to 1; None where it is undefined: fewer than two values, or both sides constant.

    Raises:
        ValueError: the lengths differ, or a value is not a finite number.
    """
    x, y = np.asarray(true, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"labels of shape {x.shape} but predictions of shape {y.shape}: give two lists equally long")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("labels or predictions hold values that are not finite numbers: leave those utterances out")
    if len(x) < 2 or (np.ptp(x) == 0 and np.ptp(y) == 0):
        return None
    mean_x, mean_y = x.mean(), y.mean()
    covariance = np.mean((x - mean_x) * (y - mean_y))  # ρσxσy, which stays defined when one side is constant
    spread = np.mean((x - mean_x) ** 2) + np.mean((y - mean_y) ** 2) + (mean_x - mean_y) ** 2
    return float(np.clip(2 * covariance / spread, -1.0, 1.0))

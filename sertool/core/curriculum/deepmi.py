"""DeepMI: what an utterance adds to the mutual information of clusters and labels (Lin, Sridhar & Busso, TASLP 2024).

Probabilities are plug-in: shares of the utterances given, which should be the training set. Everything is in nats.
"""

import numpy as np
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

ALPHAS = {"valence": 0.5, "arousal": 0.0, "dominance": 0.0, "emotion": 0.0}
"""The published share of the predictions' term for each attribute; ours for categories."""


def deepmi(clusters: np.ndarray, labels: np.ndarray, predictions: np.ndarray | None, *, alpha: float) -> np.ndarray:
    """Return the DeepMI of each utterance: the contribution of its cell to the mutual information, high for easy.

    DeepMI_i = (1 − α) p(x, y) ln[p(x, y) / (p(x) p(y))] + α p(y′, y) ln[p(y′, y) / (p(y′) p(y))], the published form.
    Summed over cells, not over utterances, each term is the mutual information.

    Args:
        clusters: x, the cluster of each utterance, integers, (N,).
        labels: y, its level or class, integers, (N,).
        predictions: y′, the level or class a model gives it, integers, (N,); may be None where alpha is 0.
        alpha: α, from 0 to 1.

    Returns:
        float64, (N,).

    Raises:
        ValueError: lengths differ, there are no utterances, alpha is no share, or predictions are missing.
    """
    return _mixed(contributions, clusters, labels, predictions, alpha)


def pmi(clusters: np.ndarray, labels: np.ndarray, predictions: np.ndarray | None, *, alpha: float) -> np.ndarray:
    """Return DeepMI's pointwise form (ours): the same two terms without the factors p(x, y) and p(y′, y).

    DeepMI favours large cells; pointwise mutual information asks only how much likelier the label is in that cluster
    than elsewhere. Its mean over utterances is the mutual information. Arguments, result and errors as in `deepmi`.
    """
    return _mixed(pointwise, clusters, labels, predictions, alpha)


def contributions(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return p(a, b) ln[p(a, b) / (p(a) p(b))] of the cell (a, b) each utterance lies in, float64, (N,)."""
    joint, ratio = _cells(first, second)
    return joint * np.log(ratio)


def pointwise(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return ln[p(a, b) / (p(a) p(b))] of the cell (a, b) each utterance lies in, float64, (N,)."""
    return np.log(_cells(first, second)[1])


def mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """Return the plug-in mutual information of two labellings of the same utterances, in nats."""
    return float(pointwise(first, second).mean())


def mutual_information_by_chance(first: np.ndarray, second: np.ndarray) -> float:
    """Return how much plug-in mutual information labellings of these sizes have when one is shuffled, in nats.

    The expectation over all permutations (Vinh, Epps & Bailey, JMLR 2010).
    """
    table = contingency_matrix(first, second, sparse=True)
    return float(expected_mutual_information(table, len(first)))


def _mixed(term, clusters: np.ndarray, labels: np.ndarray, predictions: np.ndarray | None, alpha: float) -> np.ndarray:
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha is {alpha}: give a share from 0 to 1")
    if alpha == 0.0:
        return term(clusters, labels)
    if predictions is None:
        raise ValueError(f"alpha is {alpha} but there are no predictions: give some, or alpha 0")
    return (1.0 - alpha) * term(clusters, labels) + alpha * term(predictions, labels)


def _cells(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return p(a, b), and p(a, b) / (p(a) p(b)), of the cell each utterance lies in."""
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"labellings of shapes {first.shape} and {second.shape}: give one of each an utterance")
    _, row = np.unique(first, return_inverse=True)
    _, column = np.unique(second, return_inverse=True)
    _, cell = np.unique(row * (column.max() + 1) + column, return_inverse=True)
    # Products of counts are exact, so that utterances of one cell, and of like cells, tie exactly.
    in_row, in_column, in_cell = (np.bincount(index)[index] for index in (row, column, cell))
    total = len(first)
    return in_cell / total, (in_cell * total) / (in_row * in_column)

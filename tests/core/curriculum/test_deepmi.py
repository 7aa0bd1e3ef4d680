"""DeepMI against a table worked out by hand, and against scikit-learn's mutual information."""

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import floats, integers, permutations
from sklearn.metrics import mutual_info_score

from sertool.core.curriculum.deepmi import (
    contributions,
    deepmi,
    mutual_information,
    mutual_information_by_chance,
    pmi,
    pointwise,
)

# Ten utterances.      y = 0   y = 1                 y = 0   y = 1
#              x = 7   4       1      5     y' = 0   4       2      6
#              x = 8   0       3      3     y' = 1   1       3      4
#              x = 9   1       1      2
#                      5       5     10              5       5     10
CLUSTERS = np.array([7, 7, 7, 7, 9, 7, 8, 8, 8, 9])
LABELS = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
PREDICTIONS = np.array([0, 0, 0, 0, 1, 0, 0, 1, 1, 1])

# p(x, y) ln[p(x, y) / (p(x) p(y))] by cell, in tenths: p(7, 0) = 4/10, p(7) p(0) = 5/10 · 5/10, and so on.
OF_CLUSTER = {
    (7, 0): 4 / 10 * log(16 / 10),  # 4/10 / (25/100)
    (7, 1): 1 / 10 * log(4 / 10),  # 1/10 / (25/100)
    (8, 1): 3 / 10 * log(2),  # 3/10 / (15/100)
    (9, 0): 0.0,  # 1/10 / (10/100) = 1
    (9, 1): 0.0,
}
OF_PREDICTION = {
    (0, 0): 4 / 10 * log(4 / 3),  # 4/10 / (30/100)
    (0, 1): 2 / 10 * log(2 / 3),  # 2/10 / (30/100)
    (1, 0): 1 / 10 * log(1 / 2),  # 1/10 / (20/100)
    (1, 1): 3 / 10 * log(3 / 2),  # 3/10 / (20/100)
}

EXAMPLES = arrays(np.int64, (30, 3), elements=integers(0, 5))


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 1.0])
def test_the_example_worked_out_by_hand(alpha):
    expected = [
        (1 - alpha) * OF_CLUSTER[x, y] + alpha * OF_PREDICTION[guess, y]
        for x, y, guess in zip(CLUSTERS.tolist(), LABELS.tolist(), PREDICTIONS.tolist(), strict=True)
    ]
    scores = deepmi(CLUSTERS, LABELS, PREDICTIONS, alpha=alpha)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, expected, rtol=1e-12, atol=1e-15)


def test_pointwise_leaves_out_the_share_of_the_cell():
    scores = pmi(CLUSTERS, LABELS, PREDICTIONS, alpha=0.5)
    # The first is in cells (7, 0) and (0, 0); the last in (9, 1) and (1, 1).
    np.testing.assert_allclose(scores[[0, -1]], [0.5 * log(16 / 10) + 0.5 * log(4 / 3), 0.5 * log(3 / 2)], rtol=1e-12)


@settings(max_examples=25)
@given(EXAMPLES, floats(0.0, 1.0))
def test_summed_over_cells_each_term_is_the_mutual_information(rows, alpha):
    clusters, labels, predictions = rows.T
    for other in (clusters, predictions):
        cells = {(x, y): value for x, y, value in zip(other, labels, contributions(other, labels), strict=True)}
        assert sum(cells.values()) == pytest.approx(mutual_info_score(labels, other), abs=1e-12)
        assert pointwise(other, labels).mean() == pytest.approx(mutual_info_score(labels, other), abs=1e-12)
        assert mutual_information(other, labels) == pytest.approx(mutual_info_score(labels, other), abs=1e-12)
    expected = (1 - alpha) * mutual_info_score(labels, clusters) + alpha * mutual_info_score(labels, predictions)
    assert pmi(clusters, labels, predictions, alpha=alpha).mean() == pytest.approx(expected, abs=1e-12)


@settings(max_examples=50)
@given(EXAMPLES, permutations(range(30)), permutations(range(6)))
def test_neither_the_order_of_rows_nor_the_names_of_clusters_have_a_say(rows, order, names):
    scores = deepmi(*rows.T, alpha=0.5)
    clusters, labels, predictions = rows[order].T
    # Bit by bit: utterances of one cell tie.
    assert (deepmi(np.array(names)[clusters], labels, predictions, alpha=0.5) == scores[order]).all()


def test_utterances_of_one_cell_tie_exactly():
    assert len(np.unique(deepmi(CLUSTERS, LABELS, None, alpha=0.0))) == 4  # of (9, 0) and (9, 1) both are 0


def test_cells_of_like_counts_tie_exactly():
    counts = np.random.default_rng(0).integers(0, 9, (6, 6))
    first, second = np.repeat(np.indices((6, 6)).reshape(2, -1), (counts + counts.T).ravel(), axis=1)
    value = dict(zip(zip(first, second, strict=True), contributions(first, second), strict=True))
    assert all(value[a, b] == value[b, a] for a, b in value)


def test_a_cluster_that_says_nothing_of_the_label_scores_nothing():
    clusters, labels = np.repeat([0, 1], 4), np.tile([0, 1], 4)
    assert (deepmi(clusters, labels, None, alpha=0.0) == 0).all()


def test_mutual_information_by_chance_is_that_of_shuffled_labels():
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 5, 60), generator.integers(0, 8, 60)
    shuffled = [mutual_info_score(first, generator.permutation(second)) for _ in range(2000)]
    assert mutual_information_by_chance(first, second) == pytest.approx(np.mean(shuffled), rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "alpha", "told"),
    [
        ((CLUSTERS, LABELS, None), 0.5, "no predictions"),
        ((CLUSTERS, LABELS, PREDICTIONS), 1.5, "share from 0 to 1"),
        ((CLUSTERS[:3], LABELS, None), 0.0, "one of each"),
        ((CLUSTERS, LABELS, PREDICTIONS[:3]), 0.5, "one of each"),
        ((CLUSTERS[:0], LABELS[:0], None), 0.0, "one of each"),
    ],
)
def test_what_makes_no_table_is_refused(arguments, alpha, told):
    with pytest.raises(ValueError, match=told):
        deepmi(*arguments, alpha=alpha)

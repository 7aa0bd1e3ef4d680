"""Monte-Carlo dropout: what it measures, and that it is drawn from the seed alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import floats
from scipy.special import softmax
from scipy.stats import entropy

from sertool.core.curriculum.out_of_fold import FoldedHeads, train_in_sample
from sertool.core.curriculum.small_head import HeadSettings, SmallHead
from sertool.core.curriculum.target import Target
from sertool.core.curriculum.uncertainty import bald, dropout_outputs, predictive_entropy, variance

VECTORS = np.random.default_rng(0).standard_normal((30, 6)).astype(np.float32)


def heads(dropout: float = 0.5, outputs: int = 3) -> FoldedHeads:
    made = tuple(SmallHead(6, outputs, HeadSettings(hidden=32, dropout=dropout), seed=seed) for seed in range(2))
    return FoldedHeads(made, np.arange(30) % 2)


@settings(max_examples=40)
@given(arrays(np.float64, (5, 4, 3), elements=floats(-50, 50)))
def test_entropies_are_scipys(logits):
    probabilities = softmax(logits, axis=2)
    np.testing.assert_allclose(predictive_entropy(logits), entropy(probabilities.mean(0), axis=1), atol=1e-9)
    expected = entropy(probabilities.mean(0), axis=1) - entropy(probabilities, axis=2).mean(0)
    np.testing.assert_allclose(bald(logits), expected, atol=1e-9)
    assert (bald(logits) >= 0).all()


def test_passes_that_agree_leave_only_the_doubt_within_each():
    alike = np.tile(np.log([[[0.5, 0.25, 0.25]]]), (20, 1, 1))
    assert predictive_entropy(alike)[0] == pytest.approx(1.5 * np.log(2)) and bald(alike)[0] < 1e-12
    at_odds = np.log(np.maximum(np.eye(2)[[0, 1] * 10][:, None], 1e-300))
    assert bald(at_odds)[0] == pytest.approx(np.log(2))
    assert variance(np.array([[[3.0]], [[5.0]]])).tolist() == [1.0]


def test_passes_are_drawn_from_the_seed_and_differ():
    outputs = dropout_outputs(heads(), VECTORS, seed=0)
    assert outputs.shape == (20, 30, 3)
    assert (dropout_outputs(heads(), VECTORS, seed=0) == outputs).all()
    assert (dropout_outputs(heads(), VECTORS, seed=1) != outputs).any()
    assert (outputs.std(0) > 0).all()
    assert (dropout_outputs(heads(0.0), VECTORS, seed=0).std(0) < 1e-12).all()


def test_an_utterance_depends_on_no_other():
    outputs = dropout_outputs(heads(), VECTORS, seed=0)
    alone = dropout_outputs(FoldedHeads(heads().heads, np.array([0, 1])), VECTORS[[4, 17]], seed=0)
    np.testing.assert_allclose(alone, outputs[:, [4, 17]], atol=1e-5)


def test_what_lies_between_two_classes_is_the_less_certain():
    labels = np.arange(60) % 2
    vectors = np.random.default_rng(1).standard_normal((60, 4)).astype(np.float32) * 0.3
    vectors[:, 0] += np.where(labels, 1.0, -1.0)
    learned = train_in_sample(vectors, Target("emotion", "emotion", ("a", "b"), labels), seed=0).heads[0]
    asked = np.array([[0.0, 0, 0, 0], [1.5, 0, 0, 0], [-1.5, 0, 0, 0]], dtype=np.float32)
    logits = dropout_outputs(FoldedHeads((learned,), np.zeros(3, dtype=int)), asked, seed=0)
    doubt = predictive_entropy(logits)
    assert doubt[0] > 2 * doubt[1] and doubt[0] > 2 * doubt[2]

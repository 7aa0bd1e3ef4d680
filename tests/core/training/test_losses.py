"""Losses against torch, torchmetrics and the definition; the same however the batch is cut."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torchmetrics
from hypothesis import given, settings
from hypothesis.strategies import integers, lists
from sklearn.utils.class_weight import compute_class_weight

from sertool.core.training.losses import (
    ccc,
    ccc_gradient,
    class_weights,
    cross_entropy_denominator,
    cross_entropy_sum,
    kl_divergence_sum,
    l1_sum,
    soft_cross_entropy_sum,
    soft_denominator,
)


def test_class_weights_are_scikit_learns_balanced_ones():
    labels = np.array([0, 0, 0, 1, 2, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(class_weights(torch.tensor(np.bincount(labels))), expected, rtol=1e-6)


def test_a_class_without_utterances_weighs_nothing():
    assert class_weights(torch.tensor([4, 0]))[1] == 0


def test_cross_entropy_is_torchs_weighted_mean_with_unlabelled_left_out():
    logits, labels = torch.randn(6, 3), torch.tensor([0, 2, -1, 1, 2, -1])
    weights = torch.tensor([0.5, 2.0, 1.0])
    expected = torch.nn.functional.cross_entropy(logits, labels, weight=weights, ignore_index=-1)
    ours = cross_entropy_sum(logits, labels, weights) / cross_entropy_denominator(labels, weights)
    torch.testing.assert_close(ours, expected)


@settings(max_examples=25, deadline=None)
@given(cuts=lists(integers(1, 7), max_size=3))
def test_parts_add_up_to_the_whole_batch(cuts):
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(8, 3, generator=generator), torch.tensor([0, 1, 2, 2, 1, 0, 0, -1])
    weights = torch.tensor([0.5, 2.0, 1.0])
    whole = torch.nn.functional.cross_entropy(logits, labels, weight=weights, ignore_index=-1)
    edges = [0, *sorted(set(cuts)), 8]
    denominator = cross_entropy_denominator(labels, weights)
    parts = [cross_entropy_sum(logits[a:b], labels[a:b], weights) for a, b in pairwise(edges)]
    torch.testing.assert_close(sum(parts) / denominator, whole)


def shares_of(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).softmax(1)


def test_soft_cross_entropy_is_torchs_on_distributions():
    logits, shares, weights = torch.randn(6, 3), shares_of(6, 3), torch.tensor([0.5, 2.0, 1.0])
    expected = torch.nn.functional.cross_entropy(logits, shares, weight=weights, reduction="sum")
    torch.testing.assert_close(soft_cross_entropy_sum(logits, shares, weights), expected)


def test_one_hot_votes_are_labels():
    logits, labels, weights = torch.randn(5, 3), torch.tensor([0, 2, -1, 1, 2]), torch.tensor([0.5, 2.0, 1.0])
    shares = torch.nn.functional.one_hot(labels.clamp(min=0), 3) * (labels >= 0)[:, None].float()
    torch.testing.assert_close(
        soft_cross_entropy_sum(logits, shares, weights), cross_entropy_sum(logits, labels, weights)
    )
    torch.testing.assert_close(kl_divergence_sum(logits, shares, weights), cross_entropy_sum(logits, labels, weights))
    assert soft_denominator(shares, weights) == cross_entropy_denominator(labels, weights)


def test_divergence_is_torchs_weighted_by_utterance():
    logits, shares, weights = torch.randn(6, 3), shares_of(6, 3), torch.tensor([0.5, 2.0, 1.0])
    by_class = torch.nn.functional.kl_div(logits.log_softmax(1), shares, reduction="none")
    expected = (by_class.sum(1) * (shares * weights).sum(1)).sum()
    torch.testing.assert_close(kl_divergence_sum(logits, shares, weights), expected)


def test_divergence_rests_at_the_votes_and_weighted_cross_entropy_at_the_heavy_classes():
    shares, weights = shares_of(4, 3), torch.tensor([0.5, 2.0, 1.0])
    logits = shares.log().requires_grad_()
    (gradient,) = torch.autograd.grad(kl_divergence_sum(logits, shares, weights), logits)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-6, rtol=0)
    heavy = (shares * weights / (shares * weights).sum(1, keepdim=True)).log().requires_grad_()
    (gradient,) = torch.autograd.grad(soft_cross_entropy_sum(heavy, shares, weights), heavy)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-6, rtol=0)


def test_an_utterance_without_votes_teaches_nothing():
    logits, weights = torch.randn(3, 3, requires_grad=True), torch.ones(3)
    shares = shares_of(3, 3)
    shares[1] = 0.0
    for soft_sum in (soft_cross_entropy_sum, kl_divergence_sum):
        (gradient,) = torch.autograd.grad(soft_sum(logits, shares, weights), logits)
        assert not gradient[1].any() and gradient[0].any() and gradient.isfinite().all()
    assert soft_denominator(shares, weights) == pytest.approx(2.0)


def test_l1_counts_real_frames_only():
    estimate, target = torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    own = torch.cat([(estimate - target)[0].abs().ravel(), (estimate - target)[1, :3].abs().ravel()])
    torch.testing.assert_close(l1_sum(estimate, target, mask) / (mask.sum() * 4), own.mean())


def test_ccc_is_torchmetrics():
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(200, 2, generator=generator), torch.randn(200, 2, generator=generator)
    y = 0.7 * x + 0.3 * y + 0.2
    expected = torchmetrics.functional.concordance_corrcoef(x, y)
    torch.testing.assert_close(ccc(x, y), expected, atol=2e-3, rtol=0)  # theirs mixes n and n - 1


def test_ccc_by_hand():
    # x: mean 2, variance 2/3; y: mean 3, variance 8/3; covariance 4/3.
    value = ccc(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[1.0], [3.0], [5.0]]))
    assert value.item() == pytest.approx(2 * (4 / 3) / (2 / 3 + 8 / 3 + 1))


def test_unlabelled_rows_do_not_count():
    x, y = torch.randn(9, 1), torch.randn(9, 1)
    y[4] = float("nan")
    kept = torch.arange(9) != 4
    torch.testing.assert_close(ccc(x, y), ccc(x[kept], y[kept]))
    assert ccc_gradient(x, y)[1][4] == 0


def test_the_gradient_handed_back_is_that_of_the_loss():
    x, y = torch.randn(10, 3, requires_grad=True), torch.randn(10, 3)
    loss = (1 - ccc(x, y)).mean()
    loss.backward()
    value, gradient = ccc_gradient(x, y)
    torch.testing.assert_close(gradient, x.grad)
    torch.testing.assert_close(value, loss.detach())


def test_a_single_prediction_gives_no_gradient_that_is_not_a_number():
    value, gradient = ccc_gradient(torch.tensor([[3.0]]), torch.tensor([[3.0]]))
    assert value.isfinite() and gradient.isfinite().all()

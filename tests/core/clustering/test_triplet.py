"""The triplet loss against torch's, and its draws against the definition, by counting."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import integers, lists
from scipy.stats import chisquare

from sertool.core.clustering.triplet import draw_triplets, triplet_loss

SPREAD = torch.arange(11)[None] * 62
"""Where chunks begin that do not overlap."""

OVERLAPPING = torch.arange(11)[None] * 6
"""Those of a sentence of two seconds, whose ends alone share no frame: 60 < 62 even then."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def features(num_sentences: int, num_chunks: int = 11, dim: int = 5) -> torch.Tensor:
    return torch.randn(num_sentences, num_chunks, dim, generator=seeded(7)).requires_grad_()


def allowed(starts: list[int], chunk_frames: int, near: int) -> set[tuple[int, int, int]]:
    """All triplets of a sentence, by the definition."""
    places = range(len(starts))
    return {
        (a, p, n)
        for a in places
        for p in places
        for n in places
        if 1 <= abs(a - p) <= near and abs(a - n) > near and abs(starts[a] - starts[n]) >= chunk_frames
    }


@settings(max_examples=60, deadline=None)
@given(
    steps=lists(lists(integers(0, 30), min_size=7, max_size=7), min_size=1, max_size=5),
    chunk_frames=integers(1, 60),
    near=integers(1, 3),
    draws=integers(1, 6),
    seed=integers(0, 1000),
)
def test_every_triplet_is_one_of_the_definition(steps, chunk_frames, near, draws, seed):
    starts = torch.tensor(steps).cumsum(1)
    drawn = draw_triplets(starts, chunk_frames=chunk_frames, draws=draws, near=near, generator=seeded(seed))
    triplets = [allowed(row, chunk_frames, near) for row in starts.tolist()]
    found = [[tuple(one) for one in drawn[1:, drawn[0] == row].T.tolist()] for row in range(len(starts))]
    for here, there in zip(found, triplets, strict=True):
        assert len(here) == (draws if there else 0)
        assert set(here) <= there


def test_anchors_positives_and_negatives_are_equally_likely():
    starts = torch.arange(6)[None] * 62
    _, anchors, positives, negatives = draw_triplets(
        starts, chunk_frames=62, draws=20_000, near=2, generator=seeded()
    ).numpy()
    assert chisquare(np.bincount(anchors, minlength=6)).pvalue > 0.001
    assert chisquare(np.bincount(positives[anchors == 2], minlength=6)[[0, 1, 3, 4]]).pvalue > 0.001
    assert chisquare(np.bincount(negatives[anchors == 0], minlength=6)[[3, 4, 5]]).pvalue > 0.001


def test_every_sentence_has_draws_of_its_own():
    _, anchors, _, _ = draw_triplets(SPREAD.expand(2, -1), chunk_frames=62, draws=10, near=2, generator=seeded())
    assert anchors[:10].tolist() != anchors[10:].tolist()


def test_it_is_torchs_loss_of_what_is_drawn():
    shared, starts = features(4), SPREAD.expand(4, -1)
    rows, a, p, n = draw_triplets(starts, chunk_frames=62, draws=10, near=2, generator=seeded(3))
    expected = torch.nn.TripletMarginLoss(margin=1.0, p=2)(shared[rows, a], shared[rows, p], shared[rows, n])
    torch.testing.assert_close(triplet_loss(shared, starts, chunk_frames=62, generator=seeded(3)), expected)
    values = shared.detach().double().numpy()
    near, far = (np.linalg.norm(values[rows, a] - values[rows, other], axis=1) for other in (p, n))
    assert expected.item() == pytest.approx(np.maximum(0, near - far + 1).mean(), abs=1e-5)


@pytest.mark.parametrize("margin", [0.5, 2.0])
def test_where_all_chunks_are_alike_it_is_the_margin(margin):
    loss = triplet_loss(torch.ones(2, 11, 5), SPREAD.expand(2, -1), chunk_frames=62, margin=margin, generator=seeded())
    assert loss.item() == pytest.approx(margin, abs=1e-5)


def test_it_draws_near_chunks_together():
    shared = features(3).detach().requires_grad_()
    losses = []
    for step in range(40):
        loss = triplet_loss(shared, SPREAD.expand(3, -1), chunk_frames=62, generator=seeded(step))
        (grad,) = torch.autograd.grad(loss, shared)
        shared.data -= 2.0 * grad
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])


def test_sentences_whose_chunks_overlap_contribute_nothing():
    shared = features(2)
    both = triplet_loss(shared, torch.cat([OVERLAPPING, SPREAD]), chunk_frames=62, generator=seeded())
    alone = triplet_loss(shared[1:], SPREAD, chunk_frames=62, generator=seeded())
    torch.testing.assert_close(both, alone)
    both.backward()
    assert (shared.grad[0] == 0).all() and (shared.grad[1] != 0).any()


@pytest.mark.parametrize("starts", [OVERLAPPING, torch.zeros(1, 1, dtype=torch.long), torch.zeros(0, 11).long()])
def test_no_triplet_at_all_is_zero_and_can_go_backward(starts):
    shared = features(len(starts), starts.shape[1])
    loss = triplet_loss(shared, starts, chunk_frames=62, generator=seeded())
    assert loss.item() == 0.0 and loss.shape == ()
    loss.backward()
    assert torch.equal(shared.grad, torch.zeros_like(shared))


def test_the_generator_alone_decides():
    shared, starts = features(4), SPREAD.expand(4, -1)

    def loss(seed: int, noise: int) -> float:
        torch.manual_seed(noise)
        return triplet_loss(shared, starts, chunk_frames=62, generator=seeded(seed)).item()

    assert loss(1, 0) == loss(1, 99)
    assert loss(1, 0) != loss(2, 0)

"""The small head: what it learns, from whom, and that nothing about it is random."""

import copy

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from torch.nn import functional as F

from sertool.core.curriculum.small_head import HeadSettings, SmallHead, steady_plan, train_head

SMALL = HeadSettings(hidden=16, batch=8)
LABELS = np.arange(48) % 3
VECTORS = np.random.default_rng(0).standard_normal((48, 6)).astype(np.float32)
VECTORS[np.arange(48), LABELS] += 4.0
VECTORS = VECTORS * [1, 10, 100, 1, 1, 1] + 1000.0  # as far apart in scale as features are


def train(labels=LABELS, classes=3, plan=None, seed=0, settings=SMALL, **how) -> SmallHead:
    plan = steady_plan(len(VECTORS), epochs=20, learning_rate=1e-2) if plan is None else plan
    return train_head(VECTORS, labels, classes=classes, plan=plan, seed=seed, settings=settings, **how)


def test_it_learns_categories_whatever_the_scale_of_the_vectors():
    assert (train().outputs(VECTORS).argmax(1) == LABELS).mean() > 0.95


def test_it_learns_an_attribute_on_its_scale():
    values = 2.0 + 2.0 * LABELS
    estimates = train(values, None).outputs(VECTORS)
    assert estimates.shape == (48, 1) and pearsonr(estimates[:, 0], values).statistic > 0.9
    assert abs(estimates.mean() - 4.0) < 0.4
    untrained = train(values, None, plan=[]).outputs(VECTORS)
    assert abs(untrained.mean() - 4.0) < 1.0  # the middle of the scale


def test_the_same_call_gives_the_same_head_and_leaves_global_randomness_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = train().state_dict()
    assert (torch.get_rng_state() == before).all()
    torch.rand(7)
    for name, tensor in train().state_dict().items():
        assert torch.equal(tensor, first[name]), name
    assert not torch.equal(train(seed=1).project.weight, first["project.weight"])


def test_what_it_says_is_not_random_and_depends_on_no_other_utterance():
    head = train(plan=steady_plan(48, epochs=1))
    together = head.outputs(VECTORS)
    assert (head.outputs(VECTORS) == together).all()
    np.testing.assert_allclose(head.outputs(VECTORS[7:8]), together[7:8], atol=1e-5)


def test_a_plan_says_who_is_learned_from_and_how_fast():
    never = np.flatnonzero(LABELS != 2)
    seen = train(plan=[(never, 1e-2)] * 20).outputs(VECTORS)
    assert (seen.argmax(1) != 2).mean() > 0.95
    start = train(plan=[])
    assert torch.equal(train(plan=[(range(48), 0.0)] * 3).project.weight, start.project.weight)
    assert torch.equal(train(plan=[([], 1e-2)]).project.weight, start.project.weight)
    # Adam's first step moves each weight by the learning rate, whatever the gradient.
    moved = train(plan=[(range(8), 1e-3)]).output.weight - start.output.weight
    assert moved.abs().max().item() == pytest.approx(1e-3, rel=1e-2)


def test_after_each_epoch_it_can_be_looked_at_before_the_next_is_planned():
    heads: list[SmallHead] = []
    known: list[int] = []

    def plan():
        for _ in range(3):
            known.append(len(heads))
            yield range(48), 1e-2

    last = train(plan=plan(), on_epoch=lambda number, head: heads.insert(number - 1, copy.deepcopy(head)))
    assert known == [0, 1, 2]
    assert torch.equal(heads[2].output.weight, last.output.weight)
    assert not torch.equal(heads[1].output.weight, last.output.weight)


def test_vectors_are_standardised_with_training_statistics_and_what_never_varied_is_not_heard():
    vectors = VECTORS.copy()
    vectors[:, 5] = 3.0
    head = train_head(vectors, LABELS, classes=3, plan=steady_plan(48, epochs=2), seed=0, settings=SMALL)
    np.testing.assert_allclose(head.mean, vectors.mean(0), rtol=1e-5)
    np.testing.assert_allclose(head.std[:5], vectors.std(0)[:5], rtol=1e-3)
    elsewhere = vectors + np.array([0, 0, 0, 0, 0, 50.0])
    assert (head.outputs(elsewhere) == head.outputs(vectors)).all()


def test_rare_classes_weigh_more():
    """The first step is Adam's, of a size of its own; so the gradient is compared by the head that follows from it."""
    labels = np.array([0] * 40 + [1] * 8)
    head = train(labels, 2, plan=[])
    logits = torch.tensor(head.outputs(VECTORS))
    weights = torch.tensor([48 / (2 * 40), 48 / (2 * 8)], dtype=torch.float64)
    expected = F.cross_entropy(logits, torch.tensor(labels), weights)
    plain = F.cross_entropy(logits, torch.tensor(labels))
    from sertool.core.curriculum.small_head import _class_loss

    loss = _class_loss(labels, 2)(logits.float(), torch.arange(48))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5) and abs(expected - plain) > 1e-3


def test_units_are_left_out_only_by_a_mask():
    head = train(plan=[])
    kept = head.kept_units(4000, torch.Generator().manual_seed(0))
    assert set(kept.unique().tolist()) == {0.0, 2.0} and kept.mean().item() == pytest.approx(1.0, abs=0.02)
    everyone = torch.ones(1, SMALL.hidden)
    assert (head.outputs(VECTORS, everyone) == head.outputs(VECTORS)).all()
    nobody = head.outputs(VECTORS, torch.zeros(1, SMALL.hidden))
    np.testing.assert_allclose(nobody, np.tile(head.output.bias.detach().numpy(), (48, 1)), atol=1e-6)


@pytest.mark.parametrize(
    ("vectors", "told"),
    [(VECTORS[:5], "one an utterance"), (VECTORS[0], "one an utterance"), (VECTORS * np.nan, "not finite")],
)
def test_what_cannot_be_learned_from_is_refused(vectors, told):
    with pytest.raises(ValueError, match=told):
        train_head(vectors, LABELS, classes=3, plan=[], seed=0)

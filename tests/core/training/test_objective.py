"""The joint loss of a batch against torch's own, and the crop the enhancement head trains on."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sertool.core.corpus.batches import Batch
from sertool.core.models.config import CompactConfig, EmotionConfig, EnhancementConfig, SharedConfig
from sertool.core.models.shared import SharedModel
from sertool.core.training.objective import Objective

WEIGHTS = torch.tensor([0.5, 2.0])


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SharedModel(
            SharedConfig(
                encoder=CompactConfig(dim=16, layers=2, kernel=5),
                emotion=EmotionConfig(categories=("anger", "neutral"), hidden=8),
                enhancement=EnhancementConfig(projection=8, hidden=8),
            )
        ).eval()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    clean = torch.randn(3, 8000, generator=generator)
    return Batch(
        indices=torch.arange(3),
        noisy=clean + 0.3 * torch.randn(3, 8000, generator=generator),
        clean=clean,
        lengths=torch.tensor([8000, 8000, 8000]),
        labels=torch.tensor([0, 1, -1]),
        attributes=torch.zeros(3, 0),
        vote_shares=torch.tensor([[0.9, 0.1], [0.25, 0.75], [0.5, 0.5]]),
        crop_position=torch.tensor([0.0, 0.5, 1.0]),
        targets=torch.zeros(3, 0, dtype=torch.long),
        frame_labels=torch.zeros(3, 0, dtype=torch.long),
        hidden_frames=torch.zeros(3, 0, dtype=torch.bool),
    )


def objective(**changes):
    settings = {
        "class_weights": WEIGHTS,
        "category_loss": "cross-entropy",
        "attributes": False,
        "enhancement": True,
        "emotion_weight": 2.0,
        "enhancement_weight": 0.5,
        "crop_frames": None,
    }
    return Objective(**settings | changes)


def losses(objective, model, batch):
    output = model(batch.noisy, batch.lengths, objective.crop(batch))
    return output, objective.losses(model, output, batch, objective.denominators(batch), None)


def test_the_joint_loss_is_weighted_cross_entropy_and_mean_absolute_error(model, batch):
    output, found = losses(objective(), model, batch)
    expected = torch.nn.functional.cross_entropy(output.category_logits, batch.labels, weight=WEIGHTS, ignore_index=-1)
    torch.testing.assert_close(found["category"], 2.0 * expected)
    target = model.clean_log_spectrum(batch.clean, batch.lengths, output.statistics, None)
    torch.testing.assert_close(
        found["enhancement"], 0.5 * torch.nn.functional.l1_loss(output.enhanced_log_spectrum, target)
    )


def test_votes_teach_where_there_is_no_label(model, batch):
    output, found = losses(objective(category_loss="soft-cross-entropy"), model, batch)
    by_utterance = torch.nn.functional.cross_entropy(
        output.category_logits, batch.vote_shares, weight=WEIGHTS, reduction="sum"
    )
    torch.testing.assert_close(found["category"], 2.0 * by_utterance / (batch.vote_shares @ WEIGHTS).sum())
    _, divergence = losses(objective(category_loss="kl-divergence"), model, batch)
    assert 0 < divergence["category"] < found["category"]


def test_a_crop_lies_within_the_utterance_at_its_position(batch):
    crop = objective(crop_frames=20).crop(batch)
    assert crop.num_frames == 20
    assert crop.starts.tolist() == [0, 16, 31]  # of 51 frames


@pytest.mark.parametrize("kind", ["cross-entropy", "soft-cross-entropy", "kl-divergence"])
def test_the_loss_of_an_utterance_is_its_own_and_not_weighted(model, batch, kind):
    found_model = objective(category_loss=kind)
    with torch.no_grad():
        output = model(batch.noisy, batch.lengths)
    if kind != "cross-entropy":
        batch = replace(batch, vote_shares=batch.vote_shares.clone())
        batch.vote_shares[2] = 0
    found = found_model.utterance_losses(output, batch)
    log_q = output.category_logits.log_softmax(1)
    for row in range(2):
        if kind == "cross-entropy":
            wanted = -log_q[row, batch.labels[row]]
        else:
            shares = batch.vote_shares[row]
            wanted = -(shares * log_q[row]).sum()
            wanted += (shares * shares.log()).sum() if kind == "kl-divergence" else 0
        assert found[row].item() == pytest.approx(wanted.item(), rel=1e-5)
    assert found[2].isnan()


def test_an_attributes_error_is_measured_in_variances_and_added(batch):
    nan = float("nan")
    batch = replace(
        batch, attributes=torch.tensor([[1.0, 7.0], [nan, 5.0], [nan, nan]]), labels=torch.tensor([0, -1, -1])
    )
    logits = torch.tensor([[2.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    output = SimpleNamespace(category_logits=logits, attributes=torch.tensor([[3.0, 6.0], [4.0, 4.0], [4.0, 4.0]]))
    variances = torch.tensor([2.0, 0.5])
    both = objective(attributes=True, attribute_variances=variances).utterance_losses(output, batch)
    # Half of (3-1)²/2 + (6-7)²/.5, and the cross-entropy ln(1 + e^-1); then (4-5)²/.5 alone; then nothing.
    assert both[:2].tolist() == pytest.approx([2.0 + np.log1p(np.exp(-1)), 2.0]) and both[2].isnan()
    alone = objective(class_weights=None, attributes=True, attribute_variances=variances)
    assert alone.utterance_losses(output, batch)[:2].tolist() == pytest.approx([2.0, 2.0])

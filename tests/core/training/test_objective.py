"""The joint loss of a batch against torch's own, and the crop the enhancement head trains on."""

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

"""Scores of pre-training tasks against scikit-learn and torch, whatever batches the dev split comes in."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss
from torch.nn import functional as F

from sertool.core.models.config import MaskedConfig, SharedConfig, UtteranceTask
from sertool.core.training.objective import Objective, UtteranceLoss
from sertool.core.training.pretext_scores import PretextScores

CONFIG = SharedConfig(
    pretext=(
        UtteranceTask(name="energy", classes=("low", "high")),
        UtteranceTask(name="action-units", classes=("a", "b", "c")),
    ),
    masked=MaskedConfig(clusters=4),
)
OBJECTIVE = Objective(
    class_weights=None,
    category_loss="cross-entropy",
    attributes=False,
    enhancement=False,
    emotion_weight=1.0,
    enhancement_weight=1.0,
    crop_frames=None,
    tasks=(
        UtteranceLoss("energy", 2.0, torch.ones(2)),
        UtteranceLoss("action-units", 0.5, torch.tensor([0.5, 1.0, 2.0])),
    ),
    masked_weight=3.0,
)


@pytest.fixture
def dev():
    """Twelve utterances of six frames and what a model says of them."""
    generator = torch.Generator().manual_seed(0)
    energy, units = torch.randint(0, 2, (12,), generator=generator), torch.randint(-1, 3, (12,), generator=generator)
    frames = torch.randint(-1, 4, (12, 6), generator=generator)
    return SimpleNamespace(
        targets=torch.stack([energy, units], 1),
        frame_labels=frames,
        hidden_frames=torch.rand(12, 6, generator=generator) < 0.5,
        logits={
            "energy": torch.randn(12, 2, generator=generator),
            "action-units": torch.randn(12, 3, generator=generator),
        },
        clusters=torch.randn(12, 7, 4, generator=generator),
    )


def scored(dev, batches, **changes):
    scores = PretextScores(OBJECTIVE, CONFIG)
    for rows in batches:
        batch = SimpleNamespace(
            targets=dev.targets[rows], frame_labels=dev.frame_labels[rows], hidden_frames=dev.hidden_frames[rows]
        )
        output = SimpleNamespace(
            pretext_logits={name: logits[rows] for name, logits in dev.logits.items()},
            cluster_logits=dev.clusters[rows],
        )
        scores.add(output, output, batch)
    return scores.scores(scores.totals())


def test_scores_are_those_of_scikit_learn(dev):
    found, loss = scored(dev, [slice(None)])
    known = dev.targets[:, 1] >= 0
    labels, logits = dev.targets[known, 1].numpy(), dev.logits["action-units"][known]
    guesses = logits.argmax(1).numpy()
    assert found["accuracy_action_units"] == pytest.approx(accuracy_score(labels, guesses))
    assert found["ua_action_units"] == pytest.approx(balanced_accuracy_score(labels, guesses))
    assert found["majority_action_units"] == pytest.approx(np.bincount(labels).max() / len(labels))
    weights = np.array([0.5, 1.0, 2.0])[labels]
    wanted = log_loss(labels, logits.softmax(1).numpy(), labels=[0, 1, 2], sample_weight=weights)
    assert found["loss_action_units"] == pytest.approx(wanted, rel=1e-5)
    asked = dev.hidden_frames & (dev.frame_labels >= 0)
    clusters = dev.frame_labels[asked]
    assert found["accuracy_masked"] == pytest.approx(accuracy_score(clusters, dev.clusters[:, :6][asked].argmax(1)))
    assert found["loss_masked"] == pytest.approx(F.cross_entropy(dev.clusters[:, :6][asked], clusters).item(), rel=1e-5)
    assert found["majority_masked"] == pytest.approx(clusters.bincount().max().item() / len(clusters))
    assert loss == pytest.approx(2 * found["loss_energy"] + 0.5 * found["loss_action_units"] + 3 * found["loss_masked"])


def test_they_do_not_depend_on_the_batches(dev):
    together, loss = scored(dev, [slice(None)])
    apart, others = scored(dev, [slice(0, 5), slice(5, 6), slice(6, 12)])
    assert apart == pytest.approx(together, rel=1e-5) and others == pytest.approx(loss, rel=1e-5)


def test_a_task_nobody_has_a_label_for_has_no_score(dev):
    dev.targets[:, 1] = -1
    found, loss = scored(dev, [slice(None)])
    assert not [name for name in found if "action_units" in name]
    assert loss == pytest.approx(2 * found["loss_energy"] + 3 * found["loss_masked"])
    dev.targets[:, 0] = -1
    dev.hidden_frames[:] = False
    assert scored(dev, [slice(None)]) == ({}, None)

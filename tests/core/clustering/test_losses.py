"""The losses of a cluster model against scikit-learn and the definition."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from sertool.core.clustering.inputs import read_inputs
from sertool.core.clustering.losses import ClusterObjective
from sertool.core.clustering.network import ClusterOutput
from sertool.core.clustering.sentences import cut_sentences
from sertool.core.metrics.emotion import ccc

ONE = SimpleNamespace(num_processes=1, process_index=0, device=torch.device("cpu"))
SENTENCES = cut_sentences(np.full(10, 30), chunk_frames=12, num_chunks=3)
STORES = {name: SimpleNamespace(sentences=SENTENCES, chunk_frames=12) for name in ("train", "unlabelled")}


def _output(outputs, sentences=4, chunks=3):
    generator = torch.Generator().manual_seed(0)
    shared, estimates = (torch.randn(sentences, chunks, width, generator=generator) for width in (256, outputs))
    logits = torch.randn(sentences, chunks, 3, generator=generator)
    return ClusterOutput(shared, shared, logits, estimates.requires_grad_())


PICKS = np.array([0, 3, 7, 4])
PSEUDO = torch.arange(30).reshape(10, 3) % 3


def test_categories_and_clusters_are_cross_entropies(recipe_of):
    recipe = recipe_of(optimisation__cluster_weight=2.0, optimisation__label_weight=3.0)
    inputs = read_inputs(recipe)
    output = _output(2)
    loss, told = ClusterObjective(recipe, inputs, STORES, ONE).loss("train", PICKS, 4, output, PSEUDO, update=0)
    clusters = log_loss(PSEUDO[PICKS].flatten(), output.logits.flatten(0, 1).double().softmax(1), labels=[0, 1, 2])
    labels = np.repeat(inputs.parts["train"].utterances.labels[PICKS], 3)
    weight = compute_class_weight("balanced", classes=np.arange(2), y=inputs.parts["train"].utterances.labels)
    categories = log_loss(
        labels, output.estimates.detach().flatten(0, 1).double().softmax(1), sample_weight=weight[labels]
    )
    assert told == {"cluster": pytest.approx(clusters, rel=1e-5), "category": pytest.approx(categories, rel=1e-5)}
    assert loss.item() == pytest.approx(2 * clusters + 3 * categories, rel=1e-5)


def test_attributes_cost_one_less_ccc_over_all_chunks_of_the_batch(recipe_of):
    recipe = recipe_of(attributes=["arousal"], clusters=0)
    inputs = read_inputs(recipe)
    output = _output(1)
    loss, told = ClusterObjective(recipe, inputs, STORES, ONE).loss("train", PICKS, 4, output, None, update=0)
    true = np.repeat(inputs.parts["train"].utterances.attributes[PICKS, 0], 3)
    assert told == {"attribute": pytest.approx(1 - ccc(true, output.estimates.detach().flatten().numpy()), rel=1e-5)}
    # What is led back is the gradient of that, by finite differences.
    loss.backward()
    step = torch.zeros_like(output.estimates).flatten()
    step[5] = 1e-2
    up, down = ((output.estimates.detach().flatten() + sign * step).double().numpy() for sign in (1, -1))
    slope = ((1 - ccc(true, up)) - (1 - ccc(true, down))) / 2e-2
    assert output.estimates.grad.flatten()[5].item() == pytest.approx(slope, rel=1e-3)


def test_unlabelled_speech_costs_its_clusters_alone_and_chunks_may_come_one_by_one(recipe_of):
    recipe = recipe_of(optimisation__cluster_weight=5.0)
    objective = ClusterObjective(recipe, read_inputs(recipe), STORES, ONE)
    picks = np.array([[0, 2], [9, 0], [5, 1]])
    output = _output(2, sentences=3, chunks=1)
    loss, told = objective.loss("unlabelled", picks, 3, output, PSEUDO, update=0)
    own = PSEUDO[picks[:, 0], picks[:, 1]]
    assert told == {
        "cluster": pytest.approx(log_loss(own, output.logits[:, 0].double().softmax(1), labels=[0, 1, 2]), rel=1e-5)
    }
    assert loss.item() == pytest.approx(told["cluster"])  # weighed only where labels are learned too


def test_triplets_are_added_in_their_form(recipe_of):
    plain, with_triplets = recipe_of(), recipe_of(temporal="triplet", optimisation__triplet_weight=0.5)
    stores = {"train": SimpleNamespace(sentences=cut_sentences(np.full(10, 90), chunk_frames=12, num_chunks=8))}
    stores["train"].chunk_frames = 12
    output, pseudo = _output(2, chunks=8), torch.zeros(10, 8, dtype=torch.long)
    losses = [
        ClusterObjective(recipe, read_inputs(recipe), stores, ONE).loss("train", PICKS, 4, output, pseudo, update=0)
        for recipe in (plain, with_triplets)
    ]
    (first, _), (second, told) = losses
    assert told["triplet"] > 0 and second.item() == pytest.approx(first.item() + 0.5 * told["triplet"], rel=1e-5)

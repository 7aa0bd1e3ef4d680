"""Temporal nets mix the chunks of a sentence, in their order, and never those of two sentences."""

import math

import pytest
import torch

from sertool.core.clustering.temporal import build_temporal, sinusoids

KINDS = ["gru", "cnn", "transformer"]
CHUNKS = 7


def make(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_temporal(kind).eval()


def shared(num_sentences: int = 3, num_chunks: int = CHUNKS) -> torch.Tensor:
    """Features as the trunk leaves them: not negative."""
    return torch.randn(num_sentences, num_chunks, 256, generator=torch.Generator().manual_seed(1)).relu()


@pytest.mark.parametrize("kind", ["none", "triplet"])
def test_two_forms_have_no_net(kind):
    assert build_temporal(kind) is None


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("gru", 2 * 3 * (128 * 256 + 128 * 128 + 2 * 128)),
        ("cnn", (25 * 16 + 16) + 2 * 16 + (25 * 16 + 1) + 2),
        ("transformer", 4 * (256 * 256 + 256) + 2 * (256 * 256 + 256) + 2 * 2 * 256),
    ],
)
def test_the_sizes_are_the_published_ones(kind, parameters):
    assert sum(parameter.numel() for parameter in make(kind).parameters()) == parameters


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_chunks", [1, 2, 11, 40])
def test_shapes_stay(kind, num_chunks):
    assert make(kind)(shared(2, num_chunks)).shape == (2, num_chunks, 256)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [False, True])
def test_a_chunk_hears_its_sentence_and_no_other(kind, training):
    net, features = make(kind).train(training), shared().requires_grad_()
    normalised_over_batch = kind == "cnn" and training
    place = 3
    (reached,) = torch.autograd.grad(net(features)[1, place].square().sum(), features)
    by_chunk = reached.abs().sum(-1)  # (S, C)
    assert (by_chunk[1] > 0).all()
    if not normalised_over_batch:
        assert (by_chunk[[0, 2]] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_another_chunk_changes_what_a_chunk_becomes(kind):
    net, features = make(kind), shared()
    changed = features.clone()
    changed[1, 2] += 1.0
    moved = (net(changed) - net(features)).abs().amax(-1) > 1e-6  # (S, C)
    assert moved[1].all()
    assert not moved[[0, 2]].any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence_alone_is_what_it_is_in_a_batch(kind):
    net, features = make(kind), shared()
    together = net(features)
    for row in range(len(features)):
        torch.testing.assert_close(net(features[row : row + 1])[0], together[row], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_without_gradients_it_is_the_same(kind):
    net, features = make(kind), shared()
    with torch.no_grad():  # where torch has a faster way for transformers
        found = net(features)
    torch.testing.assert_close(found, net(features), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_order_matters(kind):
    net, features = make(kind), shared()
    backward = net(features.flip(1)).flip(1)
    assert (backward - net(features)).abs().max() > 1e-2


@pytest.mark.parametrize("kind", ["cnn", "transformer"])
def test_dropout_is_for_training_only(kind):
    net, features = make(kind), shared()
    assert torch.equal(net(features), net(features))
    net.train()
    assert not torch.equal(net(features), net(features))


def test_the_gru_is_torchs_with_sentences_in_the_second_place():
    net, features = make("gru"), shared()
    other = torch.nn.GRU(256, 128, bidirectional=True)
    other.load_state_dict(net.recurrent.state_dict())
    torch.testing.assert_close(net(features), other(features.transpose(0, 1))[0].transpose(0, 1))


def test_the_transformer_is_torchs_with_sentences_in_the_second_place():
    net, features = make("transformer"), shared()
    other = torch.nn.TransformerEncoderLayer(256, nhead=1, dim_feedforward=256, dropout=0.3).eval()
    other.load_state_dict(net.layer.state_dict())
    placed = (features + sinusoids(CHUNKS)).transpose(0, 1)
    torch.testing.assert_close(net(features), other(placed).transpose(0, 1), atol=1e-5, rtol=1e-5)


def test_positions_are_sines_and_cosines_of_falling_frequency():
    found = sinusoids(12)
    assert found.shape == (12, 256)
    for chunk, place in ((0, 0), (0, 1), (5, 0), (5, 1), (11, 100), (11, 101), (7, 254), (7, 255)):
        angle = chunk / 10_000 ** (place // 2 * 2 / 256)
        assert found[chunk, place].item() == pytest.approx([math.sin, math.cos][place % 2](angle), abs=1e-5)

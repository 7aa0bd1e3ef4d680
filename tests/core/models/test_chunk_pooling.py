"""Ways over chunks against their formulas; attention that crosses chunks, and never utterances."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import integers, lists, sampled_from

from sertool.core.models.chunk_pooling import OVER_CHUNKS, ChunkPooling
from sertool.core.models.config import ChunkConfig, EmotionConfig

WAYS, ENCODERS = sorted(OVER_CHUNKS), ["mean", "lstm", "cnn"]
CHUNKS = 5


def make(way: str, dim: int = 8) -> torch.nn.Module:
    torch.manual_seed(0)
    return OVER_CHUNKS[way](dim).eval()


def vectors(rows: int = 2, dim: int = 8, chunks: int = CHUNKS) -> torch.Tensor:
    return torch.randn(rows, chunks, dim, generator=torch.Generator().manual_seed(1))


def everything(values: torch.Tensor) -> torch.Tensor:
    return torch.ones(values.shape[:2], dtype=torch.bool)


def pooling(way: str, encoder: str, dim: int = 6, **chunks) -> ChunkPooling:
    torch.manual_seed(0)
    settings = {"chunk_s": 0.2, "longest_s": 1.0, "hidden": 12} | chunks
    return ChunkPooling(dim, EmotionConfig(pooling=way, chunks=ChunkConfig(encoder=encoder, **settings))).eval()


def test_gates_weigh_each_chunk_by_itself():
    gated, values = make("chunk-gated"), vectors()
    gates = torch.sigmoid(values @ gated.gate.weight[0] + gated.gate.bias)  # (B, C)
    torch.testing.assert_close(gated.weights(values, everything(values)), gates)
    torch.testing.assert_close(gated(values, everything(values)), (gates[:, :, None] * values).mean(1))


def test_recurrent_attention_is_its_formula():
    module, values = make("chunk-recurrent"), vectors()
    weights = dict(module.recurrent.named_parameters())
    for row in values:
        states, state = [], torch.zeros(8)
        for vector in row:
            into = weights["weight_ih_l0"] @ vector + weights["bias_ih_l0"]
            state = torch.tanh(into + weights["weight_hh_l0"] @ state + weights["bias_hh_l0"])
            states.append(state)
        attention = torch.softmax(torch.stack([(module.score.weight @ one) @ state for one in states]), 0)
        context = sum(share * one for share, one in zip(attention, states, strict=True))
        expected = torch.tanh(module.combine.weight @ torch.cat([context, state]))
        mask = torch.ones(1, CHUNKS, dtype=torch.bool)
        torch.testing.assert_close(module(row[None], mask)[0], expected, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(module.weights(row[None], mask)[0], attention, atol=1e-6, rtol=1e-5)


def test_self_attention_is_torchs_over_chunks():
    module, values = make("chunk-self-attention", dim=150), vectors(dim=150)
    reference = torch.nn.MultiheadAttention(150, 3, bias=False, batch_first=True)
    with torch.no_grad():
        reference.in_proj_weight.copy_(module.project.weight)
        reference.out_proj.weight.copy_(torch.eye(150))
        mask = torch.tensor([[True] * CHUNKS, [True] * 3 + [False] * 2])
        heads, weights = reference(values, values, values, ~mask, average_attn_weights=False)
        attended = torch.nn.functional.layer_norm(values + torch.relu(module.combine(heads)), [150])
        expected = torch.stack([attended[0].mean(0), attended[1, :3].mean(0)])
        torch.testing.assert_close(module(values, mask), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(module.weights(values, mask), weights, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("changed", range(CHUNKS))
def test_self_attention_crosses_chunks_and_nothing_else(changed):
    module, values = make("chunk-self-attention"), vectors()
    after = values.clone()
    after[0, changed] += 1.0
    moved = (module.weights(after, everything(after)) - module.weights(values, everything(values))).abs().amax(1)
    others = [chunk for chunk in range(CHUNKS) if chunk != changed]
    # How each other chunk shares its attention among the others moves, as it attends to the changed one more or less.
    assert (moved[0][others][:, others] > 1e-5).all()
    # Over a batch put where chunks belong, the other utterance's weights would move instead.
    assert not moved[1].any()


def test_recurrent_attention_crosses_chunks_and_nothing_else():
    module, values = make("chunk-recurrent"), vectors()
    before = module.weights(values, everything(values))
    after = values.clone()
    after[0, 1] += 1.0
    weights = module.weights(after, everything(after))
    # What chunk 1 holds is remembered: between chunks 2 and 3, whose own vectors did not change, attention moves.
    assert (weights[0, 2] / weights[0, 3] - before[0, 2] / before[0, 3]).abs() > 1e-3
    assert ((weights[0] - before[0]).abs() > 1e-5).all()
    assert torch.equal(weights[1], before[1])


@pytest.mark.parametrize("way", WAYS)
def test_only_recurrent_attention_knows_the_order_of_chunks(way):
    module, values = make(way), vectors()
    order = torch.tensor([3, 0, 4, 1, 2])
    straight, shuffled = module(values, everything(values)), module(values[:, order], everything(values))
    distance = (straight - shuffled).abs().max()
    assert distance > 1e-3 if way == "chunk-recurrent" else distance < 1e-6


@pytest.mark.parametrize("way", WAYS)
def test_chunks_outside_the_mask_have_no_influence(way):
    module, values = make(way), vectors()
    mask = torch.tensor([[True] * 3 + [False] * 2, [True] * CHUNKS])
    spoilt = values.clone()
    spoilt[0, 3:] = 1e4
    alone = module(values[:1, :3], mask[:1, :3])
    torch.testing.assert_close(module(spoilt, mask)[:1], alone, atol=1e-6, rtol=1e-6)
    if way != "chunk-mean":
        assert not module.weights(spoilt, mask)[0, ..., 3:].any()


@settings(max_examples=30)
@given(sampled_from(WAYS), sampled_from(ENCODERS), integers(1, 3), lists(integers(1, 150), min_size=2, max_size=4))
def test_an_utterance_is_pooled_as_if_alone(way, encoder, density, lengths):
    """Among them utterances shorter than a chunk (10 frames), and longer than the usual number covers (50)."""
    pool = pooling(way, encoder, density=density)
    features = torch.randn(len(lengths), max(lengths), 6, generator=torch.Generator().manual_seed(2))
    features[torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]] = float("nan")
    with torch.inference_mode():
        together = pool(features, torch.tensor(lengths))
        assert together.shape == (len(lengths), pool.out_dim)
        for row, length in enumerate(lengths):
            alone = pool(features[row : row + 1, :length], torch.tensor([length]))
            torch.testing.assert_close(together[row], alone[0], atol=2e-6, rtol=2e-6)


def test_every_utterance_up_to_the_longest_costs_as_many_chunks():
    pool = pooling("chunk-mean", "mean", longest_s=3.0, density=2)
    for length in (1, 9, 10, 50, 150):
        found, mask = pool.vectors(torch.randn(1, length, 6), torch.tensor([length]))
        assert found.shape == (1, 30, 6) and mask.all()


def test_the_mean_of_means_over_even_chunks_is_the_mean_of_frames():
    pool = pooling("chunk-mean", "mean")
    features = torch.randn(3, 50, 6)
    torch.testing.assert_close(pool(features, torch.tensor([50] * 3)), features.mean(1), atol=1e-6, rtol=1e-6)

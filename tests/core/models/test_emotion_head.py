"""Pooling against its formula, and what a new head makes of it, whichever pooling it has."""

import copy

import pytest
import torch

from sertool.core.models.chunk_pooling import OVER_CHUNKS
from sertool.core.models.config import ChunkConfig, CompactConfig, EmotionConfig, SharedConfig
from sertool.core.models.emotion_head import AttentiveStatistics, EmotionHead
from sertool.core.models.shared import SharedModel

POOLINGS = ["attentive-statistics", *OVER_CHUNKS]
COMBINATIONS = [(way, encoder) for way in OVER_CHUNKS for encoder in ("mean", "lstm", "cnn")]


def make(pooling: str, encoder: str = "lstm", *, dim: int = 16, dropout: float = 0.0) -> EmotionHead:
    chunks = ChunkConfig(chunk_s=0.2, longest_s=1.0, encoder=encoder, hidden=10)
    torch.manual_seed(0)
    return EmotionHead(dim, EmotionConfig(pooling=pooling, chunks=chunks, dropout=dropout, **OUTPUTS, hidden=8))


OUTPUTS = {"categories": ("anger", "neutral"), "attributes": ("arousal",)}


def test_pooling_is_the_weighted_mean_and_deviation_of_own_frames():
    pooling = AttentiveStatistics(3)
    features, lengths = torch.randn(2, 6, 3), torch.tensor([6, 4])
    pooled = pooling(features, lengths)
    for row, length in enumerate(lengths.tolist()):
        own = features[row, :length]
        weights = torch.softmax(pooling.query(torch.tanh(pooling.project(own)))[:, 0], 0)
        mean = (weights[:, None] * own).sum(0)
        deviation = (weights[:, None] * (own - mean) ** 2).sum(0).add(1e-6).sqrt()
        torch.testing.assert_close(pooled[row], torch.cat([mean, deviation]))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_head_standardises_what_it_pools(pooling):
    head = make(pooling).eval()
    pooled = 5 + 0.1 * torch.randn(40, head.pooling.out_dim)
    head.standardise_pooling(pooled)
    standardised = (pooled - head.pooled_mean) / head.pooled_std
    torch.testing.assert_close(standardised.mean(0), torch.zeros(head.pooling.out_dim), atol=1e-4, rtol=0)
    torch.testing.assert_close(standardised.std(0, correction=0), torch.ones(head.pooling.out_dim), atol=1e-4, rtol=0)


def test_the_default_head_draws_the_weights_it_always_drew():
    head = make("attentive-statistics")
    torch.manual_seed(0)
    layers = {
        "pooling.project": torch.nn.Linear(16, 16),
        "pooling.query": torch.nn.Linear(16, 1, bias=False),
        "hidden.1": torch.nn.Linear(32, 8),
        "hidden.2": torch.nn.LayerNorm(8),
        "categories": torch.nn.Linear(8, 2),
        "attributes": torch.nn.Linear(8, 1),
    }
    expected = {f"{name}.{key}": value for name, layer in layers.items() for key, value in layer.state_dict().items()}
    expected |= {"pooled_mean": torch.zeros(32), "pooled_std": torch.ones(32)}
    state = head.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(("pooling", "encoder"), [("attentive-statistics", "mean"), *COMBINATIONS])
def test_every_parameter_learns_in_bf16_too(pooling, encoder):
    head = make(pooling, encoder)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, attributes = head(torch.randn(3, 70, 16), torch.tensor([70, 33, 4]))
    (logits.float().square().sum() + attributes.float().square().sum()).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all() and parameter.grad.any(), name


@pytest.mark.parametrize("pooling", OVER_CHUNKS)
def test_bf16_says_nearly_what_float32_says(pooling):
    head = make(pooling).eval()
    features, lengths = torch.randn(3, 70, 16), torch.tensor([70, 33, 4])
    with torch.inference_mode():
        exact, _ = head(features, lengths)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough, _ = head(features, lengths)
    torch.testing.assert_close(rough.float(), exact, atol=0.1, rtol=0.1)


def test_a_compiled_head_says_the_same_and_learns_the_same():
    head = make("chunk-recurrent")
    compiled = copy.deepcopy(head)
    compiled.compile(backend="eager")
    features, lengths = torch.randn(2, 70, 16), torch.tensor([70, 7])
    for one in (head, compiled):
        logits, _ = one(features, lengths)
        logits.square().sum().backward()
    torch.testing.assert_close(compiled(features, lengths), head(features, lengths), atol=1e-6, rtol=1e-5)
    for one, other in zip(head.pooling.parameters(), compiled.pooling.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_model_comes_back_from_disk_with_its_pooling(pooling, tmp_path):
    emotion = make(pooling)
    config = SharedConfig(
        encoder=CompactConfig(mels=8, dim=16, layers=1, kernel=3),
        emotion=EmotionConfig(pooling=pooling, chunks=ChunkConfig(chunk_s=0.2, longest_s=1.0, hidden=10), **OUTPUTS),
    )
    model = SharedModel(config).eval()
    assert model.emotion_head.pooling.out_dim == emotion.pooling.out_dim
    model.save_pretrained(tmp_path)
    again = SharedModel.from_pretrained(tmp_path)
    waveform, lengths = torch.randn(2, 16_000), torch.tensor([16_000, 3_000])
    with torch.inference_mode():
        assert torch.equal(again(waveform, lengths).category_logits, model(waveform, lengths).category_logits)

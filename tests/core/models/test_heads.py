"""Layer sum, pooling and the way from 50 to 100 Hz, each against its formula."""

import pytest
import torch

from sertool.core.models.compact import mel_filters
from sertool.core.models.config import EmotionConfig
from sertool.core.models.emotion_head import AttentiveStatistics, EmotionHead
from sertool.core.models.enhancement_head import repeat_to_spectrum
from sertool.core.models.layer_sum import LayerSum


def test_the_layer_sum_starts_as_the_mean_of_normed_states():
    states = tuple(torch.randn(2, 7, 5) for _ in range(4))
    expected = torch.stack([torch.nn.functional.layer_norm(state, (5,)) for state in states]).mean(0)
    torch.testing.assert_close(LayerSum(4, 5)(states), expected)


def test_the_layer_sum_counts_its_states():
    with pytest.raises(ValueError, match="LayerDrop"):
        LayerSum(4, 5)(tuple(torch.randn(1, 2, 5) for _ in range(3)))


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


def test_a_head_standardises_what_it_pools():
    head = EmotionHead(4, EmotionConfig(categories=("anger", "neutral"), hidden=8)).eval()
    pooled = 5 + 0.1 * torch.randn(40, 8)
    head.standardise_pooling(pooled)
    standardised = (pooled - head.pooled_mean) / head.pooled_std
    torch.testing.assert_close(standardised.mean(0), torch.zeros(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(standardised.std(0, correction=0), torch.ones(8), atol=1e-4, rtol=0)


def test_frames_are_doubled_and_each_utterances_last_is_repeated():
    features = torch.arange(6.0).reshape(2, 3, 1)
    doubled = repeat_to_spectrum(features, torch.tensor([3, 2]), 8)[:, :, 0]
    assert doubled.tolist() == [[0, 0, 1, 1, 2, 2, 2, 2], [3, 3, 4, 4, 4, 4, 4, 4]]


def test_no_mel_filter_is_empty():
    assert (mel_filters(80).sum(0) > 0).all()

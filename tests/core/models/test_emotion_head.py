"""Pooling against its formula, and what a new head makes of it."""

import torch

from sertool.core.models.config import EmotionConfig
from sertool.core.models.emotion_head import AttentiveStatistics, EmotionHead


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

"""The enhancement head: its published sizes, and the way from 50 to 100 Hz."""

import pytest
import torch

from sertool.core.models.config import EnhancementConfig
from sertool.core.models.enhancement_head import EnhancementHead, repeat_to_spectrum


def test_the_published_sizes_of_the_enhancement_head():
    head = EnhancementHead(1024, EnhancementConfig(projection=256, hidden=256))
    assert sum(p.numel() for p in head.parameters()) == pytest.approx(3.0e6, rel=0.02)


def test_frames_are_doubled_and_each_utterances_last_is_repeated():
    features = torch.arange(6.0).reshape(2, 3, 1)
    doubled = repeat_to_spectrum(features, torch.tensor([3, 2]), 8)[:, :, 0]
    assert doubled.tolist() == [[0, 0, 1, 1, 2, 2, 2, 2], [3, 3, 4, 4, 4, 4, 4, 4]]

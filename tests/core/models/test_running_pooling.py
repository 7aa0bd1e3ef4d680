"""Pooling frames as they come is pooling them all at once."""

import pytest
import torch

from sertool.core.models.emotion_head import AttentiveStatistics
from sertool.core.models.running_pooling import RunningPooling


@pytest.mark.parametrize("chunk", [1, 13, 300])
@pytest.mark.parametrize("gain", [0.0, 1.0, 200.0])
def test_frames_in_chunks_are_pooled_as_all_at_once(chunk, gain):
    torch.manual_seed(0)
    pooling = AttentiveStatistics(6)
    with torch.no_grad():
        pooling.query.weight.mul_(gain)  # from an even mean to a single frame
    frames = 3.0 + torch.randn(300, 6)
    running = RunningPooling(pooling)
    with torch.inference_mode():
        expected = pooling(frames[None], torch.tensor([300]))
        for part in frames.split(chunk):
            running.add(part)
        torch.testing.assert_close(running.pooled(), expected, atol=1e-5, rtol=1e-5)

"""Pooling frames as they come is pooling them all at once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import integers, sampled_from

from sertool.core.models.chunk_pooling import OVER_CHUNKS, ChunkPooling
from sertool.core.models.config import ChunkConfig, EmotionConfig
from sertool.core.models.emotion_head import AttentiveStatistics
from sertool.core.models.running_pooling import RunningChunks, RunningPooling, running


def by_chunks(way: str, encoder: str = "lstm", density: int = 1) -> ChunkPooling:
    """Chunks of 10 frames, five of them and more where there are more than 50 frames."""
    torch.manual_seed(0)
    chunks = ChunkConfig(chunk_s=0.2, longest_s=1.0, density=density, encoder=encoder, hidden=8)
    return ChunkPooling(6, EmotionConfig(pooling=way, chunks=chunks)).eval()


@pytest.mark.parametrize("chunk", [1, 13, 300])
@pytest.mark.parametrize("gain", [0.0, 1.0, 200.0])
def test_frames_in_chunks_are_pooled_as_all_at_once(chunk, gain):
    torch.manual_seed(0)
    pooling = AttentiveStatistics(6)
    with torch.no_grad():
        pooling.query.weight.mul_(gain)  # from an even mean to a single frame
    frames = 3.0 + torch.randn(300, 6)
    pooled = running(pooling, 300)
    assert isinstance(pooled, RunningPooling)
    with torch.inference_mode():
        expected = pooling(frames[None], torch.tensor([300]))
        for part in frames.split(chunk):
            pooled.add(part)
        torch.testing.assert_close(pooled.pooled(), expected, atol=1e-5, rtol=1e-5)


@settings(max_examples=40)
@given(
    way=sampled_from(sorted(OVER_CHUNKS)),
    encoder=sampled_from(["mean", "lstm", "cnn"]),
    density=integers(1, 3),
    num_frames=integers(1, 400),
    block=integers(1, 400),
)
def test_chunks_are_pooled_as_all_at_once(way, encoder, density, num_frames, block):
    pooling = by_chunks(way, encoder, density)
    frames = torch.randn(num_frames, 6, generator=torch.Generator().manual_seed(3))
    pooled = running(pooling, num_frames)
    with torch.inference_mode():
        for part in frames.split(block):
            pooled.add(part)
        expected = pooling(frames[None], torch.tensor([num_frames]))
        torch.testing.assert_close(pooled.pooled(), expected, atol=1e-5, rtol=1e-5)


def test_no_more_frames_are_kept_than_the_next_chunk_needs():
    pooling = by_chunks("chunk-mean", density=2)
    pooled = RunningChunks(pooling, 5000)
    with torch.inference_mode():
        for part in torch.randn(5000, 6).split(30):
            pooled.add(part)
            assert len(pooled._kept) <= 10
            assert pooled._kept.untyped_storage().nbytes() <= 10 * 6 * 4


def test_other_numbers_of_frames_than_were_told_are_refused():
    pooled = running(by_chunks("chunk-mean"), 60)
    with torch.inference_mode():
        pooled.add(torch.randn(59, 6))
        with pytest.raises(ValueError, match="59 frames came, 60 were to come"):
            pooled.pooled()
        with pytest.raises(ValueError, match="61 frames came, 60 were to come"):
            pooled.add(torch.randn(2, 6))

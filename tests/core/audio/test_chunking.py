"""Dynamic chunking: no frame is lost, whatever the duration, and an utterance's chunks are its own."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import floats, integers, lists

from sertool.core.audio.chunking import Chunking, chunk_starts, cut_chunks

TWO_MINUTES = 6000  # frames at 50 Hz

chunkings = [integers(1, 100), integers(1, 40), integers(1, 3)]


def starts_of(chunking: Chunking, num_frames: int) -> list[int]:
    return chunk_starts(
        num_frames, chunk_frames=chunking.chunk_frames, num_chunks=chunking.num_chunks(num_frames)
    ).tolist()


@settings(max_examples=300)
@given(integers(1, TWO_MINUTES), *chunkings)
def test_every_frame_is_covered(num_frames, chunk_frames, fewest, density):
    chunking = Chunking(chunk_frames, fewest, density)
    padded = max(num_frames, chunk_frames)
    starts = starts_of(chunking, padded)
    covered = np.zeros(padded, bool)
    for start in starts:
        covered[start : start + chunk_frames] = True
    assert covered.all()
    assert starts == sorted(starts)
    assert starts[0] == 0 and starts[-1] + chunk_frames == (padded if len(starts) > 1 else chunk_frames)
    step = Fraction(padded - chunk_frames, max(1, len(starts) - 1))
    assert all(abs(start - k * step) <= Fraction(1, 2) for k, start in enumerate(starts))


@settings(max_examples=60)
@given(lists(integers(1, 400), min_size=1, max_size=4), *chunkings)
def test_a_batch_holds_the_chunks_of_each_utterance_alone(lengths, chunk_frames, fewest, density):
    chunking = Chunking(chunk_frames, fewest, density)
    features = torch.full((len(lengths), max(lengths), 2), float("nan"))
    for row, length in enumerate(lengths):
        # Each frame tells its own place, so that what a chunk holds can be read off it.
        features[row, :length] = torch.arange(1.0, length + 1)[:, None]
    chunks = cut_chunks(features, torch.tensor(lengths), chunking)
    for row, length in enumerate(lengths):
        count, own = chunking.num_chunks(length), min(length, chunk_frames)
        assert chunks.mask[row].tolist() == [True] * count + [False] * (chunks.mask.shape[1] - count)
        assert chunks.frame_lengths[row, :count].tolist() == [own] * count
        assert not chunks.frame_lengths[row, count:].any() and not chunks.frames[row, count:].any()
        padded = torch.zeros(max(length, chunk_frames), 2)
        padded[:length] = features[row, :length]
        for k, start in enumerate(starts_of(chunking, len(padded))):
            assert torch.equal(chunks.frames[row, k], padded[start : start + chunk_frames])


@pytest.mark.parametrize(
    ("corpus", "longest_s", "expected"),
    [
        ("MSP-Podcast", 11.0, 11),
        ("CREMA-D", 5.01, 6),
        ("IEMOCAP", 34.2, 35),
        ("MSP-IMPROV", 31.9, 32),
        ("RAVDESS", 5.3, 6),
        ("EmoDB", 9.0, 9),
    ],
)
def test_the_published_numbers_of_chunks(corpus, longest_s, expected):
    chunking = Chunking.of_seconds(chunk_s=1.0, longest_s=longest_s, frame_rate=50)
    assert (chunking.fewest, chunking.chunk_frames) == (expected, 50)
    assert chunking.num_chunks(1) == chunking.num_chunks(expected * 50) == expected
    assert chunking.num_chunks(expected * 50 + 1) == expected + 1
    dense = Chunking.of_seconds(chunk_s=1.0, longest_s=longest_s, density=3, frame_rate=50)
    assert dense.num_chunks(1) == 3 * expected


@given(integers(1, 300), floats(0.04, 2.0).map(lambda chunk_s: round(chunk_s, 2)))
def test_a_whole_number_of_chunks_is_not_rounded_up(count, chunk_s):
    longest_s = float(Fraction(str(chunk_s)) * count)
    assert Chunking.of_seconds(chunk_s=chunk_s, longest_s=longest_s, frame_rate=50).fewest == count


def test_the_released_floor_loses_frames_and_ours_does_not():
    """62 frames a chunk, 11 chunks: steps cut down to whole frames leave up to nC - 2 frames at the end unheard."""
    lost, lost_by_ours = [], []
    for num_frames in range(62, 11 * 62 + 1):
        floored = [k * int((num_frames - 62) / 10) for k in range(11)]
        lost.append(num_frames - 62 - floored[-1])
        lost_by_ours.append(num_frames - 62 - starts_of(Chunking(62, 11), num_frames)[-1])
    assert max(lost) == 11 - 2 and np.mean(np.array(lost) > 0) > 0.85
    assert set(lost_by_ours) == {0}


def test_what_cannot_be_covered_is_refused():
    with pytest.raises(ValueError, match=r"has 9 frames, a chunk needs 10: pad"):
        chunk_starts(9, chunk_frames=10, num_chunks=3)
    with pytest.raises(ValueError, match=r"3 chunks of 10 frames cannot cover 31: cut 4 or more"):
        chunk_starts(31, chunk_frames=10, num_chunks=3)


def test_starts_are_exact_for_a_day():
    day = 24 * 3600 * 50 + 17
    starts = chunk_starts(day, chunk_frames=50, num_chunks=3 * 24 * 3600 + 3)
    assert starts.dtype == torch.int64 and starts[-1] == day - 50
    assert starts.diff().min() >= 0 and starts.diff().max() <= 50

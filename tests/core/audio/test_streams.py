"""Streams: surveyed as the whole would be, cut so that nothing is lost, and joined without a seam."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.audio.blocks import ArraySource
from sertool.core.audio.files import resample
from sertool.core.audio.streams import ALIGNMENT, Pending, heard, in_blocks, joined, survey, windows


def noise(*shape: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def in_chunks(samples: np.ndarray, size: int) -> list[np.ndarray]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
@pytest.mark.parametrize("length", [1, 2, 200_000])
def test_a_survey_is_of_the_whole(rate, length):
    samples = noise(length, 3) + np.array([0.0, 0.3, 0.0], np.float32)
    samples[:, 2] = 0
    source = ArraySource(samples, rate)
    found = survey(source)
    whole = resample(samples, rate, 16_000)
    assert (found.frames, found.heard) == (length, len(whole))
    np.testing.assert_allclose(found.mean, whole.mean(axis=0, dtype=np.float64), atol=1e-9)
    np.testing.assert_allclose(found.std, whole.std(axis=0, dtype=np.float64), atol=1e-7)
    assert found.silent.tolist() == [False, False, True]
    np.testing.assert_array_equal(np.concatenate(list(heard(source))), whole)
    mono = np.concatenate(list(heard(source, mono=True)))[:, 0]
    np.testing.assert_array_equal(mono, resample(samples.mean(axis=1), rate, 16_000))


@given(
    length=st.integers(1, 60 * ALIGNMENT),
    block=st.integers(1, 12),
    context=st.integers(0, 8),
    chunk=st.integers(1, 9000),
)
def test_blocks_cover_the_stream_once_and_bring_their_context(length, block, context, chunk):
    samples = np.arange(length, dtype=np.float32)[:, None]
    block, context = block * ALIGNMENT, context * ALIGNMENT
    covered = 0
    cut = list(in_blocks(in_chunks(samples, chunk), block=block, context=context))
    for part in cut:
        assert part.start == covered and part.start % ALIGNMENT == part.begin % ALIGNMENT == 0
        assert part.begin == max(0, part.start - context)
        end = part.begin + len(part.samples)
        assert end == (length if part.last else part.stop + context)
        np.testing.assert_array_equal(part.samples, samples[part.begin : end])
        np.testing.assert_array_equal(part.samples[part.own()], samples[part.start : part.stop])
        covered = part.stop
    assert covered == length and [part.last for part in cut] == [False] * (len(cut) - 1) + [True]


@given(length=st.integers(1, 60 * ALIGNMENT), block=st.integers(4, 12), step=st.sampled_from([1, 160, 320]))
def test_frames_of_blocks_that_agree_are_joined_to_those_of_the_whole(length, block, step):
    samples = np.arange(length, dtype=np.float32)[:, None]
    blocks = in_blocks([samples], block=block * ALIGNMENT, context=2 * ALIGNMENT)
    frames = list(joined(blocks, lambda part: part.samples[::step], step=step, fade=4 * ALIGNMENT))
    np.testing.assert_allclose(np.concatenate(frames), samples[::step], rtol=1e-6)


def test_one_block_fades_into_the_next_where_they_differ():
    block, fade = 4 * ALIGNMENT, 2 * ALIGNMENT
    levels = iter([1.0, 3.0])
    blocks = in_blocks([np.zeros((2 * block, 1), np.float32)], block=block, context=ALIGNMENT)
    out = np.concatenate(list(joined(blocks, lambda part: part.samples + next(levels), fade=fade)))[:, 0]
    assert len(out) == 2 * block
    edge = slice(block - fade // 2, block + fade // 2)
    assert (out[: edge.start] == 1).all() and (out[edge.stop :] == 3).all()
    np.testing.assert_allclose(np.diff(out[edge]), 2 / fade, rtol=1e-3)  # linear


@given(length=st.integers(1, 300), window=st.integers(1, 60), hop=st.integers(1, 90), chunk=st.integers(1, 80))
def test_windows_are_equally_long_and_reach_the_end(length, window, hop, chunk):
    samples = np.arange(length)
    cut = list(windows(in_chunks(samples, chunk), window=window, hop=lambda index: index * hop))
    for start, part in cut:
        np.testing.assert_array_equal(part, samples[start : start + window])
        assert len(part) == min(window, length)
    starts = [start for start, _ in cut]
    regular = list(range(0, max(1, length - window + 1), hop))
    assert starts[: len(regular)] == regular
    # One more only where the regular ones do not reach the end.
    assert starts[len(regular) :] == ([length - window] if regular[-1] + window < length else [])


def test_what_is_pending_is_found_by_its_place_and_let_go():
    pending = Pending(iter([np.arange(5), np.arange(5, 8)]))
    pending.read_to(6)
    assert (pending.begin, pending.stop) == (0, 8)
    assert pending.rows(4, 7).tolist() == [4, 5, 6]
    pending.forget(6)
    assert pending.rows(6, 99).tolist() == [6, 7]
    pending.read_to(99)  # the source has ended
    assert pending.stop == 8

"""Masks of frames: their bounds for any utterance, and their shares over long ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers

from sertool.core.corpus.frame_masks import draw_mask


def stretches(hidden: np.ndarray) -> list[int]:
    """Return how long each stretch of hidden frames is."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


@given(
    num_frames=integers(1, 200), seed=integers(0, 1000), share=floats(0.0, 1.0, exclude_min=True), span=integers(1, 30)
)
def test_something_is_hidden_and_something_heard(num_frames, seed, share, span):
    hidden = draw_mask(num_frames, np.random.default_rng(seed), share=share, span=span)
    assert hidden.shape == (num_frames,) and hidden.dtype == bool
    assert hidden.any() and (num_frames == 1 or not hidden.all())
    again = draw_mask(num_frames, np.random.default_rng(seed), share=share, span=span)
    assert np.array_equal(hidden, again)


@given(num_frames=integers(2, 60), seed=integers(0, 1000), span=integers(1, 20))
def test_hidden_stretches_are_whole_spans(num_frames, seed, span):
    # So small a share is one span, as long as said or half of the utterance.
    hidden = draw_mask(num_frames, np.random.default_rng(seed), share=1e-9, span=span)
    assert stretches(hidden) == [span if num_frames >= 2 * span else num_frames // 2]


@given(num_frames=integers(40, 300), seed=integers(0, 1000))
def test_no_stretch_is_shorter_than_a_span(num_frames, seed):
    hidden = draw_mask(num_frames, np.random.default_rng(seed))
    assert hidden.all() or min(stretches(hidden)) >= 10


@pytest.mark.parametrize(("share", "span"), [(0.08, 10), (0.02, 5), (0.3, 3)])
def test_the_share_of_hidden_frames_over_long_utterances(share, span):
    generator = np.random.default_rng(0)
    shares = [draw_mask(20_000, generator, share=share, span=span).mean() for _ in range(10)]
    assert np.mean(shares) == pytest.approx(1 - (1 - share) ** span, abs=0.005)


def test_short_utterances_have_their_share_of_spans_on_average():
    # A share of 0.08 of 30 frames is 2.4 spans, of one frame each here: 2 or 3, and 2.4 on average.
    generator = np.random.default_rng(0)
    counts = [int(draw_mask(30, generator, span=1).sum()) for _ in range(4000)]
    assert set(counts) == {2, 3} and np.mean(counts) == pytest.approx(2.4, abs=0.03)


def test_every_frame_is_hidden_at_times_the_first_and_the_last_too():
    generator = np.random.default_rng(0)
    times = sum(draw_mask(25, generator).astype(int) for _ in range(2000))
    assert times.min() > 0 and times[[0, -1]].min() > 60


@pytest.mark.parametrize(
    "wrong", [{"num_frames": 0}, {"share": 0.0}, {"share": 1.1}, {"span": 0}, {"share": float("nan")}]
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="expected 1 or more"):
        draw_mask(**({"num_frames": 9, "generator": np.random.default_rng(0)} | wrong))

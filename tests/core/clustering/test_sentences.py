"""Sentences: every frame in a chunk, the same number of chunks for all, long utterances in equal parts."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.audio.chunking import Chunking, cut_chunks
from sertool.core.clustering.sentences import cut_sentences, gather_frames


@given(
    num_frames=st.lists(st.integers(1, 700), min_size=1, max_size=8),
    chunk_frames=st.integers(1, 40),
    num_chunks=st.integers(1, 12),
)
def test_every_frame_is_in_a_chunk_and_no_chunk_leaves_its_utterance(num_frames, chunk_frames, num_chunks):
    found = cut_sentences(np.array(num_frames), chunk_frames=chunk_frames, num_chunks=num_chunks)
    assert found.starts.shape == (len(found), num_chunks)
    assert sorted(set(found.utterance.tolist())) == list(range(len(num_frames)))
    for index, total in enumerate(num_frames):
        own = found.utterance == index
        covered = {
            frame
            for starts, frames in zip(found.starts[own], found.frames[own], strict=True)
            for start in starts
            for frame in range(start, start + frames)
        }
        assert covered == set(range(total))
        assert own.sum() == -(-total // (chunk_frames * num_chunks))


def test_a_sentence_is_cut_as_dynamic_chunking_cuts_an_utterance():
    frames = np.random.default_rng(0).standard_normal((90, 4)).astype(np.float32)
    found = cut_sentences(np.array([90]), chunk_frames=20, num_chunks=6)
    chunks = gather_frames(frames, found.starts[0], np.full(6, 20), chunk_frames=20)
    expected = cut_chunks(torch.from_numpy(frames)[None], torch.tensor([90]), Chunking(chunk_frames=20, fewest=6))
    assert torch.equal(chunks, expected.frames[0])


def test_parts_of_a_long_utterance_are_equally_long():
    found = cut_sentences(np.array([100]), chunk_frames=10, num_chunks=4)  # 40 frames at most: three parts of 33 or 34
    assert found.starts[:, 0].tolist() == [0, 33, 67]
    assert (found.starts[:, -1] + 10).tolist() == [33, 67, 100]


def test_frames_beyond_a_short_utterance_are_not_numbers():
    chunks = gather_frames(np.ones((3, 2), np.float32), np.array([0]), np.array([3]), chunk_frames=5)
    assert chunks[0, :3].eq(1).all() and chunks[0, 3:].isnan().all()

"""Cluster-balanced sampling: equal shares, by many draws and by expectation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from sertool.core.clustering.sampling import (
    chunk_probabilities,
    cluster_shares,
    draw,
    expected_shares,
    sentence_probabilities,
)


def _uneven(generator, sentences=400, chunks=6, clusters=5):
    """Clusters of chunks, the first by far the largest; most sentences are mixed."""
    found = np.minimum(generator.geometric(0.45, (sentences, chunks)) - 1, clusters - 1)
    return np.where(generator.random((sentences, 1)) < 0.3, found[:, :1], found)


def test_chunks_drawn_one_by_one_are_of_each_cluster_equally_often():
    generator = np.random.default_rng(0)
    clusters = _uneven(generator).ravel()
    drawn = draw(chunk_probabilities(clusters, 6), 100_000, generator)
    counts = np.bincount(clusters[drawn], minlength=6)
    assert counts[5] == 0
    assert chisquare(counts[:5]).pvalue > 0.001
    # The plain corpus fails the same test by far, and so do indices of anything but chunks.
    assert chisquare(np.bincount(clusters, minlength=5)).pvalue < 1e-10


def test_chunks_of_sentences_drawn_whole_are_of_each_cluster_equally_often():
    generator = np.random.default_rng(1)
    clusters = _uneven(generator)
    probabilities = sentence_probabilities(clusters, 6)
    shares = cluster_shares(clusters, 6)
    assert probabilities @ shares == pytest.approx([0.2] * 5 + [0.0], abs=2e-5)
    # Chunks of a sentence come together, so whole sentences are the independent draws: each casts a share of a vote.
    drawn = shares[draw(probabilities, 100_000, generator)]
    error = drawn.std(0) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(0)[:5] - 0.2) < 4 * error[:5] + 1e-4).all()


def test_of_sentences_of_one_cluster_each_the_published_probabilities_are_kept():
    clusters = np.repeat([0, 0, 0, 1, 1, 2], 4).reshape(6, 4)
    # By hand: w = 1/12, 1/8, 1/4 over 12, 8 and 4 chunks; four chunks a sentence.
    assert sentence_probabilities(clusters, 3) == pytest.approx(np.array([1 / 9] * 3 + [1 / 6] * 2 + [1 / 3]), abs=1e-5)


def test_where_no_sampling_makes_shares_equal_they_are_as_near_as_can_be():
    clusters = np.zeros((20, 4), int)
    clusters[:2, 0] = 1  # at most one chunk in four
    found = sentence_probabilities(clusters, 2)
    assert found @ cluster_shares(clusters, 2) == pytest.approx([0.75, 0.25], abs=1e-3)
    assert expected_shares(clusters, 2, found)["smallest_drawn"] == pytest.approx(0.25, abs=1e-3)


@given(st.data())
def test_probabilities_are_probabilities_whatever_is_empty(data):
    clusters = np.array(data.draw(st.lists(st.integers(0, 4), min_size=6, max_size=60))[: 6 * 10])
    clusters = clusters[: len(clusters) // 3 * 3]
    for found in (chunk_probabilities(clusters, 5), sentence_probabilities(clusters.reshape(-1, 3), 5)):
        assert np.isfinite(found).all() and (found >= 0).all() and found.sum() == pytest.approx(1)

"""The map keeps neighbours, is the same for a seed, and says where there can be none."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from sertool.core.clustering.chunk_map import FEWEST_FOR_TSNE, chunk_map, sample_rows


def draw(features: np.ndarray, **options) -> dict:
    count = len(features)
    category = np.arange(count) % 3 - 1
    values = np.where(np.arange(count) % 2, np.arange(count) / 2, np.nan)
    return chunk_map(features, np.arange(count) % 4, category, {"arousal": values}, **{"seed": 0} | options)


def blobs(count: int = 90, dims: int = 60) -> np.ndarray:
    generator = np.random.default_rng(0)
    return (generator.normal(0, 1, (count, dims)) + 9.0 * (np.arange(count) % 3)[:, None]).astype(np.float32)


def test_neighbours_stay_neighbours():
    found = draw(blobs())
    points = np.array(found["points"])
    assert found["method"] == "t-SNE" and points.shape == (90, 2)
    assert trustworthiness(blobs(), points, n_neighbors=5) > 0.8
    shuffled = np.random.default_rng(0).permutation(points)
    assert trustworthiness(blobs(), shuffled, n_neighbors=5) < 0.6


def test_the_same_seed_gives_the_same_map_and_another_draws_others():
    first, again, other = (draw(blobs(), most=40, seed=seed) for seed in (0, 0, 1))
    assert first == again and first["rows"] != other["rows"]
    assert len(set(first["rows"])) == 40 and first["rows"] == sorted(first["rows"])


def test_each_point_has_what_its_chunk_has():
    found = draw(blobs(), most=35)
    for row, cluster, category, value in zip(
        found["rows"], found["clusters"], found["categories"], found["attributes"]["arousal"], strict=True
    ):
        assert cluster == row % 4
        assert category == (None if row % 3 == 0 else row % 3 - 1)
        assert value == (row / 2 if row % 2 else None)


def test_few_chunks_lie_along_their_principal_components():
    features = blobs(FEWEST_FOR_TSNE - 1)
    found = draw(features)
    assert found["method"] == "PCA" and found["why"] is None
    np.testing.assert_allclose(found["points"], PCA(2).fit_transform(features.astype(np.float64)), rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 5), (40, 1), (2, 1)])
def test_a_dimension_that_is_not_there_is_nought(shape):
    found = draw(np.random.default_rng(0).normal(size=shape))
    points = np.array(found["points"])
    assert found["method"] == "PCA" and points.shape == (shape[0], 2) and abs(points[:, 1]).max() < 1e-9


@pytest.mark.parametrize(("count", "why"), [(1, "one chunk"), (50, "the same features")])
def test_where_there_is_no_map_it_says_why(count, why):
    found = draw(np.full((count, 4), 1.7))
    assert found["method"] is None and why in found["why"] and found["points"] == found["rows"] == []


def test_only_drawn_rows_are_looked_at():
    features = blobs()
    rows, sample = sample_rows(features, 10, "a test", 0)
    np.testing.assert_array_equal(sample, features[rows])
    features[np.setdiff1d(np.arange(90), rows)] = np.nan
    sample_rows(features, 10, "a test", 0)
    features[rows[3]] = np.inf
    with pytest.raises(ValueError, match="not a finite number"):
        sample_rows(features, 10, "a test", 0)

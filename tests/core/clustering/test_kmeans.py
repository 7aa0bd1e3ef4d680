"""K-means against scikit-learn's from the same starts, the definition by hand, and itself in pieces and processes."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn.cluster
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core.clustering import kmeans_points
from sertool.core.clustering.kmeans import assign, kmeans
from sertool.core.clustering.kmeans_starts import plus_plus
from sertool.core.errors import InputError


def blobs(num_points, width, num_blobs, *, seed=0, apart=1.0, at=0.0):
    """Overlapping blobs: centres and points both of unit deviation, the centres' times `apart`."""
    generator = np.random.default_rng(seed)
    centres = apart * generator.standard_normal((num_blobs, width)) + at
    points = centres[generator.integers(0, num_blobs, num_points)] + generator.standard_normal((num_points, width))
    return points.astype(np.float32)


def in_scikit_learn(points, starts, iterations):
    estimator = sklearn.cluster.KMeans(
        len(starts), init=np.asarray(starts, np.float64), n_init=1, max_iter=iterations, algorithm="lloyd", tol=0
    )
    return estimator.fit(points.astype(np.float64))


def in_small_blocks(monkeypatch, rows, width):
    monkeypatch.setitem(kmeans_points.BLOCK_BYTES, "cpu", 4 * width * rows)


def by_hand(points, centroids):
    """Return the nearest centroid of each point and the squared distance, in float64."""
    distances = ((points[:, None].astype(np.float64) - np.asarray(centroids, np.float64)) ** 2).sum(2)
    return distances.argmin(1), distances.min(1)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("iterations", [1, 3, 20])
@pytest.mark.parametrize(("width", "clusters", "at"), [(3, 5, 0.0), (40, 30, 0.0), (16, 10, 300.0), (1, 4, -2.0)])
def test_inertia_and_centroids_are_those_of_scikit_learn(width, clusters, at, iterations):
    points = blobs(3000, width, clusters, at=at)
    starts = points[:clusters]
    found = kmeans(points, clusters, iterations=iterations, seed=0, starts=torch.from_numpy(starts))
    expected = in_scikit_learn(points, starts, iterations)
    assert found.inertia == pytest.approx(expected.inertia_, rel=1e-4)
    assert found.iterations == expected.n_iter_
    assert found.centroids.numpy() == pytest.approx(expected.cluster_centers_, abs=0.02)
    assert abs(found.counts.numpy() - np.bincount(expected.labels_, minlength=clusters)).max() <= 3


@pytest.mark.parametrize("iterations", [1, 2, 6, 20])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_clusters_that_run_empty_go_where_scikit_learn_sends_them(monkeypatch, seed, iterations):
    in_small_blocks(monkeypatch, 64, 6)
    points = blobs(800, 6, 4, seed=seed, apart=3.0)
    starts = points[:9].copy()
    starts[3:7] += 100.0 * np.arange(1, 5)[:, None]  # nobody's nearest, but the first of them
    found = kmeans(points, 9, iterations=iterations, seed=0, starts=torch.from_numpy(starts))
    expected = in_scikit_learn(points, starts, iterations)
    assert found.inertia == pytest.approx(expected.inertia_, rel=1e-4)
    assert sorted(found.counts.tolist()) == sorted(np.bincount(expected.labels_, minlength=9).tolist())


@pytest.mark.parametrize("at", [0.0, 1000.0])
def test_the_farthest_points_are_taken_by_hand(at):
    points = torch.tensor([[0.0], [1.0], [10.0], [-20.0]]) + at
    found = kmeans(points, 3, iterations=1, seed=0, starts=torch.tensor([[at], [1e5], [2e5]]))
    # All are nearest to the first; −20 and 10 leave for the two empty clusters, farthest first.
    assert (found.centroids - at).tolist() == [[0.5], [-20.0], [10.0]]
    assert found.counts.tolist() == [2, 1, 1]
    assert found.inertia == pytest.approx(0.5)


@pytest.mark.parametrize("mini_batch", [None, 7])
@pytest.mark.parametrize("starts", [None, torch.tensor([[0.1, 0.3]] * 6)])
def test_fewer_distinct_points_than_clusters_leave_clusters_empty(starts, mini_batch):
    distinct = torch.tensor([[0.1, 0.3], [5.3, -2.7], [1000.1, 3.3]])
    points = distinct.repeat(67, 1)
    found = kmeans(points, 6, seed=0, starts=starts, mini_batch=mini_batch)
    assert torch.isfinite(found.centroids).all()
    assert found.counts.sum() == len(points)
    assert (found.counts > 0).sum() == 3
    assert found.inertia == pytest.approx(0.0, abs=1e-3)


def test_as_many_clusters_as_points_take_one_each():
    points = torch.from_numpy(blobs(12, 4, 3))
    found = kmeans(points, 12, seed=3)
    assert found.counts.tolist() == [1] * 12
    assert found.inertia == 0.0


def test_it_stops_once_no_centroid_moves():
    points = torch.tensor([[0.0], [2.0], [10.0], [12.0]])
    found = kmeans(points, 2, iterations=50, seed=0, starts=torch.tensor([[0.0], [2.0]]))
    # {0} {2 10 12} → 0, 8: {0 2} {10 12} → 1, 11: nothing moves any more.
    assert found.centroids.tolist() == [[1.0], [11.0]]
    assert (found.iterations, found.inertia) == (3, 4.0)


@pytest.mark.parametrize("size", [128, 512])
@pytest.mark.parametrize("seed", [0, 1])
def test_mini_batches_come_within_two_percent_of_lloyd(seed, size):
    points = blobs(6000, 12, 8, apart=2.0, seed=seed)
    starts = plus_plus_of(points, 8)
    lloyd = in_scikit_learn(points, starts, 100).inertia_
    found = kmeans(points, 8, iterations=5, seed=seed, starts=starts, mini_batch=size)
    assert found.inertia == pytest.approx(lloyd, rel=0.02)
    assert found.iterations == 5
    assert found.inertia == pytest.approx(by_hand(points, found.centroids)[1].sum(), rel=1e-5)
    theirs = sklearn.cluster.MiniBatchKMeans(
        8, init=starts.numpy(), n_init=1, max_iter=5, batch_size=size, max_no_improvement=None, random_state=seed
    )
    assert found.inertia == pytest.approx(theirs.fit(points).inertia_, rel=0.02)


def plus_plus_of(points, clusters):
    return plus_plus(torch.from_numpy(points), clusters, np.random.default_rng(0))


def test_one_mini_batch_by_hand():
    """Two batches of all points, drawn with repeats: each centroid is the mean of all points drawn nearest to it."""
    points = np.repeat(np.float32([[0.0], [10.0]]), 50, axis=0)
    found = kmeans(points, 2, iterations=2, seed=0, starts=torch.tensor([[4.0], [9.0]]), mini_batch=100)
    assert found.centroids.tolist() == [[0.0], [10.0]]  # the starts themselves weigh nothing
    points = np.float32([[1.0], [2.0], [4.0]])
    found = kmeans(points, 1, iterations=100, seed=0, starts=torch.tensor([[50.0]]), mini_batch=1)
    assert found.centroids.item() == pytest.approx(7 / 3, abs=0.25)  # 300 draws, deviation 1.25 / √300 = 0.07


def test_a_cluster_that_mini_batches_pass_by_is_moved():
    points = blobs(2000, 4, 2, apart=20.0)
    starts = torch.from_numpy(points[0]) + torch.tensor([[0.0], [1e4]])
    found = kmeans(points, 2, iterations=10, seed=0, starts=starts, mini_batch=100)
    assert found.inertia == pytest.approx(in_scikit_learn(points, plus_plus_of(points, 2), 50).inertia_, rel=0.02)


def test_greedy_plus_plus_starts_as_well_as_scikit_learns():
    points = blobs(1500, 5, 12, apart=4.0)
    ours, theirs = [], []
    for seed in range(8):
        starts = plus_plus(torch.from_numpy(points), 12, np.random.default_rng(seed))
        assert len(np.unique(starts.numpy(), axis=0)) == 12
        assert all((points == start).all(1).any() for start in starts.numpy())
        ours.append(by_hand(points, starts)[1].sum())
        theirs.append(by_hand(points, sklearn.cluster.kmeans_plusplus(points, 12, random_state=seed)[0])[1].sum())
    random = [by_hand(points, points[12 * i : 12 * i + 12])[1].sum() for i in range(8)]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.08)
    assert np.mean(ours) < 0.8 * np.mean(random)


def test_a_seed_chooses_the_result_and_nothing_else_does():
    points = blobs(2000, 6, 9)
    torch.manual_seed(1)
    first = kmeans(points, 9, iterations=4, seed=5)
    torch.manual_seed(2)
    again = kmeans(torch.from_numpy(points), 9, iterations=4, seed=5)
    assert torch.equal(first.centroids, again.centroids)
    assert not torch.equal(first.centroids, kmeans(points, 9, iterations=4, seed=6).centroids)


def test_a_file_mapped_for_reading_is_clustered_as_what_it_holds(tmp_path, recwarn):
    points = blobs(700, 5, 4)
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    for mini_batch in (None, 64):
        found = kmeans(mapped, 4, seed=0, mini_batch=mini_batch)
        assert torch.equal(found.centroids, kmeans(points, 4, seed=0, mini_batch=mini_batch).centroids)
    assert torch.equal(assign(mapped, found.centroids)[0], assign(points, found.centroids)[0])
    assert not [warning for warning in recwarn if "writable" in str(warning.message)]


def test_points_and_starts_are_left_as_they_were():
    points, starts = (torch.from_numpy(blobs(n, 3, 4)) for n in (300, 4))
    kept = points.clone(), starts.clone()
    kmeans(points, 4, seed=0, starts=starts)
    kmeans(points, 4, seed=0, starts=starts, mini_batch=50)
    assert torch.equal(points, kept[0])
    assert torch.equal(starts, kept[1])


def test_training_around_changes_no_precision():
    points = blobs(500, 20, 4).astype(np.float32)
    expected = kmeans(points, 4, seed=0)
    with torch.autocast("cpu", torch.bfloat16):
        found = kmeans(torch.from_numpy(points).requires_grad_(), 4, seed=0)
    assert torch.equal(found.centroids, expected.centroids)
    assert not found.centroids.requires_grad


@pytest.mark.parametrize("mini_batch", [None, 16])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("starts", [None, torch.zeros(3, 2)])
def test_points_that_are_not_finite_are_errors(value, starts, mini_batch):
    points = blobs(100, 2, 3)
    points[70, 1] = value
    with pytest.raises(InputError, match=r"not finite.*; expected.*: look for"):
        kmeans(points, 3, seed=0, starts=starts, mini_batch=mini_batch)
    with pytest.raises(InputError, match="not finite"):
        assign(points, torch.zeros(3, 2))


def test_more_clusters_than_points_are_an_error():
    with pytest.raises(InputError, match=r"4 points cannot make 5 clusters; expected at least .*: ask for fewer"):
        kmeans(torch.rand(4, 2), 5, seed=0)
    with pytest.raises(InputError, match="0 points"):
        kmeans(torch.rand(0, 2), 1, seed=0)


@pytest.mark.parametrize(
    ("points", "arguments"),
    [
        (torch.rand(5), {}),
        (torch.rand(5, 0), {}),
        (torch.ones(5, 2, dtype=torch.int64), {}),
        (np.ones((5, 2), int), {}),
        (torch.rand(5, 2), {"num_clusters": 0}),
        (torch.rand(5, 2), {"iterations": 0}),
        (torch.rand(5, 2), {"mini_batch": 0}),
        (torch.rand(5, 2), {"starts": torch.rand(3, 2)}),
        (torch.rand(5, 2), {"starts": torch.rand(2, 3)}),
        (torch.rand(5, 2), {"starts": torch.full((2, 2), torch.nan)}),
    ],
)
def test_shapes_that_do_not_go_together_are_programming_errors(points, arguments):
    with pytest.raises(ValueError, match="expected"):
        kmeans(points, **{"num_clusters": 2, "seed": 0, **arguments})


sizes = {"points": st.integers(1, 150), "width": st.integers(1, 9), "seed": st.integers(0, 99), "data": st.data()}


@settings(max_examples=40, deadline=None)
@given(**sizes)
def test_labels_are_of_the_nearest_centroid(points, width, seed, data):
    clusters = data.draw(st.integers(1, points))
    table = blobs(points, width, 3, seed=seed, apart=5.0)
    found = kmeans(table, clusters, seed=seed, iterations=data.draw(st.integers(1, 4)))
    labels, distances = assign(table, found.centroids)
    _, nearest = by_hand(table, found.centroids)
    own = ((table - found.centroids.double().numpy()[labels]) ** 2).sum(1)
    assert own == pytest.approx(nearest, rel=1e-4, abs=1e-4)
    assert distances.numpy() == pytest.approx(own, rel=1e-4, abs=1e-6)
    assert found.inertia == pytest.approx(nearest.sum(), rel=1e-4, abs=1e-4)
    assert torch.equal(torch.bincount(labels, minlength=clusters), found.counts)


@settings(max_examples=25, deadline=None)
@given(**sizes)
def test_inertia_never_rises_with_iterations(points, width, seed, data):
    clusters = data.draw(st.integers(1, points))
    table = blobs(points, width, 3, seed=seed)
    starts = torch.from_numpy(table[:clusters] + np.float32(data.draw(st.sampled_from([0.0, 3.0]))))
    inertias = [kmeans(table, clusters, iterations=n, seed=0, starts=starts).inertia for n in range(1, 6)]
    assert all(after <= before * (1 + 1e-5) + 1e-4 for before, after in itertools.pairwise(inertias))


@settings(max_examples=25, deadline=None)
@given(**sizes)
def test_the_order_of_points_and_the_size_of_blocks_change_rounding_only(points, width, seed, data):
    clusters = data.draw(st.integers(1, points))
    table = blobs(points, width, 3, seed=seed, apart=4.0)
    starts = torch.from_numpy(table[:clusters].copy())
    expected = kmeans(table, clusters, iterations=2, seed=0, starts=starts)
    shuffled = np.random.default_rng(seed).permutation(table)
    assert kmeans(shuffled, clusters, iterations=2, seed=0, starts=starts).inertia == pytest.approx(
        expected.inertia, rel=1e-4, abs=1e-4
    )
    with pytest.MonkeyPatch.context() as patch:
        in_small_blocks(patch, data.draw(st.integers(1, 200)), max(width, clusters))
        found = kmeans(table, clusters, iterations=2, seed=0, starts=starts)
    assert found.inertia == pytest.approx(expected.inertia, rel=1e-4, abs=1e-4)
    assert found.centroids.numpy() == pytest.approx(expected.centroids.numpy(), abs=1e-3)


def test_no_block_is_larger_than_said(monkeypatch):
    monkeypatch.setitem(kmeans_points.BLOCK_BYTES, "cpu", 4096)
    points = kmeans_points.Points(torch.rand(1000, 8), "cpu")
    assert [len(block) for block in points.blocks(2)] == [128] * 7 + [104]
    assert {len(block) for block in points.blocks(16)} == {64, 1000 % 64}
    assert {len(block) for block in points.blocks(200)} == {5}


@pytest.mark.parametrize("clusters", [5, 30])
def test_the_matrix_product_finds_what_the_convolution_does(clusters):
    points = torch.from_numpy(blobs(333, 7, clusters))
    scorer = kmeans_points.Scorer(points[:clusters])
    expected = by_hand(points.numpy(), points[:clusters].numpy())[0].tolist()
    assert scorer.nearest(points).tolist() == expected
    if scorer.convolves:
        scorer.convolves, scorer.weights = False, scorer.weights[:, :, 0, 0].contiguous()
        assert scorer.nearest(points).tolist() == expected


JOBS = [
    {"shares": [240, 160], "arguments": {"num_clusters": 7, "seed": 1, "iterations": 4}},
    {"shares": [397, 3], "arguments": {"num_clusters": 5, "seed": 2, "iterations": 30}},
    {"shares": [0, 400], "arguments": {"num_clusters": 4, "seed": 3, "iterations": 3}},
    {"shares": [150, 250], "starts": [0] * 6, "arguments": {"num_clusters": 6, "seed": 0, "iterations": 3}},
    {"shares": [250, 150], "arguments": {"num_clusters": 4, "seed": 4, "iterations": 2, "mini_batch": 50}},
    {"shares": [3, 2], "arguments": {"num_clusters": 5, "seed": 0}},
    {"shares": [3, 2], "arguments": {"num_clusters": 6, "seed": 0}},
    {"shares": [200, 200], "spoiled": 1, "starts": [0, 1], "arguments": {"num_clusters": 2, "seed": 0}},
]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes to fork here")
def test_two_processes_find_what_one_does(tmp_path):
    points = blobs(400, 5, 6, apart=3.0)
    np.save(tmp_path / "points.npy", points)
    (tmp_path / "jobs.json").write_text(json.dumps(JOBS))
    script = Path(__file__).with_name("kmeans_in_processes.py")
    subprocess.run([sys.executable, script, tmp_path], check=True, timeout=120)
    for number, job in enumerate(JOBS):
        one, other = (dict(np.load(tmp_path / f"{number}-{rank}.npz")) for rank in range(2))
        for name in one:
            assert one[name].tolist() == other[name].tolist()
        if "error" in one:
            words = "not finite" if "spoiled" in job else "5 points cannot make 6 clusters"
            assert words in str(one["error"])
            continue
        starts = torch.from_numpy(points[job["starts"]]) if "starts" in job else None
        expected = kmeans(points[: sum(job["shares"])], starts=starts, **job["arguments"])
        assert one["inertia"] == pytest.approx(expected.inertia, rel=1e-5)
        assert one["centroids"] == pytest.approx(expected.centroids.numpy(), abs=1e-4)
        assert one["counts"].tolist() == expected.counts.tolist()
        assert one["iterations"] == expected.iterations
    assert sum("error" in np.load(tmp_path / f"{number}-0.npz") for number in range(len(JOBS))) == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_finds_what_the_cpu_does(monkeypatch):
    monkeypatch.setitem(kmeans_points.BLOCK_BYTES, "cuda", 2**16)
    points = blobs(5000, 33, 10)
    starts = torch.from_numpy(points[:10])
    for mini_batch in (None, 500):
        expected = kmeans(points, 10, seed=0, starts=starts, mini_batch=mini_batch)
        found = kmeans(points, 10, seed=0, starts=starts, mini_batch=mini_batch, device="cuda")
        assert found.inertia == pytest.approx(expected.inertia, rel=1e-3)
    assert torch.equal(
        found.centroids, kmeans(points, 10, seed=0, starts=starts, mini_batch=500, device="cuda").centroids
    )
    labels, distances = assign(points, found.centroids, device="cuda")
    assert distances.sum().item() == pytest.approx(found.inertia, rel=1e-4)
    assert torch.bincount(labels, minlength=10).tolist() == found.counts.tolist()

"""What is told of clusters is what its definition says, by brute force or by scikit-learn, and JSON takes all of it."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_selection import f_classif
from sklearn.metrics import (
    adjusted_mutual_info_score,
    davies_bouldin_score,
    normalized_mutual_info_score,
    silhouette_score,
)

from sertool.core.clustering.analysis import (
    agreement,
    analyse,
    cluster_sizes,
    codes,
    explained,
    separation,
    temporal_consistency,
)


def chunks(sentences: int = 6, each: int = 5, num_clusters: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """Chunks with everything that can be known of them, clusters 0 to 2 of 4 in use."""
    generator = np.random.default_rng(seed)
    clusters = generator.integers(0, num_clusters - 1, sentences * each)
    kinds = np.repeat(generator.integers(0, 2, sentences), each)
    return {
        "features": (generator.normal(0, 1, (len(clusters), 3)) + 4.0 * clusters[:, None]).astype(np.float32),
        "clusters": clusters,
        "sentences": np.repeat(np.arange(sentences) * 7, each),
        "order": np.tile(np.arange(each), sentences),
        "attributes": {"arousal": np.repeat(generator.normal(4, 1, sentences), each)},
        "categories": np.array(["sadness", "anger"])[kinds].tolist(),
        "seed": 3,
        "num_clusters": num_clusters,
        "speakers": np.array(["a", "b", "c"])[np.arange(len(clusters)) // each % 3].tolist(),
    }


def pairs_alike(sentences: list[list[int]]) -> list[bool]:
    return [first == second for clusters in sentences for first, second in itertools.pairwise(clusters)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5), min_size=1, max_size=3), st.randoms())
def test_consistency_is_that_of_neighbours_less_that_of_every_shuffling(sentences, random):
    rows = [(s, k, cluster) for s, clusters in enumerate(sentences) for k, cluster in enumerate(clusters)]
    random.shuffle(rows)
    sentence, order, clusters = np.array(rows).T
    found = temporal_consistency(clusters, sentence, order)
    alike = pairs_alike(sentences)
    if not alike:
        assert found == {"pairs": 0, "adjacent": None, "shuffled": None, "consistency": None}
        return
    # Sentences are shuffled apart from each other, so that the pairs' sum is that of each sentence's mean.
    everything = [[sum(pairs_alike([one])) for one in itertools.permutations(clusters)] for clusters in sentences]
    assert found["pairs"] == len(alike)
    assert found["adjacent"] == pytest.approx(np.mean(alike))
    assert found["shuffled"] == pytest.approx(sum(map(np.mean, everything)) / len(alike))
    assert found["consistency"] == pytest.approx(found["adjacent"] - found["shuffled"])


def test_chunks_with_one_missing_between_them_are_no_neighbours():
    found = temporal_consistency(np.array([1, 1, 2]), np.zeros(3), np.array([0, 1, 3]))
    assert (found["pairs"], found["adjacent"], found["shuffled"]) == (1, 1.0, pytest.approx(1 / 3))
    assert temporal_consistency(np.zeros(2, int), np.array([0, 1]), np.array([0, 1]))["pairs"] == 0


def test_a_place_taken_twice_is_an_error():
    with pytest.raises(ValueError, match="same place"):
        temporal_consistency(np.zeros(3), np.zeros(3), np.array([0, 1, 1]))


def test_clusters_that_hold_along_a_sentence_but_differ_within_it_are_consistent():
    sentences, order = np.repeat(np.arange(20), 10), np.tile(np.arange(10), 20)
    steady = temporal_consistency((order >= 5).astype(int), sentences, order)
    assert steady["adjacent"] == pytest.approx(8 / 9) and steady["shuffled"] == pytest.approx(2 * 5 * 4 / 90)
    whole = temporal_consistency(sentences, sentences, order)
    assert whole["adjacent"] == whole["shuffled"] == 1.0


def test_sizes_name_what_is_empty():
    assert cluster_sizes(np.array([2, 0, 2, 0]), 4) == {
        "count": 4,
        "sizes": [2, 0, 2, 0],
        "empty": [1, 3],
        "evenness": pytest.approx(0.5),
    }
    assert cluster_sizes(np.zeros(3, int), 1)["evenness"] is None
    assert cluster_sizes(np.zeros(3, int), 5)["evenness"] == 0.0


def test_separation_is_scikit_learns_of_all_or_of_a_seeded_sample():
    given_ = chunks(10)
    whole = separation(given_["features"], given_["clusters"], seed=0)
    features = given_["features"].astype(np.float64)
    assert whole["silhouette"] == pytest.approx(silhouette_score(features, given_["clusters"]))
    assert whole["davies_bouldin"] == pytest.approx(davies_bouldin_score(features, given_["clusters"]))
    assert (whole["chunks"], whole["clusters"], whole["why"]) == (50, 3, None)
    first, again, other = (separation(given_["features"], given_["clusters"], most=20, seed=s) for s in (0, 0, 1))
    assert first == again != other and first["chunks"] == 20


@pytest.mark.parametrize(
    ("features", "clusters", "why"),
    [
        ([[0.0], [1.0]], [2, 2], "one cluster"),
        ([[0.0], [1.0]], [0, 1], "of its own"),
        ([[5.0], [5.0], [5.0]], [0, 1, 1], "the same features"),
        ([[5.0]], [0], "one cluster"),
    ],
)
def test_where_separation_has_no_meaning_it_says_why(features, clusters, why):
    found = separation(np.array(features), np.array(clusters), seed=0)
    assert found["silhouette"] is None and found["davies_bouldin"] is None and why in found["why"]


@pytest.mark.parametrize("seed", range(5))
def test_eta_squared_is_that_of_the_f_test_over_labelled_chunks(seed):
    generator = np.random.default_rng(seed)
    clusters = generator.integers(0, 5, 60) * 2
    values = generator.normal(3, 1, 60) + 0.3 * clusters
    values[generator.random(60) < 0.2] = np.nan
    known = ~np.isnan(values)
    found = explained(values, clusters, np.arange(60))
    (f,), _ = f_classif(values[known, None], clusters[known])
    between, within = len(np.unique(clusters[known])) - 1, known.sum() - len(np.unique(clusters[known]))
    assert found["eta_squared"] == pytest.approx(f * between / (f * between + within))
    assert found["chunks"] == known.sum()
    assert found["by_chance"] == pytest.approx(between / (known.sum() - 1))


@pytest.mark.parametrize("seed", range(3))
def test_eta_squared_by_chance_is_its_mean_over_every_shuffling_of_the_sentences(seed):
    generator = np.random.default_rng(seed)
    sentences, clusters = np.repeat(np.arange(5), 4), generator.integers(0, 3, 20)
    labels = generator.normal(0, 1, 5)
    shuffled = [np.repeat(one, 4) for one in itertools.permutations(labels)]
    mean = np.mean([explained(values, clusters, sentences)["eta_squared"] for values in shuffled])
    assert explained(np.repeat(labels, 4), clusters, sentences)["by_chance"] == pytest.approx(mean)


def test_eta_squared_needs_labels_that_differ_and_chance_sentences_alike():
    clusters, sentences = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])
    nothing = {"chunks": 0, "eta_squared": None, "by_chance": None}
    assert explained(np.full(4, np.nan), clusters, sentences) == nothing
    assert explained(np.full(4, 3.3), clusters, sentences) == nothing | {"chunks": 4}
    assert explained(np.array([1.0, 1.0, 2.0, 2.0]), clusters, sentences)["eta_squared"] == 1.0
    assert explained(np.array([1.0, 1.5, 2.0, 2.0]), clusters, sentences)["by_chance"] is None
    assert explained(np.array([1.0, 1.0, 2.0, 2.0]), clusters, np.array([0, 0, 0, 1]))["by_chance"] is None
    assert explained(np.array([1.0, 1.0, np.nan, 2.0]), clusters, sentences)["by_chance"] is None


def test_agreement_is_scikit_learns_over_what_is_known():
    generator = np.random.default_rng(0)
    clusters, groups = generator.integers(0, 4, 50), generator.integers(-1, 3, 50)
    known = groups >= 0
    found = agreement(clusters, groups)
    assert found["nmi"] == pytest.approx(normalized_mutual_info_score(groups[known], clusters[known]))
    assert found["ami"] == pytest.approx(adjusted_mutual_info_score(groups[known], clusters[known]))
    assert agreement(np.zeros(50), groups) == agreement(clusters, np.zeros(50)) == {"nmi": None, "ami": None}
    assert agreement(clusters, np.full(50, -1)) == {"nmi": None, "ami": None}


def test_names_become_places():
    names, places = codes(["b", None, "a", "b"], 4)
    assert names == ["a", "b"] and places.tolist() == [1, -1, 0, 1]
    assert codes(None, 2)[0] == [] and codes(None, 2)[1].tolist() == [-1, -1]


def test_everything_is_told_and_json_takes_it():
    given_ = chunks()
    given_["categories"][:5] = [None] * 5
    found = analyse(**given_)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["chunks"], found["sentences"], found["clusters"]["empty"]) == (30, 6, [3])
    table = np.zeros((4, 2), int)
    for cluster, category in zip(given_["clusters"], given_["categories"], strict=True):
        if category:
            table[cluster, ["anger", "sadness"].index(category)] += 1
    assert found["categories"]["names"] == ["anger", "sadness"] and found["categories"]["table"] == table.tolist()
    emotions = normalized_mutual_info_score(given_["categories"][5:], given_["clusters"][5:])
    assert found["categories"]["unlabelled"] == 5 and found["categories"]["nmi"] == pytest.approx(emotions)
    speakers = normalized_mutual_info_score(given_["speakers"], given_["clusters"])
    assert found["speakers"]["unknown"] == 0 and found["speakers"]["count"] == 3
    assert found["speakers"]["nmi"] == pytest.approx(speakers)
    assert found["attributes"]["arousal"]["eta_squared"] > 0 and len(found["map"]["points"]) == 30
    assert found == analyse(**given_)


def test_clusters_that_are_the_speakers_are_seen_to_be():
    given_ = chunks(9)
    given_["clusters"] = codes(given_["speakers"], 45)[1]
    found = analyse(**given_)
    assert found["speakers"]["ami"] == pytest.approx(1.0) and found["categories"]["ami"] < 0.5


def test_clusters_that_are_places_in_the_sentence_are_seen_to_be():
    order = np.tile(np.arange(3), 15)
    found = analyse(np.eye(45), order, np.repeat(np.arange(15), 3), order + 2, {}, None, seed=0)
    assert found["place"] == {"nmi": pytest.approx(1.0), "ami": pytest.approx(1.0)}
    assert found["temporal"]["consistency"] == 0  # steady in no way, and yet no shuffling changes it


BARE = {"attributes": {}, "categories": None, "speakers": None}
UNKNOWN = {"attributes": {"valence": np.full(5, np.nan)}, "categories": [None] * 5, "speakers": [None] * 5}


@pytest.mark.parametrize(
    "changed",
    [
        BARE,
        UNKNOWN,
        {"speakers": ["a"] * 5},
        {"categories": ["anger"] * 5},
        {"clusters": np.full(5, 2)},
        {"clusters": np.arange(5), "num_clusters": None},
        {"num_clusters": 500},
        {"features": np.zeros((5, 3), np.float32)},
        {"sentences": np.arange(5), "order": np.zeros(5)},
    ],
    ids=[
        "bare",
        "unknown",
        "one speaker",
        "one category",
        "one cluster",
        "all alone",
        "K above N",
        "constant",
        "C = 1",
    ],
)
def test_a_single_utterance_and_what_it_may_lack(changed):
    found = analyse(**chunks(1) | changed)
    json.dumps(found, allow_nan=False)
    if changed is BARE or changed is UNKNOWN:
        assert found["categories"] is None and found["speakers"] is None
    assert all(one["by_chance"] is None for one in found["attributes"].values()) or "sentences" in changed


def test_a_single_chunk():
    found = analyse(np.ones((1, 3)), [0], [0], [0], {"arousal": [3.0]}, ["anger"], seed=0, speakers=["a"])
    assert found["map"]["method"] is None and found["temporal"]["pairs"] == 0
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"clusters": np.zeros(4, int)}, "clusters are 4, features 5"),
        ({"categories": ["anger"] * 6}, "categories are 6, features 5"),
        ({"attributes": {"arousal": np.zeros(2)}}, "arousal are 2, features 5"),
        ({"clusters": np.full(5, 4)}, "clusters are 4 to 4; expected 0 to 3"),
        ({"clusters": np.full(5, -1)}, "clusters are -1 to -1"),
        ({"features": np.full((5, 3), np.nan)}, "not a finite number"),
    ],
)
def test_what_does_not_fit_together_is_an_error(changed, told):
    with pytest.raises(ValueError, match=told):
        analyse(**chunks(1) | changed)
    with pytest.raises(ValueError, match="no chunks"):
        analyse(np.zeros((0, 3)), [], [], [], {}, None, seed=0)

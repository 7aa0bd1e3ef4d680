"""Ranks, bins and the table of scores."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers, lists, permutations, sampled_from

from sertool.core.corpus.manifest import Manifest
from sertool.core.curriculum.scores import bins_of, rank_scores, score_table, score_text, utterance_names
from sertool.core.training.scores import read_scores

NAMES = [f"corpus/{number}.wav" for number in range(12)]


@settings(max_examples=40)
@given(lists(sampled_from([-1.5, -0.0, 0.0, 2.0]), min_size=12, max_size=12), permutations(range(12)))
def test_ranks_fall_with_the_score_and_do_not_depend_on_the_order_of_rows(scores, order):
    scores = np.array(scores)
    ranks = rank_scores(scores, NAMES, seed=3)
    assert sorted(ranks) == list(range(12))
    assert (np.diff(scores[np.argsort(ranks)]) <= 0).all()
    assert (rank_scores(scores[order], [NAMES[row] for row in order], seed=3) == ranks[order]).all()


def test_the_seed_orders_ties_and_nothing_else():
    tied = {tuple(np.argsort(rank_scores(np.zeros(12), NAMES, seed=seed))) for seed in range(20)}
    assert len(tied) == 20
    distinct = {tuple(rank_scores(np.arange(12.0), NAMES, seed=seed)) for seed in range(20)}
    assert distinct == {tuple(range(11, -1, -1))}


def test_every_utterance_is_first_among_ties_about_equally_often():
    first = [int(np.argmin(rank_scores(np.zeros(12), NAMES, seed=seed))) for seed in range(600)]
    counts = np.bincount(first, minlength=12)
    assert ((counts - 50) ** 2 / 50).sum() < 31.3  # chi-square with 11 degrees of freedom, p = .001


@settings(max_examples=40)
@given(integers(1, 60), integers(1, 60))
def test_bins_are_those_numpy_splits_ranks_into(bins, further):
    total = bins + further - 1
    ranks = np.random.default_rng(0).permutation(total)
    expected = np.empty(total, dtype=int)
    for number, part in enumerate(np.array_split(np.arange(total), bins), start=1):
        expected[np.isin(ranks, part)] = number
    assert (bins_of(ranks, bins) == expected).all()
    assert np.ptp(np.bincount(expected)[1:]) <= 1


@pytest.mark.parametrize("bins", [0, 4])
def test_there_are_no_more_bins_than_utterances(bins):
    with pytest.raises(ValueError, match="give 1 to 3"):
        bins_of(np.arange(3), bins)


@pytest.mark.parametrize(
    ("scores", "names", "told"),
    [([0.0, np.nan], "ab", "not a finite number"), ([0.0, 1.0], "aa", "a name of its own"), ([0.0], "ab", "1 scores")],
)
def test_what_cannot_be_ranked_is_refused(scores, names, told):
    with pytest.raises(ValueError, match=told):
        rank_scores(np.array(scores), list(names), seed=0)


def test_names_are_short_but_for_namesakes(tmp_path):
    table = pd.DataFrame({"file_name": ["a/wav/1.wav", "b/wav/1.wav", "b/wav/2.wav"]})
    names = utterance_names(Manifest.from_table(table, tmp_path))
    folder = tmp_path.resolve()
    assert names == [f"{folder}/a/wav/1.wav", f"{folder}/b/wav/1.wav", "wav/2.wav"]


def table_of(tmp_path) -> Manifest:
    table = pd.DataFrame({"file_name": ["a.wav", "wav/b.wav", "wav/ç,é.wav"], "speaker": ["03", None, "08"]})
    manifest = Manifest.from_table(table, tmp_path)
    scores, ranks = np.array([0.1 + 0.2, -0.0, 7.0]), np.array([1, 2, 0])
    further = {"speaker": manifest.table["speaker"], "pmi": None}
    return score_table(manifest, scores, ranks, metric="deepmi", target="emotion", bins=2, further=further)


def test_the_table_has_the_easiest_first_and_comes_back_as_it_was(tmp_path):
    scored = table_of(tmp_path)
    text = score_text(scored, tmp_path)
    assert text.splitlines() == [
        "file_name,score,rank,bin,metric,target,speaker,pmi",
        '"wav/ç,é.wav",7.0,0,1,deepmi,emotion,08,',
        "a.wav,0.30000000000000004,1,1,deepmi,emotion,03,",
        "wav/b.wav,0.0,2,2,deepmi,emotion,,",
    ]
    (tmp_path / "scores.csv").write_text(text)
    assert Manifest.read(tmp_path / "scores.csv").paths() == scored.paths()
    # As a training reads it, of utterances in another order.
    read = read_scores(tmp_path / "scores.csv", [str(path) for path in reversed(scored.paths())], seed=0)
    assert read.order.tolist() == [2, 1, 0]
    assert (read.metric, read.target, read.others) == ("deepmi", "emotion", 0)


def test_paths_in_a_table_elsewhere_are_absolute(tmp_path):
    text = score_text(table_of(tmp_path), tmp_path / "wav")
    assert [line.split(",7")[0].split(",0")[0].strip('"') for line in text.splitlines()[1:]] == [
        "ç,é.wav",
        f"{tmp_path}/a.wav",
        "b.wav",
    ]

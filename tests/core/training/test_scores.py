"""Scores of a table, for the utterances a training learns from, and what is said of tables that cannot be used."""

import numpy as np
import pandas as pd
import pytest

from sertool.core.corpus.batches import Utterances
from sertool.core.errors import InputError
from sertool.core.training.recipe import make_recipe
from sertool.core.training.scores import UNNAMED, curriculum_scores, heard_by, read_scores

NAMES = ["b.wav", "a.wav", "sub/c.wav", "d.wav"]


@pytest.fixture
def utterances(tmp_path):
    """Absolute paths, in an order that is not the table's."""
    return [str(tmp_path / name) for name in NAMES]


def write(tmp_path, name="scores.csv", /, **columns):
    table = {"file_name": sorted(NAMES), "score": [0.1, 0.4, -2.0, 0.4], "metric": "deepmi", "target": "emotion"}
    path = tmp_path / name
    table = pd.DataFrame(table | columns)
    table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_highest_score_is_the_easiest_and_ranks_decide_among_equals(tmp_path, utterances, suffix):
    name = f"scores.{suffix}"
    # By the table's rows: a .1, b .4, d -2, c .4.
    for ranks, order in (([2, 0, 3, 1], [0, 2, 1, 3]), ([2, 1, 3, 0], [2, 0, 1, 3])):
        scores = read_scores(write(tmp_path, name, rank=ranks), utterances, seed=0)
        assert list(scores.order) == order
    assert (scores.metric, scores.target, scores.title, scores.others) == ("deepmi", "emotion", "deepmi for emotion", 0)


def test_without_ranks_the_seed_decides_among_equals(tmp_path, utterances):
    path = write(tmp_path, score=[1.0, 1.0, 1.0, 2.0])
    orders = {tuple(read_scores(path, utterances, seed=seed).order) for seed in range(30)}
    assert len(orders) == 6 and {order[0] for order in orders} == {2}
    assert orders == {tuple(read_scores(path, utterances, seed=seed).order) for seed in range(30)}


def test_a_table_need_not_say_what_it_holds(tmp_path, utterances):
    path = tmp_path / "mine.csv"
    pd.DataFrame({"file_name": utterances, "score": [3, 4, 1, 2]}).to_csv(path, index=False)
    scores = read_scores(path, utterances, seed=0)
    assert list(scores.order) == [1, 0, 3, 2] and scores.title == UNNAMED


def test_names_are_relative_to_the_table_or_absolute(tmp_path, utterances):
    mixed = ["a.wav", str(tmp_path / "b.wav"), f"{tmp_path}/./d.wav", "./sub/c.wav"]
    scores = read_scores(write(tmp_path, file_name=mixed, rank=[2, 0, 3, 1]), utterances, seed=0)
    assert list(scores.order) == [0, 2, 1, 3]


def test_scores_of_others_are_counted_and_do_not_matter(tmp_path, utterances):
    path = write(tmp_path, score=[0.1, "nan", -2.0, 0.5], metric=["deepmi", "random", "deepmi", "deepmi"])
    split = _utterances([name for name in utterances if not name.endswith("b.wav")])
    recipe = make_recipe({"curriculum": {"scores": str(path)}})
    notes = []
    scores = curriculum_scores(recipe, split, notes)
    assert list(scores.order) == [1, 0, 2] and scores.others == 1
    assert notes == [f"{path}: 1 scores are of no training utterance and do not count"]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"file_name": ["x.wav", "y.wav", "d.wav", "sub/c.wav"]}, r"no score of 2 of 4 training utterances, .*b\.wav"),
        ({"file_name": ["a.wav", "b.wav", "./a.wav", "sub/c.wav"]}, "more than once"),
        ({"score": [0.1, "", 0.2, 0.3]}, "row 2: 'score' is '.*'; expected a finite number"),
        ({"score": [0.1, 0.1, "nan", 0.3]}, "row 3: 'score' is 'nan'"),
        ({"score": ["inf", 0.1, 0.2, 0.3]}, "row 1: 'score' is 'inf'"),
        ({"score": [0.1, 0.2, 0.3, "easy"]}, "row 4: 'score' is 'easy'"),
        ({"rank": [0, 1, "x", 3]}, "row 3: 'rank' is 'x'"),
        ({"metric": ["deepmi", "deepmi", "random", "random"]}, "'metric' says 'deepmi' and 'random'"),
        ({"target": ["valence", "arousal", "arousal", "arousal"]}, "'target' says 'arousal' and 'valence'"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(tmp_path, utterances, columns, words):
    with pytest.raises(InputError, match=words) as caught:
        read_scores(write(tmp_path, **columns), utterances, seed=0)
    assert "scores.csv" in str(caught.value)


def test_a_table_without_scores_is_named(tmp_path, utterances):
    path = tmp_path / "scores.csv"
    path.write_text("file_name,rank\na.wav,1\n")
    with pytest.raises(InputError, match="has no column 'score'"):
        read_scores(path, utterances, seed=0)


def _utterances(paths, labels=None):
    count = len(paths)
    return Utterances(
        paths=np.array(paths),
        durations_s=np.ones(count),
        labels=np.array(labels or [0] * count),
        attributes=np.zeros((count, 0), np.float32),
        vote_shares=np.zeros((count, 0), np.float32),
    )


@pytest.mark.parametrize(
    ("changes", "labels", "words"),
    [
        ({}, None, "easy-first and no scores are named"),
        ({"order": "hard-first"}, None, "hard-first and no scores are named"),
        ({"order": "self-paced", "scores": "x.csv"}, None, r"set curriculum\.scores=null"),
        ({"order": "self-paced"}, [0, -1, 1, -1], r"2 training utterances have no label, such as .*a\.wav"),
        ({"scores": "nowhere.csv"}, None, r"nowhere\.csv: no such file"),
    ],
)
def test_a_curriculum_that_cannot_be_is_refused(utterances, changes, labels, words):
    recipe = make_recipe({"curriculum": changes})
    with pytest.raises(InputError, match=words):
        curriculum_scores(recipe, _utterances(utterances, labels), [])


def test_what_goes_by_no_scores_needs_none(utterances):
    for settings in (None, {"order": "none"}, {"order": "self-paced"}):
        assert curriculum_scores(make_recipe({"curriculum": settings}), _utterances(utterances), []) is None
    with pytest.raises(InputError, match="no emotion task"):
        recipe = make_recipe({"curriculum": {"order": "self-paced"}, "tasks": ["enhancement"]})
        curriculum_scores(recipe, _utterances(utterances), [])


def test_what_the_run_behind_the_scores_has_heard_counts(tmp_path, utterances):
    table = pd.DataFrame({"file_name": utterances, "score": range(len(utterances)), "made_with": str(tmp_path / "run")})
    table.to_csv(tmp_path / "scores.csv", index=False)
    scores = read_scores(tmp_path / "scores.csv", utterances, seed=0)
    notes = []
    assert heard_by(scores, notes) == frozenset() and "no such run folder" in notes[0] and "not known" in notes[0]
    (tmp_path / "run" / "model").mkdir(parents=True)
    for name in ("model/config.json", "model/model.safetensors"):
        (tmp_path / "run" / name).write_text("")
    (tmp_path / "run" / "run.json").write_text('{"state": "finished"}')
    (tmp_path / "run" / "seen_audio.txt").write_text("0123456789abcdef" * 2 + "\n")
    assert heard_by(scores, notes) == {"0123456789abcdef" * 2} and len(notes) == 1
    assert heard_by(None, notes) == frozenset()

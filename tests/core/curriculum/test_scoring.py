"""A manifest scored by every metric, with a cluster run stood in for."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mutual_info_score

from sertool.core.corpus.manifest import Manifest
from sertool.core.curriculum import metrics
from sertool.core.curriculum.deepmi import deepmi
from sertool.core.curriculum.levels import LEVELS, attribute_levels
from sertool.core.curriculum.out_of_fold import speaker_folds
from sertool.core.curriculum.request import ScoreRequest
from sertool.core.curriculum.scoring import score
from sertool.core.errors import InputError

COUNT = 36
WORDS = ("anger", "neutral", "sadness")
RUN = Path("runs/clusters")


def make_table() -> pd.DataFrame:
    """Three speakers a split, three categories, valence that follows them, and votes."""
    generator = np.random.default_rng(0)
    word = np.arange(COUNT) % 3
    return pd.DataFrame(
        {
            "file_name": [f"wav/{number:02d}.wav" for number in range(COUNT)],
            "speaker": [f"s{number // 6}" for number in range(COUNT)],
            "split": ["train"] * 30 + ["test"] * 6,
            "emotion": [WORDS[index] for index in word],
            "valence": (1.5 + 2 * word + generator.uniform(-0.4, 0.4, COUNT)).round(2),
            "votes_anger": generator.integers(0, 5, COUNT).astype(float),
            "votes_neutral": generator.integers(1, 5, COUNT).astype(float),
        }
    )


@pytest.fixture
def table() -> pd.DataFrame:
    return make_table()


@pytest.fixture(autouse=True)
def cluster_run(monkeypatch) -> SimpleNamespace:
    """A cluster model that knows every file by its number, and notes what it was asked."""
    run = SimpleNamespace(
        asked=[], targets=("neutral", "sadness", "anger"), clusters=lambda number: number % 3 * (number < 15)
    )

    def cluster_utterances(folder, manifest, *, device="cpu", done=lambda count: None):
        run.asked.append((folder, list(manifest.table["file_name"]), device))
        numbers = np.array([int(Path(name).stem) for name in manifest.table["file_name"]])
        vectors = np.random.default_rng(1).standard_normal((COUNT, 4)).astype(np.float32)[numbers]
        vectors[np.arange(len(numbers)), numbers % 3] += 2.0
        estimates = np.eye(len(run.targets), dtype=np.float32)[(numbers + (numbers % 5 == 0)) % len(run.targets)]
        return SimpleNamespace(
            paths=manifest.paths(),
            cluster=np.array([run.clusters(number) for number in numbers]),
            posterior=None,
            vectors=vectors,
            estimates=estimates,
            targets=run.targets,
        )

    stand_in = ModuleType("assignments")
    stand_in.cluster_utterances = cluster_utterances
    monkeypatch.setitem(sys.modules, "sertool.core.clustering.assignments", stand_in)
    return run


def scored(table: pd.DataFrame, **request):
    return score(
        Manifest.from_table(table, "/corpus"), ScoreRequest(**{"cluster_run": RUN, "device": "cpu", **request})
    )


def by_number(curriculum, column: str = "score") -> np.ndarray:
    """Return a column in the order of the files' numbers."""
    found = curriculum.scored.table
    return found[column].to_numpy()[np.argsort(found["file_name"].to_numpy(dtype=str))]


EVERY = [
    {"metric": "deepmi"},
    {"metric": "pmi", "target": "valence"},
    {"metric": "disagreement"},
    {"metric": "teacher-loss"},
    {"metric": "mc-dropout", "target": "valence"},
    {"metric": "random"},
]


@pytest.mark.parametrize("request_", EVERY, ids=lambda request: request["metric"])
def test_the_order_of_rows_has_no_say(table, request_):
    first = scored(table, **request_)
    order = np.random.default_rng(0).permutation(COUNT)
    second = scored(table.iloc[order], **request_)
    pd.testing.assert_frame_equal(first.scored.table, second.scored.table, check_exact=True)
    assert (first.notes, first.facts) == (second.notes, second.facts)


@pytest.mark.parametrize("request_", EVERY, ids=lambda request: request["metric"])
def test_the_training_split_alone_is_scored_easiest_first(table, request_, cluster_run):
    curriculum = scored(table, **request_)
    found = curriculum.scored.table
    assert sorted(found["file_name"]) == [f"wav/{number:02d}.wav" for number in range(30)]
    assert found["rank"].tolist() == list(range(30)) and (np.diff(found["score"]) <= 0).all()
    assert found["bin"].tolist() == sorted(list(range(1, 11)) * 3)
    target = request_.get("target", "emotion")
    assert set(found["metric"]) == {request_["metric"]} and set(found["target"]) == {target}
    assert found[target].tolist() == curriculum.manifest.table[target].tolist()
    assert curriculum.manifest.table["file_name"].tolist() == found["file_name"].tolist()
    expected = found[target] if target == "emotion" else np.array(LEVELS)[attribute_levels(found[target])]
    assert np.array(curriculum.target.classes)[curriculum.target.codes].tolist() == expected.tolist()
    # Whatever the manifest's order, the model is asked in that of names: batches are the same.
    assert all(names == sorted(found["file_name"]) for _, names, _ in cluster_run.asked)
    assert any("the 30 utterances of the training split" in message for message in curriculum.notes)


def test_another_split_is_scored_when_named_and_everything_where_there_are_none(table):
    named = scored(table, metric="random", split="test", bins=2)
    assert len(named.scored) == 6 and "split 'test', as asked" in " ".join(named.notes)
    everything = scored(table.drop(columns="split"), metric="random")
    assert len(everything.scored) == 36 and "has no splits" in " ".join(everything.notes)
    with pytest.raises(InputError, match="no utterance is in split 'dev'"):
        scored(table, split="dev")


def test_deepmi_of_categories_asks_for_no_predictions(table):
    curriculum = scored(table.drop(columns="speaker"))
    clusters = np.array([number % 3 * (number < 15) for number in range(30)])
    codes = np.arange(30) % 3
    np.testing.assert_array_equal(by_number(curriculum), deepmi(clusters, codes, None, alpha=0.0))
    np.testing.assert_array_equal(by_number(curriculum, "cluster"), clusters)
    np.testing.assert_array_equal(by_number(curriculum, "mi_cluster"), by_number(curriculum))
    assert curriculum.scored.table["mi_prediction"].isna().all()
    assert curriculum.facts["mi_cluster_nats"] == pytest.approx(mutual_info_score(codes, clusters))
    assert by_number(curriculum, "pmi").mean() == pytest.approx(mutual_info_score(codes, clusters))
    assert any("nats" in message for message in curriculum.notes)
    assert any("distinct scores among 30 utterances" in message for message in curriculum.notes)


def test_deepmi_of_valence_counts_predictions_out_of_fold_by_half(table):
    curriculum = scored(table, target="valence")
    assert curriculum.facts["alpha"] == 0.5 and curriculum.facts["predictions"] == "out-of-fold"
    assert curriculum.facts["speakers_by_fold"] == [1] * 5
    half = (by_number(curriculum, "mi_cluster") + by_number(curriculum, "mi_prediction")) / 2
    np.testing.assert_allclose(by_number(curriculum), half, rtol=1e-12)
    assert any("they never heard" in message for message in curriculum.notes)
    other = scored(table, target="valence", alpha=0.25)
    mixed = 0.75 * by_number(curriculum, "mi_cluster") + 0.25 * by_number(curriculum, "mi_prediction")
    np.testing.assert_allclose(by_number(other), mixed, rtol=1e-12)


def test_pointwise_scores_stand_beside_deepmi_and_the_other_way_about(table):
    cells, points = scored(table, target="valence"), scored(table, target="valence", metric="pmi")
    assert (by_number(points) == by_number(cells, "pmi")).all() and (by_number(points) != by_number(cells)).any()
    assert (by_number(points, "deepmi") == by_number(cells)).all()


def test_heads_never_hear_whom_they_judge(table, monkeypatch):
    seen = []

    def train_folded(vectors, target, folds, *, seed, done):
        seen.append(folds)
        raise InputError("enough")

    monkeypatch.setattr(metrics, "train_folded", train_folded)
    for request in ({"target": "valence"}, {"metric": "teacher-loss"}, {"metric": "mc-dropout"}):
        with pytest.raises(InputError, match="enough"):
            scored(table, **request)
    assert all((folds == speaker_folds(table["speaker"][:30])).all() for folds in seen) and len(seen) == 3


def test_in_sample_predictions_are_the_models_own(table, cluster_run):
    curriculum = scored(table.drop(columns="speaker"), alpha=1.0, predictions="in-sample")
    guess = (np.arange(30) + (np.arange(30) % 5 == 0)) % 3  # neutral, sadness, anger
    expected = deepmi(guess, np.arange(30) % 3, guess, alpha=1.0)
    np.testing.assert_allclose(by_number(curriculum), expected, rtol=1e-12)
    assert curriculum.facts["predictions"] == "in-sample" and "as published" in " ".join(curriculum.notes)
    cluster_run.targets = ("arousal", "dominance", "valence")
    assert scored(table, target="valence", predictions="in-sample").facts["mi_prediction_nats"] >= 0
    with pytest.raises(InputError, match="does not estimate 'anger', but arousal, dominance, valence"):
        scored(table, alpha=0.5, predictions="in-sample")


def test_an_uncertain_or_mistaken_teacher_makes_an_utterance_hard(table):
    loss, doubt = scored(table, metric="teacher-loss"), scored(table, metric="mc-dropout")
    assert (by_number(loss) <= 0).all() and (by_number(doubt) <= 0).all()
    assert (by_number(scored(table, metric="mc-dropout", target="valence")) < 0).all()
    assert (by_number(doubt, "bald") >= 0).all()
    assert (by_number(doubt, "bald") <= -by_number(doubt) + 1e-12).all()
    own = scored(table, metric="teacher-loss", predictions="in-sample")
    assert by_number(own).mean() > by_number(loss).mean()


def test_annotators_judge_utterances_without_a_label_too(table):
    table.loc[3, "emotion"] = None
    table.loc[4, ["votes_anger", "votes_neutral"]] = None
    curriculum = scored(table, metric="disagreement")
    votes = table[["votes_anger", "votes_neutral"]].to_numpy()[:30]
    expected = votes.max(1) / votes.sum(1)
    np.testing.assert_allclose(by_number(curriculum), np.delete(expected, 4))
    assert curriculum.facts["left_out"] == 1
    assert "1 utterances left out, without what annotators heard" in " ".join(curriculum.notes)
    assert "is not read, disagreement has no use for it" in " ".join(curriculum.notes)


def test_utterances_without_a_label_are_left_out_and_counted(table):
    table.loc[[3, 8], "emotion"] = None
    curriculum = scored(table)
    assert len(curriculum.scored) == 28 and curriculum.facts["left_out"] == 2
    assert "2 utterances left out, without 'emotion'" in " ".join(curriculum.notes)


def test_a_random_order_is_drawn_by_name(table):
    first = by_number(scored(table, metric="random"))
    assert (first != by_number(scored(table, metric="random", seed=1))).all()
    fewer = scored(table.drop(index=range(10)), metric="random")
    assert (by_number(fewer) == first[10:]).all()
    assert first.min() >= 0 and first.max() < 1


def test_a_derived_attribute_is_called_so(table):
    table["attributes_source"] = "derived from the category (Russell & Mehrabian 1977)"
    curriculum = scored(table, metric="random", target="valence")
    assert set(curriculum.scored.table["target"]) == {"valence (derived)"}
    assert "was derived from the category" in " ".join(curriculum.notes)


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"cluster_run": None}, "--metric deepmi without a cluster run; .* --cluster-run"),
        ({"cluster_run": None, "metric": "mc-dropout"}, "--metric mc-dropout without a cluster run"),
        ({"cluster_run": None, "metric": "teacher-loss"}, "without a teacher; .* --teacher or --cluster-run"),
        ({"teacher": RUN}, "--teacher with --metric deepmi"),
        ({"teacher": RUN, "metric": "teacher-loss", "predictions": "in-sample"}, "expected one of them"),
        ({"alpha": 0.5, "metric": "random"}, "--alpha with --metric random"),
        ({"alpha": 1.5}, "--alpha 1.5: is no share"),
        ({"bins": 0}, "--bins 0: is no number of bins"),
        ({"bins": 31}, "--bins 31: are more than the 30 utterances"),
        ({"metric": "disagreement", "target": "valence"}, "votes are for categories; expected --target emotion"),
        ({"target": "arousal"}, "has no 'arousal', labels found: emotion, valence"),
        ({"device": "abacus"}, "device 'abacus' is not known"),
    ],
)
def test_what_does_not_go_together_is_said(table, request_, told):
    with pytest.raises(InputError, match=told):
        scored(table, **request_)


def test_labels_or_clusters_that_tell_nothing_apart_are_refused(table, cluster_run):
    alike = table.assign(emotion="anger", valence=2.5)
    with pytest.raises(InputError, match="all 30 utterances are 'anger' of emotion; expected two classes or more"):
        scored(alike)
    with pytest.raises(InputError, match="all 30 utterances are level 2–3 of valence"):
        scored(alike, metric="teacher-loss", target="valence")
    cluster_run.clusters = lambda number: 0
    with pytest.raises(InputError, match=r"all 30 utterances score the same \(all are in one cluster\)"):
        scored(table)
    with pytest.raises(InputError, match="all 30 utterances score the same; expected"):
        scored(table.assign(votes_anger=0.0, votes_neutral=3.0), metric="disagreement")


def test_speakers_nobody_knows_are_said_to_share_a_fold(table, cluster_run):
    table["speaker"] = None
    for request in ({"target": "valence"}, {"metric": "teacher-loss"}, {"metric": "mc-dropout"}):
        with pytest.raises(InputError, match=r"no speaker is known; .*--predictions in-sample"):
            scored(table, **request)
    assert not cluster_run.asked  # which would have taken its time
    table["speaker"] = ["a"] * 10 + ["b"] * 10 + [None] * 16
    assert "10 utterances of unknown speakers share a fold" in " ".join(scored(table, target="valence").notes)


def test_a_cluster_run_that_leaves_utterances_out_is_refused(table, monkeypatch):
    module = sys.modules["sertool.core.clustering.assignments"]
    whole = module.cluster_utterances

    def partial(folder, manifest, **how):
        found = whole(folder, manifest, **how)
        found.paths = found.paths[:-1]
        return found

    monkeypatch.setattr(module, "cluster_utterances", partial)
    with pytest.raises(InputError, match="has clusters for 29 of 30 utterances"):
        scored(table)

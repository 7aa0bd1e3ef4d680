"""The table of outcomes and the scores drawn from it, by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, recall_score

from sertool.core.errors import OutputError
from sertool.core.evaluation.results import Results, name_conditions, tabulate
from sertool.core.evaluation.scores import (
    Subject,
    duration_notes,
    score_conditions,
    summarise_measure,
    unscored_notes,
)


def row(file, snr_db, kind, emotion, predicted, before=None, after=None, reason="too short"):
    scores = {
        f"{signal}_{measure}{suffix}": value
        for signal, number in (("unprocessed", before), ("enhanced", after))
        for measure in ("stoi",)
        for suffix, value in (("", number), ("_unscored", reason if number is None else None))
    }
    heard = {"file": file, "snr_db": snr_db, "noise_kind": kind}
    return {**heard, "emotion": emotion, "predicted": predicted, "arousal": None, "predicted_arousal": 3.0, **scores}


ROWS = [
    row("a", 0.0, "rain", "anger", "anger", 0.5, 0.7),
    row("b", 0.0, "wind", "neutral", "anger", None, 0.9),
    row("c", 0.0, "rain", None, "neutral", 0.3, None),
    row("a", None, None, "anger", "anger", 1.0, 0.8),
    row("a", 10.0, "rain", "anger", "neutral", 0.8, 0.9),
]
SUBJECT = Subject(("anger", "neutral"), (), ("stoi",))


def test_conditions_run_from_clean_to_the_lowest_snr():
    conditions = score_conditions(tabulate(ROWS), SUBJECT)
    assert [condition["condition"] for condition in conditions] == ["clean", "10 dB", "0 dB"]
    assert [condition["snr_db"] for condition in conditions] == [None, 10.0, 0.0]
    noisy = conditions[-1]
    assert (noisy["n"], noisy["n_labelled"]) == (3, 2)
    assert noisy["f1_macro"] == pytest.approx((2 / 3 + 0) / 2)
    assert noisy["f1_micro"] == pytest.approx(1 / 2)
    assert noisy["confusion"] == [[1, 0], [1, 0]]


def test_a_measure_is_averaged_over_what_it_could_score():
    summary = summarise_measure(tabulate(ROWS[:3]), "stoi")
    assert summary["unprocessed"] == {"mean": pytest.approx(0.4), "n": 2, "unscored": {"too short": 1}}
    assert summary["enhanced"] == {"mean": pytest.approx(0.8), "n": 2, "unscored": {"too short": 1}}
    assert summary["difference"] == {"mean": pytest.approx(0.2), "n": 1}


def test_every_unscored_utterance_is_in_a_note():
    notes = unscored_notes(score_conditions(tabulate([*ROWS, row("d", 10.0, "wind", "anger", "anger")]), SUBJECT))
    assert notes == [
        "STOI, unprocessed: not scored for 1 at 10 dB, 1 at 0 dB: too short.",
        "STOI, enhanced: not scored for 1 at 10 dB, 1 at 0 dB: too short.",
    ]


def test_kinds_leave_clean_speech_out():
    conditions = score_conditions(tabulate(ROWS), SUBJECT, by_kind=True)
    assert [(one["condition"], one["noise_kind"], one["n"]) for one in conditions] == [
        ("10 dB", "rain", 1),
        ("0 dB", "rain", 2),
        ("0 dB", "wind", 1),
    ]


def test_ccc_where_it_is_undefined_is_null():
    condition = score_conditions(tabulate(ROWS), Subject((), ("arousal",), ()))[0]
    assert (condition["ccc"], condition["ccc_n"]) == ({"arousal": None}, {"arousal": 0})


def test_each_condition_says_which_of_its_attributes_are_derived():
    derived = "derived from the category (Russell & Mehrabian 1977)"
    rows = [
        {**row("a", None, None, None, None), "arousal": 2.0, "attributes_source": derived},
        {**row("b", None, None, None, None), "arousal": 3.0, "attributes_source": None},
        {**row("a", 0.0, "rain", None, None), "arousal": 2.0, "attributes_source": derived},
        {**row("b", 5.0, "rain", None, None), "arousal": 3.0, "attributes_source": None},
        {**row("c", -5.0, "rain", None, None), "valence": 3.0, "attributes_source": None},
    ]
    table = tabulate(rows)
    conditions = score_conditions(table, Subject((), ("arousal",), ()))
    assert [one["attributes"] for one in conditions] == [f"rated: 1; {derived}: 1", "rated", derived, None]
    assert "attributes" not in score_conditions(table, Subject((), (), ()))[0]


def test_snrs_drawn_from_a_range_are_put_in_groups():
    few = name_conditions(pd.Series([None, -5.0, 2.5]))
    assert list(few) == ["clean", "-5 dB", "2.5 dB"]
    many = name_conditions(pd.Series([-5 + index * 0.7 for index in range(20)]))
    assert set(many) == {"about -5 dB", "about 0 dB", "about 5 dB", "about 10 dB"}


def judged(utterances=40, seed=0):
    """Outcomes of utterances of 1 to 4 s, many equally long, clean and at 0 dB; every seventh without a label."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(utterances):
        duration_s, label = rng.integers(10, 40) / 10, None if number % 7 == 6 else rng.choice(SUBJECT.categories)
        for snr_db in (None, 0.0):
            outcome = row(f"{number}", snr_db, None, label, rng.choice(SUBJECT.categories), 0.5, 0.5)
            rows.append(outcome | {"duration_s": duration_s})
    return rows


def test_each_quartile_of_duration_is_scored_as_by_sklearn():
    table = tabulate(judged())
    edges = [0.0, *table.drop_duplicates("file")["duration_s"].quantile([0.25, 0.5, 0.75]), np.inf]
    for condition in score_conditions(table, SUBJECT):
        part = table[(table["condition"] == condition["condition"]) & table["emotion"].notna()]
        assert len(condition["by_duration"]) == 4
        assert sum(one["n"] for one in condition["by_duration"]) == condition["n_labelled"]
        for found, low, high in zip(condition["by_duration"], edges, edges[1:], strict=False):
            inside = part[(part["duration_s"] > low) & (part["duration_s"] <= high)]
            given, predicted = inside["emotion"], inside["predicted"]
            assert found["n"] == len(inside)
            assert found["range_s"] == [inside["duration_s"].min(), inside["duration_s"].max()]
            expected = f1_score(given, predicted, labels=SUBJECT.categories, average="macro", zero_division=0)
            assert found["f1_macro"] == pytest.approx(expected)
            assert found["ua"] == pytest.approx(recall_score(given, predicted, average="macro", labels=given.unique()))


def test_quartiles_are_those_of_the_test_in_every_condition_whatever_the_order():
    rows = judged()
    straight = score_conditions(tabulate(rows), SUBJECT)
    shuffled = score_conditions(tabulate([rows[index] for index in np.random.default_rng(1).permutation(80)]), SUBJECT)
    assert [one["by_duration"] for one in straight] == [one["by_duration"] for one in shuffled]
    ranges = [[quartile["range_s"] for quartile in one["by_duration"]] for one in straight]
    assert ranges[0] == ranges[1]


def test_too_few_labels_or_unknown_durations_are_not_scored_by_duration():
    few = score_conditions(tabulate(judged(8)), SUBJECT)
    assert few[0]["n_labelled"] == 7 and "by_duration" not in few[0]
    assert "by_duration" in score_conditions(tabulate(judged(10)), SUBJECT)[0]
    assert "by_duration" not in score_conditions(tabulate(judged()), Subject((), (), ()))[0]
    noisy = [one | {"noise_kind": "rain"} for one in judged()]
    assert "by_duration" not in score_conditions(tabulate(noisy), SUBJECT, by_kind=True)[0]


def test_outcomes_of_an_earlier_version_are_said_to_lack_durations():
    rows = judged()
    assert duration_notes(tabulate(rows)) == []
    for older in ([0, 1], range(len(rows))):
        for index in older:
            rows[index].pop("duration_s", None)
        table = tabulate(rows)
        assert "by_duration" not in score_conditions(table, SUBJECT)[0]
        (note,) = duration_notes(table)
        assert f"{len(older)} of 80 outcomes" in note


def make_results():
    table = tabulate(ROWS)
    return Results({"seed": 0}, score_conditions(table, SUBJECT), [], table, ["A note."], ["x.wav: broken"])


def test_the_document_is_written_whole_and_reads_back(tmp_path):
    path = tmp_path / "deep" / "results.json"
    results = make_results()
    results.write_json(path, command=["sertool", "evaluate"])
    assert json.loads(path.read_text()) == results.document(command=["sertool", "evaluate"])
    assert '"confusion": [ [ 1, 0 ]' not in path.read_text()
    assert "[ 1, 0 ]" in path.read_text()
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


def test_predictions_are_written_as_a_table(tmp_path):
    make_results().write_outcomes(tmp_path / "predictions.csv")
    table = pd.read_csv(tmp_path / "predictions.csv")
    assert list(table.columns[:3]) == ["file", "condition", "snr_db"]
    assert len(table) == len(ROWS)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        make_results().write_json(tmp_path / "file" / "results.json")


def test_agreement_is_with_the_clean_file_of_the_same_speech():
    rows = [row("a", None, None, "anger", "anger"), row("b", None, None, "anger", "neutral")]
    rows += [row("x/a", 0.0, "rain", "anger", "anger"), row("x/b", 0.0, "rain", "anger", "anger")]
    assert "agreement" not in score_conditions(tabulate(rows), SUBJECT)[1]
    for one, digest in zip(rows, ("1", "2", "1", "2"), strict=True):
        one["clean_digest"] = digest
    assert score_conditions(tabulate(rows), SUBJECT)[1]["agreement"] == {"n": 2, "share": 0.5, "kappa": 0.0}


def test_snrs_asked_for_one_by_one_keep_their_names():
    snrs = pd.Series([float(snr_db) for snr_db in range(-6, 8)])
    assert name_conditions(snrs, drawn=False).nunique() == 14 > name_conditions(snrs).nunique()

"""The table of outcomes and the scores drawn from it, by hand."""

import json

import pandas as pd
import pytest

from sertool.core.errors import OutputError
from sertool.core.evaluation.results import (
    Results,
    Subject,
    name_conditions,
    score_conditions,
    summarise_measure,
    tabulate,
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


def test_snrs_drawn_from_a_range_are_put_in_groups():
    few = name_conditions(pd.Series([None, -5.0, 2.5]))
    assert list(few) == ["clean", "-5 dB", "2.5 dB"]
    many = name_conditions(pd.Series([-5 + index * 0.7 for index in range(20)]))
    assert set(many) == {"about -5 dB", "about 0 dB", "about 5 dB", "about 10 dB"}


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
    make_results().write_predictions(tmp_path / "predictions.csv")
    table = pd.read_csv(tmp_path / "predictions.csv")
    assert list(table.columns[:3]) == ["file", "condition", "snr_db"]
    assert len(table) == len(ROWS)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        make_results().write_json(tmp_path / "file" / "results.json")

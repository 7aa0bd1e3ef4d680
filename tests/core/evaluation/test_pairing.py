"""Two tables of outcomes side by side: what is joined, what is refused, and what the message says."""

import numpy as np
import pandas as pd
import pytest

from sertool.core.errors import InputError
from sertool.core.evaluation.pairing import pair

CLASSES = ("anger", "neutral", "sadness")
CONDITIONS = {"5 dB": 5.0, "clean": None, "-5 dB": -5.0, "0 dB": 0.0}


def outcomes(*, conditions=tuple(CONDITIONS), seeds=None, files=6, predicted="anger"):
    rows = [
        {
            "file": f"{file}.wav",
            "condition": condition,
            "snr_db": CONDITIONS[condition],
            "noise_file": None if condition == "clean" else f"rain/{file}.wav",
            "speaker": f"0{file % 2}",
            "emotion": CLASSES[file % 3],
            "predicted": predicted,
            **({} if seed is None else {"seed": seed}),
        }
        for condition in conditions
        for file in range(files)
        for seed in (seeds or [None])
    ]
    return pd.DataFrame(rows)


def test_utterances_are_joined_by_file_and_condition_whatever_their_order():
    ours, theirs = outcomes(), outcomes(predicted="neutral")
    theirs.loc[(theirs["file"] == "3.wav") & (theirs["condition"] == "0 dB"), "predicted"] = "sadness"
    pairs, left_out = pair(ours, theirs.sample(frac=1, random_state=0), CLASSES, name="theirs")
    assert ([each.condition for each in pairs], left_out) == (["clean", "5 dB", "0 dB", "-5 dB"], [])
    assert [each.snr_db for each in pairs] == [None, 5.0, 0.0, -5.0]
    third = pairs[2]
    assert third.true == ["anger", "neutral", "sadness"] * 2 and third.ours == [["anger"] * 6]
    assert third.theirs == [["neutral"] * 3 + ["sadness"] + ["neutral"] * 2]
    assert third.speakers == ["00", "01"] * 3 and third.seeds == [None]


def test_trainings_are_joined_by_seed():
    ours, theirs = outcomes(seeds=[1, 0]), outcomes(seeds=[0, 1])
    ours.loc[ours["seed"] == 1, "predicted"] = "neutral"
    theirs.loc[theirs["seed"] == 0, "predicted"] = "sadness"
    theirs["seed"] = theirs["seed"].astype(float)  # as a CSV file may give them
    first = pair(ours, theirs, CLASSES, name="theirs")[0][0]
    assert (first.seeds, [each[0] for each in first.ours]) == ([0, 1], ["anger", "neutral"])
    assert [each[0] for each in first.theirs] == ["sadness", "anger"]


def test_conditions_of_one_alone_are_left_out_and_told():
    pairs, left_out = pair(
        outcomes(conditions=["clean", "0 dB"]), outcomes(conditions=["0 dB", "5 dB"]), CLASSES, name="theirs"
    )
    assert ([each.condition for each in pairs], left_out) == (["0 dB"], ["clean", "5 dB"])


def test_what_has_no_label_is_not_compared():
    ours, theirs = outcomes(), outcomes()
    for table in (ours, theirs):
        table.loc[table["file"] == "0.wav", "emotion"] = None
    pairs, _ = pair(ours, theirs, CLASSES, name="theirs")
    assert [len(each.true) for each in pairs] == [5] * 4
    ours["emotion"] = theirs["emotion"] = None
    with pytest.raises(InputError, match="no utterance has a label"):
        pair(ours, theirs, CLASSES, name="theirs")


def test_unknown_speakers_are_none_and_a_csv_file_reads_the_same(tmp_path):
    ours = outcomes()
    ours.loc[ours["file"] == "0.wav", "speaker"] = np.nan
    ours.to_csv(tmp_path / "a.csv", index=False)
    theirs = pd.read_csv(tmp_path / "a.csv")  # speakers become numbers, 1.0 rather than "01"
    pairs, _ = pair(ours, theirs, CLASSES, name="theirs")
    assert pairs[0].speakers == [None, "01", "00", "01", "00", "01"]


def altered(column, value):
    def alter(table):
        table[column] = table[column].astype(object)
        table.loc[2, column] = value
        return table

    return alter


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (lambda table: table.drop(columns=["speaker", "emotion"]), "theirs lack speaker, emotion; expected"),
        (lambda table: table.drop(index=[1, 2]), "2 outcomes are there of ours alone, such as 1.wav"),
        (altered("file", "new.wav"), "1 outcomes are there of ours alone, such as 2.wav"),
        (lambda table: pd.concat([table, table[table["file"] == "0.wav"]]), "4 outcomes of theirs are there twice"),
        (lambda table: table.assign(condition="20 dB").drop_duplicates("file"), "a condition common to both"),
        (altered("emotion", "anger"), r"1 outcomes differ in emotion, such as 2.wav .*: sadness of ours, anger of th"),
        (altered("emotion", None), "differ in emotion, such as 2.wav .*: sadness of ours, nothing of theirs"),
        (altered("speaker", "99"), "differ in speaker, such as 2.wav .* 00 of ours, 99 of theirs"),
        (altered("noise_file", "sea/1.wav"), "differ in noise_file, .* rain/2.wav of ours, sea/1.wav .*same noise"),
        (altered("snr_db", 4.0), "differ in snr_db, such as 2.wav .* 5.0 of ours, 4.0 of theirs"),
        (
            lambda table: pd.concat([table.assign(seed=seed) for seed in (0, 1)]),
            "ours has no seed, theirs seeds 0, 1; expected the same trainings",
        ),
        (
            lambda table: table.assign(seed=[None, 1] * (len(table) // 2)),
            "12 outcomes of theirs have no number as seed",
        ),
        (altered("predicted", "joy"), "1 outcomes of theirs have as predicted what is no .* joy for 2.wav"),
        (altered("predicted", None), "1 outcomes of theirs have as predicted what is no .* nothing for 2.wav"),
    ],
)
def test_what_is_not_the_same_is_refused_in_three_beats(alter, words):
    with pytest.raises(InputError, match=words) as caught:
        pair(outcomes(), alter(outcomes()), CLASSES, name="theirs")
    assert "; expected" in str(caught.value) and ": " in str(caught.value) and "\n" not in str(caught.value)


def test_utterances_of_the_baseline_alone_are_refused_too():
    with pytest.raises(InputError, match="4 outcomes are there of theirs alone, such as 6"):
        pair(outcomes(), outcomes(files=7), CLASSES, name="theirs")


def test_every_training_must_have_judged_every_utterance():
    tables = [outcomes(seeds=[0, 1]).drop(index=[1]) for _ in range(2)]
    with pytest.raises(InputError, match="5 to 6 utterances at 5 dB"):
        pair(*tables, CLASSES, name="theirs")
    tables = [outcomes(seeds=[0, 1]) for _ in range(2)]
    for table in tables:
        table.loc[1, "emotion"] = "sadness"
    with pytest.raises(InputError, match="labels of ours differ between its trainings"):
        pair(*tables, CLASSES, name="theirs")


def test_facts_only_one_tells_are_no_difference():
    assert len(pair(outcomes(), outcomes().drop(columns=["noise_file", "snr_db"]), CLASSES, name="theirs")[0]) == 4

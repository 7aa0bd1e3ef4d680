"""Derived attributes as a user meets them: made by `sertool corpus`, kept on the way, named beside every score."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sertool.core.audio.files import write_audio
from sertool.core.corpus.manifest import Manifest
from sertool.core.training.recipe import Recipe, recipe_text

DERIVED = "derived from the category (Russell & Mehrabian 1977)"
MOVED = f"{DERIVED}, arousal moved by intensity"
EVALUATE = ("--model", "tiny", "--split", "all", "--no-speech-metrics", "--workers", "1")


@pytest.fixture
def ravdess(tmp_path) -> Path:
    """Three actors: neutral, calm, sad and angry, the angry one strong, named as RAVDESS names them."""
    for actor in (1, 3, 5):
        for code, level in (("01", "01"), ("02", "01"), ("04", "01"), ("05", "02")):
            path = tmp_path / "ravdess" / f"Actor_{actor:02}" / f"03-01-{code}-{level}-01-01-{actor:02}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            generator = np.random.default_rng(actor + int(code))
            write_audio(path, 0.1 * generator.standard_normal(4800), 16_000)
    return tmp_path / "ravdess"


@pytest.fixture
def derived(sertool, ravdess) -> str:
    """The manifest of these with derived attributes."""
    assert sertool("corpus", "ravdess", ravdess, "--derive-attributes", "-o", "derived.csv").exit_code == 0
    return "derived.csv"


@pytest.fixture
def rated(sertool, ravdess) -> str:
    """The same corpus under another name, arousal rated by people in all rows but those of the first actor."""
    assert sertool("corpus", "ravdess", ravdess, "-o", "rated.csv").exit_code == 0
    table = pd.read_csv("rated.csv", dtype="str").assign(corpus="rated", arousal="3.5")
    table.loc[table["speaker"] == "01", "arousal"] = None
    shutil.copytree(ravdess, "again")
    table["file_name"] = table["file_name"].str.replace("ravdess/", "again/")
    table.drop(columns="intensity").to_csv("rated.csv", index=False)
    return "rated.csv"


@pytest.fixture
def tiny(run, tmp_path) -> Path:
    """A finished run of a tiny model that recognises anger, neutral and sadness and estimates arousal."""
    folder = tmp_path / "tiny"
    shutil.copytree(run, folder)
    (folder / "seen_audio.txt").write_text("")
    (folder / "recipe.yaml").write_text(recipe_text(Recipe()), encoding="utf-8")
    return folder


def test_a_corpus_gets_attributes_and_says_what_they_are(sertool, ravdess, tmp_path):
    result = sertool("corpus", "ravdess", ravdess, "--derive-attributes")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/metadata.csv\n")
    assert f"12 utterances have attributes {DERIVED}, all of a category the same" in result.stderr
    table = Manifest.read("metadata.csv").table
    assert set(table["attributes_source"]) == {DERIVED}
    anger = table[table["emotion"] == "anger"]
    assert set(zip(anger["arousal"], anger["dominance"], anger["valence"], strict=True)) == {(5.77, 4.75, 2.47)}
    assert "was there already" in sertool("corpus", "ravdess", ravdess, "--derive-attributes").stderr
    result = sertool("corpus", "ravdess", ravdess, "--derive-attributes", "--arousal-by-intensity", "-o", "moved.csv")
    assert "up or down by 0.15 of the norm's scale: 9" in result.stderr
    table = Manifest.read("moved.csv").table
    assert dict(zip(table["emotion"], table["arousal"], strict=True)) == {
        **{"neutral": 4.0, "calm": 2.17, "sadness": 2.74, "anger": 6.22}
    }
    assert set(table[table["emotion"] != "neutral"]["attributes_source"]) == {MOVED}
    assert set(table[table["emotion"] == "neutral"]["attributes_source"]) == {DERIVED}  # whose arousal stays


def test_the_help_is_honest(sertool):
    told = " ".join(sertool("corpus", "emodb", "--help").stdout.replace("│", " ").split())
    assert "a CCC against them is really a score of categories" in told and "(a number of ours)" in told


def test_categories_are_mapped_first_and_those_without_a_norm_are_named(sertool, ravdess, derived):
    options = ("--map", "calm=neutral", "--map", "sad=contempt", "-o", "mapped.csv")
    result = sertool("corpus", "ravdess", ravdess, "--derive-attributes", *options)
    assert result.exit_code == 0 and "no norm for these categories, attributes left empty: contempt 3" in result.stderr
    table = Manifest.read("mapped.csv").table
    assert table.loc[table["emotion"] == "neutral", "valence"].tolist() == [4.0] * 6
    assert table.loc[table["emotion"] == "contempt", ["arousal", "attributes_source"]].isna().all(axis=None)
    stale = sertool("corpus", "folder", derived, "--map", "calm=neutral", "-o", "other.csv")
    assert "warning: the attributes were derived before --map: give --derive-attributes" in stale.stderr
    anew = sertool("corpus", "folder", derived, "--map", "calm=neutral", "--derive-attributes", "-o", "anew.csv")
    assert "before --map" not in anew.stderr
    assert Manifest.read("anew.csv").table.groupby("emotion")["valence"].nunique().max() == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("folder", "rated.csv", "--derive-attributes"), ("8 utterances have attributes", "expected none", "leave")),
        (("folder", "rated.csv", "--arousal-by-intensity"), ("says nothing without", "expected both", "add")),
        (("folder", "ravdess", "--derive-attributes"), ("no column 'emotion'", "label the rows")),
    ],
)
def test_what_cannot_be_derived_is_said_in_one_line(sertool, rated, assert_one_line, arguments, words):
    assert_one_line(sertool("corpus", *arguments, "-o", "m.csv"), *words)
    assert not Path("m.csv").exists()


def test_attributes_that_nobody_gave_are_no_obstacle_but_intensity_must_be_there(sertool, rated, assert_one_line):
    pd.read_csv(rated, dtype="str").assign(arousal=None).to_csv(rated, index=False)
    options = ("--derive-attributes", "--arousal-by-intensity", "-o", "m.csv")
    assert_one_line(
        sertool("corpus", "folder", rated, *options), "no intensity", "column 'intensity'", "leave --arousal"
    )
    result = sertool("corpus", "folder", rated, "--derive-attributes", "-o", "m.csv")
    assert result.exit_code == 0 and set(Manifest.read("m.csv").table["attributes_source"]) == {DERIVED}


def test_what_they_are_survives_copies_splits_and_mixing(sertool, derived, tmp_path):
    options = ("--folds", 3, "--fold", 1, "--copy", "-o", "copy/metadata.parquet")
    assert sertool("corpus", "folder", derived, *options).exit_code == 0
    noise = tmp_path / "noise" / "hiss" / "a.wav"
    noise.parent.mkdir(parents=True)
    write_audio(noise, 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000)
    mixing = ("--noise", "noise", "--snr", 0, "--snr", 10, "--workers", 1, "-o", "noisy")
    assert sertool("mix-noise", "copy/metadata.parquet", *mixing).exit_code == 0
    table = Manifest.read("noisy/metadata.csv", require=("split",)).table
    assert len(table) == 24 and set(table["attributes_source"]) == {DERIVED}
    assert (table.groupby("emotion")["arousal"].nunique() == 1).all()


def test_merging_rated_with_derived_attributes_is_noted(sertool, derived, rated):
    options = ("--categories", "all", "-o", "merged.csv")
    result = sertool("corpus", "merge", derived, rated, *options, "--json")
    assert result.exit_code == 0, result.stderr
    assert f"warning: rated and derived attributes are merged (rated: 8; {DERIVED}: 12)" in result.stderr
    assert json.loads(result.stdout)["attribute_sources"] == {"rated": 8, DERIVED: 12}
    table = Manifest.read("merged.csv").table
    assert table["attributes_source"].notna().tolist() == (table["corpus"] == "ravdess").tolist()
    pd.read_csv(rated, dtype="str").drop(columns="arousal").to_csv(rated, index=False)
    alone = sertool("corpus", "merge", derived, rated, *options, "--overwrite")
    assert f"attributes: {DERIVED}" in alone.stderr and "warning" not in alone.stderr


def test_check_tells_them_apart(sertool, derived, rated):
    sertool("corpus", "merge", derived, rated, "-o", "merged.csv")
    result = sertool("corpus", "check", "merged.csv", "--workers", 1)
    assert result.exit_code == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    place = rows.index(["attributes", "utterances"])
    assert rows[place + 1 : place + 3] == [["rated", "8"], [*DERIVED.split(), "12"]]
    report = json.loads(sertool("corpus", "check", "merged.csv", "--workers", 1, "--json").stdout)
    assert report["attribute_sources"] == {"rated": 8, DERIVED: 12}


def test_every_score_says_that_they_are_derived(sertool, derived, tiny):
    call = ("evaluate", derived, *EVALUATE)
    lines = sertool(*call).stdout.splitlines()
    assert lines[1].split()[-3:] == ["CCC", "arousal", "(derived)"]
    (note,) = (line for line in lines if line.startswith("* The attributes are derived"))
    assert DERIVED in note and "really a score of categories" in note
    result = sertool(*call, "--json", "-o", "results.json", "--outcomes", "predictions.csv")
    origin, condition = map(json.loads, result.stdout.splitlines())
    assert origin["attributes"] == condition["attributes"] == DERIVED
    document = json.loads(Path("results.json").read_text())
    assert document["attributes"] == document["conditions"][0]["attributes"] == DERIVED
    assert any(one.startswith("The attributes are derived") for one in document["notes"])
    predictions = pd.read_csv("predictions.csv")
    assert set(predictions["attributes_source"]) == {DERIVED} and predictions["arousal"].nunique() == 4
    # The calm ones count for arousal, though the model knows no calm.
    assert (condition["n"], condition["n_labelled"], condition["ccc_n"]) == (12, 9, {"arousal": 12})


def test_scores_in_noise_say_so_condition_by_condition(sertool, derived, tiny, tmp_path):
    for kind in ("hiss", "hum"):
        (tmp_path / "noise" / kind).mkdir(parents=True)
        write_audio(tmp_path / "noise" / kind / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(9600), 16_000)
    more = ("--noise", "noise", "--snr", "clean", "--snr", 0, "--by-kind", "--json")
    result = sertool("evaluate", derived, *EVALUATE, *more)
    assert result.exit_code == 0, result.stderr
    _, *conditions = map(json.loads, result.stdout.splitlines())
    assert [one["attributes"] for one in conditions] == [DERIVED] * 4


def test_scores_on_both_kinds_say_partly(sertool, derived, rated, tiny):
    sertool("corpus", "merge", derived, rated, "-o", "merged.csv")
    call = ("evaluate", "merged.csv", *EVALUATE)
    told = sertool(*call).stdout
    assert "CCC arousal (partly derived)" in told
    assert f"* Some attributes are derived (rated: 8; {DERIVED}: 12): those are the same" in told
    origin, condition = map(json.loads, sertool(*call, "--json").stdout.splitlines())
    assert origin["attributes"] == condition["attributes"] == f"rated: 8; {DERIVED}: 12"


def test_scores_on_rated_attributes_say_so_and_no_more(sertool, rated, tiny):
    call = ("evaluate", rated, *EVALUATE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = sertool(*call)
    assert told.exit_code == 0 and "derived" not in told.stdout
    assert told.stdout.splitlines()[1].split()[-2:] == ["CCC", "arousal"]
    origin, condition = map(json.loads, sertool(*call, "--json").stdout.splitlines())
    assert origin["attributes"] == condition["attributes"] == "rated"
    pd.read_csv(rated, dtype="str").drop(columns="arousal").to_csv(rated, index=False)
    origin, condition = map(json.loads, sertool(*call, "--json").stdout.splitlines())
    assert origin["attributes"] is None and "attributes" not in condition


def test_a_model_that_learned_derived_attributes_says_so_where_it_is_scored(sertool, rated, tiny):
    call = ("evaluate", rated, *EVALUATE)
    assert "The model learned" not in sertool(*call).stdout
    (tiny / "run.json").write_text(json.dumps({"state": "finished", "attributes": MOVED}))
    assert f"* The model learned attributes that are not all rated: {MOVED}." in sertool(*call).stdout
    origin = json.loads(sertool(*call, "--json").stdout.splitlines()[0])
    assert origin["model"]["learned_attributes"] == MOVED

"""Predictions made elsewhere, and baselines: judged on the same utterances, by the same scores."""

import json

import pandas as pd
import pytest
from sklearn.metrics import f1_score

from sertool.core.corpus.manifest import Manifest
from sertool.core.errors import InputError
from sertool.core.evaluation.by_snr import evaluate
from sertool.core.evaluation.enhancer import RunEnhancer
from sertool.core.evaluation.predicted import evaluate_predictions, prepare_baseline
from sertool.core.evaluation.scores import MEANS

CATEGORIES = ("anger", "neutral", "sadness")


def against(results, baseline, manifest, how):
    files = list(results.table["file"])
    return prepare_baseline(baseline, manifest, how, files=files, classes=CATEGORIES).against(results)


@pytest.fixture
def many(write_voice, tmp_path):
    """Test utterances of nine speakers."""
    rows = []
    for number in range(27):
        name = f"s{number // 3}/u{number}.wav"
        write_voice(tmp_path / name, seconds=0.3, seed=number)
        row = {"file_name": name, "speaker": f"s{number // 3}", "gender": ("female", "male")[number // 3 % 2]}
        rows.append(row | {"split": "test", "emotion": CATEGORIES[number % 3]})
    pd.DataFrame(rows).to_csv(tmp_path / "many.csv", index=False)
    return tmp_path / "many.csv"


def test_the_outcomes_of_a_run_are_scored_as_the_run_was(corpus, noise, run, protocol, tmp_path):
    how = protocol(noise, ("clean", "0"), measures=())
    first = evaluate(corpus, run, how)
    first.write_outcomes(tmp_path / "theirs.csv")
    again = evaluate_predictions(Manifest.read(corpus), [tmp_path / "theirs.csv"], how)
    for one, other in zip(first.conditions, again.conditions, strict=True):
        assert one["condition"] == other["condition"]
        assert [one[name] for name in MEANS] == pytest.approx([other[name] for name in MEANS])
        assert one["calibration"]["ece"] == pytest.approx(other["calibration"]["ece"])
        assert one.get("agreement") == other.get("agreement")
    assert again.provenance["system"]["kind"] == "predictions" and again.provenance["model"] is None
    assert again.parts["by_speaker"] == first.parts["by_speaker"]
    assert str(tmp_path) not in json.dumps(again.document())


def test_speakers_and_sexes_are_scored_by_themselves(many, noise, run, protocol):
    results = evaluate(many, run, protocol(noise, ("0",), measures=()))
    table = results.table
    assert len(results.parts["by_speaker"]) == 9
    for one in results.parts["by_speaker"]:
        part = table[table["speaker"] == one["speaker"]]
        assert one["f1_micro"] == pytest.approx((part["emotion"] == part["predicted"]).mean())
        assert {one["gender"]} == set(part["gender"])
    female, male = results.parts["by_gender"]
    part = table[table["gender"] == "female"]
    expected = f1_score(part["emotion"], part["predicted"], labels=CATEGORIES, average="macro", zero_division=0)
    assert female["f1_macro"] == pytest.approx(expected)
    assert (female["speakers"], male["speakers"]) == (5, 4)
    assert results.conditions[0]["intervals"]["speakers"] == 9


def test_several_trainings_have_the_mean_of_their_scores(many, run, protocol, noise, tmp_path):
    how = protocol(noise, ("0",), measures=())
    table = evaluate(many, run, how).table[["file", "condition", "emotion"]]
    right = table.assign(predicted=table["emotion"], seed=0)
    wrong = table.assign(predicted="anger", seed=1)
    for number, one in enumerate((right, wrong)):
        one.drop(columns="emotion").to_csv(tmp_path / f"{number}.csv", index=False)
    scores = evaluate_predictions(Manifest.read(many), [tmp_path / "0.csv", tmp_path / "1.csv"], how).conditions[0]
    assert scores["trainings"] == 2 and scores["n"] == scores["n_labelled"] == 27
    assert scores["intervals"]["speakers"] == 9
    low, high = scores["intervals"]["ua"]
    assert low <= scores["ua"] <= high
    assert scores["ua"] == pytest.approx((1 + 1 / 3) / 2)
    assert scores["f1_macro"] == pytest.approx((1 + (2 * 9 / 36) / 3) / 2)


def test_a_baseline_is_judged_on_the_same_mixtures(many, noise, run, make_run, protocol, tmp_path):
    how = protocol(noise, ("clean", "0"), measures=())
    results = evaluate(many, run, how)
    compared = against(results, [str(run)], Manifest.read(many), how).parts["comparison"]
    assert compared["baseline"] == "tiny"
    assert [one["difference"] for one in compared["conditions"]] == [0.0, 0.0]
    assert {one["verdict"] for one in compared["conditions"]} == {"cannot tell"}
    table = results.table[["file", "condition"]].assign(predicted=results.table["emotion"])
    table.to_csv(tmp_path / "perfect.csv", index=False)
    compared = against(results, [str(tmp_path / "perfect.csv")], Manifest.read(many), how).parts["comparison"]
    assert compared["baseline"] == "perfect"
    assert [one["verdict"] for one in compared["conditions"]] == ["worse", "worse"]


def test_two_baselines_are_one_system_in_tables_or_an_error(many, noise, run, protocol):
    how = protocol(noise, ("0",), measures=())
    results = evaluate(many, run, how)
    with pytest.raises(InputError, match="one run, or tables"):
        against(results, [str(run), "other.csv"], Manifest.read(many), how)


def test_a_run_that_enhances_first_must_not_have_heard_the_test(corpus, noise, run, make_run, protocol, tmp_path):
    from sertool.core.audio.files import audio_digest

    seen = make_run(tmp_path / "enhancer", seen=[audio_digest(corpus.parent / "s0/u0.wav")])
    how = protocol(noise, ("0",), measures=("si_sdr",), enhancer=RunEnhancer.read(seen))
    with pytest.raises(InputError, match="learned from 1 of the 6"):
        evaluate(corpus, run, how)
    fine = protocol(noise, ("0",), measures=("si_sdr",), enhancer=RunEnhancer.read(make_run(tmp_path / "other")))
    results = evaluate(corpus, run, fine)
    assert results.provenance["system"]["kind"] == "enhancer"
    assert results.conditions[0]["speech"]["si_sdr"]["enhanced"]["n"] == 6


def test_a_leak_through_the_model_is_seen_whatever_the_enhancer_tells(
    corpus, noise, make_run, save_model, protocol, tmp_path
):
    from sertool.core.audio.files import audio_digest

    leaky = make_run(tmp_path / "leaky", seen=[audio_digest(corpus.parent / "s0/u0.wav")])
    bare = RunEnhancer.read(save_model(tmp_path / "bare"))
    with pytest.raises(InputError, match="learned from 1 of the 6"):
        evaluate(corpus, leaky, protocol(noise, ("0",), measures=(), enhancer=bare))
    innocent = evaluate(corpus, make_run(tmp_path / "other"), protocol(noise, ("0",), measures=(), enhancer=bare))
    assert innocent.provenance["seen_utterances"] is None
    assert any("what stands before it, does not say" in note for note in innocent.notes)


def test_outcomes_of_other_mixtures_are_no_baseline(many, noise, run, protocol, tmp_path):
    how = protocol(noise, ("0",), measures=())
    evaluate(many, run, protocol(noise, ("0",), measures=(), seed=1)).write_outcomes(tmp_path / "other.csv")
    results = evaluate(many, run, how)
    with pytest.raises(InputError, match="expected the same mixtures for both"):
        against(results, [str(tmp_path / "other.csv")], Manifest.read(many), how)
    bare = results.table[["file", "condition", "predicted"]]
    bare.to_csv(tmp_path / "bare.csv", index=False)
    told = against(results, [str(tmp_path / "bare.csv")], Manifest.read(many), how).parts["comparison"]
    assert any("taken for the same" in note for note in told["notes"])


def test_classes_are_those_of_the_corpus_and_of_the_system(corpus, noise, run, protocol, tmp_path, edit):
    how = protocol(noise, ("0",), measures=())
    without = edit(corpus, tmp_path, emotion=["anger", "neutral", "anger", "neutral", "anger", "neutral", "neutral"])
    first = evaluate(without, run, how)
    first.write_outcomes(tmp_path / "theirs.csv")
    again = evaluate_predictions(Manifest.read(without), [tmp_path / "theirs.csv"], how)
    assert set(again.conditions[0]["per_class"]) == set(CATEGORIES)
    assert again.conditions[0]["f1_macro"] == pytest.approx(first.conditions[0]["f1_macro"])

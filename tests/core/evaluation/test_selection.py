"""Which utterances are judged, and which labels count."""

import pytest

from sertool.core.errors import InputError
from sertool.core.evaluation.by_snr import evaluate, prepare_evaluation


def test_unknown_categories_are_excluded_and_counted_or_an_error(corpus, noise, run, tmp_path, protocol, edit):
    emotions = ["anger", "boredom", "boredom", None, "neutral", "sadness", "anger"]
    manifest = edit(corpus, tmp_path, emotion=emotions)
    results = evaluate(manifest, run, protocol(noise, measures=()))
    assert results.provenance["data"]["excluded"] == {"boredom": 2, "unlabelled": 1}
    assert results.conditions[0]["n"] == 3
    assert any("boredom 2" in note for note in results.notes)
    with pytest.raises(InputError, match="boredom"):
        evaluate(manifest, run, protocol(noise, on_unknown="error"))


def test_categories_nobody_speaks_are_noted_and_count_zero(corpus, noise, run, tmp_path, protocol, edit):
    manifest = edit(corpus, tmp_path, emotion="anger")
    results = evaluate(manifest, run, protocol(noise, measures=()))
    assert results.provenance["data"]["absent_categories"] == ["neutral", "sadness"]
    assert results.conditions[0]["f1_macro"] <= 1 / 3
    assert any("neutral, sadness" in note for note in results.notes)


def test_attributes_are_scored_by_ccc_even_without_a_known_category(corpus, noise, tmp_path, protocol, make_run, edit):
    run = make_run(tmp_path / "run", attributes=("arousal", "valence"))
    manifest = edit(corpus, tmp_path, emotion=["anger", "boredom", "sadness", "neutral", "anger", "sadness", "anger"])
    condition = evaluate(manifest, run, protocol(noise, measures=())).conditions[0]
    assert list(condition["ccc"]) == ["arousal"]  # valence is not rated in this corpus
    assert condition["ccc_n"] == {"arousal": 6}
    assert (condition["n"], condition["n_labelled"]) == (6, 5)
    assert sum(entry["support"] for entry in condition["per_class"].values()) == 5


def test_every_utterance_can_be_evaluated_whatever_its_split(corpus, noise, run, protocol):
    evaluation = prepare_evaluation(corpus, run, protocol(noise, split=None))
    assert len(evaluation.utterances) == 7

"""Which utterances are judged, and which labels count."""

import numpy as np
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


def test_of_a_closed_set_only_the_categories_of_the_corpus_are_named(corpus, noise, run, tmp_path, protocol, edit):
    manifest = edit(corpus, tmp_path, emotion=["anger", "sadness"] * 3 + ["anger"])
    whole, closed = (evaluate(manifest, run, protocol(noise, measures=(), closed_set=one)) for one in (False, True))
    assert closed.provenance["data"] | {"absent_categories": []} == closed.provenance["data"]
    assert closed.provenance["model"]["categories"] == ["anger", "sadness"]
    shares = whole.table[["p_anger", "p_sadness"]]
    expected = shares.div(shares.sum(axis=1), axis=0)
    np.testing.assert_allclose(closed.table[["p_anger", "p_sadness"]], expected, atol=1e-6)
    assert "p_neutral" not in closed.table and set(closed.table["predicted"]) <= {"anger", "sadness"}
    assert "The model chose among the manifest's categories alone: anger, sadness." in closed.notes
    with pytest.raises(InputError, match=r"has 1 of the model's categories .* leave --closed-set out"):
        evaluate(edit(corpus, tmp_path, emotion="anger"), run, protocol(noise, closed_set=True))
    elsewhere = edit(corpus, tmp_path, emotion=["anger", "sadness"] * 3 + ["neutral"])
    notes = evaluate(elsewhere, run, protocol(noise, measures=(), closed_set=True)).notes
    assert "No utterance is labelled neutral; each counts 0 in F1-macro." in notes
    with pytest.raises(InputError, match="the column 'emotion'"):
        evaluate(edit(corpus, tmp_path, emotion=None), run, protocol(noise, closed_set=True))


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

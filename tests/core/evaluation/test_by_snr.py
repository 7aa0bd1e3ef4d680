"""Evaluation by SNR, with a tiny random model: what is scored, what is refused, and that workers change no number."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score

from sertool.core.audio.files import write_audio
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixing import parse_snr
from sertool.core.corpus.mixtures import MixtureRequest, make_mixtures, open_plan
from sertool.core.corpus.noise import NoiseSet
from sertool.core.errors import InputError
from sertool.core.evaluation.by_snr import evaluate
from sertool.core.evaluation.protocol import Protocol
from sertool.core.metrics import speech
from sertool.core.models.inference import load

RATE = 16_000
CATEGORIES = ("anger", "neutral", "sadness")


def strip(results):
    """What must not depend on how the work was done."""
    return json.dumps(results.document(), sort_keys=True), results.table.to_csv(index=False)


def test_scores_are_those_of_the_predictions_by_snr(corpus, noise, run, protocol):
    results = evaluate(corpus, run, protocol(noise, snr=("0", "clean", "10"), measures=()))
    assert [(row["condition"], row["snr_db"], row["n"]) for row in results.conditions] == [
        ("clean", None, 6),
        ("10 dB", 10.0, 6),
        ("0 dB", 0.0, 6),
    ]
    recognizer = load(run, "cpu")
    for condition in results.conditions:
        part = results.table[results.table["condition"] == condition["condition"]]
        expected = f1_score(part["emotion"], part["predicted"], labels=CATEGORIES, average="macro", zero_division=0)
        assert condition["f1_macro"] == pytest.approx(expected)
        assert condition["f1_micro"] == pytest.approx((part["emotion"] == part["predicted"]).mean())
        assert np.allclose(part[[f"p_{name}" for name in CATEGORIES]].sum(axis=1), 1.0)
    assert results.provenance["model"]["id"] == recognizer.model_id
    assert results.provenance["data"]["speakers"] == 2


def test_workers_change_no_number(corpus, noise, run, protocol):
    threads = torch.get_num_threads()
    alone = evaluate(corpus, run, protocol(noise, by_kind=True), workers=1)
    assert torch.get_num_threads() == threads
    together = evaluate(corpus, run, protocol(noise, by_kind=True), workers=2)
    assert strip(alone) == strip(together)


def test_kinds_are_scored_by_themselves_when_asked(corpus, noise, run, protocol):
    results = evaluate(corpus, run, protocol(noise, by_kind=True, measures=()))
    assert {row["noise_kind"] for row in results.by_kind} <= {"hum", "hiss"}
    assert sum(row["n"] for row in results.by_kind) == 6
    assert all(row["condition"] == "0 dB" for row in results.by_kind)


def test_what_a_measure_cannot_score_is_counted_and_named(corpus, noise, run, tmp_path, protocol, write_voice):
    write_voice(tmp_path / "short.wav", seconds=0.2)
    table = Manifest.read(corpus).split("test").rebased(tmp_path).table
    row = {"file_name": "short.wav", "speaker": "s9", "split": "test", "emotion": "anger", "arousal": 2.0}
    pd.concat([table, pd.DataFrame([row])]).to_csv(tmp_path / "short.csv", index=False)
    results = evaluate(tmp_path / "short.csv", run, protocol(noise))
    clean, noisy = results.conditions
    assert clean["n"] == noisy["n"] == 7
    stoi = noisy["speech"]["stoi"]
    assert stoi["unprocessed"]["n"] + sum(stoi["unprocessed"]["unscored"].values()) == 7
    assert stoi["unprocessed"]["unscored"][speech.STOI_SHORT] == 1
    assert noisy["speech"]["pesq_wb"]["enhanced"]["unscored"][speech.PESQ_SHORT] == 1
    assert clean["speech"]["si_sdr"]["unprocessed"] == {"mean": None, "n": 0, "unscored": {speech.IDENTICAL: 7}}
    assert any("STOI, unprocessed" in note and "1 at 0 dB" in note for note in results.notes)
    part = results.table[(results.table["condition"] == "0 dB")]
    assert stoi["unprocessed"]["mean"] == pytest.approx(part["unprocessed_stoi"].dropna().mean())


def test_difference_is_over_utterances_scored_both_ways(corpus, noise, run, protocol):
    condition = evaluate(corpus, run, protocol(noise, snr=("0",))).conditions[0]
    summary = condition["speech"]["si_sdr"]
    assert summary["difference"]["n"] == 6
    expected = summary["enhanced"]["mean"] - summary["unprocessed"]["mean"]
    assert summary["difference"]["mean"] == pytest.approx(expected)


def test_a_model_that_does_not_enhance_is_not_measured_for_speech(corpus, noise, tmp_path, protocol, make_run):
    results = evaluate(corpus, make_run(tmp_path / "run", enhances=False), protocol(noise))
    assert "speech" not in results.conditions[0]
    assert any("no enhancement head" in note for note in results.notes)


def test_a_noisy_manifest_is_evaluated_as_it_is_with_the_same_numbers(corpus, noise, run, tmp_path, protocol):
    test = Manifest.read(corpus).split("test")
    request = MixtureRequest(test, NoiseSet.read(noise), parse_snr(["0", "10"]), seed=4, audio_format="wav")
    report = make_mixtures(open_plan(request, tmp_path / "noisy"))
    ready = evaluate(report.manifest_path, run, Protocol())
    mixed = evaluate(corpus, run, protocol(noise, snr=("0", "10"), seed=4))
    for one, other in zip(ready.conditions, mixed.conditions, strict=True):
        assert one["condition"] == other["condition"]
        assert one["confusion"] == other["confusion"]
        for measure in speech.MEASURES:
            for signal in ("unprocessed", "enhanced"):
                assert one["speech"][measure][signal]["mean"] == pytest.approx(other["speech"][measure][signal]["mean"])
    assert ready.provenance["noise"]["kinds"] == sorted(set(mixed.table["noise_kind"]))
    with pytest.raises(InputError, match="noisy already"):
        evaluate(report.manifest_path, run, protocol(noise))


def test_utterances_that_cannot_be_judged_are_listed_and_the_rest_go_on(corpus, noise, run, tmp_path, protocol):
    table = Manifest.read(corpus).split("test").rebased(tmp_path).table
    (tmp_path / "broken.wav").write_text("no audio")
    write_audio(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    row = {"speaker": "s9", "split": "test", "emotion": "anger", "arousal": 2.0}
    more = pd.DataFrame([{"file_name": "broken.wav", **row}, {"file_name": "silent.wav", **row}])
    pd.concat([more, table]).to_csv(tmp_path / "odd.csv", index=False)
    results = evaluate(tmp_path / "odd.csv", run, protocol(noise, measures=()))
    assert [message.split(":")[0] for message in results.failures] == ["broken.wav", "silent.wav"]
    assert results.provenance["failed"] == 2
    assert results.conditions[0]["n"] == 6
    assert str(tmp_path) not in json.dumps(results.document())
    more.to_csv(tmp_path / "only.csv", index=False)
    with pytest.raises(InputError, match="none of the 2 utterances"):
        evaluate(tmp_path / "only.csv", run, protocol(noise, measures=()))

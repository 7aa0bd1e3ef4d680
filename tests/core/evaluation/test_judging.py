"""One utterance judged: the rows hold what the model says of the mixture."""

import json
import math

import pytest

from sertool.core.audio.files import read_audio
from sertool.core.corpus.babble import BabbleSet
from sertool.core.corpus.manifest import Manifest, utterance_key
from sertool.core.corpus.mixing import Mixer, parse_snr
from sertool.core.corpus.mixtures import MixtureRequest, make_mixtures, open_plan
from sertool.core.corpus.noise import NoiseSet
from sertool.core.corpus.reverberation import Reverberation, RirSet
from sertool.core.errors import InputError
from sertool.core.evaluation.by_snr import evaluate
from sertool.core.evaluation.protocol import Protocol
from sertool.core.metrics import speech
from sertool.core.models.abstention import NOISE_ONLY
from sertool.core.models.inference import Recognizer, load

RATE = 16_000


def test_a_row_holds_what_the_model_says_of_the_mixture(corpus, noise, run, protocol):
    results = evaluate(corpus, run, protocol(noise, snr=("5",), seed=3))
    row = results.table.iloc[2]
    clean = read_audio(corpus.parent / row["file"])
    mixture = Mixer(NoiseSet.read(noise), parse_snr(["5"]), 3).mix(clean, row["file"], snr_db=5.0)
    recognizer = load(run, "cpu")
    prediction = recognizer.predict(mixture.noisy, 16_000)
    assert row["predicted"] == prediction.label
    assert row["duration_s"] == len(clean) / RATE
    assert row["p_anger"] == pytest.approx(prediction.probabilities["anger"], abs=1e-6)
    assert (row["noise_kind"], row["noise_file"]) == (mixture.kind, f"{mixture.kind}/{mixture.noise_file.name}")
    before = speech.speech_scores(mixture.clean, mixture.noisy)
    after = speech.speech_scores(mixture.clean, recognizer.enhance(mixture.noisy, RATE))
    assert row["unprocessed_si_sdr"] == pytest.approx(round(before["si_sdr"], 6), abs=1e-9)
    assert row["unprocessed_si_sdr"] == pytest.approx(5.0, abs=0.5)
    assert row["enhanced_si_sdr"] == pytest.approx(after["si_sdr"], abs=1e-3)


def test_noise_is_the_same_at_every_snr_and_changes_with_the_seed(corpus, noise, run, protocol):
    table = evaluate(corpus, run, protocol(noise, snr=("0", "10"), measures=())).table
    places = table.groupby("file")[["noise_file", "noise_offset_s"]].nunique()
    assert (places == 1).all(axis=None)
    other = evaluate(corpus, run, protocol(noise, snr=("0", "10"), measures=(), seed=1)).table
    assert not table["noise_offset_s"].equals(other["noise_offset_s"])


def test_a_prediction_that_is_no_number_fails_its_utterance(corpus, noise, run, monkeypatch, protocol):
    predictions = Recognizer._predictions

    def broken(self, logits, attributes, no_speech):
        return predictions(self, logits * math.nan, attributes, no_speech)

    monkeypatch.setattr(Recognizer, "_predictions", broken)
    with pytest.raises(InputError, match="not a number"):
        evaluate(corpus, run, protocol(noise, measures=()))


def test_a_recording_of_noise_that_broke_is_named_without_its_folder(corpus, noise, run, tmp_path, protocol):
    for name in ("a/1.wav", "a/2.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no audio")
    with pytest.raises(InputError, match=r"noise a/\d\.wav") as caught:
        evaluate(corpus, run, protocol(tmp_path, measures=()))
    assert str(tmp_path) not in str(caught.value)


def test_rows_tell_babble_and_rooms_by_their_names_in_the_sets(corpus, run, protocol, talkers, room_folder):
    babble, rirs = BabbleSet.read(talkers, talkers=3), RirSet.read(room_folder)
    wanted = protocol(
        None, ("clean", "0", "10"), babble=babble, reverberation=Reverberation(rirs), speech_level="active"
    )
    table = evaluate(corpus, run, wanted).table
    clean = table["condition"] == "clean"
    assert set(table["noise_kind"][~clean]) == {"babble"} and table["noise_file"].isna().all()
    facts = ["speech_level", "babble_files", "babble_offsets_s", "rir_file", "noise_rir_file", "clean_reference"]
    assert table.loc[clean, facts].isna().all().all() and table.loc[~clean, facts].notna().all().all()
    known = {file.name for file in babble.files}
    for names in table["babble_files"][~clean].map(json.loads):
        assert len(names) == 3 and set(names) <= known
    assert set(table["rir_file"][~clean]) <= {response.name for response in rirs.responses}
    # One babble and one room an utterance, at every SNR.
    assert (table[~clean].groupby("file")[facts].nunique() == 1).all().all()


def test_in_a_room_the_clean_reference_is_scored_against(corpus, noise, run, protocol, room_folder, monkeypatch):
    heard = []

    def scores(cleans, estimates, **_):
        heard.extend(zip(cleans, estimates, strict=True))
        return [{"stoi": 0.5, "reasons": {}} for _ in cleans]

    monkeypatch.setattr("sertool.core.evaluation.judging.score_pairs", scores)
    rooms = Reverberation(RirSet.read(room_folder))
    evaluate(corpus, run, protocol(noise, ("0",), reverberation=rooms, measures=("stoi",)))
    mixer = Mixer(NoiseSet.read(noise), parse_snr(["0"]), reverberation=rooms)
    path = corpus.parent / "s0/u0.wav"
    mixture = mixer.mix(read_audio(path), utterance_key(path), snr_db=0.0)
    clean, samples = heard[0]
    assert (clean == mixture.clean).all() and (samples == mixture.noisy).all()


def test_a_manifest_mixed_with_babble_in_rooms_keeps_its_facts(corpus, run, talkers, room_folder, tmp_path):
    request = MixtureRequest(
        Manifest.read(corpus),
        None,
        parse_snr(["0"]),
        babble=BabbleSet.read(talkers, talkers=2),
        reverberation=Reverberation(RirSet.read(room_folder)),
    )
    manifest = make_mixtures(open_plan(request, tmp_path / "noisy")).manifest_path
    results = evaluate(manifest, run, Protocol(measures=()))
    assert set(results.table["clean_reference"]) == {"dry"} and set(results.table["speech_level"]) == {"utterance"}
    assert all(str(name).startswith("room-") for name in results.table["rir_file"])
    assert all(len(json.loads(text)) == 2 and "/tmp" not in text for text in results.table["babble_files"])
    told = results.provenance["noise"]
    assert told["kinds"] == ["babble"] and told["speech_levels"] == ["utterance"]
    assert told["clean_references"] == ["dry"] and told["mixed_beforehand"]


def test_without_speech_measures_a_row_says_where_nobody_speaks_as_predict_does(corpus, make_run, tmp_path, protocol):
    run = make_run(tmp_path / "deaf", speech_kept_db=0.0)
    table = evaluate(corpus, run, protocol(snr=("clean",), measures=())).table
    heard = load(run, "cpu").predict_many([corpus.parent / file for file in table["file"]])
    assert table["no_speech"].tolist() == [one.no_speech for one in heard]
    assert set(table["no_speech"]) == {NOISE_ONLY}

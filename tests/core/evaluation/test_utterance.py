"""One utterance judged: the rows hold what the model says of the mixture."""

import math

import pytest

from sertool.core.audio.files import read_audio
from sertool.core.corpus.mixing import Mixer, parse_snr
from sertool.core.corpus.noise import NoiseSet
from sertool.core.errors import InputError
from sertool.core.evaluation.by_snr import evaluate
from sertool.core.metrics import speech
from sertool.core.models.inference import Recognizer, load

RATE = 16_000


def test_a_row_holds_what_the_model_says_of_the_mixture(corpus, noise, run, protocol):
    results = evaluate(corpus, run, protocol(noise, snr=("5",), seed=3))
    row = results.table.iloc[2]
    clean = read_audio(corpus.parent / row["file"])
    mixture = Mixer(NoiseSet.read(noise), parse_snr(["5"]), 3).mix(clean, row["file"], snr_db=5.0)
    recognizer = load(run, "cpu")
    prediction = recognizer.predict(mixture.noisy)
    assert row["predicted"] == prediction.label
    assert row["p_anger"] == pytest.approx(prediction.probabilities["anger"], abs=1e-6)
    assert (row["noise_kind"], row["noise_file"]) == (mixture.kind, f"{mixture.kind}/{mixture.noise_file.name}")
    before = speech.speech_scores(mixture.clean, mixture.noisy)
    after = speech.speech_scores(mixture.clean, recognizer.enhance(mixture.noisy, RATE))
    assert row["unprocessed_si_sdr"] == pytest.approx(before["si_sdr"], abs=1e-9)
    assert row["unprocessed_si_sdr"] == pytest.approx(5.0, abs=0.5)
    assert row["enhanced_si_sdr"] == pytest.approx(after["si_sdr"], abs=1e-3)


def test_noise_is_the_same_at_every_snr_and_changes_with_the_seed(corpus, noise, run, protocol):
    table = evaluate(corpus, run, protocol(noise, snr=("0", "10"), measures=())).table
    places = table.groupby("file")[["noise_file", "noise_offset_s"]].nunique()
    assert (places == 1).all(axis=None)
    other = evaluate(corpus, run, protocol(noise, snr=("0", "10"), measures=(), seed=1)).table
    assert not table["noise_offset_s"].equals(other["noise_offset_s"])


def test_a_prediction_that_is_no_number_fails_its_utterance(corpus, noise, run, monkeypatch, protocol):
    predict = Recognizer.predict

    def broken(self, samples, rate=RATE):
        prediction = predict(self, samples, rate)
        prediction.probabilities["anger"] = math.nan
        return prediction

    monkeypatch.setattr(Recognizer, "predict", broken)
    with pytest.raises(InputError, match="not a number"):
        evaluate(corpus, run, protocol(noise, measures=()))


def test_a_recording_of_noise_that_broke_is_named_without_its_folder(corpus, noise, run, tmp_path, protocol):
    for name in ("a/1.wav", "a/2.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no audio")
    with pytest.raises(InputError, match=r"noise a/\d\.wav") as caught:
        evaluate(corpus, run, protocol(tmp_path, measures=()))
    assert str(tmp_path) not in str(caught.value)

"""The classical row: functionals of signals whose answers are known, the machine against scikit-learn's own kernels."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import chirp
from sklearn.metrics.pairwise import linear_kernel, rbf_kernel
from sklearn.svm import SVC

from sertool.core.audio.files import write_audio
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixing import Mixer, parse_snr
from sertool.core.corpus.noise import NoiseSet
from sertool.core.evaluation.predictions import read_predictions

RATE = 16_000
EMOTIONS = ("anger", "neutral", "sadness")


@pytest.fixture(scope="module", autouse=True)
def examples():
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
    yield
    sys.path.pop(0)


@pytest.fixture(scope="module")
def speech(examples):
    return importlib.import_module("functionals")


@pytest.fixture(scope="module")
def script(examples):
    return importlib.import_module("functionals_svm")


def _buzz(hertz, seconds=1.0, level=0.1):
    """Harmonics of a pitch, falling by 6 dB an octave, with a pause in the middle."""
    time = np.arange(round(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, int(4000 / hertz)))
    buzz[len(buzz) * 2 // 5 : len(buzz) * 3 // 5] = 0.0
    return (level * buzz).astype(np.float32)


def _told(speech, samples):
    return dict(zip(speech.NAMES, speech.functionals(samples), strict=True))


@pytest.mark.parametrize("hertz", [75.0, 120.0, 210.0, 330.0, 450.0])
def test_pitch_is_that_of_the_harmonics(speech, hertz):
    told = _told(speech, _buzz(hertz))
    assert told["pitch, p50"] == pytest.approx(12 * np.log2(hertz / 27.5), abs=0.1)
    assert told["voiced share"] == pytest.approx(0.8, abs=0.06)
    assert told["voiced stretches a second"] == pytest.approx(2.0, abs=0.1)
    assert told["stretch mean"] == pytest.approx(0.4, abs=0.04)
    assert told["duration"] == pytest.approx(1.0, abs=0.03)


def test_a_rising_pitch_has_its_slope(speech):
    time = np.arange(RATE) / RATE
    rising = sum(chirp(time, 100.0 * k, 1.0, 200.0 * k, method="logarithmic") / k for k in range(1, 12))
    told = _told(speech, 0.1 * rising)
    assert told["pitch, slope"] == pytest.approx(12.0, abs=0.5)
    assert told["pitch, rising"] == pytest.approx(0.12, abs=0.02)


def test_noise_is_not_voiced(speech):
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    told = _told(speech, noise)
    assert told["voiced share"] < 0.25
    assert told["flatness, mean"] > _told(speech, _buzz(150.0))["flatness, loud mean"] + 1


def test_a_louder_signal_differs_in_level_and_nothing_that_has_none(speech):
    samples = _buzz(140.0) + 0.01 * np.random.default_rng(1).standard_normal(RATE).astype(np.float32)
    soft, loud = _told(speech, samples), _told(speech, 2 * samples)
    for name in speech.NAMES:
        expected = soft[name]
        if (
            name.startswith("level,")
            and "change" not in name
            and name.rpartition(" ")[2] in ("mean", *(f"p{n}" for n in speech.PERCENTILES))
        ):
            expected += 20 * np.log10(2)
        if not name.startswith("log-mel"):
            assert loud[name] == pytest.approx(expected, rel=2e-3, abs=0.05), name


def test_level_and_its_percentiles_are_those_by_hand(speech):
    samples = (np.linspace(0.0, 0.5, RATE) * np.random.default_rng(2).standard_normal(RATE)).astype(np.float32)
    frames = [samples[start : start + 400].astype(float) for start in range(0, RATE - 399, 160)]
    levels = np.array([10 * np.log10(np.mean(frame**2) + 1e-9) for frame in frames])
    told = _told(speech, samples)
    assert told["level, mean"] == pytest.approx(levels.mean(), abs=1e-3)
    assert told["level, std"] == pytest.approx(levels.std(), abs=1e-3)
    for share in speech.PERCENTILES:
        assert told[f"level, p{share}"] == pytest.approx(np.percentile(levels, share), abs=1e-3)
    assert told["level, slope"] == pytest.approx(np.polyfit(np.arange(len(levels)) * 0.01, levels, 1)[0], rel=1e-3)


@settings(max_examples=25)
@given(length=st.integers(1, 2000), level=st.sampled_from([0.0, 1e-6, 1.0, 100.0]))
def test_every_signal_has_finite_functionals(speech, length, level):
    samples = level * np.random.default_rng(length).standard_normal(length)
    found = speech.functionals(samples)
    assert found.shape == (len(speech.NAMES),) and np.isfinite(found).all()
    assert len(set(speech.NAMES)) == len(speech.NAMES)


def test_kernels_are_scikit_learns(script):
    generator = np.random.default_rng(3)
    one, other = (generator.standard_normal((size, 20)).astype(np.float32) for size in (7, 5))
    assert np.allclose(script._kernel(one, other, 0.6), rbf_kernel(one, other, gamma=0.6 / 20), atol=1e-5)
    assert np.allclose(script._kernel(one, other, None), linear_kernel(one, other) / 20, atol=1e-5)


def test_the_machine_chosen_is_the_best_on_dev_and_scikit_learns_own(script, monkeypatch):
    generator = np.random.default_rng(4)
    centres = generator.standard_normal((3, 12))
    train, dev = ((np.arange(size) % 3, size) for size in (60, 90))
    features = [centres[which] + 2.5 * generator.standard_normal((size, 12)) for which, size in (train, dev)]
    labels = [np.array(EMOTIONS)[which] for which, _ in (train, dev)]
    found = script.search(features[0], labels[0], features[1], labels[1])
    assert len(found.trials) == len(script.LINEAR_C) + len(script.RBF_C) * len(script.RBF_GAMMA)
    best = max(found.trials, key=lambda trial: trial["dev_f1_macro"])
    assert (found.gamma, found.machine.C) == (best["gamma"], best["C"])
    scaled = [(each - features[0].mean(axis=0)) / features[0].std(axis=0) for each in features]
    kernel = {"kernel": "linear"} if best["gamma"] is None else {"kernel": "rbf", "gamma": best["gamma"] / 12}
    cost = best["C"] / 12 if best["gamma"] is None else best["C"]
    theirs = SVC(C=cost, class_weight="balanced", break_ties=True, **kernel).fit(scaled[0], labels[0])
    probabilities = found.probabilities(features[1])
    assert np.allclose(probabilities.sum(axis=1), 1.0)
    assert (np.array(found.classes)[probabilities.argmax(axis=1)] == theirs.predict(scaled[1])).all()
    # The factor of the decision values is the likeliest: a sharper and a blunter one are less so on dev.
    true = np.searchsorted(found.classes, labels[1])

    def likelihood(factor):
        logits = np.log(probabilities) * factor
        return np.mean((logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))[np.arange(90), true])

    assert likelihood(1.0) > max(likelihood(0.8), likelihood(1.25))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A manifest of three splits, pitch by emotion, and a folder of noise each for training and test."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = []
    for number in range(27):
        split, emotion = ("train", "train", "dev", "test")[number % 9 // 3 + (number >= 9)], EMOTIONS[number % 3]
        name = f"{split}-{number % 2}/{number}.wav"
        (folder / name).parent.mkdir(exist_ok=True)
        write_audio(folder / name, _buzz(110.0 + 80.0 * (number % 3) + number, 0.5), RATE)
        rows.append({"file_name": name, "speaker": f"{split}-{number % 2}", "split": split, "emotion": emotion})
    pd.DataFrame(rows).to_csv(folder / "metadata.csv", index=False)
    for part, count in (("seen", 8), ("unseen", 2)):
        for number in range(count):
            path = folder / part / f"{part} hiss" / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_audio(path, 0.1 * np.random.default_rng([count, number]).standard_normal(RATE), RATE)
    return folder


def _arguments(corpus, *more):
    paths = {"--train-noise": "seen", "--noise": "unseen"}
    words = [word for flag, name in paths.items() for word in (flag, str(corpus / name))]
    return ["x", str(corpus / "metadata.csv"), *words, "--snr", "clean", "--snr", "5", "--copies", "2", *more]


def test_predictions_are_those_evaluate_takes_and_hear_its_mixtures(script, speech, corpus, tmp_path, monkeypatch):
    heard = []
    monkeypatch.setattr(script, "functionals", lambda samples: heard.append(samples) or speech.functionals(samples))
    monkeypatch.setattr(sys, "argv", _arguments(corpus, "-o", str(tmp_path / "theirs.csv")))
    script.main()
    test = Manifest.read(corpus / "metadata.csv").split("test")
    found = read_predictions([tmp_path / "theirs.csv"], test, (None, 5.0))
    assert len(found) == 2 * len(test)
    assert (found["predicted"] == found["emotion"]).mean() > 0.8
    chosen = found[[f"p_{name}" for name in EMOTIONS]].to_numpy(float).argmax(axis=1)
    assert (np.array(EMOTIONS)[chosen] == found["predicted"]).all()
    # The last two signals are the last utterance, clean and mixed as `evaluate` draws it.
    mixer = Mixer(NoiseSet.read(corpus / "unseen"), parse_snr(["5"]), 0)
    path = test.paths()[-1]
    mixture = mixer.mix(heard[-2], "/".join(path.parts[-2:]), snr_db=5.0)
    assert np.array_equal(heard[-1], mixture.noisy)


def test_clean_training_hears_no_noise(script, corpus, tmp_path, monkeypatch):
    mixed = []
    mix = Mixer.mix
    monkeypatch.setattr(Mixer, "mix", lambda self, *args, **more: mixed.append(self) or mix(self, *args, **more))
    monkeypatch.setattr(sys, "argv", _arguments(corpus, "--clean-training", "-o", str(tmp_path / "theirs.csv")))
    script.main()
    test = Manifest.read(corpus / "metadata.csv").split("test")
    assert len(mixed) == len(test)


def test_noise_of_training_in_the_test_is_refused(script, corpus, tmp_path, monkeypatch):
    arguments = _arguments(corpus, "-o", str(tmp_path / "theirs.csv"))
    arguments[arguments.index("--noise") + 1] = str(corpus / "seen")
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit, match="the two noise sets share"):
        script.main()

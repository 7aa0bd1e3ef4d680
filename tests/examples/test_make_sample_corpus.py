"""The script that renders the sample corpus: its difficulty on the shipped files, and that it repeats itself."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from sertool.core.corpus.sample import sample_manifest, sample_noise

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "make_sample_corpus.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_sample_corpus", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[spec.name]


needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


def test_an_svm_with_one_voice_left_out_is_right_often_but_far_from_always(script):
    accuracy = script.leave_one_voice_out(sample_manifest().parent)
    assert len(accuracy) == len(script.VOICES)
    assert 0.5 <= np.mean(list(accuracy.values())) <= 0.9
    assert min(accuracy.values()) > 0.25


def test_functionals_follow_pitch_and_level(script):
    time_s = np.arange(16_000) / 16_000
    square = np.sign(np.sin(2 * np.pi * 160 * time_s))
    loud, quiet = script.functionals(0.5 * square), script.functionals(0.05 * square)
    assert loud[0] == 1.0
    assert loud[1] - quiet[1] == pytest.approx(np.log(100), abs=1e-3)
    assert 2 ** loud[3] == pytest.approx(160, rel=0.02)
    # The shape of the spectrum is apart from its level.
    np.testing.assert_allclose(loud[6:26], quiet[6:26], atol=0.05)


def test_prosody_of_categories_overlaps(script):
    rng = np.random.default_rng(0)
    voice = script.VOICES[0]
    rates = {name: [script.draw_prosody(voice, name, rng).rate for _ in range(300)] for name in ("sadness", "anger")}
    assert np.mean(rates["anger"]) > np.mean(rates["sadness"]) + script.SPREAD.rate
    assert np.percentile(rates["sadness"], 95) > np.percentile(rates["anger"], 10)


@needs_espeak
def test_one_voice_rendered_twice_is_the_same_to_the_byte(script, tmp_path):
    voice = script.VOICES[-1]
    first, second = (script.make_speech(tmp_path / name, [voice]) for name in ("a", "b"))
    assert first == second
    for row in first:
        name = row["file_name"]
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@needs_espeak
def test_every_voice_sounds_different(script):
    prosody = script.Prosody(rate=170, pitch=50, pitch_range=0, level_db=-30, brightness_db=0, gap=0)
    spoken = {script.speak(script.SENTENCES[0], voice.espeak, prosody).tobytes() for voice in script.VOICES}
    assert len(spoken) == len(script.VOICES)


def test_synthesised_noise_is_the_one_that_ships(script):
    # To a rounding step of 16 bits: the last bits of sines differ between builds of NumPy.
    for part, kind, part_index, kind_index in (("seen", "fan", 0, 0), ("unseen", "surf", 1, 2)):
        rng = np.random.default_rng([script.SEED, 1_000 + part_index, kind_index, 0])
        samples = script.at_level(script.NOISES[part][kind](rng, script.NOISE_SECONDS * script.RATE), script.NOISE_DB)
        shipped, _ = soundfile.read(sample_noise(part) / kind / script.noise_names(kind, part)[0])
        np.testing.assert_allclose(samples, shipped, atol=2 / 32768)

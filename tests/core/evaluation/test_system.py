"""A system: a model by itself, or behind an enhancer."""

import numpy as np
import pytest

from sertool.core.evaluation.enhancer import Enhancer, RunEnhancer
from sertool.core.evaluation.system import System
from sertool.core.models.abstention import NOISE_ONLY
from sertool.core.models.inference import load

RATE = 16_000


class Half(Enhancer):
    """Makes everything half as loud, but for the second half, which it silences."""

    name = "half"
    identity = {"kind": "half"}  # noqa: RUF012

    def enhance(self, signals):
        return [np.where(np.arange(len(one)) < len(one) // 2, one / 2, 0).astype(np.float32) for one in signals]


@pytest.fixture
def samples():
    return (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)


def test_a_model_alone_is_what_the_recogniser_says(run, samples):
    listener, recognizer = System(run).open(), load(run, "cpu")
    prediction, enhanced = listener.hear(samples, enhance=True)
    assert prediction == recognizer.predict(samples, 16_000)
    assert np.array_equal(enhanced, recognizer.enhance(samples, RATE))
    assert listener.hear(samples, enhance=False) == (prediction, None)


def test_behind_an_enhancer_the_model_hears_what_that_gives_back(run, samples):
    listener = System(run, Half()).open()
    prediction, enhanced = listener.hear(samples, enhance=False)
    assert np.array_equal(enhanced, Half().enhance([samples])[0])
    assert prediction == load(run, "cpu").predict(enhanced, 16_000)
    assert listener.enhances and listener.identity != System(run).open().identity


def test_a_model_that_does_not_enhance_gives_no_speech(make_run, samples, tmp_path):
    listener = System(make_run(tmp_path / "run", enhances=False)).open()
    prediction, enhanced = listener.hear(samples, enhance=True)
    assert prediction.label is not None and enhanced is None and not listener.enhances


@pytest.mark.parametrize(("threshold_db", "reason"), [(0.0, NOISE_ONLY), (-60.0, None)])
def test_whether_there_is_speech_is_for_the_run_to_say_that_enhanced_it(
    make_run, samples, tmp_path, threshold_db, reason
):
    recogniser = make_run(tmp_path / "recogniser", speech_kept_db=-60.0 - threshold_db)
    enhancer = RunEnhancer.read(make_run(tmp_path / "enhancer", speech_kept_db=threshold_db))
    listener = System(recogniser, enhancer).open()
    assert listener.speech_lacks(samples, enhancer.enhance([samples])[0]) == reason

"""Spectrograms: a tone is bright where its pitch is, and pictures compare."""

import base64
import io
import re
import sys

import numpy as np
import pytest
from PIL import Image

from sertool.core.evaluation.report.spectrograms import HOP, N_FFT, RANGE_DB, levels_db, spectrogram

RATE = 16_000


def tone(hertz: float, seconds: float = 0.5, amplitude: float = 0.5) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)


def lightness(markup: str) -> np.ndarray:
    data = re.search(r"data:image/png;base64,([\w+/=]+)", markup)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L")).astype(float)


def test_a_tone_is_loudest_in_its_bin():
    levels = levels_db(tone(2000))
    assert levels.shape == (N_FFT // 2 + 1, 1 + (RATE // 2 - N_FFT) // HOP)
    assert set(levels.argmax(0).tolist()) == {2000 * N_FFT // RATE}


def test_twice_the_amplitude_is_6_db_more():
    assert levels_db(tone(1000, amplitude=0.2)).max() - levels_db(tone(1000, amplitude=0.1)).max() == pytest.approx(
        20 * np.log10(2), abs=1e-6
    )


def test_the_picture_is_bright_at_the_pitch_with_low_pitches_below():
    top = levels_db(tone(2000)).max()
    seen = lightness(spectrogram(tone(2000), top, description="a tone"))
    brightest = seen.mean(1).argmax()
    assert brightest == pytest.approx(len(seen) * (1 - 2000 / 8000), abs=2)


def test_pictures_under_the_same_top_compare_and_the_range_ends():
    top = levels_db(tone(2000)).max()
    loud, soft, faint = (
        lightness(spectrogram(tone(2000, amplitude=0.5 * scale), top, description=""))
        for scale in (1, 0.1, 10 ** (-(RANGE_DB + 5) / 20))
    )
    assert loud.max() > soft.max() + 20
    assert np.ptp(faint) == 0


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(10), np.zeros(8 * RATE)])
def test_silence_and_very_short_clips_are_drawn_too(samples):
    assert np.ptp(lightness(spectrogram(samples, 0.0, description="silence"))) == 0


def test_a_long_clip_makes_no_larger_picture():
    assert lightness(spectrogram(tone(500, 8.0), 0.0, description="")).shape[1] <= 320


def test_it_has_a_name_and_its_axes_are_text():
    made = spectrogram(tone(500), 0.0, description="a tone at <500> Hz")
    assert 'role="img" aria-label="a tone at &lt;500&gt; Hz"' in made
    written = re.findall(r"<text[^>]*>([^<]*)</text>", made)
    assert {"0", "2", "4", "6", "8", "kHz", "seconds", "0.5"} <= set(written)


def test_matplotlib_has_no_figure_of_its_own():
    spectrogram(tone(500), 0.0, description="")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()

"""Players: what is heard is what was scored, short and not clipped."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile

from sertool.core.evaluation.report import players
from sertool.core.evaluation.report.players import LONGEST_S, cap, common_gain, encode, player

RATE = 16_000
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)


def decoded(markup: str) -> tuple[str, np.ndarray]:
    kind, data = re.search(r'src="data:([\w/]+);base64,([\w+/=]+)"', markup).groups()
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    assert rate == RATE
    return kind, samples


def test_a_player_holds_the_sound_itself():
    kind, samples = decoded(player(TONE, "a tone"))
    assert kind == "audio/mpeg"
    # An encoder delays and fills up its last frame; the tone is the same.
    spectrum = np.abs(np.fft.rfft(samples[2000:14000]))
    assert np.argmax(spectrum) * RATE / 12000 == pytest.approx(440, abs=2)
    assert np.abs(samples).max() == pytest.approx(0.5, rel=0.1)
    assert len(player(TONE, "")) < 12_000


def test_without_mp3_it_is_flac_without_loss(monkeypatch):
    monkeypatch.setattr(soundfile, "available_formats", lambda: {"WAV": "", "FLAC": ""})
    kind, samples = decoded(player(TONE, "a tone"))
    assert kind == "audio/flac"
    assert np.abs(samples - TONE).max() < 1e-4


def test_a_player_has_a_name_and_controls():
    made = player(TONE, 'says "hi" <b>')
    assert 'aria-label="says &quot;hi&quot; &lt;b&gt;"' in made
    assert " controls" in made and "autoplay" not in made


def test_only_the_first_seconds_are_played():
    assert len(cap(np.zeros(20 * RATE))) == LONGEST_S * RATE
    assert len(cap(np.zeros(100))) == 100


def test_one_gain_keeps_the_loudest_from_clipping():
    assert common_gain([TONE, 4 * TONE]) == pytest.approx(players.PEAK / 2, rel=1e-3)
    assert common_gain([TONE]) == 1.0
    assert common_gain([np.zeros(5), np.zeros(0)]) == 1.0
    assert common_gain([]) == 1.0


def test_what_is_louder_than_full_scale_is_cut_not_wrapped(monkeypatch):
    monkeypatch.setattr(soundfile, "available_formats", lambda: {"FLAC": ""})
    samples, _ = soundfile.read(io.BytesIO(encode(3 * TONE)[1]))
    assert np.sign(samples[np.abs(samples) > 0.9]).tolist() == np.sign(TONE[np.abs(samples) > 0.9]).tolist()

"""Codecs: as long as they were given and not late, against the formulas of G.711 and the files they leave."""

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate, freqz

from sertool.core.audio import codecs
from sertool.core.audio.codecs import (
    CODECS,
    MU_LAW,
    Codec,
    code,
    missing_codecs,
    offered_codecs,
    telephone_filter,
    through_codec,
    through_telephone,
)

RATE = 16_000
BY_NAME = {codec.name: codec for codec in CODECS}


def _voice(length=RATE, seed=0):
    """Return a buzz below 3.4 kHz with noise in it, of changing level: what codecs of speech are made for."""
    time = np.arange(length) / RATE
    pitch = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 3 * time)) / RATE
    buzz = sum(np.sin(k * pitch + k) / k for k in range(1, 25)) * np.abs(np.sin(2 * np.pi * 2.3 * time + 0.4))
    return (0.15 * buzz + 0.003 * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)


VOICE = _voice()


def _lag(late, early):
    """Return by how many samples one signal comes later than the other."""
    return int(np.argmax(correlate(late.astype(np.float64), early.astype(np.float64)))) - (len(early) - 1)


@pytest.fixture(params=CODECS, ids=lambda codec: codec.name)
def codec(request):
    if not request.param.offered:
        pytest.skip(f"this libsndfile has no {request.param.name}")
    return request.param


def test_speech_comes_out_recognisable_and_not_late(codec):
    heard = through_codec(VOICE, codec)
    assert heard.shape == VOICE.shape
    assert heard.dtype == np.float32
    assert abs(_lag(heard, VOICE)) <= 2
    assert np.corrcoef(heard, VOICE)[0, 1] > 0.85
    assert not np.array_equal(heard, VOICE)


@settings(max_examples=12)
@given(length=st.integers(1, 4000), start=st.integers(0, 12_000))
def test_any_length_stays_as_it_is_and_comes_out_the_same_every_time(length, start):
    samples = VOICE[start : start + length]
    for one in offered_codecs():
        heard = through_codec(samples, one)
        assert heard.shape == samples.shape
        assert np.isfinite(heard).all()
        assert heard.tobytes() == through_codec(samples, one).tobytes()


@pytest.mark.parametrize("rate_kbps", [64, 32, 16])
def test_mp3_has_the_bit_rate_it_is_called_by(rate_kbps):
    codec = BY_NAME[f"MP3 {rate_kbps} kb/s"]
    file = io.BytesIO()
    with soundfile.SoundFile(
        file, "w", RATE, 1, "MPEG_LAYER_III", format="MP3", compression_level=codec.compression, bitrate_mode="CONSTANT"
    ) as writer:
        writer.write(np.tile(VOICE, 8))
    assert len(file.getvalue()) * 8 / 8 / 1000 == pytest.approx(rate_kbps, rel=0.03)


def test_of_two_rates_of_a_codec_the_higher_one_is_closer():
    for names in (
        ("MP3 64 kb/s", "MP3 32 kb/s", "MP3 16 kb/s"),
        ("Opus 32 kb/s", "Opus 16 kb/s", "Opus 8 kb/s"),
        ("Vorbis quality 5", "Vorbis quality 0"),
        ("G.723 40 kb/s", "G.721 32 kb/s", "G.723 24 kb/s"),
    ):
        present = [BY_NAME[name] for name in names if BY_NAME[name].offered]
        errors = [float(np.square(through_codec(VOICE, one) - VOICE).sum()) for one in present]
        assert errors == sorted(errors)


def _expanded(codes, law):
    """Return what 8-bit codes of G.711 stand for, full scale at 1, by the segments of its tables 1a and 2a."""
    codes = codes ^ (0xFF if law == "mu" else 0x55)
    segment, step = (codes >> 4) & 7, codes & 15
    if law == "mu":
        magnitude = (((2 * step + 33) << segment) - 33) / 8192  # 14-bit values
        sign = np.where(codes & 0x80, -1.0, 1.0)
    else:
        magnitude = np.where(segment == 0, 2 * step + 1, (2 * step + 33) << np.maximum(segment - 1, 0)) / 4096  # 13-bit
        sign = np.where(codes & 0x80, 1.0, -1.0)
    return sign * magnitude


def _code(magnitude, law):
    """Return the code of magnitudes, full scale at 1, by the decision values of the same tables."""
    if law == "mu":
        biased = np.minimum((np.maximum(magnitude, 0) * 8192).astype(int), 8158) + 33
        segment = np.log2(biased).astype(int) - 5
        return ((segment << 4) | ((biased >> (segment + 1)) & 15)) ^ 0xFF
    whole = np.minimum((np.maximum(magnitude, 0) * 4096).astype(int), 4095)
    segment = np.maximum(np.log2(np.maximum(whole, 1)).astype(int) - 4, 0)
    return (0x80 | (segment << 4) | ((whole >> np.maximum(segment, 1)) & 15)) ^ 0x55


@pytest.mark.parametrize(("name", "law"), [("mu-law", "mu"), ("A-law", "A")])
def test_g711_decides_and_expands_by_its_tables(name, law):
    samples = np.random.default_rng(4).uniform(0, 1, 20_000).astype(np.float32) ** 3
    decoded = code(samples, BY_NAME[name])
    # An encoder of whole numbers may round a sample to the one beside it before it decides.
    least, most = (_expanded(_code(samples + by, law), law) for by in (-1 / 2048, 1 / 2048))
    assert (decoded >= least - 1e-6).all()
    assert (decoded <= most + 1e-6).all()
    assert np.isclose(decoded, _expanded(_code(samples, law), law), atol=1e-6).mean() > 0.8
    np.testing.assert_allclose(code(-samples, BY_NAME[name]), -decoded, atol=1e-6)
    table = np.unique(_expanded(np.arange(256), law))
    assert np.abs(table[:, None] - decoded[None, :2000]).min(axis=0).max() < 1e-6


def test_mu_law_is_as_exact_as_its_compression_says():
    # F(x) = sgn(x) ln(1 + 255|x|) / ln(256): 8 bits of it are 127 steps a side, each half a step off at most; the
    # segments of G.711 lie by up to a third of a step beside the curve.
    samples = np.linspace(-0.95, 0.95, 5001).astype(np.float32)
    decoded = code(samples, MU_LAW)
    compressed = [np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256) for x in (samples, decoded)]
    assert np.abs(compressed[0] - compressed[1]).max() < 1.1 / 127


def test_what_is_beyond_full_scale_is_clipped(codec):
    loud = np.clip(8 * VOICE, -1, 1)
    assert through_codec(8 * VOICE, codec).tobytes() == through_codec(loud, codec).tobytes()


def test_the_telephone_filter_passes_300_to_3400_hz():
    hertz, response = freqz(telephone_filter(), worN=8192, fs=RATE)
    level_db = 20 * np.log10(np.abs(response))
    passed = (hertz >= 300) & (hertz <= 3400)
    assert np.abs(level_db[passed]).max() < 0.1
    assert level_db[(hertz <= 100) | (hertz >= 3600)].max() < -48.0
    np.testing.assert_array_equal(telephone_filter(), telephone_filter()[::-1])


@pytest.mark.parametrize(("hertz", "level_db"), [(60, -40), (1020, 0), (3000, 0), (3700, -40), (6000, -40)])
def test_a_telephone_carries_its_band_alone(hertz, level_db):
    tone = (0.3 * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)).astype(np.float32)
    heard = through_telephone(tone)
    assert heard.shape == tone.shape
    spectrum = np.abs(np.fft.rfft(heard[2000:-2000] * np.hanning(12_000)))
    before = np.abs(np.fft.rfft(tone[2000:-2000] * np.hanning(12_000)))
    place = int(np.argmax(before))
    change_db = 20 * np.log10(max(spectrum[place] / before[place], 1e-9))
    assert change_db == pytest.approx(0, abs=0.3) if level_db == 0 else change_db < level_db


def test_a_click_comes_out_of_the_telephone_where_it_was():
    click = np.zeros(4001, np.float32)
    click[2000] = 0.9
    assert np.argmax(np.abs(through_telephone(click))) == 2000
    assert abs(_lag(through_telephone(VOICE), VOICE)) <= 1


@given(length=st.integers(1, 2000))
def test_the_telephone_keeps_any_length(length):
    heard = through_telephone(VOICE[:length])
    assert heard.shape == (length,)
    assert np.isfinite(heard).all()


def test_a_codec_this_build_lacks_is_named_and_refused(monkeypatch):
    lacking = Codec("Speex", "OGG", "SPEEX")
    monkeypatch.setattr(codecs, "CODECS", (*CODECS[-1:], lacking))
    assert missing_codecs() == ("Speex",)
    assert offered_codecs() == CODECS[-1:]
    with pytest.raises(ValueError, match="no Speex"):
        through_codec(VOICE, lacking)


def test_names_of_codecs_are_told_apart():
    assert len({codec.name for codec in CODECS}) == len(CODECS)
    assert not any(set(codec.name) & set(":*?[]") for codec in CODECS)

"""Varied mixtures: drawn by file and epoch alone, the SNR kept, the clean reference following where it must."""

import numpy as np
import pytest
import soundfile
from scipy.signal import welch

from sertool.core.audio.codecs import offered_codecs
from sertool.core.corpus.batches import Augmentation, Pick, UtteranceDataset, Utterances
from sertool.core.corpus.mixing import Mixer, SnrChoice, measure_snr
from sertool.core.corpus.noise import NoiseSet
from sertool.core.corpus.variation import Variation, at_speed, recorded

ALL = Variation(
    altered_share=0.5,
    coloured_share=0.5,
    synthetic_share=0.5,
    level_db=(-20.0, 3.0),
    band_share=0.5,
    clip_share=0.5,
    codec_share=0.5,
)


@pytest.fixture
def dataset(tmp_path):
    generator = np.random.default_rng(0)
    path = str(tmp_path / "a.wav")
    soundfile.write(path, 0.1 * generator.standard_normal(8000), 16_000, subtype="FLOAT")
    (tmp_path / "noise" / "hum").mkdir(parents=True)
    hum = 0.1 * np.sin(np.arange(32_000) / 20) + 0.01 * generator.standard_normal(32_000)
    soundfile.write(tmp_path / "noise" / "hum" / "a.wav", hum, 16_000, subtype="FLOAT")
    nothing = np.zeros((1, 0), np.float32)
    utterances = Utterances(np.array([path]), np.array([0.5]), np.array([-1]), nothing, nothing)
    mixer = Mixer(NoiseSet.read(tmp_path / "noise"), SnrChoice(values=(5.0,)), 0)
    return lambda variation: UtteranceDataset(utterances, mixer, Augmentation(variation=variation), 0)


def test_off_is_what_the_mixer_mixes(dataset):
    plain, off = dataset(None)[Pick(0, 3)], dataset(Variation())[Pick(0, 3)]
    assert np.array_equal(plain.noisy, off.noisy) and np.array_equal(plain.clean, off.clean)


def test_a_pass_is_the_same_whoever_reads_it_and_passes_differ(dataset):
    passes = [dataset(ALL)[Pick(0, epoch)].noisy for epoch in (0, 0, 1)]
    assert np.array_equal(passes[0], passes[1]) and not np.array_equal(passes[0], passes[2])


@pytest.mark.parametrize("share", ["altered_share", "coloured_share", "synthetic_share"])
def test_other_noise_keeps_the_snr_and_the_speech(dataset, share):
    variation, plain, noises = Variation(**{share: 1.0}), dataset(None)[Pick(0, 0)], []
    for epoch in range(6):
        example = dataset(variation)[Pick(0, epoch)]
        assert measure_snr(example.noisy, example.clean) == pytest.approx(5.0, abs=0.01)
        np.testing.assert_allclose(example.clean / example.clean.std(), plain.clean / plain.clean.std(), atol=1e-5)
        noises.append(example.noisy - example.clean)
    before = dataset(None)[Pick(0, 0)]
    assert not np.allclose(noises[0], before.noisy - before.clean, atol=1e-3)


@pytest.mark.parametrize("speed", [0.6, 0.8, 1.0, 1.6])
def test_speed_moves_pitch_and_what_is_short_begins_again(speed):
    tone = np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000)
    heard = at_speed(tone, speed)
    assert heard.shape == tone.shape and heard.dtype == np.float64
    assert np.argmax(np.abs(np.fft.rfft(heard * np.hanning(16_000)))) == pytest.approx(500 * speed, abs=2)
    if speed > 1:
        np.testing.assert_array_equal(heard[10_000:], heard[:6000])


def test_half_of_the_noise_that_is_altered_runs_backwards(dataset, tmp_path):
    # A saw tooth rises slowly and falls at once; backwards it is the other way round, at any speed.
    teeth = 0.2 * (np.arange(32_000) % 200 / 200 - 0.5)
    soundfile.write(tmp_path / "noise" / "hum" / "a.wav", teeth, 16_000, subtype="FLOAT")

    def backwards(epoch: int) -> bool:
        example = dataset(Variation(altered_share=1.0))[Pick(0, epoch)]
        return np.mean(np.diff(example.noisy - example.clean) ** 3) > 0

    assert 0.3 < np.mean([backwards(epoch) for epoch in range(60)]) < 0.7


def test_the_share_of_synthetic_noise_that_goes_with_a_recording_is_half(dataset):
    tone = np.exp(1j * np.arange(8000) / 20)

    def has_hum(epoch: int) -> bool:
        example = dataset(Variation(synthetic_share=1.0))[Pick(0, epoch)]
        noise = example.noisy - example.clean
        return abs(noise @ tone) / len(noise) > 0.15 * noise.std()

    assert 0.3 < np.mean([has_hum(epoch) for epoch in range(60)]) < 0.75


def test_a_mixture_that_would_clip_is_scaled_with_its_reference(dataset):
    example = dataset(Variation(synthetic_share=1.0))
    loud = np.random.default_rng(3).uniform(-0.9, 0.9, 8000)
    soundfile.write(example.utterances.paths[0], loud, 16_000, subtype="FLOAT")
    for epoch in range(4):
        mixed = example[Pick(0, epoch)]
        assert np.abs(mixed.noisy).max() <= 1.0 and np.abs(mixed.clean).max() < 0.89
        assert measure_snr(mixed.noisy, mixed.clean) == pytest.approx(5.0, abs=0.01)


def both(variation: Variation, seed: int = 0) -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(1)
    clean = (0.1 * generator.standard_normal(16_000)).astype(np.float32)
    noisy = (clean + 0.05 * generator.standard_normal(16_000)).astype(np.float32)
    return noisy, clean, *recorded(noisy, clean, variation, np.random.default_rng(seed))


def test_level_is_given_to_both():
    gains = []
    for seed in range(40):
        noisy, clean, heard, reference = both(Variation(level_db=(-30.0, 6.0)), seed)
        gains.append(20 * np.log10(heard.std() / noisy.std()))
        assert 20 * np.log10(reference.std() / clean.std()) == pytest.approx(gains[-1], abs=1e-3)
    assert -30 <= min(gains) < -22 and 0 < max(gains) <= 6


def share_above(samples: np.ndarray, hz: float) -> float:
    frequencies, power = welch(samples, 16_000, nperseg=1024)
    return float(power[frequencies > hz].sum() / power.sum())


def test_a_narrow_band_is_that_of_both_and_nothing_is_delayed():
    for seed in range(8):
        _, clean, heard, reference = both(Variation(band_share=1.0), seed)
        assert share_above(heard, 7800) < 1e-3 and share_above(reference, 7800) < 1e-3
        correlation = np.correlate(reference[100:-100], clean, "full")
        assert np.argmax(correlation) - (len(clean) - 1) == -100


def test_clipping_and_codecs_are_not_asked_of_the_reference():
    noisy, clean, heard, reference = both(Variation(clip_share=1.0))
    assert np.array_equal(reference, clean) and np.abs(heard).max() < np.abs(noisy).max()
    assert (np.abs(heard) == np.abs(heard).max()).sum() > 1
    for seed in range(2 * len(offered_codecs())):
        noisy, clean, heard, reference = both(Variation(codec_share=1.0), seed)
        assert heard.shape == noisy.shape and not np.array_equal(heard, noisy)
        assert np.array_equal(reference, clean) or share_above(reference, 7700) < 1e-3


@pytest.mark.parametrize("codec", offered_codecs(), ids=lambda codec: codec.name)
def test_the_reference_has_the_band_that_a_codec_leaves(codec, monkeypatch):
    monkeypatch.setattr("sertool.core.corpus.variation.offered_codecs", lambda: (codec,))
    noisy, clean, heard, reference = both(Variation(codec_share=1.0))
    levels_db = [10 * np.log10(1e-12 + welch(one, 16_000, nperseg=64)[1]) for one in (noisy, heard, clean, reference)]
    gone, gone_too = levels_db[0] - levels_db[1] > 30, levels_db[2] - levels_db[3] > 20
    assert gone_too[gone].all() and np.argmax(np.correlate(reference, clean, "same")) == len(clean) // 2


def test_shares_are_shares():
    changed = [not np.array_equal(*both(Variation(clip_share=0.3), seed)[::2]) for seed in range(200)]
    assert 0.2 < np.mean(changed) < 0.4

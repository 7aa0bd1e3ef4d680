"""A model that listens: same rate, shape and level; silence stays silence; windows, features, the upper band."""

import threading
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from sertool.core.audio.files import resample
from sertool.core.audio.spectra import standardise, utterance_statistics
from sertool.core.errors import InputError
from sertool.core.models.abstention import NOISE_ONLY, SILENCE_ONLY
from sertool.core.models.config import CompactConfig, EmotionConfig, EnhancementConfig, SharedConfig
from sertool.core.models.output import EnhancedSpeech
from sertool.core.models.recognizer import Recognizer
from sertool.core.models.shared import SharedModel
from sertool.core.models.upper_band import UpperBand

ENCODER = CompactConfig(mels=16, dim=16, layers=1, kernel=3)
EMOTION = EmotionConfig(categories=("anger", "neutral", "sadness"), attributes=("arousal", "valence"), hidden=8)
ENHANCEMENT = EnhancementConfig(projection=8, hidden=8, layers=1)


def tiny(**heads) -> SharedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SharedModel(SharedConfig(encoder=ENCODER, **heads))


def recognizer_of(model) -> Recognizer:
    return Recognizer(model, folder=Path("tiny"), device=torch.device("cpu"), model_id="0")


class Through(torch.nn.Module):
    """A model whose enhancement changes nothing, and whose gain from 4 to 8 kHz is what one likes."""

    config = SharedConfig(enhancement=ENHANCEMENT)

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain

    def estimate(self, waveform, lengths):
        assert waveform.shape == (1, int(lengths[0]))
        return EnhancedSpeech(waveform, torch.full((1, 1 + waveform.shape[1] // 160), self.gain))


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return recognizer_of(tiny(emotion=EMOTION, enhancement=ENHANCEMENT))


def noise(*shape: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(len(shape)).standard_normal(shape)).astype(np.float32)


def test_a_prediction_is_what_the_model_says(recognizer):
    samples = noise(8000)
    with torch.no_grad():
        output = recognizer.model(torch.from_numpy(samples)[None], torch.tensor([8000]))
    expected = torch.softmax(output.category_logits[0], 0)
    heard = recognizer.predict(samples, 16_000)
    assert list(heard.probabilities) == list(EMOTION.categories)
    np.testing.assert_allclose(list(heard.probabilities.values()), expected, rtol=1e-5)
    assert heard.label == EMOTION.categories[int(expected.argmax())]
    np.testing.assert_allclose(list(heard.attributes.values()), output.attributes[0], rtol=1e-5)
    assert sum(heard.probabilities.values()) == pytest.approx(1)


def test_both_at_once_are_what_each_alone_gives(recognizer):
    samples = noise(8000)
    for given_so in (samples, samples[::-1].copy()[::-1]):
        prediction, enhanced = recognizer.hear(given_so)
        assert prediction.attributes == pytest.approx(recognizer.predict(samples, 16_000).attributes, abs=1e-5)
        np.testing.assert_allclose(enhanced, recognizer.enhance(samples, 16_000), atol=1e-6)
    with pytest.raises(InputError, match="are int16"):
        recognizer.hear(np.ones(8000, np.int16))


def test_dropout_is_off(recognizer):
    assert not any(module.training for module in recognizer.model.modules())
    assert recognizer.predict(noise(4000), 16_000) == recognizer.predict(noise(4000), 16_000)


@pytest.mark.parametrize("length", [1, 2, 159, 400, 8001])
def test_any_length_has_an_emotion_and_an_enhancement(recognizer, length):
    assert np.isfinite(list(recognizer.predict(noise(length), 16_000).probabilities.values())).all()
    assert recognizer.enhance(noise(length), 16_000).shape == (length,)


def test_another_rate_and_more_channels_are_brought_to_what_the_model_hears(recognizer):
    samples = noise(9600, 2)
    heard = recognizer.predict(soxr.resample(samples.mean(axis=1), 48_000, 16_000, quality="HQ"), 16_000)
    assert recognizer.predict(samples, 48_000) == heard


def test_a_model_for_attributes_alone_has_no_label():
    model = tiny(emotion=EmotionConfig(attributes=("arousal",), hidden=8))
    heard = recognizer_of(model).predict(noise(4000), 16_000)
    assert (heard.label, heard.probabilities, list(heard.attributes)) == (None, {}, ["arousal"])


def test_models_without_a_head_say_so():
    with pytest.raises(InputError, match="not trained to enhance"):
        recognizer_of(tiny(emotion=EMOTION)).enhance(noise(100), 16_000)
    with pytest.raises(InputError, match="not trained for emotion"):
        recognizer_of(tiny(enhancement=ENHANCEMENT)).predict(noise(100), 16_000)


@settings(max_examples=25, deadline=None)
@given(
    rate=st.sampled_from([8000, 11_025, 16_000, 44_100, 192_000]),
    length=st.integers(1, 30_000),
    channels=st.sampled_from([None, 1, 6]),
)
def test_the_output_has_the_inputs_shape(rate, length, channels):
    samples = noise(length) if channels is None else noise(length, channels)
    enhanced = recognizer_of(Through()).enhance(samples, rate)
    assert enhanced.shape == samples.shape and enhanced.dtype == np.float32
    assert np.isfinite(enhanced).all()


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 48_000, 192_000])
def test_a_model_that_changes_nothing_gives_speech_back(rate):
    time = np.arange(2 * rate) / rate
    tones = np.stack([0.3 * np.sin(2 * np.pi * f * time) for f in (220, 3000)], axis=1).astype(np.float32)
    enhanced = recognizer_of(Through()).enhance(tones, rate)
    edge = rate // 50  # a resampler's filter reaches over the ends
    np.testing.assert_allclose(enhanced[edge:-edge], tones[edge:-edge], atol=2e-3)


def test_nothing_above_8_khz_comes_back():
    time = np.arange(48_000) / 48_000
    tone = (0.3 * np.sin(2 * np.pi * 12_000 * time)).astype(np.float32)
    enhanced = recognizer_of(Through()).enhance(tone, 48_000)
    assert np.abs(enhanced[1000:-1000]).max() < 1e-3


def test_channels_do_not_feel_each_other(recognizer):
    both = noise(6000, 2)
    alone = recognizer.enhance(both[:, 1], 16_000)
    np.testing.assert_array_equal(recognizer.enhance(both, 16_000)[:, 1], alone)


def test_silence_stays_silence(recognizer):
    samples = np.zeros((16_000, 2), np.float32)
    np.testing.assert_array_equal(recognizer.enhance(samples, 8000), samples)
    one_silent = noise(6000, 2)
    one_silent[:, 0] = 0
    assert not recognizer.enhance(one_silent, 16_000)[:, 0].any()


@pytest.mark.parametrize("gain", [1e-3, 10.0])
def test_the_level_is_kept(recognizer, gain):
    samples = noise(8000)
    enhanced = recognizer.enhance(samples, 16_000)
    np.testing.assert_allclose(recognizer.enhance(gain * samples, 16_000), gain * enhanced, rtol=0.05, atol=1e-3 * gain)


def test_dry_mixes_the_original_back(recognizer):
    samples = noise(6000, 2)
    wet = recognizer.enhance(samples, 44_100)
    np.testing.assert_array_equal(recognizer.enhance(samples, 44_100, dry=1.0), samples)
    np.testing.assert_allclose(recognizer.enhance(samples, 44_100, dry=0.25), 0.75 * wet + 0.25 * samples, atol=1e-7)


@pytest.mark.parametrize("dry", [-0.1, 1.1, float("nan")])
def test_a_share_out_of_range(recognizer, dry):
    with pytest.raises(InputError, match="dry share"):
        recognizer.enhance(noise(100), 16_000, dry=dry)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros((0, 2)), np.zeros((2, 2, 2)), np.array([0.0, np.nan])])
def test_samples_that_cannot_be_used(recognizer, samples):
    with pytest.raises(InputError, match="samples"):
        recognizer.enhance(samples, 16_000)
    with pytest.raises(InputError, match="samples"):
        recognizer.predict(samples, 16_000)


def test_threads_take_turns(recognizer):
    inputs = [noise(3000 + 500 * index) for index in range(6)]
    expected = [recognizer.predict(samples, 16_000) for samples in inputs]
    heard = [None] * len(inputs)

    def work(index):
        heard[index] = recognizer.predict(inputs[index], 16_000)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == expected


def test_what_fits_in_one_pass_is_what_the_model_says_bit_for_bit(recognizer):
    samples = noise(20_000)
    waveform, lengths = torch.from_numpy(samples)[None], torch.tensor([len(samples)])
    np.testing.assert_array_equal(recognizer.enhance(samples, 16_000), recognizer.model.enhance(waveform, lengths)[0])
    with torch.inference_mode():
        features, _ = recognizer.model.features(waveform, lengths)
    np.testing.assert_array_equal(recognizer.embed(samples, 16_000), features[0])


@pytest.mark.parametrize("rate", [22_050, 48_000])
@pytest.mark.parametrize("gain", [0.0, 0.5, 1.0])
def test_an_upper_band_that_follows_is_turned_down_by_the_gain(rate, gain):
    samples = noise(rate, 2)
    dropped = recognizer_of(Through(gain)).enhance(samples, rate)
    followed = recognizer_of(Through(gain)).enhance(samples, rate, upper_band="follow")
    edge = rate // 20
    # With nothing taken away below, following adds the rest times the gain, and all of it makes the original.
    expected = dropped + gain * (samples - dropped)
    np.testing.assert_allclose(followed[edge:-edge], expected[edge:-edge], atol=2e-6)


def bands(samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the energy below 7 kHz and above 8.1 kHz of each frame of 32 ms, through a window without side lobes."""
    frames = sliding_window_view(samples.astype(np.float64), rate * 32 // 1000)[:: rate // 125]
    power = np.abs(np.fft.rfft(frames * np.kaiser(frames.shape[1], 14))) ** 2
    frequency = np.fft.rfftfreq(frames.shape[1], 1 / rate)
    return power[:, frequency < 7000].sum(1), power[:, frequency > 8100].sum(1)


@pytest.mark.parametrize("upper_band", list(UpperBand))
def test_nothing_is_added_above_8_khz_and_the_band_below_does_not_depend_on_it(recognizer, upper_band):
    rate = 48_000
    samples = noise(rate * 2) * (1 + np.sin(np.arange(rate * 2) / 3000)).astype(np.float32)  # louder and softer
    enhanced = recognizer.enhance(samples, rate, upper_band=upper_band)
    (_, before), (low, after) = bands(samples, rate), bands(enhanced, rate)
    assert (after <= before * (1.0 + 1e-4) + 1e-9).all()
    assert bool(after.sum() > 1e-3 * before.sum()) is (upper_band is UpperBand.FOLLOW)
    np.testing.assert_allclose(low, bands(recognizer.enhance(samples, rate), rate)[0], rtol=1e-4)


@pytest.mark.parametrize("rate", [8000, 16_000])
def test_without_an_upper_band_both_ways_are_one(recognizer, rate):
    samples = noise(9000, 2)
    np.testing.assert_array_equal(
        recognizer.enhance(samples, rate, upper_band="follow"), recognizer.enhance(samples, rate)
    )


def test_an_upper_band_of_another_name(recognizer):
    with pytest.raises(InputError, match="expected drop or follow"):
        recognizer.enhance(noise(100), 16_000, upper_band="keep")


@pytest.mark.parametrize(
    ("seconds", "window_s", "hop_s"), [(7.3, 3.0, 1.0), (7.3, 1.0, 2.5), (2.0, 3.0, 1.0), (6.0, 3.0, 3.0)]
)
def test_a_window_is_heard_as_if_cut_out(recognizer, seconds, window_s, hop_s):
    samples = noise(round(seconds * 44_100), 2)
    timeline = list(recognizer.predict_windows(samples, 44_100, window_s=window_s, hop_s=hop_s))
    cut_from = resample(samples.mean(axis=1), 44_100, 16_000)
    for window in timeline:
        alone = recognizer.predict(cut_from[round(window.start_s * 16_000) : round(window.end_s * 16_000)], 16_000)
        np.testing.assert_allclose(
            list(window.prediction.probabilities.values()), list(alone.probabilities.values()), atol=1e-5
        )
        assert window.prediction.attributes == pytest.approx(alone.attributes, abs=1e-5)
    assert timeline[0].start_s == 0 and timeline[-1].end_s == pytest.approx(seconds, abs=1e-4)
    lengths = {round(window.end_s - window.start_s, 6) for window in timeline}
    assert lengths == {window_s} if seconds >= window_s else len(timeline) == 1
    starts = [window.start_s for window in timeline]
    assert starts[:-1] == pytest.approx([index * hop_s for index in range(len(starts) - 1)])


@pytest.mark.parametrize(
    ("window_s", "hop_s"), [(0, 1), (41, 1), (float("nan"), 1), (3, 0), (3, -1), (3, float("inf"))]
)
def test_windows_that_make_no_sense(recognizer, window_s, hop_s):
    with pytest.raises(InputError, match=r"expected 0\.01 s"):
        recognizer.predict_windows(noise(1000), 16_000, window_s=window_s, hop_s=hop_s)


@pytest.mark.parametrize("layer", [None, 0, 1, -1, -2])
def test_features_are_those_of_the_encoder(recognizer, layer):
    samples = noise(8000)
    waveform, lengths = torch.from_numpy(samples)[None], torch.tensor([8000])
    heard = standardise(waveform, lengths, utterance_statistics(waveform, lengths))
    with torch.inference_mode():
        states = recognizer.model.encoder(heard, lengths).hidden_states
        expected = recognizer.model.layer_sums["shared"](states) if layer is None else states[layer]
    features = recognizer.embed(samples, 16_000, layer=layer)
    assert features.dtype == np.float32 and features.shape == (26, 16)
    np.testing.assert_allclose(features, expected[0], rtol=1e-6)
    mean = recognizer.embed(samples, 16_000, layer=layer, pool=True)
    np.testing.assert_allclose(mean, features.astype(np.float64).mean(axis=0), atol=1e-6)


def test_each_head_may_have_its_own_sum():
    model = tiny(emotion=EMOTION, enhancement=ENHANCEMENT, layer_sum="per-head")
    torch.nn.init.normal_(model.layer_sums["emotion"].weights)
    recognizer = recognizer_of(model)
    by_emotion, by_enhancement = (
        recognizer.embed(noise(4000), 16_000, head=head) for head in ("emotion", "enhancement")
    )
    assert not np.allclose(by_emotion, by_enhancement)
    with pytest.raises(InputError, match="no layer sum for enhancement; expected emotion"):
        recognizer_of(tiny(emotion=EMOTION, layer_sum="per-head")).embed(noise(4000), 16_000, head="enhancement")


@pytest.mark.parametrize("layer", [2, -3])
def test_a_layer_that_is_not_there(recognizer, layer):
    with pytest.raises(InputError, match=f"no hidden state {layer}; expected 0 to 1, or -1 to -2"):
        recognizer.embed(noise(100), 16_000, layer=layer)


class SpeechIsHigh(torch.nn.Module):
    """Takes what lies in the second half of full scale for speech and keeps it, and damps the rest by 20 dB."""

    def __init__(self, model: SharedModel) -> None:
        super().__init__()
        self.model, self.config = model, model.config

    def forward(self, *arguments):
        return self.model(*arguments)

    def features(self, *arguments, **options):
        return self.model.features(*arguments, **options)

    @property
    def emotion_head(self):
        return self.model.emotion_head

    def enhance(self, waveform, lengths):
        return torch.where(waveform.abs() > 0.5, waveform, 0.1 * waveform)


@pytest.mark.parametrize("seconds", [0.4, 3.0, 4.1, 9.0])
def test_speech_anywhere_is_speech_and_noise_alone_is_none(seconds):
    listening = recognizer_of(SpeechIsHigh(tiny(emotion=EMOTION, enhancement=ENHANCEMENT)))
    only_noise = noise(round(seconds * 16_000))
    with_speech = only_noise.copy()
    with_speech[-4000:] += np.sign(only_noise[-4000:]) * 0.7
    assert listening.predict(only_noise, 16_000).no_speech == NOISE_ONLY
    assert listening.predict(with_speech, 16_000).no_speech is None
    assert listening.predict(0 * only_noise, 16_000).no_speech == SILENCE_ONLY
    reasons = [one.no_speech for one in listening.predict_many([with_speech, only_noise, 0 * only_noise], 16_000)]
    assert reasons == [None, NOISE_ONLY, SILENCE_ONLY]


def test_however_many_are_heard_at_once_speech_is_looked_for_in_little_at_a_time(monkeypatch):
    listening, heard = recognizer_of(SpeechIsHigh(tiny(emotion=EMOTION, enhancement=ENHANCEMENT))), []
    enhance = SpeechIsHigh.enhance
    monkeypatch.setattr(SpeechIsHigh, "enhance", lambda *args: heard.append(args[1].numel()) or enhance(*args))
    windows = listening.predict_windows(noise(26 * 16_000), 16_000, window_s=10.0, hop_s=1.0)
    assert [one.prediction.no_speech for one in windows] == [NOISE_ONLY] * 17
    assert max(heard) <= 16 * 4 * 16_000


def test_quiet_speech_is_found_beside_louder_noise():
    listening = recognizer_of(SpeechIsHigh(tiny(emotion=EMOTION, enhancement=ENHANCEMENT)))
    samples = 0.49 * np.sign(noise(12 * 16_000))
    samples[:32_000] *= 0.1
    samples[8000:16_000:2] = 0.6  # not where it is loudest
    assert listening.predict(samples, 16_000).no_speech is None


def test_a_long_recording_is_looked_at_until_there_is_speech(recognizer, monkeypatch):
    listening = recognizer_of(tiny(emotion=EMOTION, enhancement=ENHANCEMENT))
    monkeypatch.setattr(listening.model, "enhance", SpeechIsHigh(listening.model).enhance)
    samples = noise(50 * 16_000)
    assert listening.predict(samples, 16_000).no_speech == NOISE_ONLY
    samples[45 * 16_000 : 46 * 16_000] += 0.9
    samples[0] = 1.0
    assert listening.predict(samples, 16_000).no_speech is None
    assert listening.predict(np.zeros(50 * 16_000, np.float32), 16_000).no_speech == SILENCE_ONLY


def test_without_an_enhancement_head_only_silence_is_told():
    listening = recognizer_of(tiny(emotion=EMOTION))
    assert listening.predict(noise(8000), 16_000).no_speech is None
    assert listening.predict(np.zeros(8000, np.float32), 16_000).no_speech == SILENCE_ONLY


def test_a_choice_among_categories_is_the_softmax_over_these():
    model = tiny(emotion=EMOTION, enhancement=ENHANCEMENT)
    whole = recognizer_of(model).predict(noise(8000), 16_000)
    drawn = torch.get_rng_state()
    model.choose_among(["sadness", "anger"])
    assert torch.equal(torch.get_rng_state(), drawn)
    some = recognizer_of(model).predict(noise(8000), 16_000)
    total = whole.probabilities["anger"] + whole.probabilities["sadness"]
    expected = {name: whole.probabilities[name] / total for name in ("anger", "sadness")}
    assert some.probabilities == pytest.approx(expected) and some.attributes == pytest.approx(whole.attributes)
    for odd, words in ((["anger"], "two or more"), (["anger", "joy"], "does not know 'joy'")):
        with pytest.raises(InputError, match=words):
            model.choose_among(odd)
    without = tiny(emotion=EmotionConfig(attributes=("arousal",), hidden=8))
    with pytest.raises(InputError, match="names no categories"):
        without.choose_among(["anger", "sadness"])

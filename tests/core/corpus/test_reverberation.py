"""Reverberation: direct sound found and aligned, references, places of one room, pure draws, what is no response."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate

from sertool.core.audio.files import read_audio, resample, write_audio
from sertool.core.corpus.babble import BabbleSet
from sertool.core.corpus.draws import Draw
from sertool.core.corpus.mixing import Mixer, measure_snr, parse_snr
from sertool.core.corpus.noise import NoiseSet
from sertool.core.corpus.reverberation import (
    ImpulseResponse,
    Reverberation,
    RirSet,
    read_response,
    reverberate_speech,
)
from sertool.core.errors import AudioError, InputError

RATE = 16_000
SPEECH = (0.1 * np.random.default_rng(5).standard_normal(12_000)).astype(np.float32)


@pytest.fixture(scope="module")
def noise_set(tmp_path_factory) -> NoiseSet:
    folder = tmp_path_factory.mktemp("noise")
    (folder / "rain").mkdir()
    for number, length in enumerate((6000, 60_000)):
        samples = 0.1 * np.random.default_rng(90 + number).standard_normal(length)
        write_audio(folder / "rain" / f"{number}.flac", samples, RATE)
    return NoiseSet.read(folder)


@pytest.fixture(scope="module")
def mixer(noise_set, room_folder) -> Mixer:
    return Mixer(noise_set, parse_snr(["0"]), 1, reverberation=Reverberation(RirSet.read(room_folder)))


def _response(folder, samples, rate=RATE, name="r.wav") -> ImpulseResponse:
    write_audio(folder / name, np.asarray(samples), rate)
    return read_response(folder / name, str(rate))


def _lag(one: np.ndarray, other: np.ndarray) -> int:
    """Return by how many samples `one` comes after `other`, where they are most alike."""
    correlation = correlate(one.astype(float), other.astype(float), method="fft")
    return int(np.argmax(correlation)) - len(other) + 1


def test_the_direct_sound_is_found_and_without_delay(tmp_path):
    samples = np.zeros(3000)
    samples[[700, 1200]] = 0.5, 0.8  # a reflection louder than the direct sound
    response = _response(tmp_path, samples)
    heard = response.applied_to(SPEECH)
    expected = 0.5 * SPEECH.astype(float)
    expected[500:] += 0.8 * SPEECH[:-500].astype(float)
    np.testing.assert_allclose(heard, expected, atol=1e-7)
    assert len(response.samples) == 3000 - 700 + 40  # what lies more than 2.5 ms before the direct sound is cut


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
def test_other_rates_are_resampled_and_stay_aligned(tmp_path, rate):
    samples = np.zeros(rate // 2)
    samples[rate // 10] = 0.7
    response = _response(tmp_path, samples, rate)
    heard = response.applied_to(SPEECH)
    low = resample(resample(SPEECH, RATE, 8000), 8000, RATE)[: len(SPEECH)]
    assert _lag(heard, low) == 0


def test_only_the_first_channel_is_heard(tmp_path):
    samples = np.zeros((1000, 2))
    samples[10, 0], samples[500, 1] = 1.0, 1.0
    np.testing.assert_allclose(_response(tmp_path, samples).applied_to(SPEECH), SPEECH, atol=1e-7)


@settings(max_examples=30)
@given(
    gain=st.floats(0.05, 1.0),
    taps=st.lists(st.tuples(st.integers(41, 3000), st.floats(-0.4, 0.4)), max_size=8),
    reference=st.sampled_from(["dry", "early"]),
)
def test_the_reference_is_the_direct_sound_or_the_early_part(gain, taps, reference):
    samples = np.zeros(40 + 3100)
    samples[40] = gain
    for delay, value in taps:
        samples[40 + delay] = gain * value
    response = ImpulseResponse(samples, 40)
    reverberant, clean = reverberate_speech(SPEECH, response, reference)
    assert reverberant.shape == clean.shape == SPEECH.shape
    # By direct summation: of each tap, its delay and its gain.
    kept = [(0, 1.0)] + [(delay, samples[40 + delay] / gain) for delay in sorted({delay for delay, _ in taps})]
    whole, part = np.zeros(len(SPEECH)), np.zeros(len(SPEECH))
    for delay, value in kept:
        echo = value * np.concatenate([np.zeros(delay), SPEECH[: len(SPEECH) - delay].astype(float)])
        whole += echo
        if delay == 0 or (reference == "early" and delay <= 800):  # 50 ms
            part += echo
    scale = np.sqrt(np.sum(SPEECH.astype(float) ** 2) / np.sum(whole**2))
    np.testing.assert_allclose(reverberant, scale * whole, atol=1e-9)
    np.testing.assert_allclose(clean, scale * part, atol=1e-9)
    assert np.sum(reverberant**2) == pytest.approx(np.sum(SPEECH.astype(float) ** 2))


@pytest.mark.parametrize("level", ["utterance", "active"])
@pytest.mark.parametrize("reference", ["dry", "early"])
@pytest.mark.parametrize("babble", [False, True])
def test_the_snr_is_that_of_the_reverberant_speech(mixer, talkers, level, reference, babble):
    rooms = replace(mixer.reverberation, reference=reference)
    noise = (None, BabbleSet.read(talkers, talkers=3)) if babble else (mixer.noise_set, None)
    mixer = Mixer(noise[0], mixer.snr_db, 1, level, noise[1], rooms)
    for snr_db in (-10.0, 0.0, 20.0):
        mixture = mixer.mix(SPEECH, "a/1.wav", snr_db=snr_db)
        assert measure_snr(mixture.noisy, mixture.speech, level=level) == pytest.approx(snr_db, abs=0.01)
        assert max(np.abs(one).max() for one in (mixture.noisy, mixture.speech, mixture.clean)) <= 1
        assert {one.dtype for one in (mixture.noisy, mixture.speech, mixture.clean)} == {np.dtype(np.float32)}
        assert len(mixture.clean) == len(mixture.noisy) == len(SPEECH)


@pytest.mark.parametrize("reference", ["dry", "early"])
def test_the_clean_reference_is_aligned_with_the_speech(mixer, reference):
    mixer = replace(mixer, reverberation=replace(mixer.reverberation, reference=reference))
    for number in range(6):
        mixture = mixer.mix(SPEECH, f"a/{number}.wav")
        assert _lag(mixture.clean, SPEECH) == _lag(mixture.speech, SPEECH) == _lag(mixture.noisy, mixture.clean) == 0


def test_the_dry_reference_is_the_speech_itself_at_the_gain_of_its_direct_sound(mixer):
    mixture = mixer.mix(SPEECH, "a/1.wav")
    gains = mixture.clean[np.abs(SPEECH) > 0.05] / SPEECH[np.abs(SPEECH) > 0.05]
    assert gains.min() == pytest.approx(gains.max(), rel=1e-4) and 0.1 < gains.mean() < 1


def test_speech_and_noise_sound_from_two_places_of_one_room(mixer):
    seen = set()
    for number in range(150):
        mixture = mixer.mix(SPEECH[:2000], f"a/{number}.wav")
        assert mixture.rir_file != mixture.noise_rir_file
        assert mixture.rir_file.parent == mixture.noise_rir_file.parent
        if mixture.rir_file.parent.name == "room-2":
            assert mixture.rir_file.name == "speech.wav"
        seen.add((mixture.rir_file.parent.name, mixture.rir_file.name, mixture.noise_rir_file.name))
    assert len(seen) == 6 + 6 + 2


def test_noise_and_snr_are_those_outside_a_room(mixer, noise_set):
    outside = Mixer(noise_set, mixer.snr_db, mixer.seed)
    for number in range(5):
        inside, other = mixer.draw(9000, f"a/{number}"), outside.draw(9000, f"a/{number}")
        assert (inside.noise, inside.offset, inside.snr_db) == (other.noise, other.offset, other.snr_db)
        assert other.room is None and inside.room is not None


def test_a_draw_in_a_room_can_be_replayed_in_any_order(mixer):
    keys = [f"a/{number}" for number in range(6)]
    first = {key: mixer.mix(SPEECH, key, epoch=2) for key in keys}
    for key in reversed(keys):
        draw = mixer.draw(len(SPEECH), key, epoch=2)
        again = Draw(**json.loads(json.dumps(asdict(draw))))
        assert again == draw
        mixture = mixer.apply(SPEECH, again)
        assert mixture.noisy.tobytes() == first[key].noisy.tobytes()
        assert mixture.clean.tobytes() == first[key].clean.tobytes()


def test_the_noise_was_there_before_the_speech(tmp_path, mixer):
    response = np.zeros(8000)
    response[0], response[7999] = 0.5, 0.9  # an echo louder than the direct sound, half a second later
    for name in ("a.wav", "b.wav"):
        write_audio(tmp_path / name, response, RATE)
    inside = replace(mixer, reverberation=Reverberation(RirSet.read(tmp_path)))
    mixture = inside.mix(SPEECH, "a/1.wav", snr_db=0.0)
    noise = mixture.noisy.astype(float) - mixture.speech
    assert np.mean(noise[:4000] ** 2) == pytest.approx(np.mean(noise[-4000:] ** 2), rel=0.2)


def test_a_share_of_the_utterances_stays_dry(mixer, noise_set):
    some = replace(mixer, reverberation=replace(mixer.reverberation, share=0.25))
    rooms = [some.draw(1000, f"a/{number}").room for number in range(400)]
    assert 0.18 < sum(room is not None for room in rooms) / 400 < 0.32
    dry = next(f"a/{number}" for number, room in enumerate(rooms) if room is None)
    outside = Mixer(noise_set, mixer.snr_db, mixer.seed).mix(SPEECH[:1000], dry)
    mixture = some.mix(SPEECH[:1000], dry)
    assert mixture.noisy.tobytes() == outside.noisy.tobytes() and mixture.rir_file is None


def test_the_level_of_a_response_does_not_matter(tmp_path, mixer, room_folder):
    for path in room_folder.rglob("*.wav"):
        copy = tmp_path / path.relative_to(room_folder)
        copy.parent.mkdir(exist_ok=True)
        write_audio(copy, 0.01 * read_audio(path), RATE)
    quiet = Reverberation(RirSet.read(tmp_path))
    draw = mixer.draw(len(SPEECH), "a/1")
    loud, soft = mixer.apply(SPEECH, draw), replace(mixer, reverberation=quiet).apply(SPEECH, draw)
    np.testing.assert_allclose(loud.noisy, soft.noisy, atol=1e-5)
    np.testing.assert_allclose(loud.clean, soft.clean, atol=1e-5)


def test_a_flat_folder_is_one_room_and_a_copy_is_the_same_set(tmp_path, room_folder):
    for number, path in enumerate(sorted(room_folder.rglob("*.wav"))[:3]):
        for copy in ("one", "two"):
            (tmp_path / copy).mkdir(exist_ok=True)
            (tmp_path / copy / f"{number}.wav").write_bytes(path.read_bytes())
    one, two = RirSet.read(tmp_path / "one"), RirSet.read(tmp_path / "two")
    assert one.digest == two.digest and list(one.rooms) == [""] and len(one) == 3
    (tmp_path / "one" / ".room-003.partial-1").mkdir()
    (tmp_path / "one" / ".room-003.partial-1" / "speech.wav").write_bytes(b"half")
    assert RirSet.read(tmp_path / "one").digest == one.digest


def test_parts_share_no_room(tmp_path, room_folder):
    response = sorted(room_folder.rglob("*.wav"))[0].read_bytes()
    for number in range(20):
        (tmp_path / f"r{number}").mkdir()
        for place in "ab":
            (tmp_path / f"r{number}" / f"{place}.wav").write_bytes(response)
    rirs = RirSet.read(tmp_path)
    train, dev = rirs.part("train"), rirs.part("dev")
    assert not set(train.rooms) & set(dev.rooms) and set(train.rooms) | set(dev.rooms) == set(rirs.rooms)
    one = RirSet.of([response for response in rirs.responses if response.room == next(iter(dev.rooms))])
    assert one.part("train") is None and one.part("dev").digest == one.digest


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "holds no audio; expected room impulse responses"),
        ({"r/a.wav": np.ones(10)}, r"room 'r' has no response for noise besides r/a.wav; expected two or more"),
        ({"r/speech.wav": np.ones(10)}, "has no response for noise besides r/speech.wav"),
        ({"a.wav": np.ones(10), "b.wav": np.zeros(10)}, r"b\.wav: is silent in its first channel"),
        ({"a.wav": np.ones(10), "b.wav": None}, r"b\.wav: cannot be read"),
        ({"a.wav": np.ones(10), "b.wav": np.ones(61 * 1000)}, r"b\.wav: lasts 61 s; expected a room impulse response"),
    ],
)
def test_what_is_no_set_of_responses_is_named(tmp_path, files, told):
    for name, samples in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if samples is None:
            (tmp_path / name).write_text("no audio")
        else:
            write_audio(tmp_path / name, samples, 1000 if len(samples) > 1000 else RATE)
    with pytest.raises((InputError, AudioError), match=told):
        RirSet.read(tmp_path)


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such folder; expected one of room impulse responses"):
        RirSet.read(tmp_path / "nowhere")


def test_silent_speech_in_a_room_is_still_silent(mixer):
    with pytest.raises(InputError, match="speech is silent"):
        mixer.mix(np.zeros(3000, np.float32), "a/1.wav")

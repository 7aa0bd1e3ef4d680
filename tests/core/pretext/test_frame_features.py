"""What frames are clustered by: where frames lie, how many there are, and that they are those of the encoder."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torchaudio.compliance import kaldi

from sertool.core.audio.spectra import utterance_statistics
from sertool.core.errors import AudioError
from sertool.core.models.compact import CompactEncoder
from sertool.core.models.config import CompactConfig
from sertool.core.models.encoder import Encoder
from sertool.core.pretext.frame_features import CepstralHearing, EncoderHearing, announced_frames, cepstra

sys.path.append(str(Path(__file__).parents[1] / "models"))

from ssl_examples import FAMILIES
from ssl_examples import encoder as ssl_encoder

SAMPLES = [1, 100, 319, 320, 399, 400, 5000, 6399, 6400, 8000]


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(samples).astype(np.float32) / 10


def small(kind: str) -> Encoder:
    if kind != "compact":
        return ssl_encoder(kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CompactEncoder(CompactConfig(mels=20, dim=32, layers=3, kernel=5)).eval()


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech")
    for number, samples in enumerate(SAMPLES):
        soundfile.write(folder / f"{number}.wav", noise(samples, number), 16_000, subtype="FLOAT")
    return [str(folder / f"{number}.wav") for number in range(len(SAMPLES))]


def whole(frames: torch.Tensor, told: object) -> np.ndarray:
    """Return the frames themselves."""
    assert told == "told"
    return frames.numpy()


def impulse(sample: int) -> np.ndarray:
    signal = np.zeros(320 * 12, dtype=np.float32)
    signal[sample] = 1.0
    return signal


@pytest.mark.parametrize("frame", [3, 6])
def test_cepstra_are_centred_on_every_320th_sample(frame):
    shifts = np.arange(-320, 321, 8)
    level = np.array([cepstra(impulse(320 * frame + shift))[frame, 0].item() for shift in shifts])
    heard = level - level.min()
    assert abs((heard * shifts).sum() / heard.sum()) < 16  # a millisecond
    assert heard[0] == heard[-1] == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("samples", SAMPLES)
def test_an_utterance_has_a_frame_for_each_20_ms_however_short(samples):
    found = cepstra(noise(samples))
    assert found.shape == (1 + samples // 320, 39) and found.dtype == torch.float32 and torch.isfinite(found).all()


def test_away_from_the_ends_cepstra_are_those_of_kaldi():
    samples = noise(16_000)
    standard = (samples - samples.mean(dtype=np.float64)) / samples.std(dtype=np.float64)
    # Kaldi's frame i begins at sample 160 i, so its centre lies 200 samples behind that.
    theirs = kaldi.mfcc(torch.from_numpy(standard[120:]).float()[None], dither=0.0)
    torch.testing.assert_close(cepstra(samples)[1:49, :13], theirs[::2][:48], atol=1e-3, rtol=1e-4)


def test_differences_are_slopes_over_five_frames():
    found = cepstra(noise(16_000)).numpy()
    dense = cepstra_at_100_hz(noise(16_000))
    slopes = sum(n * (dense[4 + n : 97 + n] - dense[4 - n : 97 - n]) for n in (1, 2)) / 10
    np.testing.assert_allclose(found[2:49, 13:26], slopes[::2], atol=1e-3)
    second = sum(n * (slopes[2 + n : 91 + n] - slopes[2 - n : 91 - n]) for n in (1, 2)) / 10
    np.testing.assert_allclose(found[3:48, 26:], second[::2], atol=1e-3)


def cepstra_at_100_hz(samples: np.ndarray) -> np.ndarray:
    standard = (samples - samples.mean(dtype=np.float64)) / samples.std(dtype=np.float64)
    signal = torch.from_numpy(np.pad(standard, 200)).float()[None]
    return kaldi.mfcc(signal, dither=0.0).numpy().astype(np.float64)


def test_level_and_offset_change_nothing_and_silence_is_finite():
    samples = noise(5000)
    torch.testing.assert_close(cepstra(samples * 0.01 + 0.2), cepstra(samples), atol=2e-3, rtol=0)
    assert torch.isfinite(cepstra(np.zeros(3000, np.float32))).all()


def test_cepstra_of_files_come_in_order_whatever_the_threads(paths):
    threads = torch.get_num_threads()
    found = {}
    for number in (1, 3):
        torch.set_num_threads(number)
        try:
            found[number] = list(CepstralHearing(1).each([(path, "told") for path in paths], whole))
            assert torch.get_num_threads() == number
        finally:
            torch.set_num_threads(threads)
    for number, samples in enumerate(SAMPLES):
        np.testing.assert_array_equal(found[1][number], cepstra(noise(samples, number)).numpy())
        np.testing.assert_array_equal(found[1][number], found[3][number])
        assert len(found[1][number]) == announced_frames(paths[number])


@pytest.mark.parametrize("form", ["hubert-large", "data2vec-audio"])
def test_ssl_encoders_centre_their_first_frame_where_they_say(form):
    ours, waveform = ssl_encoder(form), torch.randn(1, 3200, requires_grad=True)
    features = ours.feature_extractor(waveform)  # (1, C, T), of convolutions and norms over channels
    (gradient,) = torch.autograd.grad((features[0, :, 4] * torch.randn(8)).sum(), waveform)
    heard = gradient[0].nonzero()[:, 0] - 4 * 320
    assert (heard.min().item() + heard.max().item() + 1) / 2 == ours.first_centre == 200


@pytest.mark.parametrize("kind", ["compact", *FAMILIES])
def test_hidden_states_are_those_of_each_utterance_alone(paths, kind):
    ours = small(kind)
    hearing = EncoderHearing(ours, 2, torch.device("cpu"))
    side = 0 if kind == "compact" else 200
    for number, found in enumerate(hearing.each([(path, "told") for path in paths], whole)):
        raw = torch.from_numpy(noise(SAMPLES[number], number))[None]
        lengths = torch.tensor([raw.shape[1]])
        prepared = ours.prepare(raw, lengths, utterance_statistics(raw, lengths))
        around = torch.cat([torch.zeros(1, side), prepared, torch.zeros(1, side)], 1)
        alone = ours(around, lengths + 2 * side).hidden_states[2][0].detach()
        assert len(found) == len(alone) == 1 + SAMPLES[number] // 320
        np.testing.assert_allclose(found, alone.numpy(), atol=1e-4)


def test_an_encoder_with_a_frame_less_has_its_last_one_twice(paths):
    # Of 401 samples a frame, 6400 samples with 200 on either side make 20; the file heard beside it is longer.
    ours = ssl_encoder("hubert-large", conv_kernel=[11, 3, 3, 3, 3, 2, 2])
    hearing = EncoderHearing(ours, 2, torch.device("cpu"))
    found, longer = hearing.each([(path, "told") for path in paths[-2:]], whole)
    assert (len(found), len(longer)) == (21, 26)
    assert found[19].any() and np.array_equal(found[19], found[20]) and not np.array_equal(found[18], found[19])


@pytest.mark.parametrize("hearing", [CepstralHearing(1), EncoderHearing(small("compact"), 0, torch.device("cpu"))])
def test_a_file_that_cannot_be_read_is_told(paths, tmp_path, hearing):
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    with pytest.raises(AudioError, match=r"bad\.wav"):
        list(hearing.each([(paths[0], "told"), (str(tmp_path / "bad.wav"), "told")], whole))

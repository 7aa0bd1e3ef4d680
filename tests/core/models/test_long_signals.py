"""Long signals: what comes block by block is what one pass over the whole gives, in memory that does not grow."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sertool.core.audio.blocks import ArraySource, FileSource
from sertool.core.audio.streams import survey
from sertool.core.errors import AudioError, OutputError
from sertool.core.models import long_signals, recognizer
from sertool.core.models.config import CompactConfig, EmotionConfig, EnhancementConfig, SharedConfig, SSLConfig
from sertool.core.models.long_signals import long_enhanced
from sertool.core.models.recognizer import Recognizer
from sertool.core.models.shared import SharedModel

SECONDS = 72  # three blocks, the last one shorter


@pytest.fixture(autouse=True)
def one_thread():
    """Models this small are slower in several threads, and very much so where others compute beside them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make(seed: int, *, memory: float = 1.0) -> Recognizer:
    """Return a random model; with a large `memory` its recurrent layers never forget."""
    config = SharedConfig(
        encoder=CompactConfig(mels=16, dim=12, layers=3, kernel=7),
        emotion=EmotionConfig(categories=("anger", "neutral"), attributes=("valence",), hidden=8),
        enhancement=EnhancementConfig(projection=8, hidden=8, layers=2),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SharedModel(config)
    with torch.no_grad():
        for weight in model.enhancement_head.recurrent.parameters():
            weight.mul_(memory)
    return Recognizer(model, folder=Path("tiny"), device=torch.device("cpu"), model_id="0")


def recording(seconds: float, rate: int = 16_000, channels: int | None = None) -> np.ndarray:
    """Return noise whose level differs by 40 dB from one stretch to the next: a block's own level would show."""
    rng = np.random.default_rng(1)
    shape = (round(seconds * rate),) if channels is None else (round(seconds * rate), channels)
    level = 10 ** (-2 * rng.random(1 + int(seconds) // 7)).repeat(7 * rate)[: shape[0]]
    return (0.3 * rng.standard_normal(shape) * level.reshape(-1, *[1] * (len(shape) - 1))).astype(np.float32)


@pytest.mark.parametrize(("seed", "memory"), [(0, 1.0), (1, 4.0), (2, 4.0)])
def test_blocks_say_what_one_pass_says(monkeypatch, seed, memory):
    listener, samples = make(seed, memory=memory), recording(SECONDS)
    streamed = (
        listener.enhance(samples, 16_000),
        listener.predict(samples, 16_000),
        listener.embed(samples, 16_000, layer=1),
    )
    monkeypatch.setattr(recognizer, "ONE_PASS", len(samples))
    whole = (
        listener.enhance(samples, 16_000),
        listener.predict(samples, 16_000),
        listener.embed(samples, 16_000, layer=1),
    )
    error = np.abs(streamed[0] - whole[0]).max() / np.abs(whole[0]).max()
    assert error < 1e-5  # -100 dB
    assert streamed[1].probabilities == pytest.approx(whole[1].probabilities, abs=1e-5)
    assert streamed[1].attributes == pytest.approx(whole[1].attributes, abs=1e-5)
    np.testing.assert_allclose(streamed[2], whole[2], atol=1e-5)


def test_an_encoder_that_hears_everything_goes_through_the_same_blocks(monkeypatch):
    listener, samples = make(0), recording(SECONDS)
    monkeypatch.setattr(type(listener.model.encoder), "reach", None)
    assert long_signals.encoder_context(listener.model) == long_signals.CONTEXT
    streamed = listener.enhance(samples, 16_000)
    monkeypatch.setattr(recognizer, "ONE_PASS", len(samples))
    np.testing.assert_allclose(streamed, listener.enhance(samples, 16_000), atol=1e-5)


def make_ssl(form: str, *, attends: bool) -> Recognizer:
    """Return a random model over a small self-supervised encoder of one layer, its attention shut off if asked for."""
    import ssl_examples  # here, since transformers takes seconds to import

    config = SharedConfig(
        encoder=SSLConfig(architecture=ssl_examples.architecture(form, num_hidden_layers=1), normalise=True),
        emotion=EmotionConfig(categories=("anger", "neutral"), hidden=8),
        enhancement=EnhancementConfig(projection=8, hidden=8, layers=1),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SharedModel(config)
    model.encoder.load_state_dict(ssl_examples.encoder(form, num_hidden_layers=1).state_dict())
    for layer in [] if attends else model.encoder.layers:
        torch.nn.init.zeros_(layer.attention.out_proj.weight)
    return Recognizer(model, folder=Path("tiny"), device=torch.device("cpu"), model_id="0")


@pytest.mark.parametrize("form", ["hubert-large"])
def test_frames_of_ssl_encoders_lie_where_one_pass_has_them(monkeypatch, form):
    """With attention shut off what remains reaches over 2.6 s: any shift between blocks, which have a frame less than
    a fiftieth of their seconds, would show."""
    listener, samples = make_ssl(form, attends=False), recording(43)
    monkeypatch.setattr(recognizer, "ONE_PASS", 0)
    streamed = listener.embed(samples, 16_000), listener.predict(samples, 16_000), listener.enhance(samples, 16_000)
    monkeypatch.setattr(recognizer, "ONE_PASS", len(samples))
    whole = listener.embed(samples, 16_000), listener.predict(samples, 16_000), listener.enhance(samples, 16_000)
    np.testing.assert_allclose(streamed[0], whole[0], atol=2e-5)
    assert streamed[1].probabilities == pytest.approx(whole[1].probabilities, abs=1e-5)
    np.testing.assert_allclose(streamed[2], whole[2], atol=1e-5)


@pytest.mark.parametrize("form", ["wavlm", "hubert-large"])
@pytest.mark.parametrize("more", [0, 81, 319])
def test_ssl_encoders_hear_every_length(monkeypatch, form, more):
    listener, samples = make_ssl(form, attends=True), recording(41)[: 40 * 16_000 + more]
    monkeypatch.setattr(recognizer, "ONE_PASS", 0)
    frames = listener.embed(samples, 16_000)
    assert frames.shape == ((len(samples) - 400) // 320 + 1, 32) and np.isfinite(frames).all()


@pytest.mark.parametrize(("layers", "kernel"), [(4, 5), (1, 3)])
def test_the_reach_of_the_encoder(layers, kernel):
    torch.manual_seed(0)
    config = CompactConfig(mels=8, dim=6, layers=layers, kernel=kernel)
    encoder = SharedModel(SharedConfig(encoder=config)).encoder.eval()
    samples = torch.randn(1, 64_000)
    lengths, centre, frame = torch.tensor([64_000]), 32_000, 100

    def after(change_at: int) -> torch.Tensor:
        changed = samples.clone()
        changed[0, change_at] += 100.0
        with torch.inference_mode():
            return encoder(changed, lengths).hidden_states[-1][0, frame]

    with torch.inference_mode():
        before = encoder(samples, lengths).hidden_states[-1][0, frame]
    for side in (-1, 1):
        assert torch.equal(after(centre + side * (encoder.reach + 1)), before)
    reached = [not torch.equal(after(centre + side * (encoder.reach - 170)), before) for side in (-1, 1)]
    assert any(reached)


@pytest.mark.parametrize(("upper_band", "dry"), [("drop", 0.0), ("follow", 0.3)])
def test_a_file_has_the_samples_of_an_array(tmp_path, upper_band, dry):
    samples = recording(SECONDS, 22_050, 2)
    samples[:, 1] = 0
    soundfile.write(tmp_path / "a.wav", samples, 22_050, subtype="FLOAT")
    listener = make(0)
    info = listener.enhance_file(tmp_path / "a.wav", tmp_path / "b.wav", dry=dry, upper_band=upper_band)
    assert (info.frames, info.rate, info.channels) == (len(samples), 22_050, 2)
    written, _ = soundfile.read(tmp_path / "b.wav", dtype="float32")
    np.testing.assert_array_equal(written, listener.enhance(samples, 22_050, dry=dry, upper_band=upper_band))
    assert not written[:, 1].any() and written[:, 0].any()
    assert listener.predict(FileSource(tmp_path / "a.wav")) == listener.predict(samples, 22_050)


def test_a_long_silence_stays_silence():
    samples = np.zeros((SECONDS * 8000, 2), np.float32)
    np.testing.assert_array_equal(make(0).enhance(samples, 8000), samples)


def test_a_file_whose_end_is_wrong_leaves_no_output(tmp_path):
    samples = recording(SECONDS)
    samples[-1] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match="not numbers"):
        make(0).enhance_file(tmp_path / "a.wav", tmp_path / "out" / "b.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_a_full_temporary_folder_is_named(monkeypatch):
    class Full:
        def write(self, data: object) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr(long_signals.tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(OutputError, match=r"No space left on device.*set TMPDIR"):
        make(0).enhance(recording(SECONDS), 16_000)


def test_the_caller_keeps_its_own_mode_between_blocks():
    listener, source = make(0), ArraySource(recording(SECONDS), 16_000)
    for _ in long_enhanced(listener.model, source, survey(source), threading.Lock):
        assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()


PEAKS = """
import json, resource, sys
from sertool.core.audio.blocks import FileSource
from sertool.core.models.inference import load

listener, peaks_mb = load(sys.argv[1], "cpu"), []
for name in sys.argv[2:]:
    listener.enhance_file(name, name + ".out.flac", upper_band="follow")
    listener.predict(FileSource(name))
    list(listener.predict_windows(FileSource(name)))
    peaks_mb.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(json.dumps(peaks_mb))
"""


def test_memory_does_not_grow_with_the_recording(tmp_path):
    make(0).model.save_pretrained(tmp_path / "model")
    names = [str(tmp_path / f"{seconds}.flac") for seconds in (100, 400)]
    for name, seconds in zip(names, (100, 400), strict=True):
        soundfile.write(name, recording(seconds, 22_050), 22_050)
    command = [sys.executable, "-c", PEAKS, str(tmp_path / "model"), *names]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    short_mb, long_mb = json.loads(done.stdout)
    # Five minutes more: their samples at both rates are 50 MB, each of their complex spectra is 50 MB.
    assert long_mb < short_mb + 30

"""Long signals through the dual-path head: what comes block by block is what one pass gives, to a stated bound."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sertool.core.models import recognizer
from sertool.core.models.config import CompactConfig, DualPathConfig, SharedConfig
from sertool.core.models.recognizer import Recognizer
from sertool.core.models.shared import SharedModel

SECONDS = 43  # two blocks


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make(**settings) -> Recognizer:
    config = SharedConfig(
        encoder=CompactConfig(mels=8, dim=8, layers=1, kernel=5),
        enhancement=DualPathConfig(channels=4, hidden=4, blocks=1, decoder=4, **settings),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SharedModel(config)
        for weight in model.enhancement_head.mask.parameters():
            torch.nn.init.normal_(weight)
    return Recognizer(model, folder=Path("tiny"), device=torch.device("cpu"), model_id="0")


def recording(rate: int, channels: int) -> np.ndarray:
    """Return noise whose level differs by up to 40 dB from one stretch of 7 s to the next."""
    generator = np.random.default_rng(1)
    level = 10 ** (-2 * generator.random(1 + SECONDS // 7)).repeat(7 * rate)[: SECONDS * rate, None]
    return (0.3 * generator.standard_normal((SECONDS * rate, channels)) * level).astype(np.float32)


@pytest.mark.parametrize("settings", [{}, {"features": "none"}, {"features": "none", "causal": True}])
def test_blocks_give_what_one_pass_gives(monkeypatch, settings):
    listener, samples = make(**settings), recording(16_000, 1)
    monkeypatch.setattr(recognizer, "ONE_PASS", 40 * 16_000)
    streamed = listener.enhance(samples, 16_000)
    monkeypatch.setattr(recognizer, "ONE_PASS", len(samples))
    whole = listener.enhance(samples, 16_000)
    assert np.abs(streamed - whole).max() < 1e-5 * np.abs(whole).max()


def test_a_recognizer_streams_while_others_use_it():
    listener, samples = make(features="none", causal=True), recording(16_000, 1)[:16_000]
    stream = listener.stream(1)
    first = stream.push(samples[:5000])
    between = listener.enhance(samples, 16_000)
    streamed = np.concatenate([first, stream.push(samples[5000:]), stream.flush()])
    np.testing.assert_allclose(streamed, between, atol=1e-5 * np.abs(between).max())


def test_what_is_long_remembered_fades_from_one_block_into_the_next(monkeypatch):
    listener, samples = make(features="none"), recording(16_000, 1)
    with torch.no_grad():
        for lstm in (block.over_time.forwards for block in listener.model.enhancement_head.blocks):
            lstm.bias_ih_l0[4:8] += 2.0  # the forget gates
    streamed = listener.enhance(samples, 16_000)
    monkeypatch.setattr(recognizer, "ONE_PASS", len(samples))
    whole = listener.enhance(samples, 16_000)
    assert np.abs(streamed - whole).max() < 1e-5 * np.abs(whole).max()


@pytest.mark.parametrize("causal", [False, True])
def test_a_file_has_the_samples_of_an_array(tmp_path, causal):
    samples = recording(22_050, 2)
    samples[:, 1] = 0
    soundfile.write(tmp_path / "a.wav", samples, 22_050, subtype="FLOAT")
    listener = make(features="none", causal=causal)
    listener.enhance_file(tmp_path / "a.wav", tmp_path / "b.wav", dry=0.2, upper_band="follow")
    written, _ = soundfile.read(tmp_path / "b.wav", dtype="float32")
    np.testing.assert_array_equal(written, listener.enhance(samples, 22_050, dry=0.2, upper_band="follow"))
    assert written.shape == samples.shape and not written[:, 1].any() and written[:, 0].any()

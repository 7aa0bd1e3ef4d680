"""A stream gives what one pass over the whole gives, however it is cut, no later than it says."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import integers, lists

from sertool.core.errors import InputError
from sertool.core.models.config import DualPathConfig, LogMelConfig, SharedConfig
from sertool.core.models.shared import SharedModel
from sertool.core.models.streaming import LATENCY, LATENCY_MS, EnhancementStream


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make(*, causal: bool = True) -> SharedModel:
    head = DualPathConfig(features="none", causal=causal, channels=8, hidden=8, blocks=2, decoder=8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SharedModel(SharedConfig(encoder=LogMelConfig(), enhancement=head)).eval()
        for weight in model.enhancement_head.mask.parameters():
            torch.nn.init.normal_(weight)
    return model


MODEL = make()


def signal(samples: int, channels: int) -> np.ndarray:
    """Return noise of changing level, (samples, channels)."""
    generator = np.random.default_rng(samples)
    level = np.repeat(generator.uniform(0.01, 0.3, 1 + samples // 999), 999)[:samples, None]
    return (generator.standard_normal((samples, channels)) * level).astype(np.float32)


def offline(samples: np.ndarray) -> np.ndarray:
    lengths = torch.full((samples.shape[1],), len(samples))
    return MODEL.enhance(torch.from_numpy(samples.T.copy()), lengths).numpy().T


@settings(max_examples=25, deadline=None)
@given(blocks=lists(integers(0, 2500), min_size=1, max_size=12), channels=integers(1, 3))
def test_any_blocks_give_the_samples_of_one_pass(blocks, channels):
    samples = signal(sum(blocks), channels)
    stream, out, taken = EnhancementStream(MODEL, channels), [], 0
    for block in blocks:
        out.append(stream.push(samples[taken : taken + block]))
        taken += block
        given_out = sum(map(len, out))
        assert given_out == max(0, 256 * (taken // 256 - 1)) and taken - given_out <= LATENCY
    out.append(stream.flush())
    streamed = np.concatenate(out)
    assert streamed.shape == samples.shape
    if len(samples):
        whole = offline(samples)
        assert np.abs(streamed - whole).max() <= 1e-5 * np.abs(whole).max()


def test_a_stream_begins_anew_after_its_end():
    samples, stream = signal(3000, 1)[:, 0], EnhancementStream(MODEL)
    first = np.concatenate([stream.push(samples), stream.flush()])
    assert first.shape == samples.shape
    np.testing.assert_array_equal(np.concatenate([stream.push(samples), stream.flush()]), first)
    assert stream.flush().shape == (0,)


def test_channels_do_not_hear_one_another():
    samples = signal(4000, 2)
    both, alone = EnhancementStream(MODEL, 2), EnhancementStream(MODEL, 1)
    together = np.concatenate([both.push(samples), both.flush()])
    one = np.concatenate([alone.push(samples[:, 1:]), alone.flush()])
    np.testing.assert_allclose(together[:, 1:], one, atol=1e-5 * np.abs(one).max())


def test_gains_are_those_of_one_pass(monkeypatch):
    samples, stream = signal(5000, 1), EnhancementStream(MODEL, 1)
    mask = MODEL.enhancement_head.mask
    for weight, bias in zip(mask.weights, mask.biases, strict=True):  # so that gains lie below one, where they vary
        monkeypatch.setattr(weight, "data", 0.3 * weight.data)
        monkeypatch.setattr(bias, "data", 0.1 * bias.data - 0.5)
    parts = [stream.hear(samples[:1234]), stream.hear(samples[1234:]), stream.finish()]
    gains = np.concatenate([gain for _, gain in parts])[:, 0]
    speech = MODEL.estimate(torch.from_numpy(samples.T.copy()), torch.tensor([5000]))
    frames = speech.top_octave_gain[0].numpy()
    wanted = np.interp(np.arange(5000) / speech.gain_hop, np.arange(len(frames)), frames)
    assert wanted.std() > 0.02
    np.testing.assert_allclose(gains, wanted, atol=1e-5)


def test_much_at_once_is_cut_into_parts(monkeypatch):
    samples = signal(9000, 1)[:, 0]
    whole = EnhancementStream(MODEL).push(samples)
    monkeypatch.setattr("sertool.core.models.streaming.MOST_FRAMES", 7)
    np.testing.assert_allclose(EnhancementStream(MODEL).push(samples), whole, atol=1e-5 * np.abs(whole).max())


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (np.zeros(300, np.int16), "are int16; expected floating point"),
        (np.full(300, 1e25), r"reach 1e\+25"),
        (np.array([0.0, np.nan]), "not numbers"),
    ],
)
def test_a_block_that_cannot_be_used_leaves_the_stream_as_it_was(spoilt, words):
    samples, stream = signal(3000, 1)[:, 0], EnhancementStream(MODEL)
    first = stream.push(samples[:1000])
    with pytest.raises(InputError, match=words):
        stream.push(spoilt)
    out = np.concatenate([first, stream.push(samples[1000:]), stream.flush()])
    np.testing.assert_allclose(out, offline(samples[:, None])[:, 0], atol=1e-5 * np.abs(out).max())


def test_blocks_may_be_of_any_kind_and_layout():
    samples = signal(2000, 2)
    stream = EnhancementStream(MODEL, 2)
    wanted = stream.push(samples)
    backwards = samples[::-1].copy()[::-1]
    for same in (
        backwards,
        np.asfortranarray(samples),
        samples.astype(np.float64),
        torch.tensor(samples).requires_grad_(),
    ):
        np.testing.assert_array_equal(EnhancementStream(MODEL, 2).push(same), wanted)


def test_the_latency_is_a_window():
    assert (LATENCY, LATENCY_MS) == (512, 32.0)


def test_what_cannot_be_streamed_is_refused():
    with pytest.raises(InputError, match="cannot enhance a stream"):
        EnhancementStream(make(causal=False))
    with pytest.raises(ValueError, match=r"takes \(n, 2\)"):
        EnhancementStream(MODEL, 2).push(np.zeros(10))
    with pytest.raises(InputError, match="not numbers"):
        EnhancementStream(MODEL).push(np.array([0.0, np.nan]))

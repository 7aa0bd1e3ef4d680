"""Hidden frames: replaced where `transformers` replaces them, and nowhere else."""

import pytest
import torch
from ssl_examples import FAMILIES, FORMS, encoder, reference

from sertool.core.models.compact import CompactEncoder
from sertool.core.models.config import CompactConfig, LogMelConfig
from sertool.core.models.encoder import Encoder, HiddenFrames
from sertool.core.models.log_mel import LogMelEncoder
from sertool.core.training.layers import checkpoint_layers

KINDS = ("compact", *FAMILIES)


@pytest.fixture(autouse=True)
def one_thread():
    """Models this small are slower in several threads, and very much so where others compute beside them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def drawn(*shape: int, seed: int = 2) -> torch.Tensor:
    """Return which frames to hide, about half."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.5


def small(kind: str) -> Encoder:
    if kind != "compact":
        return encoder(kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CompactEncoder(CompactConfig(mels=20, dim=32, layers=3, kernel=5)).eval()


@pytest.mark.parametrize("form", FORMS)
def test_ssl_encoders_hide_frames_as_transformers_does(form):
    waveform, where, vector = noise(2, 6400), drawn(2, 19), noise(32, seed=1)
    theirs = reference(form, apply_spec_augment=True)
    theirs.masked_spec_embed.data.copy_(vector)
    expected = theirs(waveform, mask_time_indices=where, output_hidden_states=True)
    lengths = torch.tensor([6400, 6400])
    ours = encoder(form)(waveform, lengths, hidden=HiddenFrames(where, vector))
    for state, other in zip(ours.hidden_states[:-1], expected.hidden_states[:-1], strict=True):
        torch.testing.assert_close(state, other, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.hidden_states[-1], expected.last_hidden_state, atol=1e-5, rtol=0)
    plain = encoder(form)(waveform, lengths)
    assert (ours.hidden_states[-1] - plain.hidden_states[-1]).abs().max() > 0.1


def test_the_compact_encoder_hides_frames_between_front_end_and_layers():
    ours, where, vector = small("compact"), drawn(2, 21), noise(32, seed=1)
    waveform, lengths = noise(2, 6400), torch.tensor([6400, 6400])
    first = ours(waveform, lengths).hidden_states[0]
    states = ours(waveform, lengths, hidden=HiddenFrames(where, vector)).hidden_states
    assert torch.equal(states[0][where], vector.expand(int(where.sum()), -1))
    assert torch.equal(states[0][~where], first[~where])
    x = states[0]
    for layer in ours.layers:
        x = layer(x, torch.ones(2, 21, 1))
    torch.testing.assert_close(states[-1], ours.final_norm(x))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_hidden_changes_nothing_and_is_not_heard(kind):
    # Everything is hidden: what the front end made of the samples is gone, of whatever it was made.
    ours, vector, lengths = small(kind), noise(32, seed=1), torch.tensor([6400])
    hidden = HiddenFrames(torch.ones(1, 21, dtype=torch.bool), vector)
    one, other = (ours(noise(1, 6400, seed=seed), lengths, hidden=hidden).hidden_states for seed in (3, 4))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    nothing = HiddenFrames(torch.zeros(1, 21, dtype=torch.bool), vector)
    heard, plain = ours(noise(1, 6400), lengths, hidden=nothing), ours(noise(1, 6400), lengths)
    assert all(torch.equal(a, b) for a, b in zip(heard.hidden_states, plain.hidden_states, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_frames_too_many_are_cut_and_frames_beyond_are_heard(kind):
    ours, vector, waveform, lengths = small(kind), noise(32, seed=1), noise(1, 6400), torch.tensor([6400])
    frames = int(ours(waveform, lengths).frame_lengths)
    where = drawn(1, frames + 2)
    where[0, frames - 2 :] = True
    cut = HiddenFrames(where[:, :frames], vector)
    short = HiddenFrames(where[:, : frames - 2], vector)
    heard = where[:, :frames].clone()
    heard[:, -2:] = False
    results = [
        ours(waveform, lengths, hidden=hidden).hidden_states[-1]
        for hidden in (HiddenFrames(where, vector), cut, short, HiddenFrames(heard, vector))
    ]
    assert torch.equal(results[0], results[1]) and torch.equal(results[2], results[3])
    assert not torch.equal(results[1], results[2])


@pytest.mark.parametrize("kind", KINDS)
def test_padding_stays_zero_and_an_utterance_its_own(kind):
    ours, vector, waveform = small(kind), noise(32, seed=1), noise(2, 6400)
    where = drawn(2, 21)
    where[1, 8:] = True
    padded = ours(waveform, torch.tensor([6400, 4000]), hidden=HiddenFrames(where, vector))
    own = int(padded.frame_lengths[1])
    assert not any(state[1, own:].any() for state in padded.hidden_states)
    alone = ours(waveform[1:, :4000], torch.tensor([4000]), hidden=HiddenFrames(where[1:], vector))
    for state, other in zip(padded.hidden_states, alone.hidden_states, strict=True):
        torch.testing.assert_close(state[1:, :own], other, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_vector_learns_and_checkpointing_changes_no_gradient(kind):
    def gradients(*, checkpointed: bool) -> list[torch.Tensor]:
        ours, vector = small(kind), noise(32, seed=1).requires_grad_()
        ours.requires_grad_(False)
        ours.layers[1].requires_grad_(True)
        if checkpointed:
            checkpoint_layers(ours)
        output = ours(noise(2, 4000), torch.tensor([4000, 2500]), hidden=HiddenFrames(drawn(2, 12), vector))
        (output.hidden_states[-1] * noise(*output.hidden_states[-1].shape, seed=5)).sum().backward()
        return [vector.grad, *(parameter.grad for parameter in ours.layers[1].parameters())]

    plain, again = gradients(checkpointed=False), gradients(checkpointed=True)
    assert plain[0].abs().min() > 0
    for one, other in zip(plain, again, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_precision_is_near_float32(kind):
    ours, waveform, lengths = small(kind), noise(2, 6400), torch.tensor([6400, 4000])
    hidden = HiddenFrames(drawn(2, 20), noise(32, seed=1))
    exact = ours(waveform, lengths, hidden=hidden).hidden_states[-1]
    with torch.autocast("cpu", torch.bfloat16):
        rough = ours(waveform, lengths, hidden=hidden).hidden_states[-1]
    assert (exact - rough.float()).square().mean().sqrt() < 0.05 * exact.square().mean().sqrt()


def test_log_mel_energies_cannot_be_hidden():
    hidden = HiddenFrames(torch.ones(1, 3, dtype=torch.bool), torch.zeros(160))
    with pytest.raises(ValueError, match="take an encoder that has weights"):
        LogMelEncoder(LogMelConfig())(noise(1, 800), torch.tensor([800]), hidden=hidden)

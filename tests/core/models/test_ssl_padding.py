"""An utterance in a padded batch is what it is alone; in transformers, with the mask it asks for, it is not."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ssl_examples import FORMS, encoder, reference
from torch import Tensor, nn
from torch.nn import functional as F

from sertool.core.models.ssl_padding import at_least, convolved, masked_group_norm

ours, theirs = cache(encoder), cache(reference)


@pytest.fixture(autouse=True)
def one_thread():
    """Models this small are slower in several threads, and very much so where others compute beside them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def utterances(lengths: list[int], seed: int = 0) -> list[Tensor]:
    """Return noise with a level of its own for each utterance: statistics of another's would be far off."""
    generator = torch.Generator().manual_seed(seed)
    levels = 10 ** (2 * torch.rand(len(lengths), generator=generator) - 1)
    return [level * torch.randn(n, generator=generator) for n, level in zip(lengths, levels, strict=True)]


def largest_difference(batch: tuple[Tensor, ...], alone: list[tuple[Tensor, ...]]) -> float:
    """Return how far any frame of any hidden state of a batch is from that of its utterance alone."""
    return max(
        float((state[row, : own.shape[1]] - own[0]).abs().max())
        for row, states in enumerate(alone)
        for state, own in zip(batch, states, strict=True)
    )


@torch.no_grad()
def difference(form: str, parts: list[Tensor], padding: float = 0.0, model: nn.Module | None = None) -> float:
    """Return what the batch does to the hidden states of ours; that they are zero in the padding is asserted."""
    model = model or ours(form)
    lengths = torch.tensor([len(part) for part in parts])
    batch = nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=padding)
    output = model(batch, lengths)
    alone = [model(part[None], torch.tensor([len(part)])) for part in parts]
    assert output.frame_lengths.tolist() == [int(one.frame_lengths) for one in alone]
    assert output.frame_lengths.tolist() == [max(0, (int(n) - 400) // 320) + 1 for n in lengths]
    for state in output.hidden_states:
        assert state.shape[1] == output.frame_lengths.max()
        assert not any(row[n:].any() for row, n in zip(state, output.frame_lengths, strict=True))
    return largest_difference(output.hidden_states, [one.hidden_states for one in alone])


@torch.no_grad()
def difference_of_transformers(form: str, parts: list[Tensor]) -> float:
    batch = nn.utils.rnn.pad_sequence(parts, batch_first=True)
    mask = nn.utils.rnn.pad_sequence([torch.ones(len(part), dtype=torch.long) for part in parts], batch_first=True)
    output = theirs(form)(batch, attention_mask=mask, output_hidden_states=True)
    alone = [theirs(form)(part[None], output_hidden_states=True) for part in parts]
    return largest_difference(output.hidden_states, [one.hidden_states for one in alone])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("ignore:Support for mismatched")  # of torch, over what WavLM in transformers hands to it
def test_transformers_hears_the_padding_and_ours_does_not(form):
    parts = utterances([8000, 3500, 5200])
    assert difference(form, parts) < 1e-5
    if form.endswith("-large"):
        assert difference_of_transformers(form, parts) < 1e-5
    else:
        assert difference_of_transformers(form, parts) > 0.1


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=6)
@given(lengths=st.lists(st.integers(1, 6000), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_any_lengths_agree(form, lengths, seed):
    assert difference(form, utterances(lengths, seed)) < 1e-5


@cache
def exact(form: str) -> nn.Module:
    """Return ours in float64."""
    return encoder(form).double()


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=4)
@given(lengths=st.lists(st.integers(1, 6000), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_any_lengths_agree_but_for_rounding(form, lengths, seed):
    parts = [part.double() for part in utterances(lengths, seed)]
    assert difference(form, parts, model=exact(form)) < 1e-12


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=5)
@given(lengths=st.lists(st.integers(400, 6000), min_size=1, max_size=3), further=st.integers(0, 900))
@torch.no_grad()
def test_convolutions_of_a_batch_are_bit_by_bit_those_alone(form, lengths, further):
    """What differs by rounding alone, the norm behind the convolutions would enlarge."""
    extractor, parts = ours(form).feature_extractor, utterances(lengths)
    batch = F.pad(nn.utils.rnn.pad_sequence(parts, batch_first=True), (0, further), value=7.0)
    features, frames = convolved(extractor, batch, torch.tensor(lengths))
    assert features.shape[1] == (batch.shape[1] - 400) // 320 + 1
    assert frames.tolist() == [(n - 400) // 320 + 1 for n in lengths]
    for row, part, own in zip(features, parts, frames, strict=True):
        assert torch.equal(row[:own], extractor(part[None])[0].T)


@pytest.mark.parametrize("form", FORMS)
def test_what_lies_in_the_padding_is_not_heard(form):
    assert difference(form, utterances([3000, 1700, 150]), padding=7.0) < 1e-5


@pytest.mark.parametrize("form", ["hubert", "hubert-large"])
def test_a_batch_norm_before_the_positional_convolution(form):
    """As in multilingual HuBERT: what it makes of zeros are none, and its statistics are those it was trained with."""
    torch.manual_seed(0)
    model = encoder(form, conv_pos_batch_norm=True, dropout=0.0)
    norm = model.encoder.pos_conv_embed.batch_norm
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2.0)
    parts = utterances([6000, 2500])
    batch, lengths = nn.utils.rnn.pad_sequence(parts, batch_first=True), torch.tensor([6000, 2500])
    before = norm.running_mean.clone()
    for mode in (False, True):
        model.train(mode)
        with torch.no_grad():
            output = model(batch, lengths).hidden_states
            alone = [model(part[None], torch.tensor([len(part)])).hidden_states for part in parts]
        assert largest_difference(output, alone) < 1e-5
    assert torch.equal(norm.running_mean, before)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_of_a_batch_are_the_sums_of_those_alone(form):
    parts = utterances([4000, 2300, 300])
    model = encoder(form)

    def gradients(batches: list[list[Tensor]]) -> dict[str, Tensor]:
        model.zero_grad()
        for batch in batches:
            lengths = torch.tensor([len(part) for part in batch])
            output = model(nn.utils.rnn.pad_sequence(batch, batch_first=True), lengths)
            sum(state.sin().sum() for state in output.hidden_states).backward()
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    alone = gradients([[part] for part in parts])
    for name, together in gradients([parts]).items():
        scale = alone[name].abs().max().clamp(min=1.0)
        torch.testing.assert_close(together / scale, alone[name] / scale, atol=1e-4, rtol=0)


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4), level=st.floats(-10, 10))
def test_group_norm_of_each_row_by_itself(lengths, level):
    generator = torch.Generator().manual_seed(sum(lengths))
    norm = nn.GroupNorm(3, 3)
    nn.init.normal_(norm.weight, generator=generator)
    nn.init.normal_(norm.bias, generator=generator)
    rows = level + torch.randn(len(lengths), 3, max(lengths), generator=generator)
    normed = masked_group_norm(norm, rows, torch.tensor(lengths))
    for row, out, n in zip(rows, normed, lengths, strict=True):
        # A second row beside it, since torch refuses to normalise a single number; it has statistics of its own.
        own = torch.stack([row[:, :n], torch.zeros(3, n)]).double()
        expected = F.group_norm(own, 3, norm.weight.double(), norm.bias.double(), norm.eps)[0]
        # What rounding leaves of a deviation of zero is divided by the square root of eps, 0.003.
        torch.testing.assert_close(out[:, :n].double(), expected, atol=1e-3, rtol=1e-3)


def test_short_utterances_are_lengthened_by_zeros():
    waveform, lengths = at_least(torch.ones(2, 5), torch.tensor([5, 2]), 7)
    assert waveform.tolist() == [[1, 1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0, 0]]
    assert lengths.tolist() == [7, 7]
    waveform, lengths = at_least(torch.ones(2, 9), torch.tensor([9, 2]), 7)
    assert waveform.shape == (2, 9) and lengths.tolist() == [9, 7]


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_one_frame_of_what_is_shorter_than_a_frame(form):
    [part] = utterances([50])
    [alone] = ours(form)(part[None], torch.tensor([50])).hidden_states[-1]
    expected = theirs(form)(F.pad(part, (0, 350))[None]).last_hidden_state[0]
    torch.testing.assert_close(alone, expected, atol=1e-5, rtol=0)

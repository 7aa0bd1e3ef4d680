"""Layers computed twice or compiled give the gradients of plain ones, under the same names of weights."""

import pytest
import torch
import torch._dynamo

from sertool.core.errors import InputError
from sertool.core.models.adaptation import adapt_encoder, select_masks
from sertool.core.models.config import AdaptConfig, CompactConfig, LogMelConfig, RouterConfig, SSLConfig
from sertool.core.models.encoder import build_encoder
from sertool.core.training import layers
from sertool.core.training.layers import checkpoint_layers, compile_layers

WAVLM = {
    "model_type": "wavlm",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [8, 8],
    "conv_stride": [20, 16],
    "conv_kernel": [25, 16],
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}


def encoder(name, layers=2):
    torch.manual_seed(0)
    if name == "compact":
        return build_encoder(CompactConfig(mels=16, dim=16, layers=layers, kernel=5, dropout=0.2))
    return build_encoder(SSLConfig(architecture=WAVLM, normalise=True, dropout=0.2))


def gradients(encoder, samples=6400):
    """Return the gradient of every weight that has one, under the dropout of one seed."""
    generator = torch.Generator().manual_seed(1)
    waveform = torch.randn(2, samples, generator=generator)
    torch.manual_seed(2)
    output = encoder(waveform, torch.tensor([samples, samples - 1600]))
    sum(state.square().mean() for state in output.hidden_states).backward()
    return {name: weight.grad for name, weight in encoder.named_parameters() if weight.grad is not None}


def assert_same_gradients(found, expected, atol):
    assert found.keys() == expected.keys() and len(found) >= 8
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=atol, rtol=0, msg=lambda text, name=name: name + text)


@pytest.mark.parametrize("name", ["compact", "wavlm"])
def test_layers_computed_twice_have_the_same_gradients_and_keep_less(name):
    plain, twice = encoder(name), encoder(name)
    checkpoint_layers(twice)
    assert plain.state_dict().keys() == twice.state_dict().keys()
    kept = []
    for one in (plain, twice):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, sizes=sizes: sizes.append(x.numel()) or x, lambda x: x):
            one.grads = gradients(one)
        kept.append(sum(sizes))
    assert_same_gradients(twice.grads, plain.grads, atol=1e-6)
    assert kept[1] < kept[0]


@pytest.mark.parametrize("name", ["compact", "wavlm"])
def test_what_is_computed_twice_is_under_the_masks_of_the_first_time(name):
    plain, twice = encoder(name), encoder(name)
    router = AdaptConfig(how="router", router=RouterConfig(sparsity=0.4, init="uniform", masks="per-head"))
    for one in (plain, twice):
        torch.manual_seed(3)
        adapt_encoder(one, router, ("emotion", "enhancement"))
    checkpoint_layers(twice)
    for one in (plain, twice):
        one.grads = {}
        for parameter in one.parameters():
            parameter.grad = None
        total = 0.0
        for number, head in enumerate(("emotion", "enhancement")):
            select_masks(one, head)
            torch.manual_seed(4)
            states = one(torch.ones(1, 6400).cumsum(1).sin(), torch.tensor([6400])).hidden_states
            total = total + (number + 1) * states[-1].square().mean() + states[1].mean()
        total.backward()
        one.grads = {name: weight.grad for name, weight in one.named_parameters() if weight.grad is not None}
    assert_same_gradients(twice.grads, plain.grads, atol=1e-6)


def test_without_gradients_nothing_is_computed_twice():
    twice = encoder("compact").eval()
    expected = twice(torch.ones(1, 3200), torch.tensor([3200])).hidden_states[-1]
    checkpoint_layers(twice)
    with torch.no_grad():
        found = twice(torch.ones(1, 3200), torch.tensor([3200])).hidden_states[-1]
    assert torch.equal(found, expected)


def test_compiled_layers_have_the_same_gradients_at_any_length(monkeypatch):
    # The compiler's front half, which captures the layers and their gradients; its back half writes C++ for a minute.
    monkeypatch.setattr(layers, "COMPILER", "aot_eager")
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 8)  # and put back what it was
    plain, compiled = encoder("compact", layers=1).eval(), encoder("compact", layers=1).eval()
    compile_layers(compiled)
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    torch._dynamo.utils.counters.clear()
    for samples in (6400, 9600, 8000):
        plain.zero_grad()
        compiled.zero_grad()
        assert_same_gradients(gradients(compiled, samples), gradients(plain, samples), atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1  # one for all lengths


@pytest.mark.parametrize("change", [checkpoint_layers, compile_layers])
def test_an_encoder_without_layers_is_told(change):
    with pytest.raises(InputError, match="has none"):
        change(build_encoder(LogMelConfig()))

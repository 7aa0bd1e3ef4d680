"""Linear layers by oneDNN: the sums and gradients of torch's own."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import booleans, integers, lists
from peft import LoraConfig, inject_adapter_in_model
from ssl_examples import FAMILIES, encoder, reference
from torch import nn
from torch.nn import functional as F

from sertool.core.models import onednn
from sertool.core.models.onednn import SMALLEST_WEIGHT, Linear, linear, use_onednn

HAS_ONEDNN = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs torch with oneDNN")


def layers(inputs: int = 128, outputs: int = 136) -> tuple[nn.Linear, nn.Linear]:
    """Return a layer of torch's, and ours with the same weights, large enough to be computed by oneDNN."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = nn.Linear(inputs, outputs)
    ours = copy.deepcopy(theirs)
    use_onednn(ours)
    return theirs, ours


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


def calls(function) -> set[str]:
    """Return the names of torch's operators that a function calls."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        function()
    return {event.key for event in profiler.key_averages()}


@settings(max_examples=30)
@given(
    shape=lists(integers(1, 6), min_size=0, max_size=2),
    inputs=integers(1, 40),
    outputs=integers(1, 40),
    bias=booleans(),
)
def test_outputs_and_gradients_are_those_of_the_definition(shape, inputs, outputs, bias):
    exact = [noise(*shape, inputs, dtype=torch.float64), noise(outputs, inputs, dtype=torch.float64)]
    exact += [noise(outputs, dtype=torch.float64)] if bias else []
    given_ = [tensor.float().requires_grad_() for tensor in exact]
    exact = [tensor.detach().double().requires_grad_() for tensor in given_]
    y = linear(*given_, *([] if bias else [None]))
    expected = exact[0] @ exact[1].T + (exact[2] if bias else 0)
    weights = noise(*expected.shape, dtype=torch.float64)
    (y * weights.float()).sum().backward()
    (expected * weights.float()).sum().backward()
    for found, other in zip([y, *(t.grad for t in given_)], [expected, *(t.grad for t in exact)], strict=True):
        torch.testing.assert_close(found.double(), other, atol=1e-5, rtol=1e-5)


def test_gradients_are_the_numerical_ones_twice():
    tensors = [noise(2, 3, 5, dtype=torch.float64), noise(4, 5, dtype=torch.float64), noise(4, dtype=torch.float64)]
    tensors = [tensor.requires_grad_() for tensor in tensors]
    assert torch.autograd.gradcheck(linear, tensors)
    assert torch.autograd.gradgradcheck(linear, tensors)


@HAS_ONEDNN
@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # of torch, over a flag that is not touched here
def test_onednn_is_asked_forward_and_backward():
    _, ours = layers()
    x = noise(2, 9, 128).requires_grad_()
    assert "mkldnn::_linear_pointwise" in calls(lambda: ours(x))
    output = ours(x).sum()
    assert "mkldnn::_linear_pointwise" in calls(output.backward)
    with torch.backends.mkldnn.flags(enabled=False):
        assert "mkldnn::_linear_pointwise" not in calls(lambda: ours(x))


def test_large_layers_alone_are_replaced_and_keep_their_tensors():
    model = nn.Sequential(nn.Linear(128, SMALLEST_WEIGHT // 128), nn.Linear(128, 127), nn.LayerNorm(127))
    tensors = list(model.parameters())
    names = list(model.state_dict())
    use_onednn(model)
    use_onednn(model)  # a second time changes nothing
    assert [type(module) for module in model] == [Linear, nn.Linear, nn.LayerNorm]
    assert list(model.state_dict()) == names
    assert all(a is b for a, b in zip(model.parameters(), tensors, strict=True))


@pytest.mark.parametrize("frozen", ["weight", "bias", "x"])
def test_what_is_frozen_gets_no_gradient(frozen):
    theirs, ours = layers()
    found = []
    for layer in (theirs, ours):
        tensors = {"x": noise(3, 128).requires_grad_(), "weight": layer.weight, "bias": layer.bias}
        tensors[frozen].requires_grad_(False)
        layer(tensors["x"]).square().sum().backward()
        assert tensors.pop(frozen).grad is None
        found.append([tensor.grad for tensor in tensors.values()])
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("form", FAMILIES)
def test_encoders_are_those_of_transformers(form, monkeypatch):
    monkeypatch.setattr(onednn, "SMALLEST_WEIGHT", 1)
    theirs, ours = reference(form), encoder(form)
    assert isinstance(ours.layers[0].attention.q_proj, Linear)
    waveform = noise(1, 3200)
    weights = noise(1, 9, 32)
    states = ours(waveform, torch.tensor([3200])).hidden_states[-1], theirs(waveform).last_hidden_state
    for state in states:
        (state * weights).sum().backward()
    torch.testing.assert_close(*states, atol=1e-5, rtol=0)
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        scale = expected[name].grad.abs().max().clamp(min=1.0)
        torch.testing.assert_close(parameter.grad / scale, expected[name].grad / scale, atol=1e-4, rtol=0)


def test_lora_wraps_it():
    _, ours = layers()
    model = nn.ModuleDict({"part": ours})
    inject_adapter_in_model(LoraConfig(target_modules=["part"], r=2, init_lora_weights=False), model)
    x = noise(3, 128)
    output = model["part"](x)
    output.sum().backward()
    assert not torch.allclose(output, ours(x), atol=1e-4)
    learned = [p.grad for name, p in model.named_parameters() if "lora" in name]
    assert len(learned) == 2 and all(grad.count_nonzero() for grad in learned)
    assert ours.weight.grad is None


def test_less_precision_and_empty_batches_are_as_torch_has_them():
    theirs, ours = layers()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours(noise(3, 128)), theirs(noise(3, 128)))
        assert ours(noise(3, 128)).dtype == torch.bfloat16
    assert ours(noise(0, 7, 128)).shape == (0, 7, 136)
    assert torch.equal(ours.double()(noise(3, 128).double()), theirs.double()(noise(3, 128).double()))


def test_is_a_sound_operator():
    """Shapes without data, autograd and tracing agree with what is computed."""
    torch.library.opcheck(linear, (noise(2, 3, 5).requires_grad_(), noise(4, 5).requires_grad_(), noise(4)))


def test_what_is_exported_is_torchs_own():
    _, ours = layers()
    exported = torch.export.export(ours, (noise(2, 128),))
    targets = {str(node.target) for node in exported.graph.nodes}
    assert any("linear" in target for target in targets)
    assert not any("sertool" in target for target in targets)
    torch.testing.assert_close(exported.module()(noise(2, 128)), F.linear(noise(2, 128), ours.weight, ours.bias))

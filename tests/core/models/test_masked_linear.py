"""Masked linear layers: against torch's own linear layers, autograd of a surrogate, and the definition by sorting."""

import copy
import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sertool.core.errors import InputError
from sertool.core.models.config import RouterConfig
from sertool.core.models.masked_linear import (
    MaskedLinear,
    initial_scores,
    kept_connections,
    mask_bytes,
    pack_masks,
    packed_bytes,
    top_k_mask,
    unpack_masks,
)

INITS = ("weight-rank", "uniform", "magnitude")


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def masked(out: int = 12, inputs: int = 10, heads=("shared",), bias: bool = True, **settings) -> MaskedLinear:
    return MaskedLinear(nn.Linear(inputs, out, bias=bias), heads, RouterConfig(**settings))


def mask_of(layer: MaskedLinear) -> torch.Tensor:
    return top_k_mask(layer.scores[layer.selected].abs(), layer.kept)


# Few values, so that most entries are equal to others.
@given(
    sizes=arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 2, 3])),
    sparsity=st.floats(0.0, 0.999),
)
def test_the_mask_is_the_head_of_a_stable_sort_and_exactly_as_long(sizes, sparsity):
    kept = kept_connections(sizes.size, sparsity)
    assert kept == sizes.size - round(sparsity * sizes.size)
    expected = np.zeros(sizes.size, bool)
    expected[np.argsort(-sizes.ravel(), kind="stable")[:kept]] = True
    np.testing.assert_array_equal(top_k_mask(torch.from_numpy(sizes), kept), expected.reshape(sizes.shape))


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("sparsity", [0.0, 0.02, 0.06, 0.1, 0.5, 0.7, 0.999])
def test_the_sparsity_of_every_tensor_is_exact(init, sparsity):
    layer = masked(33, 17, init=init, sparsity=sparsity)
    dropped = int((layer.masked_weight() == 0).sum())
    assert dropped == round(sparsity * 33 * 17) == 33 * 17 - layer.kept


def test_it_is_a_linear_layer_with_connections_missing():
    plain = nn.Linear(10, 12)
    layer = MaskedLinear(plain, ("shared",), RouterConfig(sparsity=0.3))
    x = torch.randn(2, 5, 10)
    torch.testing.assert_close(layer(x), F.linear(x, plain.weight * mask_of(layer), plain.bias))
    assert not torch.allclose(layer(x), plain(x))
    assert torch.equal(MaskedLinear(plain, ("shared",), RouterConfig(sparsity=0.0))(x), plain(x))
    assert masked(bias=False)(x).shape == (2, 5, 12)


def test_names_are_those_of_the_linear_layer_and_a_set_of_scores_a_head():
    layer = masked(heads=("emotion", "enhancement"))
    assert set(layer.state_dict()) == {"weight", "bias", "scores.emotion", "scores.enhancement"}
    learning = [name for name, parameter in layer.named_parameters() if parameter.requires_grad]
    assert learning == ["scores.emotion", "scores.enhancement"]


def test_the_gradient_of_scores_is_that_of_connections_scaled_by_their_absolute_scores():
    layer = masked(sparsity=0.4, init="uniform")
    x, target = torch.randn(7, 10), torch.randn(7, 12)
    F.mse_loss(layer(x), target).backward()
    # The surrogate: |s| - |s| as a constant is zero, yet has the gradient of |s|.
    scores = layer.scores["shared"].detach().clone().requires_grad_()
    scaled = mask_of(layer) + (scores.abs() - scores.abs().detach())
    F.mse_loss(F.linear(x, layer.weight * scaled, layer.bias), target).backward()
    torch.testing.assert_close(layer.scores["shared"].grad, scores.grad)
    assert (layer.scores["shared"].grad != 0).all() and layer.weight.grad is None and layer.bias.grad is None


def test_the_gradient_of_scores_by_hand():
    layer = masked(1, 3, sparsity=1 / 3, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, -3.0, 5.0]]))
        layer.scores["shared"].copy_(torch.tensor([[0.5, -0.7, -0.1]]))
    x = torch.tensor([[1.0, 10.0, 100.0]])
    assert layer(x).item() == 2.0 - 30.0  # the third connection is dropped
    layer(x).sum().backward()
    # ∂L/∂W′ = x; times W; times the sign of s: also for the connection that is dropped.
    assert layer.scores["shared"].grad.tolist() == [[2.0, 30.0, -500.0]]


def test_masks_that_were_stored_learn_on_though_their_dropped_scores_are_zero():
    layer = masked(sparsity=0.25)
    kept = mask_of(layer)
    stored = pack_masks({"a.scores.shared": layer.scores["shared"]}, 0.25)
    with torch.no_grad():
        layer.scores["shared"].copy_(unpack_masks(stored, {"a.scores.shared": (12, 10)})["a.scores.shared"])
    layer(torch.randn(4, 10)).square().sum().backward()
    gradient = layer.scores["shared"].grad
    assert (layer.scores["shared"][~kept] == 0).all() and (gradient[~kept] != 0).all()


@pytest.mark.parametrize("init", INITS)
def test_scores_move_and_weights_do_not_over_steps_of_adam(init):
    layer = masked(init=init, sparsity=0.3)
    before = copy.deepcopy(layer.state_dict())
    optimizer = torch.optim.Adam([p for p in layer.parameters() if p.requires_grad], lr=0.05)
    x, target = torch.randn(16, 10), torch.randn(16, 12)
    first = mask_of(layer)
    for _ in range(3):
        optimizer.zero_grad()
        F.mse_loss(layer(x), target).backward()
        optimizer.step()
    after = layer.state_dict()
    assert torch.equal(after["weight"], before["weight"]) and torch.equal(after["bias"], before["bias"])
    assert (after["scores.shared"] != before["scores.shared"]).all()
    assert not torch.equal(mask_of(layer), first) and mask_of(layer).sum() == layer.kept


def test_the_largest_score_falls_on_the_largest_weight():
    weight = torch.randn(30, 20)
    scores = initial_scores(weight, "weight-rank").detach().abs().flatten()
    assert (scores[weight.abs().flatten().argsort()].diff() >= 0).all()
    order = initial_scores(weight, "uniform").detach().abs().flatten()[weight.abs().flatten().argsort()]
    assert (order.diff() < 0).any()


@pytest.mark.parametrize("init", INITS)
def test_scores_have_the_spread_of_kaiming_uniform_draws(init):
    weight = 3.0 * torch.randn(200, 48)
    scores = initial_scores(weight, init).detach()
    reference = nn.init.kaiming_uniform_(torch.empty(200, 48), a=math.sqrt(5.0))
    ratio = scores.std() / reference.std()
    assert 2**-0.5 <= ratio <= 2**0.5 if init == "magnitude" else abs(ratio - 1) < 0.05
    assert (scores < 0).any() and (scores > 0).any()
    assert init == "magnitude" or scores.abs().max() <= reference.abs().max() * 1.01


def test_pruning_to_a_sparsity_keeps_the_largest_weights_of_each_tensor():
    plain = nn.Linear(40, 25)
    layer = MaskedLinear(plain, ("shared",), RouterConfig(init="magnitude", sparsity=0.7, layers="all"))
    kept = plain.weight.abs().flatten().topk(300).indices
    assert set(layer.masked_weight().flatten().nonzero().flatten().tolist()) == set(kept.tolist())


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e6])
def test_pruning_tells_weights_apart_that_are_neighbours_among_the_floats(scale):
    # Ascending from 1.99 on: a scale that rounds makes some equal, and of these the smaller comes first.
    bits = torch.tensor(1.99).view(torch.int32) + torch.arange(1000, dtype=torch.int32)
    plain = nn.Linear(40, 25)
    with torch.no_grad():
        plain.weight.copy_(bits.view(torch.float32).view(25, 40) * 2.0 ** round(math.log2(scale)))
    for sparsity in torch.linspace(0.05, 0.95, 19).tolist():
        layer = MaskedLinear(plain, ("shared",), RouterConfig(init="magnitude", sparsity=sparsity))
        assert mask_of(layer).flatten().nonzero()[0] == 1000 - layer.kept == mask_of(layer).logical_not().sum()


def test_a_tensor_of_zeros_can_be_masked():
    assert initial_scores(torch.zeros(4, 4), "magnitude").detach().isfinite().all()


def test_the_masks_of_heads_are_apart():
    layer = masked(heads=("emotion", "enhancement"), init="uniform", sparsity=0.4)
    x = torch.randn(3, 10)
    emotion = layer(x)
    layer.select("enhancement")
    assert not torch.allclose(layer(x), emotion)
    layer(x).sum().backward()
    assert layer.scores["emotion"].grad is None and layer.scores["enhancement"].grad is not None
    layer.select("emotion")
    assert torch.equal(layer(x), emotion)
    with pytest.raises(ValueError, match="no mask set 'speaker' among emotion, enhancement"):
        layer.select("speaker")


def change_in_place(layer: MaskedLinear) -> None:
    with torch.no_grad():
        layer.scores["a"].copy_(torch.randn(12, 10))


def change_by_loading(layer: MaskedLinear) -> None:
    layer.load_state_dict(layer.state_dict() | {"scores.a": torch.randn(12, 10)})


def change_by_assigning(layer: MaskedLinear) -> None:
    layer.load_state_dict(layer.state_dict() | {"scores.a": torch.randn(12, 10)}, assign=True)


def change_by_training(layer: MaskedLinear) -> None:
    layer.train()
    layer(torch.randn(4, 10)).square().sum().backward()
    torch.optim.SGD([layer.scores["a"]], lr=10.0).step()
    layer.eval()


def change_past_autograd(layer: MaskedLinear) -> None:
    layer.train()
    layer.scores["a"].data.copy_(torch.randn(12, 10))
    layer.eval()


def change_weight(layer: MaskedLinear) -> None:
    layer.weight.data.neg_()


def change_head(layer: MaskedLinear) -> None:
    layer.select("b")


@pytest.mark.parametrize(
    "change",
    [
        change_in_place,
        change_by_loading,
        change_by_assigning,
        change_by_training,
        change_past_autograd,
        change_weight,
        change_head,
    ],
)
def test_in_evaluation_a_mask_is_found_once_and_is_never_stale(change, monkeypatch):
    layer = masked(heads=("a", "b"), init="uniform", sparsity=0.5).eval()
    found = []
    monkeypatch.setattr(
        "sertool.core.models.masked_linear.top_k_mask", lambda sizes, kept: found.append(1) or top_k_mask(sizes, kept)
    )
    x = torch.randn(3, 10)
    with torch.no_grad():
        before = [layer(x) for _ in range(3)]
    assert len(found) == 1 and torch.equal(before[0], before[2])
    change(layer)
    with torch.no_grad():
        after = layer(x)
        torch.testing.assert_close(after, F.linear(x, layer.weight * mask_of(layer), layer.bias))
    assert not torch.allclose(after, before[0])
    layer.train()
    assert not layer._known


def test_a_mask_found_in_inference_mode_serves_afterwards():
    layer = masked(sparsity=0.5).eval()
    x = torch.randn(3, 10)
    with torch.inference_mode():
        expected = layer(x).clone()
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected)
    layer(x).sum().backward()
    assert layer.scores["shared"].grad is not None


def test_copies_and_devices_without_data():
    layer = masked(sparsity=0.5).eval()
    x = torch.randn(3, 10)
    with torch.no_grad():
        expected = layer(x)
        twin = copy.deepcopy(layer)
        assert torch.equal(twin(x), expected)
        twin.scores["shared"].copy_(torch.randn(12, 10))
        assert not torch.equal(twin(x), expected) and torch.equal(layer(x), expected)
    torch.save(layer, io.BytesIO())
    with torch.device("meta"):
        empty = masked(sparsity=0.5)
    assert all(tensor.is_meta for tensor in empty.state_dict().values())
    empty.load_state_dict(layer.state_dict(), assign=True)
    with torch.no_grad():
        assert torch.equal(empty.eval()(x), expected)


def test_compiled_autocast_and_checkpointed_it_computes_the_same():
    layer = masked(sparsity=0.4, heads=("a", "b"), init="uniform")
    x = torch.randn(5, 10)

    def gradient(output: torch.Tensor) -> torch.Tensor:
        layer.zero_grad()
        output.float().square().sum().backward()
        return layer.scores["a"].grad.clone()

    expected, by_scores = layer(x), gradient(layer(x))
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), expected)
    torch.testing.assert_close(gradient(compiled(x)), by_scores)
    torch.testing.assert_close(gradient(checkpoint(layer, x, use_reentrant=False)), by_scores)
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(x)
        assert output.dtype == torch.bfloat16
        torch.testing.assert_close(gradient(output), by_scores, rtol=0.1, atol=0.05)
    layer.select("b")
    assert not torch.allclose(compiled(x), expected)


@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3),
    sparsity=st.floats(0.0, 0.99),
)
def test_packed_masks_keep_the_same_connections_at_one_bit_each(sizes, sparsity):
    scores = {f"layers.{i}.expand.scores.a": torch.randn(*size) for i, size in enumerate(sizes)}
    tensors = {**scores, "head.weight": torch.ones(3)}
    packed = pack_masks(tensors, sparsity)
    assert packed["head.weight"] is tensors["head.weight"] and len(packed) == len(tensors)
    unpacked = unpack_masks(packed, {name: tensor.shape for name, tensor in tensors.items()})
    for name, tensor in scores.items():
        bits = packed[name.replace("scores", "bits")]
        assert bits.dtype == torch.uint8 and bits.shape == (math.ceil(tensor.numel() / 8),)
        mask = top_k_mask(tensor.abs(), kept_connections(tensor.numel(), sparsity))
        assert "".join(f"{byte:08b}" for byte in bits.tolist()).startswith(
            "".join(map(str, mask.int().flatten().tolist()))
        )
        assert torch.equal(unpacked[name], mask.float())
        assert torch.equal(top_k_mask(unpacked[name].abs(), int(mask.sum())), mask)


def test_masks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="give the sparsity"):
        pack_masks({"a.scores.shared": torch.ones(2, 2)})
    packed = pack_masks({"a.scores.shared": torch.ones(4, 5)}, 0.5)
    for shapes in ({"a.scores.shared": (5, 5)}, {"b.scores.shared": (4, 5)}):
        with pytest.raises(InputError, match="has 3 bytes; expected"):
            unpack_masks(packed, shapes)
    with pytest.raises(InputError, match="one bit a connection"):
        unpack_masks({"a.bits.shared": torch.ones(3)}, {"a.scores.shared": (4, 5)})


def test_the_bytes_of_masks_are_those_of_the_packed_tensors():
    model = nn.ModuleDict({"a": masked(heads=("x", "y")), "b": masked(5, 3, heads=("x", "y")), "c": nn.Linear(4, 4)})
    scores = {name: tensor for name, tensor in model.state_dict().items() if ".scores." in name}
    assert mask_bytes(model) == sum(bits.numel() for bits in pack_masks(scores, 0.1).values()) == 2 * (15 + 2)
    assert packed_bytes(8) == 1 and packed_bytes(9) == 2

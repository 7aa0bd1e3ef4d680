"""Adapting an encoder by masks or low-rank updates: every tensor learns and counts, on every encoder there is."""

import copy
import sys
from functools import partial

import pytest
import torch
from ssl_examples import FAMILIES
from ssl_examples import encoder as ssl_encoder
from torch import nn

from sertool.core.errors import InputError
from sertool.core.models.adaptation import (
    adapt_encoder,
    base_name,
    checkpointed,
    is_adapter,
    merge_adaptation,
    select_masks,
)
from sertool.core.models.config import AdaptConfig, CompactConfig, LogMelConfig
from sertool.core.models.encoder import Encoder, build_encoder
from sertool.core.models.masked_linear import MaskedLinear

ENCODERS = ("compact", *FAMILIES)
COMPACT = CompactConfig(mels=16, dim=16, layers=2, kernel=3, dropout=0.0)
LENGTHS = torch.tensor([3200, 2500])


@pytest.fixture(autouse=True)
def seeded():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)


def make(name: str) -> Encoder:
    return build_encoder(COMPACT).eval() if name == "compact" else ssl_encoder(name, dropout=0.0, num_hidden_layers=2)


def config(how: str, **settings) -> AdaptConfig:
    return AdaptConfig.model_validate({"how": how, how: settings} if settings else {"how": how})


def adapted(name: str, how: str, heads=("shared",), **settings) -> Encoder:
    encoder = make(name)
    adapt_encoder(encoder, config(how, **settings), heads)
    return encoder


def waveform() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 3200, generator=generator) * (torch.arange(3200) < LENGTHS[:, None])


def hear(encoder: Encoder) -> torch.Tensor:
    return torch.stack(encoder(waveform(), LENGTHS).hidden_states)


def loss_of(encoder: Encoder) -> torch.Tensor:
    states = hear(encoder)
    return (states * torch.sin(torch.arange(states.numel())).view(states.shape)).sum()


def adapters(encoder: Encoder) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in encoder.named_parameters() if is_adapter(name)}


def kinds(encoder: Encoder) -> list[str]:
    return [type(module).__name__ for module in encoder.modules()]


def settings_for(name: str) -> list[tuple[str, dict]]:
    layers = ["feed-forward", "all"] if name == "compact" else ["feed-forward", "attention", "all"]
    return [(how, {"layers": kind}) for how in ("router", "lora") for kind in layers]


CASES = [(name, how, settings) for name in ENCODERS for how, settings in settings_for(name)]


@pytest.mark.parametrize(("name", "how", "settings"), CASES)
def test_every_score_and_low_rank_tensor_gets_a_gradient_and_changes_the_output(name, how, settings):
    encoder = adapted(name, how, **settings)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    learning = adapters(encoder)
    expected = sum(len(names) for kind, names in encoder.linear_layers().items() if settings["layers"] in ("all", kind))
    assert len(learning) == expected * (2 if how == "lora" else 1) > 0
    assert {name for name, parameter in encoder.named_parameters() if parameter.requires_grad} == set(learning)

    optimizer = torch.optim.Adam(learning.values(), lr=0.02)
    for step in range(3):
        optimizer.zero_grad()
        loss_of(encoder).backward()
        for tensor_name, parameter in learning.items():
            # B starts at zero, so nothing reaches A before B has moved.
            blocked = how == "lora" and step == 0 and "lora_A" in tensor_name
            assert bool(parameter.grad.any()) is not blocked, tensor_name
        optimizer.step()
    for tensor_name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, before[tensor_name]) is not is_adapter(tensor_name), tensor_name

    with torch.no_grad():
        heard = hear(encoder)
        for tensor_name, parameter in learning.items():
            kept = parameter.clone()
            parameter.copy_(torch.randn_like(kept))
            assert not torch.allclose(hear(encoder), heard, atol=1e-6), tensor_name
            parameter.copy_(kept)
        torch.testing.assert_close(hear(encoder), heard)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("how", ["router", "lora"])
def test_names_lead_back_to_the_encoder_that_was_adapted(name, how):
    plain = make(name)
    encoder = adapted(name, how, layers="all")
    own = {tensor_name for tensor_name in encoder.state_dict() if not is_adapter(tensor_name)}
    assert {base_name(tensor_name) for tensor_name in own} == set(plain.state_dict()) and len(own) == len(
        plain.state_dict()
    )
    assert set(map(type, encoder.parts())) == {str} and encoder.linear_layers() == plain.linear_layers()


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("how", ["router", "lora"])
def test_merged_it_is_a_plain_encoder_that_computes_the_same(name, how):
    plain, encoder = make(name), adapted(name, how, layers="all")
    with torch.no_grad():
        for parameter in adapters(encoder).values():
            parameter.add_(0.1 * torch.randn_like(parameter))
        expected = hear(encoder)
        assert not torch.allclose(hear(plain), expected, atol=1e-3)
        merge_adaptation(encoder)
        torch.testing.assert_close(hear(encoder), expected, atol=1e-6, rtol=1e-6)
    assert list(encoder.state_dict()) == list(plain.state_dict())
    assert kinds(encoder) == kinds(plain)
    assert not any(module.training for module in encoder.modules())
    for layer in encoder.linear_layers()["feed-forward"]:
        assert encoder.get_submodule(layer).weight.requires_grad
    twice = copy.deepcopy(encoder.state_dict())
    merge_adaptation(encoder)
    assert all(torch.equal(tensor, twice[tensor_name]) for tensor_name, tensor in encoder.state_dict().items())


@pytest.mark.parametrize("how", ["full", "frozen"])
def test_without_adapters_nothing_is_prepared(how):
    encoder, plain = adapted("compact", how), make("compact")
    assert list(encoder.state_dict()) == list(plain.state_dict()) and not adapters(encoder)
    assert all(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize("how", ["router", "lora"])
@pytest.mark.parametrize("name", ["compact", "wavlm"])
def test_what_was_learned_fits_into_an_encoder_without_data(how, name):
    encoder = adapted(name, how, layers="all")
    with torch.device("meta"):
        empty = build_encoder(encoder.config)
    adapt_encoder(empty, config(how, layers="all"), ("shared",))
    own = [tensor for name, tensor in empty.state_dict().items() if is_adapter(name)]
    assert own and all(tensor.is_meta for tensor in own)
    empty.load_state_dict(encoder.state_dict(), assign=True)
    with torch.no_grad():
        torch.testing.assert_close(hear(empty.eval()), hear(encoder))
    assert [parameter.requires_grad for parameter in empty.parameters()] == [
        parameter.requires_grad for parameter in encoder.parameters()
    ]


def test_a_mask_set_a_head_over_one_encoder():
    encoder = adapted("compact", "router", heads=("emotion", "enhancement"), init="uniform", sparsity=0.3)
    emotion = hear(encoder)
    select_masks(encoder, "enhancement")
    assert not torch.allclose(hear(encoder), emotion)
    loss_of(encoder).backward()
    for name, parameter in adapters(encoder).items():
        assert (parameter.grad is None) is name.endswith("emotion")
    select_masks(encoder, "emotion")
    assert torch.equal(hear(encoder), emotion)
    with pytest.raises(InputError, match=r"for each head \(emotion, enhancement\).*expected one set at most"):
        merge_adaptation(encoder)


def test_one_shared_set_holds_for_every_head():
    encoder = adapted("compact", "router")
    expected = hear(encoder)
    for head in ("emotion", "enhancement"):
        select_masks(encoder, head)
        assert torch.equal(hear(encoder), expected)
    select_masks(make("compact"), "emotion")


@pytest.mark.parametrize("name", ["compact", "wavlm"])
def test_what_is_computed_again_is_under_the_masks_of_its_time(name):
    encoder = adapted(name, "router", heads=("emotion", "enhancement"), init="uniform", sparsity=0.3)

    def gradients() -> dict[str, torch.Tensor]:
        encoder.zero_grad()
        total = 0.0
        for head in ("emotion", "enhancement"):
            select_masks(encoder, head)
            total = total + loss_of(encoder)
        total.backward()
        assert all(module.selected == "enhancement" for module in encoder.modules() if isinstance(module, MaskedLinear))
        return {name: parameter.grad.clone() for name, parameter in adapters(encoder).items()}

    expected = gradients()
    for layer in encoder.layers:
        layer.forward = partial(checkpointed, layer, layer.forward)
    for tensor_name, gradient in gradients().items():
        torch.testing.assert_close(gradient, expected[tensor_name], msg=tensor_name)


def test_pruning_fine_tuned_weights_keeps_the_largest_of_each_tensor():
    encoder = adapted("wavlm", "router", layers="all", sparsity=0.7, init="magnitude")
    masked = [module for module in encoder.modules() if isinstance(module, MaskedLinear)]
    assert len(masked) == 2 * 6
    for layer in masked:
        left = layer.masked_weight().detach() != 0
        assert int(left.sum()) == layer.weight.numel() - round(0.7 * layer.weight.numel())
        assert layer.weight[left].abs().min() > layer.weight[~left].abs().max()


def test_what_cannot_be_adapted_is_said(monkeypatch):
    with pytest.raises(InputError, match=r"lora.layers is 'attention'.*no such layers; expected feed-forward"):
        adapted("compact", "lora")
    with pytest.raises(InputError, match=r"router.layers is 'attention'.*expected feed-forward: choose that"):
        adapted("compact", "router", layers="attention")
    with pytest.raises(InputError, match=r"no such layers; expected another encoder, or adapt full or frozen"):
        adapt_encoder(build_encoder(LogMelConfig()), config("router"), ("shared",))
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r"peft is not installed.*pip install 'sertool\[lora\]'"):
        adapted("compact", "lora", layers="feed-forward")


def test_low_rank_updates_have_dropout_in_training_alone():
    encoder = adapted("compact", "lora", layers="all", dropout=0.5)
    with torch.no_grad():
        for parameter in adapters(encoder).values():
            parameter.copy_(torch.randn_like(parameter))
        assert torch.equal(hear(encoder), hear(encoder))
        encoder.train()
        assert not torch.equal(hear(encoder), hear(encoder))


def test_low_rank_updates_are_scaled_by_alpha_over_rank():
    encoder = adapted("compact", "lora", layers="all", rank=4, alpha=12.0)
    with torch.no_grad():
        for parameter in adapters(encoder).values():
            parameter.copy_(torch.randn_like(parameter))
    tensors = copy.deepcopy(encoder.state_dict())
    merge_adaptation(encoder)
    for name in encoder.linear_layers()["feed-forward"]:
        a, b = (tensors[f"{name}.lora_{factor}.default.weight"] for factor in "AB")
        assert a.shape[0] == b.shape[1] == 4
        expected = tensors[f"{name}.base_layer.weight"] + 3.0 * b @ a
        torch.testing.assert_close(encoder.get_submodule(name).weight.data, expected)

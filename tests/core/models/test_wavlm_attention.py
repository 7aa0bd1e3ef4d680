"""WavLM with our attention, against transformers' own."""

import copy

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from transformers import WavLMConfig, WavLMModel

from sertool.core.errors import InputError
from sertool.core.models.wavlm_attention import distance_buckets, replace_wavlm_attention

BASE = {"do_stable_layer_norm": False, "feat_extract_norm": "group"}
LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}


def small_wavlm(form: dict, **settings: object) -> WavLMModel:
    """A WavLM of two layers with random weights, none of which is zero, in training mode."""
    dropouts = ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout", "layerdrop")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    convolutions = {"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4}
    options = dict.fromkeys(dropouts, 0.0) | sizes | convolutions | form | {"apply_spec_augment": False} | settings
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = WavLMModel(WavLMConfig(**options))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.train()


def with_ours(model: WavLMModel) -> WavLMModel:
    model = copy.deepcopy(model)
    replace_wavlm_attention(model)
    return model


def utterances(seconds: float = 1.0) -> tuple[Tensor, Tensor]:
    """Three utterances of noise, two of them padded, and their mask."""
    waveform = torch.randn(3, round(16_000 * seconds), generator=torch.Generator().manual_seed(1))
    lengths = (torch.tensor([1.0, 0.7, 0.2]) * waveform.shape[1]).long()
    return waveform, (torch.arange(waveform.shape[1]) < lengths[:, None]).long()


def run(model: nn.Module, waveform: Tensor, mask: Tensor | None = None) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Return all hidden states and the gradients of a weighted sum of the last."""
    model.zero_grad()
    output = model(waveform, attention_mask=mask, output_hidden_states=True)
    last = output.last_hidden_state
    weights = torch.randn(last.shape, generator=torch.Generator().manual_seed(2)).to(last.dtype)
    (last * weights).sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return [*output.hidden_states, last], gradients


def assert_equal(ours: tuple, theirs: tuple, tolerance: float) -> None:
    """Hidden states are of order 1; gradients are compared to the largest of their tensor, or to 1."""
    for a, b in zip(ours[0], theirs[0], strict=True):
        torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)
    assert ours[1].keys() == theirs[1].keys()
    for name, expected in theirs[1].items():
        limit = tolerance * max(1.0, expected.abs().max().item())
        assert (ours[1][name] - expected).abs().max().item() <= limit, name


@pytest.mark.parametrize("form", [BASE, LARGE], ids=["base", "large"])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_outputs_and_gradients_are_those_of_transformers(form, padded, dtype, tolerance):
    theirs = small_wavlm(form).to(dtype)
    waveform, mask = utterances()
    results = [run(model, waveform.to(dtype), mask if padded else None) for model in (with_ours(theirs), theirs)]
    assert_equal(*results, tolerance)
    assert any("rel_attn_embed" in name for name in results[0][1])
    assert sum("gru_rel_pos" in name for name in results[0][1]) == 2 * 3


def test_state_dict_and_parameters_stay():
    model = small_wavlm(LARGE).eval()
    names, parameters = list(model.state_dict()), list(model.parameters())
    replace_wavlm_attention(model)
    replace_wavlm_attention(model)  # a second time changes nothing
    assert list(model.state_dict()) == names
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert not any(module.training for module in model.modules())
    assert [hasattr(layer.attention, "rel_attn_embed") for layer in model.encoder.layers] == [True, False]


def test_a_model_without_data_is_replaced_and_filled():
    filled = small_wavlm(BASE)
    with torch.device("meta"):
        empty = WavLMModel(filled.config)
    replace_wavlm_attention(empty)
    assert all(parameter.is_meta for parameter in empty.encoder.layers.parameters())
    empty.load_state_dict(filled.state_dict(), assign=True)
    waveform, _ = utterances()
    torch.testing.assert_close(empty.eval()(waveform)[0], filled.eval()(waveform)[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("projection", ["q_proj", "k_proj", "v_proj", "out_proj"])
def test_lora_takes_effect_and_learns(projection):
    """In transformers' own attention it does neither: the projections' weights are read, the modules never called."""

    def effect(model: WavLMModel) -> tuple[bool, bool]:
        waveform, _ = utterances(0.3)
        before = model(waveform)[0]
        config = LoraConfig(target_modules=[projection], r=2, init_lora_weights=False)
        inject_adapter_in_model(config, model)
        after = model(waveform)[0]
        after.square().mean().backward()
        gradients = [p.grad for name, p in model.named_parameters() if "lora" in name]
        learns = [g is not None and g.count_nonzero().item() > 0 for g in gradients]
        assert len(set(learns)) == 1 and len(learns) == 4
        return not torch.allclose(before, after, atol=1e-4), learns[0]

    theirs = small_wavlm(LARGE)
    assert effect(with_ours(theirs)) == (True, True)
    assert effect(theirs) == (False, False)


def test_hooks_on_projections_are_called():
    model = with_ours(small_wavlm(BASE))
    called = []
    for name in ("q_proj", "k_proj", "v_proj", "out_proj", "gru_rel_pos_linear"):
        module = getattr(model.encoder.layers[1].attention, name)
        module.register_forward_hook(lambda *_, name=name: called.append(name))
    model(utterances(0.3)[0])
    assert sorted(called) == ["gru_rel_pos_linear", "k_proj", "out_proj", "q_proj", "v_proj"]


@pytest.mark.parametrize("padded", [False, True])
def test_bf16_autocast_is_no_further_from_float32_than_transformers(padded):
    theirs = small_wavlm(LARGE)
    waveform, mask = utterances()
    arguments = (waveform, mask) if padded else (waveform,)
    exact = run(theirs, *arguments)
    with torch.autocast("cpu", torch.bfloat16):
        ours, reference = run(with_ours(theirs), *arguments), run(theirs, *arguments)
    assert relative_error(ours[0][-1:], exact[0][-1:]) < 0.03
    names = [name for name in exact[1] if ".attention." in name]
    errors = [relative_error([r[1][n] for n in names], [exact[1][n] for n in names]) for r in (ours, reference)]
    assert errors[0] < 1.5 * errors[1] < 0.2


def relative_error(tensors: list[Tensor], expected: list[Tensor]) -> float:
    difference = sum((a.float() - b).square().sum() for a, b in zip(tensors, expected, strict=True))
    return float((difference / sum(b.square().sum() for b in expected)).sqrt())


def test_a_layer_compiles_into_one_graph():
    theirs = small_wavlm(LARGE)
    layer = with_ours(theirs).encoder.layers[0]
    compiled = torch.compile(copy.deepcopy(layer), backend="aot_eager", fullgraph=True)
    states = torch.randn(2, 9, 32, generator=torch.Generator().manual_seed(3))
    mask = torch.arange(9) < torch.tensor([[9], [5]])
    for module in (layer, compiled):
        output, bias = module(states, attention_mask=mask)
        (output.sum() + bias.square().sum()).backward()
    torch.testing.assert_close(compiled(states, attention_mask=mask), layer(states, attention_mask=mask))
    for a, b in zip(compiled.parameters(), layer.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("form", [BASE, LARGE], ids=["base", "large"])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_gradient_checkpointing_changes_nothing(form, dropout):
    model = with_ours(small_wavlm(form, attention_dropout=dropout))
    results = []
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        with torch.random.fork_rng():
            torch.manual_seed(5)
            results.append(run(model, *utterances()))
    assert_equal(*results, 1e-6)


def test_dropout_is_for_training_only():
    model = with_ours(small_wavlm(BASE, attention_dropout=0.5))
    waveform, _ = utterances(0.3)
    assert not torch.equal(model(waveform)[0], model(waveform)[0])
    model.eval()
    assert torch.equal(model(waveform)[0], model(waveform)[0])


def test_nothing_of_frames_times_frames_is_kept_for_backward():
    attention = with_ours(small_wavlm(LARGE)).encoder.layers[0].attention
    states, largest = torch.randn(1, 200, 32, requires_grad=True), 0

    def measure(tensor: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, tensor.untyped_storage().nbytes() // tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(measure, lambda tensor: tensor):
        attention(states)
    assert 0 < largest <= 200 * 64 < 200 * 200


def test_buckets_are_those_of_transformers():
    theirs = small_wavlm(BASE, num_buckets=320, max_bucket_distance=800).encoder.layers[0].attention
    distances = torch.arange(-3000, 3001)
    assert torch.equal(distance_buckets(distances, 320, 800), theirs._relative_positions_bucket(distances))


def test_attention_weights_cannot_be_had():
    model = with_ours(small_wavlm(BASE))
    with pytest.raises(InputError, match=r"output_attentions is set.*transformers"):
        model(utterances(0.3)[0], output_attentions=True)


@pytest.mark.gpu
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_outputs_on_the_gpu_are_those_of_transformers(padded, dtype):
    theirs = small_wavlm(LARGE).cuda()
    waveform, mask = (tensor.cuda() for tensor in utterances())
    outputs = []
    for model in (with_ours(theirs), theirs):
        with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
            outputs.append(model(waveform, attention_mask=mask if padded else None)[0].float())
    assert (outputs[0] - outputs[1]).norm() < (1e-3 if dtype == torch.float32 else 0.05) * outputs[1].norm()

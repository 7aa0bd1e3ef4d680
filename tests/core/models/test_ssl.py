"""Self-supervised encoders: the hidden states, gradients and preprocessing of transformers, by our contract."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from ssl_examples import FAMILIES, FORMS, architecture, encoder, reference
from torch import nn
from transformers import Wav2Vec2FeatureExtractor

from sertool.core.audio.spectra import utterance_statistics
from sertool.core.models.config import SSLConfig
from sertool.core.models.encoder import build_encoder
from sertool.core.models.ssl import SSLEncoder
from sertool.core.training.layers import checkpoint_layers


@pytest.fixture(autouse=True)
def one_thread():
    """Models this small are slower in several threads, and very much so where others compute beside them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def whole(waveform: torch.Tensor) -> torch.Tensor:
    """Return the lengths of a batch without padding."""
    return torch.full((len(waveform),), waveform.shape[1])


@pytest.mark.parametrize("form", FORMS)
def test_hidden_states_are_those_of_transformers(form):
    waveform = noise(2, 6400)
    theirs = reference(form)(waveform, output_hidden_states=True)
    ours = encoder(form)(waveform, whole(waveform))
    assert len(ours.hidden_states) == len(theirs.hidden_states) == 4
    assert ours.frame_lengths.tolist() == [19, 19]
    # Theirs ends with the last layer; before the final norm of the stable form it is of no use to anyone.
    expected = [*theirs.hidden_states[:-1], theirs.last_hidden_state]
    for state, other in zip(ours.hidden_states, expected, strict=True):
        torch.testing.assert_close(state, other, atol=1e-5, rtol=0)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_those_of_transformers(form):
    waveform = noise(2, 3200)
    theirs, ours = reference(form), encoder(form)
    theirs.train().config.layerdrop = 0.0
    for module in theirs.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    theirs.config.apply_spec_augment = False
    theirs.config.mask_time_prob = 0.0
    output = noise(2, 9, 32, seed=1)
    (theirs(waveform).last_hidden_state * output).sum().backward()
    (ours(waveform, whole(waveform)).hidden_states[-1] * output).sum().backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        scale = expected[name].grad.abs().max().clamp(min=1.0)
        torch.testing.assert_close(parameter.grad / scale, expected[name].grad / scale, atol=1e-4, rtol=0)


@pytest.mark.parametrize("form", FORMS)
def test_training_gives_as_many_hidden_states(form):
    ours = encoder(form, layerdrop=0.9, mask_time_prob=0.9, mask_feature_prob=0.9, dropout=0.0)
    waveform = noise(2, 1600)  # shorter than a mask of SpecAugment, which transformers raises on
    evaluated = ours(waveform, whole(waveform)).hidden_states
    trained = ours.train()(waveform, whole(waveform)).hidden_states
    assert len(trained) == ours.num_states
    assert all(torch.equal(a, b) for a, b in zip(trained, evaluated, strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_the_contract_of_encoders(form):
    ours = encoder(form)
    assert (ours.dim, ours.num_states, ours.reach, len(ours.layers)) == (32, 4, None, 3)
    assert build_encoder(ours.config).state_dict().keys() == ours.state_dict().keys()
    owned = [id(parameter) for part in ours.parts().values() for module in part for parameter in module.parameters()]
    assert sorted(owned) == sorted(id(parameter) for parameter in ours.parameters())
    parts = ours.parts()
    assert parts["front-end"] == [ours.feature_extractor]
    final_norm = ours.encoder.layer_norm
    assert (final_norm in parts["encoder-upper"]) == form.endswith("-large")
    assert [module for module in parts["encoder-lower"] if module in ours.layers] == [ours.layers[0]]


@pytest.mark.parametrize("form", FORMS)
def test_linear_layers_are_all_there_are_in_the_layers(form):
    ours = encoder(form)
    named = ours.linear_layers()
    assert len(named["feed-forward"]) == 2 * 3 and len(named["attention"]) == 4 * 3
    found = {name for name, module in ours.named_modules() if isinstance(module, nn.Linear)}
    others = {name for name in found if "gru_rel_pos" in name} | {"feature_projection.projection"}
    assert {*named["feed-forward"], *named["attention"]} == found - others


@pytest.mark.parametrize("form", FORMS)
def test_names_are_those_of_the_bare_model_and_nothing_is_left_over(form):
    ours = SSLEncoder(SSLConfig(architecture={**architecture(form), "add_adapter": True}, normalise=True))
    assert ours.state_dict().keys() == reference(form).state_dict().keys() - {"masked_spec_embed"}
    waveform = noise(2, 4000)
    states = ours.train()(waveform, torch.tensor([4000, 3000])).hidden_states
    sum((state * noise(*state.shape)).sum() for state in states).backward()
    still = [name for name, parameter in ours.named_parameters() if parameter.grad is None]
    assert still == []


@pytest.mark.parametrize("form", FAMILIES)
def test_a_model_of_the_stored_tensors_is_the_same(form, tmp_path):
    ours, waveform = encoder(form), noise(1, 4000)
    save_file(ours.state_dict(), tmp_path / "weights.safetensors")
    with torch.device("meta"):
        again = SSLEncoder(ours.config)
    assert all(parameter.is_meta for parameter in again.parameters())
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"), assign=True)
    ours, again = ours(waveform, whole(waveform)), again.eval()(waveform, whole(waveform))
    for state, other in zip(ours.hidden_states, again.hidden_states, strict=True):
        torch.testing.assert_close(state, other, atol=1e-6, rtol=0)


def dropouts(model: nn.Module) -> set[float]:
    """Return every probability of dropout in a model, those of attention among them."""
    layers = {module.p for module in model.modules() if isinstance(module, nn.Dropout)}
    return layers | {
        module.dropout for module in model.modules() if isinstance(getattr(module, "dropout", None), float)
    }


@pytest.mark.parametrize("form", FORMS)
def test_dropout_replaces_every_one_or_none(form):
    assert dropouts(encoder(form, dropout=0.3)) == {0.3}
    own = {"hidden_dropout": 0.1, "activation_dropout": 0.2, "attention_dropout": 0.4, "feat_proj_dropout": 0.5}
    assert dropouts(encoder(form, **own)) == {0.1, 0.2, 0.4, 0.5}
    ours, waveform = encoder(form, dropout=0.3), noise(1, 4000)
    still = ours(waveform, whole(waveform)).hidden_states[-1]
    assert not torch.equal(ours.train()(waveform, whole(waveform)).hidden_states[-1], still)
    assert torch.equal(ours.eval()(waveform, whole(waveform)).hidden_states[-1], still)


@pytest.mark.parametrize("form", FORMS)
def test_checkpointing_changes_time_and_memory_alone(form):
    waveform, lengths = noise(2, 4000), torch.tensor([4000, 2500])

    def gradients(*, checkpointed: bool) -> tuple[list[torch.Tensor], int]:
        ours = encoder(form, dropout=0.2).train()
        calls = []
        ours.layers[1].feed_forward.register_forward_pre_hook(lambda *_: calls.append(1))
        if checkpointed:
            checkpoint_layers(ours)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            states = ours(waveform, lengths).hidden_states
            sum(state.square().sum() for state in states).backward()
        return [parameter.grad for parameter in ours.parameters()], len(calls)

    (plain, once), (again, twice) = gradients(checkpointed=False), gradients(checkpointed=True)
    assert (once, twice) == (1, 2)
    for one, other in zip(plain, again, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("normalise", [True, False])
def test_preprocessing_is_that_of_transformers(normalise):
    rng = np.random.default_rng(0)
    utterances = [
        (0.1 * level * rng.standard_normal(samples) + 0.02).astype(np.float32)
        for level, samples in ((1.0, 4000), (0.001, 2500), (0.0, 300))
    ]
    theirs = Wav2Vec2FeatureExtractor(do_normalize=normalise, return_attention_mask=True)
    expected = theirs(utterances, sampling_rate=16_000, padding=True, return_tensors="pt").input_values
    lengths = torch.tensor([len(utterance) for utterance in utterances])
    raw = nn.utils.rnn.pad_sequence([torch.from_numpy(u) for u in utterances], batch_first=True, padding_value=9.0)
    ours = SSLEncoder(SSLConfig(architecture=architecture("hubert"), normalise=normalise))
    prepared = ours.prepare(raw, lengths, utterance_statistics(raw, lengths))
    torch.testing.assert_close(prepared, expected, atol=1e-5, rtol=1e-5)
    assert not prepared[2, 300:].any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lengths", [(6400, 6400), (6400, 4000)])
def test_mixed_precision_is_near_float32(form, lengths):
    ours, waveform, lengths = encoder(form), noise(2, 6400), torch.tensor(lengths)
    exact = ours(waveform, lengths).hidden_states
    with torch.autocast("cpu", torch.bfloat16):
        rough = ours(waveform, lengths).hidden_states
    for state, other in zip(exact, rough, strict=True):
        assert torch.isfinite(other).all()
        assert (state - other.float()).square().mean().sqrt() < 0.05 * state.square().mean().sqrt()


@pytest.mark.parametrize("form", FORMS)
def test_what_is_frozen_is_not_gone_back_through(form):
    ours, waveform = encoder(form).train(), noise(2, 4000)
    ours.feature_extractor.requires_grad_(False)
    features = []
    ours.feature_extractor.register_forward_hook(lambda *_: features.append(1))
    ours.feature_projection.register_forward_pre_hook(lambda _, args: features.append(args[0].requires_grad))
    ours(waveform, torch.tensor([4000, 3000])).hidden_states[-1].sum().backward()
    assert features == [False]
    ours.requires_grad_(False)
    assert not ours(waveform, whole(waveform)).hidden_states[-1].requires_grad

"""Architectures: what config.json says of an encoder, and nothing that could not be built from it."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ssl_examples import FAMILIES, FORMS, architecture
from transformers import AutoConfig

from sertool.core.errors import InputError
from sertool.core.models.config import SSLConfig
from sertool.core.models.ssl import SSLEncoder
from sertool.core.models.ssl_architecture import checked_architecture, receptive_field


def test_the_published_convolutions_span_25_ms():
    assert receptive_field([10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2]) == 400


@pytest.mark.parametrize("form", FORMS)
def test_checking_again_changes_nothing(form):
    checked = checked_architecture(architecture(form))
    assert checked_architecture(checked) == checked == json.loads(json.dumps(checked))
    assert checked["hidden_size"] == 32


@pytest.mark.parametrize("family", FAMILIES)
def test_the_defaults_are_those_of_transformers(family):
    theirs = AutoConfig.for_model(family)
    for name, value in checked_architecture({"model_type": family}).items():
        expected = getattr(theirs, name)
        assert value == (list(expected) if isinstance(expected, tuple) else expected)


def test_what_only_heads_use_is_passed_over():
    settings = {"vocab_size": "many", "id2label": 7, "num_labels": -1, "quantization_config": {"a": 1}, "nonsense": []}
    assert checked_architecture(architecture("wavlm") | settings) == checked_architecture(architecture("wavlm"))


@pytest.mark.parametrize("family", ["bert", "whisper", "wav2vec2-bert", "", None, ["wavlm"], 3])
def test_other_models_are_named(family):
    with pytest.raises(InputError, match=r"model_type.*expected wavlm, hubert, wav2vec2, data2vec-audio: choose"):
        checked_architecture({"model_type": family})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": 33}, "4 attention heads do not divide 33"),
        ({"hidden_size": 10**9}, "hidden_size: .*less than or equal"),
        ({"hidden_size": "32"}, "hidden_size: .*integer"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"num_conv_pos_embedding_groups": 5}, "5 groups do not divide 32"),
        ({"conv_stride": [5, 2, 2, 2, 2, 2, 1]}, "a frame every 160 samples, where 320 are expected"),
        ({"conv_kernel": [10, 3, 3]}, "not equally long"),
        ({"conv_kernel": [1000] * 7}, "frames of .* samples, at most 16000"),
        ({"conv_dim": []}, "conv_dim"),
        ({"num_conv_pos_embeddings": 2**40}, "num_conv_pos_embeddings"),
        ({"hidden_act": "__import__"}, "hidden_act"),
        ({"feat_extract_norm": "batch"}, "feat_extract_norm"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps"),
        ({"hidden_dropout": 1.0}, "hidden_dropout"),
        ({"num_buckets": 320, "max_bucket_distance": 80}, "320 buckets for distances up to 80"),
    ],
)
def test_what_cannot_be_built_is_named(changes, words):
    with pytest.raises(InputError, match=words + r".*expected.*: copy") as raised:
        SSLEncoder(SSLConfig(architecture=architecture("wavlm", **changes), normalise=True))
    assert "\n" not in str(raised.value)


def test_the_widest_there_may_be_takes_no_memory_where_there_are_no_weights():
    largest = {"hidden_size": 8192, "num_hidden_layers": 8, "intermediate_size": 65_536, "num_attention_heads": 64}
    with torch.device("meta"):
        model = SSLEncoder(SSLConfig(architecture=architecture("hubert", **largest), normalise=True))
    assert sum(parameter.numel() for parameter in model.parameters()) > 10**10
    assert all(tensor.is_meta for tensor in model.state_dict().values())


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70),
    st.sampled_from([2**31, 2**63, 10**30]),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from(["gelu", "layer", "group", "relu"]),
    st.lists(st.integers(-1, 12), max_size=8),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


@settings(max_examples=60)
@given(st.sampled_from(FORMS), st.data())
def test_junk_is_an_input_error_or_an_encoder(form, data):
    names = sorted(checked_architecture(architecture(form)))
    junk = data.draw(st.dictionaries(st.sampled_from(names), JUNK, max_size=2))
    config = SSLConfig(architecture=architecture(form) | junk, normalise=True)
    try:
        with torch.device("meta"):
            encoder = SSLEncoder(config)
    except InputError:
        return
    assert encoder.num_states >= 2


def test_settings_may_hold_tuples():
    assert checked_architecture(architecture("hubert", conv_dim=(8,) * 7))["conv_dim"] == [8] * 7

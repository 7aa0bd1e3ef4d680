"""Encoders from folders: every family and form of checkpoint, and one line about each that cannot be used."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from ssl_examples import FAMILIES, FORMS, architecture, reference, save
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForAudioXVector,
    AutoModelForCTC,
    AutoModelForPreTraining,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Processor,
)

from sertool.core.errors import InputError
from sertool.core.models.ssl import SSLEncoder
from sertool.core.models.ssl_loading import load_ssl

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WavLM as transformers leaves it; not to be changed."""
    return save(reference("wavlm"), tmp_path_factory.mktemp("ssl") / "wavlm")


@pytest.fixture
def folder(example: Path, tmp_path: Path) -> Path:
    """A copy of the example that may be changed."""
    return shutil.copytree(example, tmp_path / "wavlm")


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    """Change the tensors of a folder."""
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS, metadata={"format": "pt"})


def edit(path: Path, **changes: Any) -> None:
    """Change settings in a JSON file; None removes one."""
    tree = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in tree.items() if value is not None}))


def assert_same(ours: SSLEncoder, theirs: torch.nn.Module) -> None:
    """Assert that an encoder gives the last hidden state of a bare model."""
    waveform = torch.randn(1, 3200, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        last = ours(waveform, torch.tensor([3200])).hidden_states[-1]
        torch.testing.assert_close(last, theirs.eval()(waveform).last_hidden_state, atol=1e-5, rtol=0)


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_of_transformers_is_loaded_quietly(form, tmp_path, capfd, caplog):
    theirs = reference(form)
    save(theirs, tmp_path, normalise=form.endswith("-large"))
    capfd.readouterr()
    state = torch.get_rng_state()
    with caplog.at_level(logging.WARNING):
        ours = load_ssl(str(tmp_path))
    assert capfd.readouterr() == ("", "") and caplog.records == []
    assert torch.equal(torch.get_rng_state(), state)
    assert not ours.training and ours.config.normalise == form.endswith("-large")
    assert {tensor.dtype for tensor in ours.parameters()} == {torch.float32}
    assert ours.config.architecture["model_type"] == theirs.config.model_type
    assert_same(ours, theirs)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_with_a_ctc_head_is_loaded(family, tmp_path):
    model = AutoModelForCTC.from_config(AutoConfig.for_model(**architecture(family, vocab_size=7)))
    save(model, tmp_path)
    prefix = model.base_model_prefix
    assert any(name.startswith(f"{prefix}.encoder") for name in load_file(tmp_path / WEIGHTS))
    assert_same(load_ssl(str(tmp_path)), getattr(model, prefix))


@pytest.mark.parametrize("kind", [AutoModelForPreTraining, AutoModelForAudioXVector])
def test_a_checkpoint_with_another_head_is_loaded(kind, tmp_path):
    model = kind.from_config(AutoConfig.for_model(**architecture("wav2vec2-large")))
    save(model, tmp_path)
    assert_same(load_ssl(str(tmp_path)), model.wav2vec2)


def test_the_adapters_of_multilingual_models_are_loaded(tmp_path):
    """MMS has small adapters within its layers, which belong to the encoder; convolutions behind it do not."""
    model = reference("wav2vec2-large", adapter_attn_dim=4)
    save(model, tmp_path)
    assert_same(load_ssl(str(tmp_path)), model)
    model = reference("wav2vec2", add_adapter=True)
    save(model, tmp_path / "behind")
    model.adapter = None
    assert_same(load_ssl(str(tmp_path / "behind")), model)


@pytest.mark.parametrize("prefix", ["", "wavlm."])
def test_old_names_of_weight_norm_are_read(folder, prefix):
    new = ("parametrizations.weight.original0", "parametrizations.weight.original1")

    def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        names = {name: name.replace(new[0], "weight_g").replace(new[1], "weight_v") for name in tensors}
        return {prefix + names[name]: tensor for name, tensor in tensors.items()}

    rewrite(folder, renamed)
    assert f"{prefix}encoder.pos_conv_embed.conv.weight_g" in load_file(folder / WEIGHTS)
    assert_same(load_ssl(str(folder)), reference("wavlm"))


def test_half_precision_and_shards_are_read(folder, tmp_path):
    rewrite(folder, lambda tensors: {name: tensor.half() for name, tensor in tensors.items()})
    assert_same(load_ssl(str(folder)), reference("wavlm").half().float())
    model = reference("hubert")
    model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path / "shards")
    assert not (tmp_path / "shards" / WEIGHTS).exists()
    assert_same(load_ssl(str(tmp_path / "shards")), model)


def test_settings_of_a_processor_are_read(tmp_path):
    """Which has the tokenizer of a recognizer beside it, and one file for both."""
    reference("hubert").save_pretrained(tmp_path)
    (tmp_path / "vocab.json").write_text('{"<pad>": 0, "a": 1, "|": 2, "<unk>": 3}')
    tokenizer = Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"))
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(do_normalize=False), tokenizer).save_pretrained(tmp_path)
    assert not (tmp_path / "preprocessor_config.json").exists()
    assert load_ssl(str(tmp_path)).config.normalise is False


def assert_refused(folder: Path, words: str) -> None:
    """Assert that a folder is refused in one line that names it."""
    with pytest.raises(InputError, match=words) as raised:
        load_ssl(str(folder))
    assert str(raised.value).startswith(f"{folder}: ") and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "bert"}, r"model_type 'bert' is no speech encoder.*expected wavlm, hubert"),
        ({"model_type": None}, r"no model_type is no speech encoder"),
        ({"auto_map": {"AutoModel": "modeling.Own"}}, r"wants code of its own to be run \(auto_map\).*never done"),
        ({"hidden_size": -1}, r"cannot be built \(hidden_size"),
        ({"num_hidden_layers": 4}, r"tensors missing, first 'encoder.layers.3.*fetch or copy"),
        ({"num_hidden_layers": 2}, r"tensors unknown, first 'encoder.layers.2.*fetch or copy"),
        ({"intermediate_size": 64}, r"tensors of another shape, first 'encoder.layers.0.feed_forward.*fetch or copy"),
    ],
)
def test_a_config_that_is_not_to_be_used(folder, changes, words):
    edit(folder / "config.json", **changes)
    assert_refused(folder, words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"do_normalize": None}, r"does not say whether it hears normalised waveforms.*copy that file"),
        ({"do_normalize": "yes"}, r"does not say whether it hears normalised waveforms"),
        ({"sampling_rate": 8000}, r"hears audio at 8000 Hz; expected 16000 Hz: choose another"),
        ({"auto_map": {"AutoFeatureExtractor": "own.Own"}}, r"wants code of its own"),
    ],
)
def test_a_preprocessor_that_is_not_to_be_used(folder, changes, words):
    edit(folder / "preprocessor_config.json", **changes)
    assert_refused(folder, words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("config.json", "holds no config.json; expected a model as save_pretrained writes it"),
        ("preprocessor_config.json", "does not say whether it hears normalised waveforms; expected do_normalize in"),
        (WEIGHTS, r"holds no model.safetensors; expected weights as safetensors.*refs/pr/N.*convert it once"),
    ],
)
def test_a_file_that_is_missing(folder, name, words):
    (folder / name).unlink()
    assert_refused(folder, words)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b" " * 2_000_000])
def test_settings_that_cannot_be_read(folder, content):
    (folder / "config.json").write_bytes(content)
    assert_refused(folder, r"its config.json cannot be read .*expected JSON: fetch or copy")


def test_pickles_are_never_read(folder):
    class Trap:
        def __reduce__(self) -> tuple:
            return (Path.touch, (folder / "sprung",))

    (folder / WEIGHTS).unlink()
    torch.save({"encoder.layer_norm.weight": Trap()}, folder / "pytorch_model.bin")
    assert_refused(folder, r"holds no model.safetensors \(only pytorch_model.bin\).*pickles are never read")
    assert not (folder / "sprung").exists()


@pytest.mark.parametrize("damage", [lambda b: b[:-100], lambda b: b[:50], lambda b: b"junk", lambda b: b""])
def test_weights_that_are_damaged(folder, damage):
    (folder / WEIGHTS).write_bytes(damage((folder / WEIGHTS).read_bytes()))
    assert_refused(folder, r"its weights cannot be read .*fetch or copy them again")


@pytest.mark.parametrize("index", ['{"weight_map": {"a": "model-1-of-2.safetensors"}}', "[]", "{}", "{"])
def test_shards_that_are_not_there(folder, index):
    (folder / WEIGHTS).unlink()
    (folder / "model.safetensors.index.json").write_text(index)
    assert_refused(folder, r"its weights cannot be read|tensors missing")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors | {"lm_head.weight": torch.zeros(3, 32)}, None),
        (lambda tensors: tensors | {"quantizer.codevectors": torch.zeros(3)}, None),
        (lambda tensors: tensors | {"surprise": torch.zeros(3)}, "1 tensors unknown, first 'surprise'"),
        (lambda tensors: tensors | {"wavlm.encoder.extra": torch.zeros(3)}, "1 tensors unknown, first 'encoder.extra'"),
        (lambda tensors: {}, "tensors missing"),
        (
            lambda tensors: tensors | {"encoder.layer_norm.bias": torch.full((32,), torch.nan)},
            "not numbers, first in 'encoder.layer_norm.bias'",
        ),
    ],
)
def test_tensors_that_are_no_encoders(folder, change, words):
    rewrite(folder, change)
    if words:
        assert_refused(folder, words)
    else:
        assert_same(load_ssl(str(folder)), reference("wavlm"))


def test_an_adapter_of_peft_is_not_followed(folder):
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "acme/other", "peft_type": "LORA"}')
    assert_refused(folder, "holds an adapter of peft.*merge_and_unload")


def test_code_beside_the_weights_is_not_run(folder):
    (folder / "modeling.py").write_text(f"open({str(folder / 'sprung')!r}, 'w')")
    assert_same(load_ssl(str(folder)), reference("wavlm"))
    edit(folder / "config.json", auto_map={"AutoConfig": "modeling.A", "AutoModel": "modeling.B"})
    assert_refused(folder, "wants code of its own")
    assert not (folder / "sprung").exists()

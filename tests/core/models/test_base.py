"""The encoder a model is adapted from: what a name means, and that a digest tells any two encoders apart."""

import hashlib

import pytest
import torch

from sertool.core.errors import InputError
from sertool.core.models.base import digest_of, is_trained_here, load_plain, read_base
from sertool.core.models.config import (
    AdaptConfig,
    BaseConfig,
    CompactConfig,
    EmotionConfig,
    LoRAConfig,
    RouterConfig,
    SharedConfig,
)
from sertool.core.models.shared import SharedModel

TINY = CompactConfig(mels=16, dim=16, layers=1, kernel=3)
EMOTION = EmotionConfig(categories=("anger", "neutral"), hidden=8)


def test_a_digest_is_that_of_names_types_shapes_and_bytes():
    tensors = {"b": torch.tensor([1.0, 2.0]), "a": torch.tensor([[3]])}
    written = b"a torch.int64 (1, 1)\n" + (3).to_bytes(8, "little")
    written += b"b torch.float32 (2,)\n" + torch.tensor([1.0, 2.0]).numpy().tobytes()
    assert digest_of(tensors) == hashlib.sha256(written).hexdigest()
    assert digest_of(tensors) != digest_of({**tensors, "a": torch.tensor([3])})
    assert digest_of({"a": torch.tensor(1.0)}) != digest_of({"a": torch.tensor(1)})


def test_a_name_is_a_run_a_models_folder_or_one_for_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SharedModel(SharedConfig(encoder=TINY, emotion=EMOTION)).save_pretrained(tmp_path / "run" / "model")
    (tmp_path / "wavlm").mkdir()
    (tmp_path / "wavlm" / "config.json").write_text('{"model_type": "wavlm"}')
    assert is_trained_here("run") and is_trained_here("run/model")
    assert not is_trained_here("wavlm") and not is_trained_here("microsoft/wavlm-base")


@pytest.mark.parametrize("name", ["./nothing", "/nothing/here", "runs/nothing", "../nothing"])
def test_a_path_to_nothing_is_not_looked_for_on_the_hub(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(InputError, match="no such run folder"):
        is_trained_here(name)


def test_of_an_adapted_model_what_it_does_is_its_encoder(tmp_path):
    base = SharedModel(SharedConfig(encoder=TINY, emotion=EMOTION)).eval()
    base.save_pretrained(tmp_path / "base")
    digest = digest_of(base.encoder.state_dict())
    config = SharedConfig(
        encoder=TINY,
        emotion=EMOTION,
        base=BaseConfig(name=str(tmp_path / "base"), digest=digest),
        adapt=AdaptConfig(how="router", router=RouterConfig(sparsity=0.25)),
    )
    adapted = SharedModel(config, SharedModel.from_pretrained(tmp_path / "base").encoder).eval()
    adapted.save_pretrained(tmp_path / "adapted")
    assert digest_of(read_base(config.base)) == digest
    plain, of_adapted = load_plain(str(tmp_path / "adapted"))
    plain.eval()
    assert of_adapted != digest
    waveform, lengths = torch.randn(1, 4000), torch.tensor([4000])
    with torch.inference_mode():
        expected, found = (model(waveform, lengths).hidden_states[-1] for model in (adapted.encoder, plain))
    assert torch.allclose(found, expected, atol=1e-6)
    assert (plain.layers[0].expand.weight == 0).float().mean() == 0.25
    assert plain.state_dict().keys() == base.encoder.state_dict().keys()


def test_the_digest_of_an_adapted_encoder_needs_no_arithmetic(tmp_path, monkeypatch):
    base = SharedModel(SharedConfig(encoder=TINY, emotion=EMOTION))
    base.save_pretrained(tmp_path / "base")
    config = SharedConfig(
        encoder=TINY,
        emotion=EMOTION,
        base=BaseConfig(name=str(tmp_path / "base"), digest=digest_of(base.encoder.state_dict())),
        adapt=AdaptConfig(how="lora", lora=LoRAConfig(layers="feed-forward")),
    )
    model = SharedModel(config, base.encoder)
    model.save_pretrained(tmp_path / "adapted")
    _, digest = load_plain(str(tmp_path / "adapted"))
    # As on a processor that rounds products otherwise.
    monkeypatch.setattr("sertool.core.models.base.merge_adaptation", lambda encoder: None)
    assert load_plain(str(tmp_path / "adapted"))[1] == digest
    with torch.no_grad():
        next(p for name, p in model.named_parameters() if "lora_A" in name).add_(1e-6)
    model.save_pretrained(tmp_path / "adapted")
    assert load_plain(str(tmp_path / "adapted"))[1] != digest


def test_masks_that_keep_another_number_of_connections_are_refused(tmp_path):
    base = SharedModel(SharedConfig(encoder=TINY, emotion=EMOTION))
    base.save_pretrained(tmp_path / "base")
    config = SharedConfig(
        encoder=TINY,
        emotion=EMOTION,
        base=BaseConfig(name=str(tmp_path / "base"), digest=digest_of(base.encoder.state_dict())),
        adapt=AdaptConfig(how="router"),
    )
    SharedModel(config, base.encoder).save_pretrained(tmp_path / "adapted")
    text = (tmp_path / "adapted" / "config.json").read_text()
    (tmp_path / "adapted" / "config.json").write_text(text.replace('"sparsity": 0.1', '"sparsity": 0.2'))
    with pytest.raises(InputError, match="expected a sparsity of"):
        SharedModel.from_pretrained(tmp_path / "adapted")

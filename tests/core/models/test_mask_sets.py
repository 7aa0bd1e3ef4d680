"""Masks read from runs are those that the model chose, with its own sizes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sertool.core.errors import InputError
from sertool.core.models.config import (
    AdaptConfig,
    BaseConfig,
    CompactConfig,
    EmotionConfig,
    EnhancementConfig,
    RouterConfig,
    SharedConfig,
)
from sertool.core.models.mask_sets import read_masks, told_apart
from sertool.core.models.masked_linear import MaskedLinear, mask_bytes
from sertool.core.models.shared import SharedModel
from sertool.core.models.storage import save_tensors

CONFIG = SharedConfig(
    # Twelve layers, so that the tenth is not sorted behind the first; 5 · 5 connections do not fill their last byte.
    encoder=CompactConfig(mels=8, dim=5, layers=12, kernel=3, expansion=1),
    base=BaseConfig(name="base", digest="0" * 64),
    adapt=AdaptConfig(how="router", router=RouterConfig(sparsity=0.3, init="uniform", masks="per-head")),
    layer_sum="per-head",
    emotion=EmotionConfig(categories=("anger", "neutral"), hidden=4),
    enhancement=EnhancementConfig(projection=4, hidden=4, layers=1),
)


@pytest.fixture
def model() -> SharedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SharedModel(CONFIG)


@pytest.fixture
def run(model: SharedModel, tmp_path: Path) -> Path:
    folder = tmp_path / "router"
    model.save_pretrained(folder / "model")
    (folder / "run.json").write_text(json.dumps({"state": "finished"}))
    return folder


def test_the_masks_of_a_run_are_those_of_its_model(model, run):
    sets = read_masks(run)
    assert [found.head for found in sets] == ["emotion", "enhancement"]
    for found in sets:
        assert list(found.masks) == [f"layers.{i}.{name}" for i in range(12) for name in ("expand", "contract")]
        for name, mask in found.masks.items():
            layer = model.encoder.get_submodule(name)
            assert isinstance(layer, MaskedLinear) and mask.shape == (5, 5)
            layer.select(found.head)
            kept = np.unpackbits(mask.bits, count=25).reshape(5, 5).astype(bool)
            np.testing.assert_array_equal(kept, layer.masked_weight().detach() != 0)
            assert mask.dropped == round(0.3 * 25)
        assert (found.connections, found.dropped) == (24 * 25, 24 * 8) and found.bytes == 24 * 4
    assert sum(found.bytes for found in sets) == mask_bytes(model.encoder)
    own = [p for name, p in model.encoder.named_parameters() if "scores" not in name]
    assert sets[0].encoder_bytes == 4 * sum(parameter.numel() for parameter in own)
    assert read_masks(run / "model")[0].masks.keys() == sets[0].masks.keys()


def test_labels_tell_sets_apart(run, tmp_path):
    assert [found.label for found in told_apart(read_masks(run))] == ["router/emotion", "router/enhancement"]
    copied = tmp_path / "copy" / "router"
    shutil.copytree(run, copied)
    labels = [found.label for found in told_apart([*read_masks(run), *read_masks(copied)])]
    assert labels[0] == f"{run}/emotion" and labels[2] == f"{copied}/emotion"


def change(run: Path, **tensors: torch.Tensor | None) -> None:
    path = run / "model" / "model.safetensors"
    changed = {**load_file(path), **tensors}
    save_tensors(path, {name: tensor for name, tensor in changed.items() if tensor is not None})


NAME = "encoder.layers.0.expand.bits.emotion"


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({NAME: None}, "1 masks differ"),
        ({NAME + "s": torch.zeros(4, dtype=torch.uint8)}, "1 masks differ"),
        ({NAME: torch.zeros(5, dtype=torch.uint8)}, "has 5 bytes for 25 connections"),
        ({NAME: torch.zeros(4)}, "has 16 bytes for 25 connections"),
        ({NAME: torch.full((4,), 255, dtype=torch.uint8)}, "keeps 32 connections, not 17"),
    ],
)
def test_masks_that_do_not_fit_the_configuration_are_refused(run, tensors, told):
    change(run, **tensors)
    with pytest.raises(InputError, match=rf"does not fit config.json \(.*{told}.*\): copy both from one run"):
        read_masks(run)


def test_what_holds_no_masks_is_said(run, tmp_path):
    config = json.loads((run / "model" / "config.json").read_text())
    config["adapt"]["how"] = "lora"
    (run / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="adapted by 'lora', which has no masks; expected a run of"):
        read_masks(run)
    config["adapt"]["how"] = "router"
    (run / "model" / "config.json").write_text(json.dumps(config))
    (run / "model" / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        read_masks(run)
    (run / "model" / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"holds no model.safetensors"):
        read_masks(run)
    with pytest.raises(InputError, match="no such folder"):
        read_masks(tmp_path / "nowhere")

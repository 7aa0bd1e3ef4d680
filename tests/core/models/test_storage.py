"""Models on disk: weights in half the bytes are the same model but for rounding; other types are refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sertool.core.errors import InputError
from sertool.core.models.config import (
    AdaptConfig,
    CompactConfig,
    EmotionConfig,
    EnhancementConfig,
    RouterConfig,
    SharedConfig,
)
from sertool.core.models.shared import SharedModel
from sertool.core.models.storage import WEIGHTS_NAME, save_half


def make(**how) -> SharedModel:
    config = SharedConfig(
        encoder=CompactConfig(mels=40, dim=32, layers=2, kernel=5),
        emotion=EmotionConfig(categories=("anger", "neutral", "sadness"), attributes=("arousal",), hidden=32),
        enhancement=EnhancementConfig(projection=32, hidden=32, layers=1),
        **how,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SharedModel(config).eval()


def outputs(model: SharedModel) -> list[torch.Tensor]:
    waveform = 0.1 * torch.randn(2, 9000, generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([9000, 7000])
    with torch.inference_mode():
        output = model(waveform, lengths)
        return [output.category_logits.softmax(1), output.attributes, model.enhance(waveform, lengths)]


@pytest.fixture
def halved(tmp_path) -> Path:
    save_half(make(), tmp_path / "half")
    return tmp_path / "half"


def test_half_the_bytes_hold_the_same_model_to_1e_3(halved, tmp_path):
    make().save_pretrained(tmp_path / "full")
    again = SharedModel.from_pretrained(halved)
    for found, expected in zip(outputs(again), outputs(make()), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
    assert all(tensor.dtype != torch.float16 for tensor in again.state_dict().values())
    assert (halved / "config.json").read_text() == (tmp_path / "full" / "config.json").read_text()
    full, half = ((folder / WEIGHTS_NAME).stat().st_size for folder in (tmp_path / "full", halved))
    assert half < 0.6 * full


def test_what_is_loaded_from_half_is_what_was_stored(halved):
    """The first rounding is the only one: saved and loaded again, a model stays what it is, bit for bit."""
    again = SharedModel.from_pretrained(halved)
    save_half(again, halved)
    for found, expected in zip(outputs(SharedModel.from_pretrained(halved)), outputs(again), strict=True):
        assert torch.equal(found, expected)


def test_vectors_and_windows_are_not_rounded(halved):
    stored, own = load_file(halved / WEIGHTS_NAME), make().own_state()
    vectors = [name for name, tensor in own.items() if tensor.dim() < 2]
    assert "window" in vectors and len(vectors) > 5
    assert all(torch.equal(stored[name], own[name]) for name in vectors)
    assert all(stored[name].dtype == torch.float16 for name in own.keys() - set(vectors))


def test_masks_stay_bits(tmp_path):
    masked = make(adapt=AdaptConfig(how="router", router=RouterConfig(sparsity=0.25)))
    save_half(masked, tmp_path)
    for found, expected in zip(outputs(SharedModel.from_pretrained(tmp_path)), outputs(masked), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_bfloat16_is_loaded_to_float32_too(tmp_path):
    model = make()
    model.save_pretrained(tmp_path)
    rounded = {name: t.bfloat16() if t.dim() >= 2 else t for name, t in load_file(tmp_path / WEIGHTS_NAME).items()}
    save_file(rounded, tmp_path / WEIGHTS_NAME)
    weights = SharedModel.from_pretrained(tmp_path).state_dict()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(weights[name], tensor, rtol=2**-8, atol=0)  # which compares the types, too


def test_a_weight_beyond_float16_is_refused_and_nothing_is_written(tmp_path):
    model = make()
    with torch.no_grad():
        model.enhancement_head.mask.weight[0, 0] = 1e5
    with pytest.raises(InputError, match=r"'enhancement_head.mask.weight' reaches 1e[+]05"):
        save_half(model, tmp_path / "half")
    assert not (tmp_path / "half").exists()


@pytest.mark.parametrize("other", [torch.float64, torch.int64, torch.float8_e4m3fn])
def test_types_no_model_is_stored_in_are_refused(tmp_path, other):
    make().save_pretrained(tmp_path)
    weights = load_file(tmp_path / WEIGHTS_NAME)
    weights["enhancement_head.mask.weight"] = weights["enhancement_head.mask.weight"].to(other)
    save_file(weights, tmp_path / WEIGHTS_NAME)
    with pytest.raises(InputError, match=r"1 tensors differ, first 'enhancement_head.mask.weight'"):
        SharedModel.from_pretrained(tmp_path)

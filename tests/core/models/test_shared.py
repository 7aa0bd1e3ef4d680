"""The shared model: an utterance's output does not depend on its batch; what is saved is what is loaded."""

import json

import pytest
import torch

from sertool.core.errors import InputError
from sertool.core.models.config import CompactConfig, EmotionConfig, EnhancementConfig, SharedConfig
from sertool.core.models.output import Crop
from sertool.core.models.shared import SharedModel

LENGTHS = [16000, 7777, 4321, 150, 1]


def make(layer_sum="shared", **heads):
    config = SharedConfig(
        encoder=CompactConfig(dim=24, layers=4, kernel=7),
        layer_sum=layer_sum,
        emotion=heads.get(
            "emotion", EmotionConfig(categories=("anger", "neutral"), attributes=("arousal",), hidden=16)
        ),
        enhancement=heads.get("enhancement", EnhancementConfig(projection=16, hidden=16)),
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return SharedModel(config).eval()


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(2)
    lengths = torch.tensor(LENGTHS)
    return torch.randn(len(LENGTHS), max(LENGTHS), generator=generator), lengths


@pytest.mark.parametrize("layer_sum", ["shared", "per-head"])
def test_alone_and_in_a_padded_batch_agree_to_1e_5(batch, layer_sum):
    model = make(layer_sum)
    waveform, lengths = batch
    with torch.inference_mode():
        together, enhanced = model(waveform, lengths), model.enhance(waveform, lengths)
        for row, length in enumerate(LENGTHS):
            one = waveform[row : row + 1, :length], lengths[row : row + 1]
            alone, own = model(*one), 1 + length // 160
            close = {"atol": 1e-5, "rtol": 0}
            torch.testing.assert_close(together.category_logits[row], alone.category_logits[0], **close)
            torch.testing.assert_close(together.attributes[row], alone.attributes[0], **close)
            torch.testing.assert_close(
                together.enhanced_log_spectrum[row, :own], alone.enhanced_log_spectrum[0], **close
            )
            torch.testing.assert_close(enhanced[row, :length], model.enhance(*one)[0], **close)


def test_prediction_does_not_depend_on_level_and_enhancement_keeps_it(batch):
    model, (waveform, lengths) = make(), batch
    with torch.inference_mode():
        loud, soft = model(waveform[:3], lengths[:3]), model(waveform[:3] / 50, lengths[:3])
        torch.testing.assert_close(loud.category_logits, soft.category_logits, atol=1e-4, rtol=0)
        ratio = model.enhance(waveform[:3], lengths[:3]) / 50 - model.enhance(waveform[:3] / 50, lengths[:3])
        assert ratio.abs().max() < 1e-5


def test_silence_is_enhanced_to_silence():
    enhanced = make().enhance(torch.zeros(1, 4000), torch.tensor([4000]))
    assert enhanced.isfinite().all() and enhanced.abs().max() == 0


def test_a_mask_of_ones_gives_the_noisy_speech_back(batch):
    model, (waveform, lengths) = make(), batch
    with torch.no_grad():
        model.enhancement_head.mask.weight.zero_()
        model.enhancement_head.mask.bias.fill_(100.0)
    mean = waveform[0].mean()
    torch.testing.assert_close(model.enhance(waveform[:1], lengths[:1])[0], waveform[0] - mean, atol=1e-4, rtol=0)


def test_a_crop_is_the_same_frames_of_spectrum_and_features(batch):
    model, (waveform, lengths) = make(), batch
    starts = torch.tensor([30, 10, 0, 0, 0])
    whole, cut = model(waveform, lengths), model(waveform, lengths, Crop(starts, 20))
    for row, start in enumerate(starts.tolist()):
        own = int(cut.spectrum_lengths[row])
        torch.testing.assert_close(
            cut.noisy_log_spectrum[row, :own], whole.noisy_log_spectrum[row, start : start + own]
        )
    assert cut.spectrum_lengths.tolist() == [20, 20, 20, 1, 1]


@pytest.mark.parametrize("layer_sum", ["shared", "per-head"])
def test_every_tensor_learns(batch, layer_sum):
    model = make(layer_sum).train()
    output = model(*batch)
    (output.category_logits.square().sum() + output.attributes.sum() + output.enhanced_log_spectrum.sum()).backward()
    idle = [name for name, tensor in model.named_parameters() if tensor.grad is None or not tensor.grad.abs().sum()]
    assert not idle


def test_what_is_saved_is_what_is_loaded(batch, tmp_path):
    model = make()
    model.save_pretrained(tmp_path)
    again = SharedModel.from_pretrained(tmp_path)
    assert not again.training
    assert again.config == model.config
    assert torch.equal(model(*batch).category_logits, again(*batch).category_logits)
    assert torch.equal(model.enhance(*batch), again.enhance(*batch))


def test_weights_of_another_model_are_refused_before_they_are_read(tmp_path):
    make().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["encoder"]["dim"] = 3000
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"does not fit config.json"):
        SharedModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a sertool model"),
        ('{"format": "x"}', "format"),
        ('{"encoder": {"dim": 0}}', "encoder"),
    ],
)
def test_a_config_that_is_none_is_named(tmp_path, content, message):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=message):
        SharedModel.from_pretrained(tmp_path)


def test_missing_and_damaged_weights_are_named(tmp_path):
    make().save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        SharedModel.from_pretrained(tmp_path)
    weights.unlink()
    with pytest.raises(InputError, match=r"holds no model\.safetensors"):
        SharedModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_refused(tmp_path, value):
    model = make()
    with torch.no_grad():
        model.enhancement_head.get_parameter(next(iter(model.enhancement_head.state_dict()))).view(-1)[0] = value
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="weights that are not numbers, first in 'enhancement_head"):
        SharedModel.from_pretrained(tmp_path)


def test_weights_of_another_type_are_refused(tmp_path):
    model = make()
    model.double().save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"does not fit config\.json"):
        SharedModel.from_pretrained(tmp_path)


def test_a_configuration_that_says_a_size_twice_is_refused(tmp_path):
    make().save_pretrained(tmp_path)
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"dim": 24', '"dim": 24, "dim": 32'))
    with pytest.raises(InputError, match="stands there twice"):
        SharedModel.from_pretrained(tmp_path)

"""The dual-path head: an utterance's own result, whatever batch it lies in; causal where it says so."""

import pytest
import torch

from sertool.core.audio.compressed_spectra import STEP, WINDOW, num_frames
from sertool.core.models.band_linear import BANDS, BandLinear
from sertool.core.models.config import CompactConfig, DualPathConfig, EmotionConfig, SharedConfig
from sertool.core.models.dual_path_head import LARGEST_GAIN, LEVEL_FRAMES
from sertool.core.models.output import Crop
from sertool.core.models.shared import SharedModel
from sertool.core.models.time_recurrence import turned

LENGTHS = [9000, 7777, 4321, 150, 1]
KINDS = {
    "with the encoder": {},
    "alone": {"features": "none"},
    "causal": {"features": "none", "causal": True},
}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make(*, emotion: bool = False, layer_sum: str = "shared", **settings) -> SharedModel:
    config = SharedConfig(
        encoder=CompactConfig(mels=16, dim=12, layers=2, kernel=5),
        layer_sum=layer_sum,
        emotion=EmotionConfig(categories=("anger", "neutral"), hidden=8) if emotion else None,
        enhancement=DualPathConfig(**{"channels": 8, "hidden": 8, "blocks": 2, "decoder": 8} | settings),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = SharedModel(config).eval()
        for weight in model.enhancement_head.mask.parameters():
            torch.nn.init.normal_(weight)  # far from the mask of ones that a new head begins with
        return model


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(2)
    return torch.randn(len(LENGTHS), max(LENGTHS), generator=generator) * 0.1, torch.tensor(LENGTHS)


@pytest.mark.parametrize("kind", KINDS)
def test_alone_and_in_a_padded_batch_agree_to_1e_5(batch, kind):
    model, (waveform, lengths) = make(**KINDS[kind]), batch
    together = model.estimate(waveform, lengths)
    for row, length in enumerate(LENGTHS):
        alone = model.estimate(waveform[row : row + 1, :length], lengths[row : row + 1])
        close = {"atol": 1e-5 * float(together.waveform.abs().max()), "rtol": 0}
        torch.testing.assert_close(together.waveform[row, :length], alone.waveform[0], **close)
        gains = alone.top_octave_gain[0]
        torch.testing.assert_close(together.top_octave_gain[row, : len(gains)], gains, atol=1e-5, rtol=0)
        assert not together.waveform[row, length:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_level_comes_out_as_it_went_in(batch, kind):
    model, (waveform, lengths) = make(**KINDS[kind]), batch
    loud, soft = model.enhance(waveform[:2], lengths[:2]), model.enhance(waveform[:2] / 100, lengths[:2])
    assert loud.abs().max() > 0.01
    torch.testing.assert_close(soft * 100, loud, atol=1e-4 * float(loud.abs().max()), rtol=0)
    silent = model.enhance(torch.zeros(1, 4000), torch.tensor([4000]))
    assert silent.abs().max() == 0


def test_a_new_head_hands_speech_on():
    torch.manual_seed(0)
    model = SharedModel(SharedConfig(enhancement=DualPathConfig(channels=8, hidden=8, blocks=1, decoder=8))).eval()
    for weight in model.enhancement_head.mask.parameters():
        torch.nn.init.zeros_(weight)
    time_s = torch.arange(16000) / 16000
    tone = 0.1 * torch.sin(2 * torch.pi * 440 * time_s)[None]
    enhanced = model.enhance(tone, torch.tensor([16000]))
    # What keeps the mask in bounds takes a thousandth; the frames at the ends have a mean, and lose it.
    middle = slice(2 * WINDOW, -2 * WINDOW)
    torch.testing.assert_close(enhanced[:, middle], tone[:, middle], atol=3e-4, rtol=0)


@pytest.mark.parametrize("kind", ["alone", "causal"])
def test_an_offset_does_not_come_out(kind):
    model = make(**KINDS[kind])
    for weight in model.enhancement_head.mask.parameters():
        torch.nn.init.zeros_(weight)
    enhanced = model.enhance(torch.full((1, 8000), 0.1), torch.tensor([8000]))
    assert enhanced[:, WINDOW:-WINDOW].abs().max() < 1e-6


def test_the_mask_is_bounded(batch):
    model, (waveform, lengths) = make(features="none"), batch
    for weight in model.enhancement_head.mask.parameters():
        torch.nn.init.normal_(weight, std=1e4)
    spectra = model(waveform, lengths).spectra
    assert (spectra.enhanced.abs() <= LARGEST_GAIN * spectra.noisy.abs() + 1e-6).all()


@pytest.mark.parametrize(("causal", "heard"), [(True, False), (False, True)])
def test_only_the_causal_head_hears_nothing_of_what_comes_later(causal, heard):
    model = make(features="none", causal=causal)
    waveform, length = 0.1 * torch.randn(1, 6000, generator=torch.Generator().manual_seed(0)), torch.tensor([6000])
    changed, at = waveform.clone(), 3000
    changed[:, at:] *= 5.0
    before, after = model.enhance(waveform, length), model.enhance(changed, length)
    untouched = at // STEP * STEP - (WINDOW - STEP)
    assert (not torch.equal(before[:, :untouched], after[:, :untouched])) == heard
    assert not torch.equal(before[:, at:], after[:, at:])


def test_the_running_level_is_the_mean_of_the_frames_before():
    head = make(features="none", causal=True).enhancement_head
    spectrum = torch.randn(2, LEVEL_FRAMES + 60, 4, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    level, _ = head.running_level(spectrum)
    for frame in (0, 1, 99, LEVEL_FRAMES - 1, LEVEL_FRAMES, LEVEL_FRAMES + 59):
        known = spectrum[:, max(0, frame + 1 - LEVEL_FRAMES) : frame + 1]
        torch.testing.assert_close(level[:, frame, 0], known.abs().square().mean((1, 2)).sqrt())


@pytest.mark.parametrize("kind", KINDS)
def test_a_crop_is_the_same_frames(batch, kind):
    model, (waveform, lengths) = make(**KINDS[kind]), batch
    whole, cut = model(waveform, lengths).spectra, model(waveform, lengths, Crop(torch.tensor([9, 3, 0, 0, 0]), 10))
    assert cut.spectrum_lengths.tolist() == [10, 10, 10, 2, 2]
    torch.testing.assert_close(cut.spectra.noisy[0], whole.noisy[0, 9:19])
    torch.testing.assert_close(cut.spectra.level[1], whole.level[1, 3:13])


@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor_that_is_heard_learns(batch, kind):
    model = make(**KINDS[kind]).train()
    model(*batch).spectra.enhanced.abs().sum().backward()
    idle = {name for name, tensor in model.named_parameters() if tensor.grad is None or not tensor.grad.abs().sum()}
    unheard = {name for name, _ in model.named_parameters() if not name.startswith("enhancement_head")}
    assert idle == (unheard if kind != "with the encoder" else set())


def test_without_features_enhancing_asks_nothing_of_the_encoder(batch, monkeypatch):
    model = make(emotion=True, layer_sum="per-head", features="none")
    assert model.config.heads == ("emotion",)
    both = model(*batch)
    assert both.category_logits is not None
    monkeypatch.setattr(model.encoder, "forward", None)
    speech = model.estimate(*batch)
    torch.testing.assert_close(model.speech_of(both, *batch).waveform, speech.waveform)


def test_what_is_saved_is_what_is_loaded(batch, tmp_path):
    model = make(emotion=True)
    model.save_pretrained(tmp_path)
    assert torch.equal(SharedModel.from_pretrained(tmp_path).enhance(*batch), model.enhance(*batch))


def test_a_causal_head_cannot_hear_the_encoder():
    with pytest.raises(ValueError, match="set features to none"):
        DualPathConfig(causal=True)


def test_band_layers_are_a_linear_layer_a_band():
    torch.manual_seed(0)
    bins = sum(count * width for count, width in BANDS)
    split, merge = BandLinear(3, 5, to_bands=True), BandLinear(5, 2, to_bands=False)
    for bias in (*split.biases, *merge.biases):
        torch.nn.init.normal_(bias)
    x = torch.randn(2, 4, bins, 3)
    bands = split(x)
    out, band, start = merge(bands), 0, 0
    for group, (count, width) in enumerate(BANDS):
        for i in range(count):
            own = x[..., start : start + width, :].flatten(-2)
            torch.testing.assert_close(bands[..., band, :], own @ split.weights[group][i] + split.biases[group][i, 0])
            wanted = bands[..., band, :] @ merge.weights[group][i] + merge.biases[group][i, 0]
            torch.testing.assert_close(out[..., start : start + width, :].flatten(-2), wanted)
            band, start = band + 1, start + width
    assert bands.shape == (2, 4, band, 5) and out.shape == (2, 4, bins, 2)


def test_utterances_are_turned_within_their_own_lengths():
    x = torch.arange(8.0).view(4, 2, 1)
    assert turned(x, torch.tensor([4, 3]))[..., 0].T.tolist() == [[6, 4, 2, 0], [5, 3, 1, 7]]
    assert torch.equal(turned(x, None), x.flip(0))
    assert int(num_frames(torch.tensor([257]))[0]) == 3

"""The losses of the dual-path head by hand, by torchmetrics, and however a batch is cut."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from sertool.core.audio.compressed_spectra import num_frames
from sertool.core.corpus.batches import Batch
from sertool.core.models.config import DualPathConfig, LogMelConfig, SharedConfig
from sertool.core.models.shared import SharedModel
from sertool.core.training.enhancement_losses import SpectralWeights, resolution_error, soft_si_sdr
from sertool.core.training.enhancement_scores import EnhancementScores
from sertool.core.training.objective import Objective

LENGTHS = [6000, 4100, 900]
WEIGHTS = SpectralWeights(magnitude=0.7, complex=0.3, resolutions=0.5, si_sdr=0.1)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make(*, causal: bool = False) -> SharedModel:
    head = DualPathConfig(features="none", causal=causal, channels=8, hidden=8, blocks=1, decoder=8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SharedModel(SharedConfig(encoder=LogMelConfig(), enhancement=head)).eval()


def make_batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    clean = 0.1 * torch.randn(3, max(LENGTHS), generator=generator)
    noisy = clean + 0.05 * torch.randn(3, max(LENGTHS), generator=generator)
    for row, length in enumerate(LENGTHS):
        clean[row, length:] = noisy[row, length:] = 0
    empty = torch.zeros(3, 0)
    return Batch(
        indices=torch.arange(3),
        noisy=noisy,
        clean=clean,
        lengths=torch.tensor(LENGTHS),
        labels=torch.full((3,), -1),
        attributes=empty,
        vote_shares=empty,
        crop_position=torch.tensor([0.0, 0.5, 1.0]),
        targets=empty.long(),
        frame_labels=empty.long(),
        hidden_frames=empty.bool(),
    )


def part_of(batch: Batch, rows: list[int], samples: int) -> Batch:
    fields = {name: value[rows] for name, value in vars(batch).items()}
    return Batch(**fields | {name: fields[name][:, :samples] for name in ("noisy", "clean")})


def objective(**settings) -> Objective:
    return Objective(
        **{
            "class_weights": None,
            "category_loss": "cross-entropy",
            "attributes": False,
            "enhancement": True,
            "emotion_weight": 1.0,
            "enhancement_weight": 2.0,
            "crop_frames": None,
            "spectral": WEIGHTS,
        }
        | settings
    )


@pytest.mark.parametrize("crop_frames", [None, 6])
@pytest.mark.parametrize("causal", [False, True])
def test_the_loss_of_a_batch_is_the_sum_of_its_parts(crop_frames, causal):
    model, batch, found = make(causal=causal), make_batch(), objective(crop_frames=crop_frames)

    def loss(part: Batch, denominators: torch.Tensor) -> torch.Tensor:
        output = model(part.noisy, part.lengths, found.crop(part))
        return found.losses(model, output, part, denominators, None)["enhancement"]

    whole = loss(batch, found.denominators(batch))
    parts = [part_of(batch, [0], 6000), part_of(batch, [1, 2], 4100)]
    denominators = sum(found.denominators(part) for part in parts)
    torch.testing.assert_close(sum(loss(part, denominators) for part in parts), whole)


def test_spectra_are_compared_by_mean_squares_over_own_frames():
    model, batch, found = make(), make_batch(), objective()
    output = model(batch.noisy, batch.lengths)
    losses = found.spectral_losses(model, output, batch, None)
    for row, length in enumerate(LENGTHS):
        own = int(num_frames(torch.tensor(length)))
        alone = part_of(batch, [row], length)
        spectrum = output.spectra.enhanced[row, :own]
        clean = model(alone.clean, alone.lengths, statistics=model(alone.noisy, alone.lengths).statistics).spectra
        # The head takes the mean of the noisy speech off; that of the clean speech is next to nothing.
        target = clean.noisy[0]
        torch.testing.assert_close(
            losses["magnitude"][row], (spectrum.abs() - target.abs()).square().mean(), rtol=0.02, atol=0
        )
        torch.testing.assert_close(losses["complex"][row], (spectrum - target).abs().square().mean(), rtol=0.02, atol=0)


def test_what_lies_in_the_padding_does_not_count():
    model, batch, found = make(), make_batch(), objective()
    output = model(batch.noisy, batch.lengths)
    enhanced = output.spectra.enhanced.clone()
    for row, length in enumerate(LENGTHS):
        enhanced[row, int(num_frames(torch.tensor(length))) :] = 1.0
    spoilt = replace(output, spectra=replace(output.spectra, enhanced=enhanced))
    assert not torch.equal(enhanced, output.spectra.enhanced)
    for name, value in found.spectral_losses(model, output, batch, None).items():
        assert torch.equal(found.spectral_losses(model, spoilt, batch, None)[name], value), name


def test_si_sdr_is_torchmetrics_where_there_is_error_enough():
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(4, 8000, generator=generator)
    levels = torch.tensor([[0.1], [0.5], [1.0], [2.0]])
    estimate = 0.3 * clean + levels * torch.randn(4, 8000, generator=generator)
    found = soft_si_sdr(estimate, clean, 1e-3 * estimate)  # so soft a noisy speech makes the floor vanish
    torch.testing.assert_close(found, scale_invariant_signal_distortion_ratio(estimate, clean), atol=1e-2, rtol=0)


def test_si_sdr_is_not_driven_beyond_what_can_be_heard_and_silence_asks_for_silence():
    clean = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    assert soft_si_sdr(clean, clean, clean).item() == pytest.approx(30.0, abs=0.01)
    estimate = (0.1 * clean).requires_grad_()
    loss = -soft_si_sdr(estimate, torch.zeros(1, 8000), clean)
    loss.sum().backward()
    assert loss.item() > 0 and (estimate.grad * clean).sum() > 0 and estimate.grad.isfinite().all()


def test_resolutions_do_not_see_what_lies_behind():
    generator = torch.Generator().manual_seed(0)
    clean, estimate = torch.randn(2, 5000, generator=generator), torch.randn(2, 5000, generator=generator)
    lengths = torch.tensor([5000, 3000])
    clean[1, 3000:] = estimate[1, 3000:] = 0
    alone = resolution_error(estimate[1:, :3000], clean[1:, :3000], lengths[1:])
    torch.testing.assert_close(resolution_error(estimate, clean, lengths)[1:], alone)
    assert not resolution_error(clean, clean, lengths).any()


@pytest.mark.parametrize("name", ["magnitude", "complex", "resolutions", "si_sdr"])
def test_each_loss_falls_as_speech_comes_out_cleaner(name):
    model, batch = make(), make_batch()
    weights = SpectralWeights(**{one: float(one == name) for one in WEIGHTS.used})
    found, values = objective(spectral=weights), []
    output = model(batch.noisy, batch.lengths)
    for share in (0.0, 0.5, 1.0):
        better = share * batch.clean + (1 - share) * batch.noisy
        spectrum = model(better, batch.lengths, statistics=output.statistics).spectra.noisy
        changed = replace(output, spectra=replace(output.spectra, enhanced=spectrum))
        losses = found.spectral_losses(model, changed, batch, None)
        assert list(losses) == [name]
        values.append(losses[name])
    assert (values[0] > values[1]).all() and (values[1] > values[2]).all()


def test_dev_scores_are_those_of_one_batch():
    model, batch, found = make(), make_batch(), objective()
    scores = EnhancementScores(found)
    for part in (part_of(batch, [0], 6000), part_of(batch, [1, 2], 4100)):
        scores.add(model, model(part.noisy, part.lengths), part)
    told = scores.scores(scores.totals())
    output = model(batch.noisy, batch.lengths)
    wanted = found.losses(model, output, batch, found.denominators(batch), None)["enhancement"] / 2.0
    assert scores.loss(told) == told["spectral_loss"] == pytest.approx(wanted.item(), rel=1e-5)
    frames = output.spectra.frame_lengths.numpy()
    by_hand = -found.spectral_losses(model, output, batch, None)["si_sdr"].detach().numpy()
    assert told["si_sdr"] == pytest.approx(np.average(by_hand, weights=frames), rel=1e-5)


def test_weights_that_teach_nothing_are_refused():
    with pytest.raises(ValueError, match="no loss has weight"):
        SpectralWeights(magnitude=0, complex=0, resolutions=0, si_sdr=0)

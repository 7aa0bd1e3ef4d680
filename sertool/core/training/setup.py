"""What a training starts with: model, optimizer, objective and device, each from the recipe."""

import math
from contextlib import nullcontext
from datetime import timedelta

import numpy as np
import torch
from accelerate import Accelerator, InitProcessGroupKwargs

from sertool.core.audio.compressed_spectra import STEP
from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.audio.spectra import HOP
from sertool.core.corpus.batches import Augmentation, Pick, UtteranceDataset
from sertool.core.corpus.variation import Variation
from sertool.core.environment import choose_device
from sertool.core.models.config import DualPathConfig
from sertool.core.models.encoder import build_encoder
from sertool.core.models.shared import SharedModel
from sertool.core.randomness import seed_for
from sertool.core.training.inputs import Inputs
from sertool.core.training.losses import class_weights
from sertool.core.training.objective import Objective, UtteranceLoss
from sertool.core.training.processes import check_launcher
from sertool.core.training.recipe import Optimisation, Recipe
from sertool.core.training.schedule import Stage, freeze_for

POOLING_UTTERANCES = 256
"""Utterances from which a new pooling head learns the spread of what it pools."""


def build_model(recipe: Recipe, inputs: Inputs) -> SharedModel:
    """Return the model a training starts from: new weights drawn from the seed, or a learned encoder's.

    From a run comes the enhancement head with its layer sum, where both models have them at the same sizes, so that
    what pre-training learned of denoising is kept; and the emotion head, where the recipe asks for all heads.
    """
    config, start = inputs.config, inputs.start
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for("weights", recipe.seed))
        # Weights that are taken over need not be drawn; those of a small encoder are, for heads that are the same ones.
        with torch.device("meta") if config.encoder.kind == "ssl" else nullcontext():
            encoder = build_encoder(config.encoder)
        if start.encoder:
            encoder.load_state_dict(start.encoder.state_dict(), assign=config.encoder.kind == "ssl")
        model = SharedModel(config, encoder)
    if start.model:
        for head in ("enhancement", "emotion") if recipe.encoder.heads == "all" else ("enhancement",):
            _take_head(head, model, start.model)
    return model


def _take_head(head: str, model: SharedModel, source: SharedModel) -> None:
    """Copy a head and its layer sum from another model, where both have it at the same sizes."""
    sizes = getattr(model.config, head)
    if sizes is None or sizes != getattr(source.config, head):
        return
    getattr(model, f"{head}_head").load_state_dict(getattr(source, f"{head}_head").state_dict())
    if head not in model.config.heads:
        return
    theirs = source.layer_sums["shared" if "shared" in source.layer_sums else head]
    ours = model.layer_sums["shared" if "shared" in model.layer_sums else head]
    ours.load_state_dict(theirs.state_dict())


@torch.no_grad()
def standardise_pooling(model: SharedModel, dataset: UtteranceDataset, device: torch.device) -> None:
    """Let new pooling heads see how their encoder's pooled statistics are spread over noisy training speech.

    Args:
        model: put into evaluation mode here.
        dataset: the training split; evenly spaced utterances of it are heard, at most `POOLING_UTTERANCES`.
        device: of the model.
    """
    # A head that was taken over knows it already.
    new = {name: head for name, head in model.pooling_heads().items() if (head.pooled_std == 1).all()}
    if not new:
        return
    model.eval()
    step = -(-len(dataset) // POOLING_UTTERANCES)
    chosen = np.argsort(dataset.utterances.durations_s, kind="stable")[::step]
    pooled = []
    for part in np.array_split(chosen, -(-len(chosen) // 16)):
        batch = dataset.collate([dataset[Pick(int(index), 0)] for index in part]).to(device)
        pooled.append(model.pool(batch.noisy, batch.lengths))
    for name, head in new.items():
        head.standardise_pooling(torch.cat([part[name] for part in pooled]))


def make_optimizer(model: SharedModel, stage: Stage, recipe: Recipe) -> torch.optim.Optimizer:
    """Return an AdamW for what a stage trains; the rest of the model is frozen."""
    settings = recipe.optimisation
    # Biases of bands are matrices, one row a band, and told by their name.
    biases = {id(parameter) for name, parameter in model.named_parameters() if "biases" in name.split(".")}
    groups = []
    for part, parameters in freeze_for(stage, model).items():
        rate = settings.learning_rate * stage.rate * (1.0 if part == "heads" else settings.encoder_rate)
        # Norms and biases are left out of weight decay, as is usual.
        for decay, chosen in (
            (settings.weight_decay, [p for p in parameters if p.ndim > 1 and id(p) not in biases]),
            (0.0, [p for p in parameters if p.ndim <= 1 or id(p) in biases]),
        ):
            groups.append({"params": chosen, "lr": rate, "base_rate": rate, "weight_decay": decay})
    return torch.optim.AdamW(groups)


def rate_factor(settings: Optimisation, done: int, *, stage_start: int, total: int) -> float:
    """Return what multiplies the learning rates: it rises at the beginning of a stage, and falls over the run.

    Args:
        settings: of the recipe.
        done: updates so far.
        stage_start: of them, those before this stage.
        total: updates of the whole run.
    """
    factor = min(1.0, (done - stage_start + 1) / (settings.warmup_updates + 1))
    if settings.decay == "cosine":
        factor *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done / total))
    return factor


def make_augmentation(recipe: Recipe) -> Augmentation:
    """Return how a recipe varies training utterances."""
    data, noise = recipe.data, recipe.noise
    variation = Variation(
        altered_share=noise.altered_share,
        coloured_share=noise.coloured_share,
        synthetic_share=noise.synthetic_share,
        level_db=data.level_db,
        band_share=data.band_share,
        clip_share=data.clip_share,
        codec_share=data.codec_share,
    )
    off = variation == Variation()
    return Augmentation(data.max_s, data.speed_change, noise.clean_share, None if off else variation)


def make_objective(recipe: Recipe, inputs: Inputs, device: torch.device) -> Objective:
    """Return the objective of a recipe, its class weights from the training split."""
    weights = None
    if inputs.counts:
        weights = class_weights(torch.tensor(list(inputs.counts.values()))).to(device)
    dual_path = isinstance(inputs.config.enhancement, DualPathConfig)
    crop_s, hop = recipe.enhancement.crop_s, STEP if dual_path else HOP
    return Objective(
        class_weights=weights,
        category_loss=recipe.emotion.loss,
        attributes=bool(inputs.config.attributes),
        enhancement=inputs.config.enhances,
        emotion_weight=recipe.emotion.weight,
        enhancement_weight=recipe.enhancement.weight,
        crop_frames=None if crop_s is None else round(crop_s * SAMPLE_RATE / hop),
        spectral=recipe.enhancement.spectral if dual_path else None,
        attribute_variances=_variances(inputs.train.attributes).to(device) if inputs.config.attributes else None,
        tasks=tuple(
            UtteranceLoss(
                task.name, recipe.pretext.weight_of(task.name), _balancing(targets, len(task.classes), device)
            )
            for task, targets in zip(inputs.config.pretext, _columns(inputs.train.targets), strict=True)
        ),
        masked_weight=recipe.pretext.masked.weight if inputs.config.masked else None,
    )


def _columns(targets: np.ndarray | None) -> list[np.ndarray]:
    return [] if targets is None else list(targets.T)


def _balancing(targets: np.ndarray, num_classes: int, device: torch.device) -> torch.Tensor:
    """Return the weights that make a task's classes count the same, (C,)."""
    return class_weights(torch.from_numpy(np.bincount(targets[targets >= 0], minlength=num_classes))).to(device)


def _variances(attributes: np.ndarray) -> torch.Tensor:
    """Return the variance of each attribute over the utterances that have it, (A,); 1 where there is none."""
    labelled = [column[~np.isnan(column)] for column in attributes.T]
    return torch.tensor([float(values.var(dtype=np.float64)) or 1.0 if len(values) else 1.0 for values in labelled])


def make_accelerator(recipe: Recipe) -> Accelerator:
    """Return accelerate's plumbing: device, processes and precision as the recipe says.

    Raises:
        InputError: the device is not there, or accelerate was told what the recipe is to say.
    """
    check_launcher()
    device = choose_device(recipe.device)
    precision = recipe.optimisation.precision
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" else "fp32"
    # Where the first process measures or clusters a corpus the others wait, and torch gives up after minutes.
    patience = InitProcessGroupKwargs(timeout=timedelta(days=1))
    mixed = "bf16" if precision == "bf16" else "no"
    return Accelerator(cpu=device.type == "cpu", mixed_precision=mixed, kwargs_handlers=[patience])

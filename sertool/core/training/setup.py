"""What a training starts with: model, optimizer, objective and device, each from the recipe."""

import numpy as np
import torch
from accelerate import Accelerator

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.audio.spectra import HOP
from sertool.core.corpus.batches import Pick, UtteranceDataset
from sertool.core.environment import choose_device
from sertool.core.models.shared import SharedModel
from sertool.core.randomness import seed_for
from sertool.core.training.inputs import Inputs
from sertool.core.training.losses import class_weights
from sertool.core.training.objective import Objective
from sertool.core.training.recipe import Recipe
from sertool.core.training.schedule import Stage, freeze_for

POOLING_UTTERANCES = 256
"""Utterances from which a new emotion head learns the spread of what it pools."""


def build_model(recipe: Recipe, inputs: Inputs) -> SharedModel:
    """Return the model a training starts from: new weights drawn from the seed, or a learned encoder's.

    With the encoder come the enhancement head and its layer sum, where both models have them at the same sizes, so
    that what pre-training learned of denoising is kept.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for("weights", recipe.seed))
        model = SharedModel(inputs.config)
    if inputs.start is None:
        return model
    model.encoder.load_state_dict(inputs.start.encoder.state_dict())
    same = inputs.config.enhancement is not None and inputs.config.enhancement == inputs.start.config.enhancement
    if same:
        model.enhancement_head.load_state_dict(inputs.start.enhancement_head.state_dict())
        source = inputs.start.layer_sums["shared" if "shared" in inputs.start.layer_sums else "enhancement"]
        target = model.layer_sums["shared" if "shared" in model.layer_sums else "enhancement"]
        target.load_state_dict(source.state_dict())
    return model


@torch.no_grad()
def standardise_pooling(model: SharedModel, dataset: UtteranceDataset, device: torch.device) -> None:
    """Let a new emotion head see how its encoder's pooled statistics are spread over noisy training speech.

    Args:
        model: with an emotion head; put into evaluation mode here.
        dataset: the training split; evenly spaced utterances of it are heard, at most `POOLING_UTTERANCES`.
        device: of the model.
    """
    model.eval()
    step = -(-len(dataset) // POOLING_UTTERANCES)
    chosen = np.argsort(dataset.utterances.durations_s, kind="stable")[::step]
    pooled = []
    for part in np.array_split(chosen, -(-len(chosen) // 16)):
        batch = dataset.collate([dataset[Pick(int(index), 0)] for index in part]).to(device)
        pooled.append(model.pool(batch.noisy, batch.lengths))
    model.emotion_head.standardise_pooling(torch.cat(pooled))


def make_optimizer(model: SharedModel, stage: Stage, recipe: Recipe) -> torch.optim.Optimizer:
    """Return an AdamW for what a stage trains; the rest of the model is frozen."""
    settings = recipe.optimisation
    groups = []
    for part, parameters in freeze_for(stage, model).items():
        rate = settings.learning_rate * stage.rate * (1.0 if part == "heads" else settings.encoder_rate)
        # Norms and biases are left out of weight decay, as is usual.
        for decay, chosen in (
            (settings.weight_decay, [p for p in parameters if p.ndim > 1]),
            (0.0, [p for p in parameters if p.ndim <= 1]),
        ):
            groups.append({"params": chosen, "lr": rate, "base_rate": rate, "weight_decay": decay})
    return torch.optim.AdamW(groups)


def make_objective(recipe: Recipe, inputs: Inputs, device: torch.device) -> Objective:
    """Return the objective of a recipe, its class weights from the training split."""
    weights = None
    if inputs.counts:
        weights = class_weights(torch.tensor(list(inputs.counts.values()))).to(device)
    crop_s = recipe.enhancement.crop_s
    return Objective(
        class_weights=weights,
        category_loss=recipe.emotion.loss,
        attributes=bool(inputs.config.attributes),
        enhancement=inputs.config.enhances,
        emotion_weight=recipe.emotion.weight,
        enhancement_weight=recipe.enhancement.weight,
        crop_frames=None if crop_s is None else round(crop_s * SAMPLE_RATE / HOP),
    )


def make_accelerator(recipe: Recipe) -> Accelerator:
    """Return accelerate's plumbing: device, processes and precision as the recipe says.

    Raises:
        InputError: the device is not there.
    """
    device = choose_device(recipe.device)
    precision = recipe.optimisation.precision
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" else "fp32"
    return Accelerator(cpu=device.type == "cpu", mixed_precision="bf16" if precision == "bf16" else "no")

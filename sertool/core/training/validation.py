"""How good a model is on the whole dev split, in the noise kept for it."""

import math
from collections.abc import Callable

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from sertool.core.corpus.batches import Augmentation, Pick, UtteranceDataset, load_batches, plan_by_length
from sertool.core.errors import InputError
from sertool.core.metrics.emotion import category_scores, ccc
from sertool.core.models.shared import SharedModel
from sertool.core.training.enhancement_scores import EnhancementScores
from sertool.core.training.inputs import Inputs
from sertool.core.training.losses import kl_divergence
from sertool.core.training.objective import Objective
from sertool.core.training.pretext_scores import PretextScores
from sertool.core.training.recipe import Recipe

BATCH_S = 120.0
"""Seconds of audio, padding included, in a batch of the dev split."""


# Not inference_mode: what sharded weights are gathered into there could not be trained with afterwards.
@torch.no_grad()
def validate(
    model: SharedModel,
    inputs: Inputs,
    recipe: Recipe,
    accelerator: Accelerator,
    objective: Objective,
    *,
    between: Callable[[], None],
) -> dict[str, float]:
    """Score a model on every dev utterance at every dev SNR.

    Args:
        model: the bare model; put into evaluation mode here.
        inputs: the dev split and its noise.
        recipe: of the run.
        accelerator: splits the batches over the processes; all of them run the model equally often.
        objective: of the run, by whose losses pre-training tasks are judged.
        between: called before each batch, equally often in all processes; may raise to end early.

    Returns:
        By name: `f1_macro` and `ua` over all SNRs pooled; `ccc_<attribute>`, `ccc_<attribute>_derived` where it is
        derived from the category, `_partly_derived` where some are; `l1` per bin; `vote_kl`, the mean
        divergence from the annotators' votes in nats, where these are learned; of the dual-path head `spectral_loss`
        and its parts in place of `l1`; and `score`, by which the best epoch is chosen (higher is better): the mean of
        F1-macro and the CCCs there are, or else minus vote_kl, or else minus the loss of enhanced spectra;
        with pre-training tasks, whose scores are those of `PretextScores`, minus the weighted sum of all losses.
    """
    model.eval()
    dataset = UtteranceDataset(inputs.dev, inputs.dev_mixer, Augmentation(), recipe.seed)
    batches = batches_by_length(inputs.dev.durations_s)
    plan = [[Pick(int(i), 0, snr) for i in batch] for snr in inputs.dev_snrs for batch in batches]
    mine, along = own_batches(plan, accelerator)
    rows: list[tuple] = []
    enhancement = EnhancementScores(objective)
    pretext = PretextScores(objective, model.config) if objective.pretrains else None
    for number, batch in enumerate(load_batches(dataset, mine + along, workers=recipe.data.workers)):
        between()
        batch = batch.to(accelerator.device)
        with accelerator.autocast():
            output = model(batch.noisy, batch.lengths) if model.config.heads or model.config.enhances else None
            masked = model(batch.noisy, batch.lengths, **hidden) if (hidden := objective.hidden_frames(batch)) else None
        if number >= len(mine):
            continue
        if pretext:
            pretext.add(output, masked, batch)
        if model.emotion_head:
            rows += _predictions(output, batch)
        if model.enhancement_head:
            enhancement.add(model, output, batch)
    total, tasks = enhancement.totals(), pretext and pretext.totals()
    if accelerator.num_processes > 1:
        rows = gather_object(rows)
        total = accelerator.reduce(total.to(accelerator.device), "sum").cpu()
        tasks = pretext and accelerator.reduce(tasks.to(accelerator.device), "sum").cpu()
    enhanced = enhancement.scores(total) if model.enhancement_head else {}
    scores = _scores(model, rows, enhanced, inputs.dev_attributes)
    if pretext:
        told, loss = pretext.scores(tasks)
        if model.enhancement_head:
            loss = (loss or 0.0) + objective.enhancement_weight * enhancement.loss(enhanced)
        scores |= told | ({} if loss is None else {"score": -loss})
    if "score" not in scores:
        raise InputError("no score can be had on the dev split; expected labels in it: label it, or split anew")
    return scores


def batches_by_length(durations_s: np.ndarray) -> list[np.ndarray]:
    """Return utterances of these durations (N,) as batches to score a model on."""
    return plan_by_length(durations_s, batch_s=BATCH_S)


def own_batches(plan: list[list[Pick]], accelerator: Accelerator) -> tuple[list[list[Pick]], list[list[Pick]]]:
    """Return this process's batches of a plan, and those it is to run along with, of which nothing counts.

    Sharded weights are gathered by all processes at once, so that all must run the model equally often.
    """
    mine = plan[accelerator.process_index :: accelerator.num_processes]
    return mine, [plan[0][:1]] * (-(-len(plan) // accelerator.num_processes) - len(mine))


def _predictions(output, batch) -> list[tuple[int, int, list[float], list[float], float]]:
    """Return (label, predicted class, attributes, predicted attributes, divergence from the votes) of each utterance.

    The divergence is NaN where there are no votes.
    """
    count = len(batch.labels)
    classes = output.category_logits.argmax(1).tolist() if output.category_logits is not None else [-1] * count
    estimates = output.attributes.float().tolist() if output.attributes is not None else [[]] * count
    divergences = [math.nan] * count
    if batch.vote_shares.shape[1]:
        by_utterance = kl_divergence(output.category_logits, batch.vote_shares)
        divergences = by_utterance.masked_fill(batch.vote_shares.sum(1) == 0, math.nan).tolist()
    return list(zip(batch.labels.tolist(), classes, batch.attributes.tolist(), estimates, divergences, strict=True))


def _scores(model: SharedModel, rows: list[tuple], enhanced: dict[str, float], attributes_are: str) -> dict[str, float]:
    scores: dict[str, float] = {}
    chosen_by = []
    categories = model.config.categories
    labelled = [row for row in rows if row[0] >= 0]
    if categories and labelled:
        result = category_scores(
            [categories[row[0]] for row in labelled], [categories[row[1]] for row in labelled], categories
        )
        scores |= {"f1_macro": result["f1_macro"], "ua": result["ua"]}
        chosen_by.append(scores["f1_macro"])
    for i, name in enumerate(model.config.attributes):
        pairs = [(row[2][i], row[3][i]) for row in rows if not np.isnan(row[2][i])]
        value = ccc([true for true, _ in pairs], [guess for _, guess in pairs]) if pairs else None
        if value is not None:
            # The name goes wherever the score goes, so it is there that a derived attribute is told from a rated one.
            scores["_".join(filter(None, ("ccc", name, attributes_are)))] = value
            chosen_by.append(value)
    divergences = [row[4] for row in rows if not math.isnan(row[4])]
    if divergences:
        scores["vote_kl"] = float(np.mean(divergences))
    scores |= enhanced
    if chosen_by:
        scores["score"] = float(np.mean(chosen_by))
    elif divergences or model.enhancement_head:
        scores["score"] = -(scores["vote_kl"] if divergences else next(iter(enhanced.values())))
    return scores

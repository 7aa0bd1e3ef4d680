"""The metrics by name: what each reads, and the scores it gives, high for easy."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sertool.core.corpus.manifest import Manifest
from sertool.core.curriculum import deepmi, uncertainty
from sertool.core.curriculum.clustered import cluster_parts, own_estimates
from sertool.core.curriculum.disagreement import annotator_agreement
from sertool.core.curriculum.out_of_fold import FoldedHeads, speaker_folds, train_folded, train_in_sample
from sertool.core.curriculum.request import ScoreRequest
from sertool.core.curriculum.scores import utterance_names
from sertool.core.curriculum.target import Target
from sertool.core.curriculum.teacher_loss import losses, teacher_outputs
from sertool.core.environment import choose_device
from sertool.core.randomness import seed_for

if TYPE_CHECKING:
    from sertool.core.clustering.assignments import ClusteredUtterances

Progress = Callable[[int | None, str], AbstractContextManager[Callable[..., None]]]
"""Shows a bar of so many steps (None: nobody knows) with a title; gives what counts them."""


@dataclass(frozen=True)
class Material:
    """What a metric may read: utterances in the order of their names, their labels, and the request."""

    manifest: Manifest
    target: Target
    request: ScoreRequest
    progress: Progress

    @cached_property
    def clustered(self) -> "ClusteredUtterances":
        """Clusters, vectors and estimates of the utterances, in their order, by the cluster run."""
        device = str(choose_device(self.request.device))
        with self.progress(None, "clustering") as advance:
            return cluster_parts(self.request.cluster_run, self.manifest, device=device, done=advance)

    @property
    def in_sample(self) -> bool:
        """Whether a model judges what it learned from."""
        return self.request.predictions == "in-sample"


@dataclass(frozen=True)
class Scored:
    """What a metric says.

    Attributes:
        values: (N,), high for easy.
        columns: what it found along the way, by name, (N,) each.
        notes: what a user should know.
        facts: the same as JSON.
        why_alike: said of scores that are all the same.
    """

    values: np.ndarray
    columns: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    why_alike: str = ""


def information_scores(material: Material) -> Scored:
    """Score by what the cluster, and the prediction, say of the label: DeepMI, or pointwise."""
    request, target = material.request, material.target
    alpha = deepmi.ALPHAS[target.name] if request.alpha is None else request.alpha
    notes: list[str] = []
    facts: dict[str, Any] = {"alpha": alpha}
    predictions = _predictions(material, notes, facts) if alpha > 0 else None
    clusters = material.clustered.cluster
    columns = {
        "cluster": clusters,
        "deepmi": deepmi.deepmi(clusters, target.codes, predictions, alpha=alpha),
        "pmi": deepmi.pmi(clusters, target.codes, predictions, alpha=alpha),
        "mi_cluster": deepmi.contributions(clusters, target.codes),
        "mi_prediction": None if predictions is None else deepmi.contributions(predictions, target.codes),
    }
    for name, other in (("cluster", clusters), ("prediction", predictions)):
        if other is not None:
            found = deepmi.mutual_information(other, target.codes)
            chance = deepmi.mutual_information_by_chance(other, target.codes)
            notes.append(f"I({name}; {target.title}) = {found:.3f} nats; shuffled ones have {chance:.3f}")
            facts |= {f"mi_{name}_nats": found, f"mi_{name}_by_chance_nats": chance}
    alone = " (all are in one cluster)" if len(np.unique(clusters)) == 1 else ""
    return Scored(columns.pop(request.metric), columns, notes, facts, alone)


def disagreement_scores(material: Material) -> Scored:
    """Score by the share of annotators who agree."""
    agreement = annotator_agreement(material.manifest)
    return Scored(agreement, notes=[f"annotators agree to {agreement.mean():.1%} on average"])


def teacher_scores(material: Material) -> Scored:
    """Score by the loss of a teacher: a trained run, or small heads on the vectors of the cluster run."""
    request, target = material.request, material.target
    notes: list[str] = []
    facts: dict[str, Any] = {}
    if request.teacher is not None:
        from sertool.core.models.inference import load

        teacher = load(request.teacher, request.device)
        with material.progress(len(material.manifest), "listening") as advance:
            outputs = teacher_outputs(teacher, material.manifest.paths(), target, advance=advance)
        notes.append(f"the teacher is {request.teacher}; if it learned from these utterances, it knows them by heart")
        facts["teacher"] = teacher.model_id
    else:
        heads = _heads(material, notes, facts)
        outputs = heads.judge(material.clustered.vectors, lambda head, own: head.outputs(own))
    loss = losses(outputs, target)
    what = "cross-entropy, nats" if target.values is None else "squared error"
    notes.append(f"the teacher's loss is {loss.mean():.3f} on average ({what})")
    clusters = {} if request.cluster_run is None or request.teacher else {"cluster": material.clustered.cluster}
    return Scored(-loss, clusters, notes, facts)


def dropout_scores(material: Material) -> Scored:
    """Score by how sure small heads are with dropout left on: less entropy, or less variance, is easier."""
    target, seed = material.target, material.request.seed
    notes: list[str] = []
    facts: dict[str, Any] = {"passes": uncertainty.PASSES}
    heads = _heads(material, notes, facts)
    outputs = uncertainty.dropout_outputs(heads, material.clustered.vectors, seed=seed)
    columns: dict[str, object] = {"cluster": material.clustered.cluster}
    if target.values is not None:
        return Scored(-uncertainty.variance(outputs), columns, notes, facts)
    columns["bald"] = uncertainty.bald(outputs)
    return Scored(-uncertainty.predictive_entropy(outputs), columns, notes, facts)


def random_scores(material: Material) -> Scored:
    """Score by a draw from (seed, name of the utterance), even over 0 to 1."""
    names, seed = utterance_names(material.manifest), material.request.seed
    return Scored(np.array([seed_for("random curriculum", seed, name) for name in names]) / 2.0**63)


METRICS: dict[str, Callable[[Material], Scored]] = {
    "deepmi": information_scores,
    "pmi": information_scores,
    "disagreement": disagreement_scores,
    "teacher-loss": teacher_scores,
    "mc-dropout": dropout_scores,
    "random": random_scores,
}


def _predictions(material: Material, notes: list[str], facts: dict[str, Any]) -> np.ndarray:
    """Return the class predicted of each utterance, (N,)."""
    target = material.target
    if material.in_sample:
        notes.append("predictions are in-sample: the cluster model's own, which learned these labels (as published)")
        facts["predictions"] = "in-sample"
        outputs = own_estimates(material.clustered, target, material.request.cluster_run)
    else:
        heads = _heads(material, notes, facts)
        outputs = heads.judge(material.clustered.vectors, lambda head, own: head.outputs(own))
    return target.predicted_codes(outputs)


def _heads(material: Material, notes: list[str], facts: dict[str, Any]) -> FoldedHeads:
    """Return small heads on the vectors of the cluster run."""
    target, seed = material.target, material.request.seed
    facts["predictions"] = material.request.predictions
    if material.in_sample:
        notes.append("one small head learned from all these utterances and judges the same (in-sample)")
        return train_in_sample(material.clustered.vectors, target, seed=seed)
    # Looked at before the cluster model listens, which takes its time: there may be too few.
    speakers = material.manifest.speakers().to_numpy(dtype=object, na_value=None)
    folds = speaker_folds(list(speakers))
    counts = [len(set(speakers[folds == fold])) for fold in range(folds.max() + 1)]
    unknown = sum(speaker is None for speaker in speakers)
    aside = f"; {unknown} utterances of unknown speakers share a fold" if unknown else ""
    notes.append(
        f"out of fold: {len(counts)} small heads judge {', '.join(map(str, counts))} speakers they never heard; "
        f"the vectors may have been learned from all{aside}"
    )
    facts["speakers_by_fold"] = counts
    vectors = material.clustered.vectors
    with material.progress(len(counts), "training heads") as advance:
        return train_folded(vectors, target, folds, seed=seed, done=advance)

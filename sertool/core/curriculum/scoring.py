"""From a manifest to a curriculum: which utterances are scored, and by which metric."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.splits import TRAIN
from sertool.core.curriculum.disagreement import annotator_agreement
from sertool.core.curriculum.metrics import METRICS, Material, Progress, Scored
from sertool.core.curriculum.request import CLUSTERED, ScoreRequest, check_request
from sertool.core.curriculum.scores import rank_scores, score_table, utterance_names
from sertool.core.curriculum.target import EMOTION, UNLABELLED, Target, read_target
from sertool.core.errors import InputError

UNCLUSTERED = ("disagreement", "random")
"""Metrics that have no use for a cluster run."""

NEEDS_CLASSES = (*CLUSTERED, "teacher-loss")
"""Metrics that say nothing where all labels are one."""


@dataclass(frozen=True)
class ScoredSplit:
    """A scored split.

    Attributes:
        scored: the table of scores, the easiest first.
        manifest: the same utterances in the same order, with all that the manifest says of them.
        target: their labels, in the same order.
        notes: what a user should know of it.
        facts: the same as JSON.
    """

    scored: Manifest
    manifest: Manifest
    target: Target
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


def score(manifest: Manifest, request: ScoreRequest, *, progress: Progress | None = None) -> ScoredSplit:
    """Score the utterances of one split.

    The result does not depend on the order of the manifest's rows: they are gone through in the order of their names.

    Args:
        manifest: the whole of it.
        request: what to score, and how.
        progress: shows how far it is.

    Raises:
        InputError: the request asks for what cannot be, the manifest lacks what the metric needs, or all utterances
            score the same.
    """
    check_request(request)
    notes: list[str] = []
    part, target, left_out = _chosen(manifest, request, notes)
    names = utterance_names(part)
    by_name = np.argsort(np.array(names))
    part, target = _reordered(part, target, by_name)
    _check_enough(part, target, request)
    found = METRICS[request.metric](Material(part, target, request, progress or _no_progress))
    _check_distinct(found, request)
    ranks = rank_scores(found.values, [names[row] for row in by_name], seed=request.seed)
    scored = score_table(
        part,
        found.values,
        ranks,
        metric=request.metric,
        target=target.title,
        bins=request.bins,
        further=_labels(part, target) | found.columns | _made_with(request, len(part)),
    )
    notes += found.notes
    facts = _facts(found, target, request, notes) | {"left_out": left_out} | found.facts
    return ScoredSplit(scored, *_reordered(part, target, np.argsort(ranks)), notes, facts)


def _chosen(manifest: Manifest, request: ScoreRequest, notes: list[str]) -> tuple[Manifest, Target, int]:
    """Return the utterances to score, their labels, and how many of the split cannot be."""
    if request.cluster_run is not None and (request.metric in UNCLUSTERED or request.teacher is not None):
        notes.append(f"{request.cluster_run}: is not read, {request.metric} has no use for it here")
    part = _part(manifest, request, notes)
    target = read_target(part, request.target)
    if request.metric == "disagreement" and target.name != EMOTION:
        raise InputError(
            f"--target {target.name}: annotators' votes are for categories; expected --target emotion with "
            "--metric disagreement: say that, or choose another metric"
        )
    if target.title != target.name:
        notes.append(f"{part.name}: its {target.name} was derived from the category, not heard by annotators")
    return _scoreable(part, target, request, notes)


def _part(manifest: Manifest, request: ScoreRequest, notes: list[str]) -> Manifest:
    """Return the split that is scored: the one named, or the training split; everything where there are no splits."""
    if request.split is None and not manifest.has("split"):
        notes.append(f"{manifest.name}: has no splits: all {len(manifest)} utterances are scored")
        return manifest
    part = manifest.split(request.split or TRAIN)
    which = "the training split" if request.split is None else f"split '{request.split}', as asked"
    notes.append(f"{manifest.name}: scored are the {len(part)} utterances of {which}")
    return part


def _scoreable(part: Manifest, target: Target, request: ScoreRequest, notes: list[str]) -> tuple[Manifest, Target, int]:
    """Leave out utterances without what the metric reads: a label, or annotators."""
    if request.metric == "disagreement":
        there, lack = ~np.isnan(annotator_agreement(part)), "what annotators heard"
    else:
        there, lack = target.codes != UNLABELLED, f"'{target.name}'"
    left_out = int((~there).sum())
    if left_out:
        notes.append(f"{part.name}: {left_out} utterances left out, without {lack}")
    return part.where(there), target.rows(there), left_out


def _reordered(part: Manifest, target: Target, order: np.ndarray) -> tuple[Manifest, Target]:
    table = part.table.iloc[order].reset_index(drop=True)
    return Manifest(table, part.folder, part.path), target.rows(order)


def _check_enough(part: Manifest, target: Target, request: ScoreRequest) -> None:
    if request.bins > len(part):
        raise InputError(
            f"--bins {request.bins}: are more than the {len(part)} utterances; expected 1 to {len(part)}: ask for fewer"
        )
    found = np.unique(target.codes)
    if request.metric in NEEDS_CLASSES and len(found) < 2:
        what = f"'{target.classes[found[0]]}'" if target.values is None else f"level {target.classes[found[0]]}"
        raise InputError(
            f"{part.name}: all {len(part)} utterances are {what} of {target.name}; expected two classes or more, or "
            "nothing tells easy from hard: name another --target or label it"
        )


def _check_distinct(found: Scored, request: ScoreRequest) -> None:
    if len(found.values) > 1 and np.ptp(found.values) == 0:
        raise InputError(
            f"--metric {request.metric}: all {len(found.values)} utterances score the same{found.why_alike}; expected "
            "scores that differ: choose another metric (random is an order without meaning, and says so)"
        )


def _labels(part: Manifest, target: Target) -> dict[str, object]:
    speakers = {"speaker": part.table["speaker"]} if part.has("speaker") else {}
    return speakers | {target.name: part.table[target.name]}


def _made_with(request: ScoreRequest, count: int) -> dict[str, object]:
    """Return a column that names the run whose model said what scores follow: what it heard, a training learns from."""
    if request.metric in UNCLUSTERED:
        return {}
    return {"made_with": [str((request.teacher or request.cluster_run).resolve())] * count}


def _facts(found: Scored, target: Target, request: ScoreRequest, notes: list[str]) -> dict[str, Any]:
    """Return what every metric's scores are told by, and note how many of them tie."""
    counts = np.unique(found.values, return_counts=True)[1]
    distinct, largest, total = len(counts), int(counts.max()), len(found.values)
    if distinct == total:
        notes.append(f"{total} utterances, no two of one score")
    else:
        notes.append(
            f"{distinct} distinct scores among {total} utterances, up to {largest} alike: the seed orders those"
        )
    return {
        "metric": request.metric,
        "target": target.title,
        "utterances": total,
        "distinct_scores": distinct,
        "largest_tie": largest,
        "bins": request.bins,
        "seed": request.seed,
    }


def _no_progress(total: int | None, title: str) -> AbstractContextManager[Callable[..., None]]:
    return nullcontext(lambda *_: None)

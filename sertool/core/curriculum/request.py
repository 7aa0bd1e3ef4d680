"""What was asked for: a metric, and what it may read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sertool.core.errors import InputError

Metric = Literal["deepmi", "pmi", "disagreement", "teacher-loss", "mc-dropout", "random"]
Predictions = Literal["out-of-fold", "in-sample"]

INFORMATION = ("deepmi", "pmi")
"""Metrics that ask what a cluster says of the label."""

CLUSTERED = (*INFORMATION, "mc-dropout")
"""Metrics that cannot do without a cluster run."""


@dataclass(frozen=True)
class ScoreRequest:
    """How utterances are scored.

    Attributes:
        metric: of which a high score means easy.
        target: `emotion` or an attribute; None for `emotion`.
        alpha: share of the predictions' term of DeepMI, 0 to 1; None for the target's own.
        cluster_run: the run whose clusters, vectors or estimates are read.
        teacher: a run of `sertool train`, in place of a small head.
        predictions: by heads that never heard the speaker; or, as published, by the model itself.
        split: which split is scored; None for the training split, or everything where there are no splits.
        bins: into how many bins of equal size.
        seed: of ties, heads, dropout and the random order.
        device: where models compute; small heads stay on the CPU.
    """

    metric: Metric = "deepmi"
    target: str | None = None
    alpha: float | None = None
    cluster_run: Path | None = None
    teacher: Path | None = None
    predictions: Predictions = "out-of-fold"
    split: str | None = None
    bins: int = 10
    seed: int = 0
    device: str = "auto"


def check_request(request: ScoreRequest) -> None:
    """Raise InputError where settings do not go together."""
    metric = request.metric
    if request.alpha is not None and metric not in INFORMATION:
        raise InputError(f"--alpha with --metric {metric}, which has none; expected deepmi or pmi: leave it out")
    if request.alpha is not None and not 0.0 <= request.alpha <= 1.0:
        raise InputError(f"--alpha {request.alpha:g}: is no share; expected 0 to 1: choose a number between")
    if request.teacher is not None and metric != "teacher-loss":
        raise InputError(f"--teacher with --metric {metric}, which asks none; expected teacher-loss: leave it out")
    if request.teacher is not None and request.predictions == "in-sample":
        raise InputError(
            "--teacher with --predictions in-sample; expected one of them: a teacher is what it is, leave one out"
        )
    if request.bins < 1:
        raise InputError(f"--bins {request.bins}: is no number of bins; expected 1 or more: choose another")
    if request.cluster_run is not None:
        return
    if metric in CLUSTERED:
        raise InputError(
            f"--metric {metric} without a cluster run; expected one made by 'sertool cluster': name it with "
            "--cluster-run"
        )
    if metric == "teacher-loss" and request.teacher is None:
        raise InputError(
            "--metric teacher-loss without a teacher; expected a run of 'sertool train' or of 'sertool cluster': name "
            "one with --teacher or --cluster-run"
        )

"""Scores into an order: ranks whose ties a seed breaks, bins of equal size, and the table `scores.csv`."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sertool.core.corpus.manifest import Manifest, utterance_key
from sertool.core.randomness import seed_for
from sertool.core.training.pacing import cut_bins

COLUMNS = ("file_name", "score", "rank", "bin", "metric", "target")
"""What the table always has; what the metric read or found along the way stands behind."""


def utterance_names(manifest: Manifest) -> list[str]:
    """Return a name of each utterance that is its own, and the same wherever the corpus lies, but for namesakes.

    The last two parts of its path; the whole path where several end alike.
    """
    paths = manifest.paths()
    names = [utterance_key(path) for path in paths]
    double = {name for name, count in zip(*np.unique(names, return_counts=True), strict=True) if count > 1}
    return [path.as_posix() if name in double else name for name, path in zip(names, paths, strict=True)]


def rank_scores(scores: np.ndarray, names: Sequence[str], *, seed: int) -> np.ndarray:
    """Return the rank of each utterance: 0 for the highest score, the easiest.

    Ties, of which DeepMI has many, are in an order drawn from (seed, name); the order of rows has no say.

    Args:
        scores: (N,), finite.
        names: of the utterances, each its own.
        seed: of the order of ties.

    Returns:
        int64, (N,), each of 0 … N − 1 once.

    Raises:
        ValueError: a score is not a finite number, or two utterances have one name.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if not np.isfinite(scores).all():
        raise ValueError("a score is not a finite number: leave that utterance out")
    if len(set(names)) != len(scores) or len(names) != len(scores):
        raise ValueError(f"{len(scores)} scores and {len(set(names))} names: give each utterance a name of its own")
    ties = [seed_for("ties of a curriculum", seed, name) for name in names]
    order = sorted(range(len(scores)), key=lambda row: (-scores[row], ties[row], names[row]))
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[order] = np.arange(len(scores))
    return ranks


def bins_of(ranks: np.ndarray, bins: int) -> np.ndarray:
    """Return the bin of each rank, 1 … bins, 1 the easiest; sizes differ by one at most, the first being larger.

    Args:
        ranks: 0 … N − 1, (N,).
        bins: no more than N.

    Raises:
        ValueError: there are no bins, or more than utterances.
    """
    if not 1 <= bins <= len(ranks):
        raise ValueError(f"{bins} bins of {len(ranks)} utterances: give 1 to {len(ranks)}")
    return cut_bins(np.argsort(ranks), bins)


def score_table(
    manifest: Manifest,
    scores: np.ndarray,
    ranks: np.ndarray,
    *,
    metric: str,
    target: str,
    bins: int,
    further: Mapping[str, object] | None = None,
) -> Manifest:
    """Return utterances with scores as a table, the easiest first.

    Args:
        manifest: the utterances scored.
        scores: of each, (N,), high for easy.
        ranks: of each, (N,), from `rank_scores`.
        metric: which one.
        target: what the curriculum is for.
        bins: how many.
        further: more columns by name, (N,) each.
    """
    columns = {
        "file_name": manifest.table["file_name"],
        "score": np.asarray(scores, dtype=np.float64) + 0.0,  # no negative zero
        "rank": ranks,
        "bin": bins_of(ranks, bins),
        "metric": metric,
        "target": target,
        **(further or {}),
    }
    table = pd.DataFrame(columns, index=manifest.table.index).iloc[np.argsort(ranks)].reset_index(drop=True)
    return Manifest(table, manifest.folder)


def score_text(scored: Manifest, folder: Path) -> str:
    """Return a score table as the text of a CSV in a folder: paths relative beneath it, absolute elsewhere."""
    text = io.StringIO()
    scored.rebased(folder).table.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()

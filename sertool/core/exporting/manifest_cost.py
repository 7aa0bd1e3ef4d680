"""What quantisation costs on speech of the user's own: emotion against its labels, enhancement against clean speech."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sertool.core.audio.files import read_audio
from sertool.core.corpus.manifest import Manifest
from sertool.core.errors import InputError
from sertool.core.exporting.agreement import Hear
from sertool.core.exporting.frozen_model import ENHANCED, PROBABILITIES
from sertool.core.metrics.emotion import category_scores
from sertool.core.metrics.speech import speech_scores

MEASURES = ("pesq_wb", "si_sdr")
"""Of the enhanced speech, where the manifest names the clean one."""


@dataclass(frozen=True)
class Scores:
    """How well one file does on a manifest; None where the manifest or the model has not what it takes.

    Attributes:
        ua: unweighted accuracy over the utterances whose label the model knows, 0 to 1.
        pesq_wb: mean over the utterances that could be scored.
        si_sdr: the same, in dB.
    """

    ua: float | None
    pesq_wb: float | None
    si_sdr: float | None


@dataclass(frozen=True)
class ManifestCost:
    """Two files on the same manifest.

    Attributes:
        utterances: in the manifest.
        same_label: share in which both name the same category; None without categories.
        plain: scores of the unquantised file.
        quantised: scores of the quantised one.
    """

    utterances: int
    same_label: float | None
    plain: Scores
    quantised: Scores


def manifest_cost(
    plain: Hear,
    quantised: Hear,
    manifest: Manifest,
    categories: tuple[str, ...],
    on_done: Callable[[], Any] = lambda: None,
) -> ManifestCost:
    """Ask two files about every utterance of a manifest, `file_name` as it is.

    Args:
        plain: the unquantised file.
        quantised: the quantised one.
        manifest: with `emotion` for UA, with `clean_file` for PESQ-WB and SI-SDR.
        categories: of the model, in order.
        on_done: called after each utterance.

    Raises:
        AudioError: a file cannot be used.
        InputError: a clean file is not as long as the noisy one.
    """
    paths = manifest.paths()
    cleans = _clean_paths(manifest)
    said: tuple[list[str], list[str]] = ([], [])
    measured: tuple[list[dict], list[dict]] = ([], [])
    for path, clean_path in zip(paths, cleans, strict=True):
        noisy = read_audio(path)
        clean = None if clean_path is None else read_audio(clean_path)
        if clean is not None and len(clean) != len(noisy):
            raise InputError(
                f"{path}: has {len(noisy)} samples at 16 kHz, its clean file {len(clean)}; expected as many: make the "
                "mixtures again with `sertool mix-noise`"
            )
        for hear, labels, scores in zip((plain, quantised), said, measured, strict=True):
            outputs = hear(noisy)
            if PROBABILITIES in outputs:
                labels.append(categories[int(outputs[PROBABILITIES].argmax())])
            if ENHANCED in outputs and clean is not None:
                scores.append(speech_scores(clean, outputs[ENHANCED], measures=MEASURES))
        on_done()
    same = float(np.mean([a == b for a, b in zip(*said, strict=True)])) if said[0] else None
    true = manifest.table["emotion"].fillna("").tolist() if manifest.has("emotion") else []
    both = [_scores(true, labels, scores, categories) for labels, scores in zip(said, measured, strict=True)]
    return ManifestCost(len(paths), same, *both)


def _clean_paths(manifest: Manifest) -> list[Path | None]:
    """Return where the clean file of each row lies; None where it names none, as a row of clean speech does."""
    if not manifest.has("clean_file"):
        return [None] * len(manifest)
    named = manifest.table["clean_file"].notna()
    return [manifest.path_of(row, "clean_file") if there else None for row, there in enumerate(named)]


def _scores(true: list[str], said: list[str], measured: list[dict], categories: tuple[str, ...]) -> Scores:
    known = [pair for pair in zip(true, said, strict=False) if pair[0] in categories]
    ua = category_scores(*zip(*known, strict=True), categories)["ua"] if known else None
    means = {}
    for name in MEASURES:
        values = [scores[name] for scores in measured if scores[name] is not None]
        means[name] = float(np.mean(values)) if values else None
    return Scores(ua=ua, **means)

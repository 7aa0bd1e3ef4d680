"""Speech quality of any number of pairs: PESQ-WB, STOI, ESTOI, SI-SDR, segmental SNR, CSIG, CBAK and COVL.

What is array arithmetic is computed for many pairs at a time on the CPU or a GPU, in float64; PESQ is computed pair by
pair by its reference code, once, for itself and for the composite measures. What cannot be scored gives None and a
reason, never a number, and a pair's scores do not depend on the others.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sertool.core.metrics.composite import COMPOSITES, composite
from sertool.core.metrics.frames import count_frames, frame_values, mean_of_best_frames, mean_of_frames
from sertool.core.metrics.log_likelihood_ratio import frame_llr
from sertool.core.metrics.pesq_wb import PESQ_RATE, pesq_wb
from sertool.core.metrics.segmental_snr import frame_snr_db
from sertool.core.metrics.si_sdr import si_sdr
from sertool.core.metrics.stoi import SEGMENT, estoi_of_bands, stoi_of_bands
from sertool.core.metrics.third_octaves import third_octaves
from sertool.core.metrics.unscored import (
    FRAMES_SHORT,
    IDENTICAL,
    NO_SAMPLES,
    NOT_FINITE,
    PESQ_ALIGNMENT,
    PESQ_LONG,
    PESQ_NO_SPEECH,
    PESQ_SHORT,
    SILENT_CLEAN,
    SILENT_ESTIMATE,
    STOI_SHORT,
    UNRELATED,
    Unscored,
    refuse_unscorable,
)
from sertool.core.metrics.weighted_spectral_slope import frame_wss

__all__ = [
    "FRAMES_SHORT",
    "IDENTICAL",
    "MEASURES",
    "NOT_FINITE",
    "NO_SAMPLES",
    "PESQ_ALIGNMENT",
    "PESQ_LONG",
    "PESQ_NO_SPEECH",
    "PESQ_SHORT",
    "SILENT_CLEAN",
    "SILENT_ESTIMATE",
    "STOI_SHORT",
    "UNRELATED",
    "Unscored",
    "pesq_wb",
    "score_pairs",
    "si_sdr",
    "speech_scores",
]

MEASURES = ("pesq_wb", "stoi", "estoi", "si_sdr", "segmental_snr", *COMPOSITES)
"""What is measured unless asked otherwise."""

PADDED_TO = 16_000
"""Signals are padded to a multiple of this many samples, their own alone, and batched with others padded alike."""

BATCH_SAMPLES = {"cpu": 2**18, "cuda": 2**24}
"""Samples of references batched at most, padding included, which bounds the memory (a longer signal goes alone)."""

Outcome = float | str
"""A score, or the reason why there is none."""


def speech_scores(
    clean: np.ndarray,
    estimate: np.ndarray,
    rate: int = 16_000,
    *,
    seed: int = 0,
    measures: Sequence[str] = MEASURES,
) -> dict[str, Any]:
    """Score a signal, noisy or enhanced, against its clean reference: `score_pairs` of one pair, on the CPU.

    Args:
        clean: the reference, shape (S,).
        estimate: the signal to score, shape (S,), aligned with the reference.
        rate: of both, in Hz.
        seed: of no effect: no measure draws random numbers.
        measures: from `MEASURES`.
    """
    return score_pairs([clean], [estimate], rate=rate, measures=measures)[0]


def score_pairs(
    cleans: Sequence[np.ndarray],
    estimates: Sequence[np.ndarray],
    *,
    rate: int = 16_000,
    measures: Sequence[str] = MEASURES,
    device: str | torch.device = "cpu",
) -> list[dict[str, Any]]:
    """Score signals, noisy or enhanced, against their clean references.

    Args:
        cleans: the references, each of shape (S,), of any lengths.
        estimates: the signals to score, each aligned with its reference and as long.
        rate: of all, in Hz; PESQ-WB, and so the composite measures, are defined at 16 kHz only.
        measures: from `MEASURES`.
        device: where the array arithmetic runs; on the CPU too where it is `mps`, which has no float64.

    Returns:
        For each pair: each measure's value (PESQ-WB from 1 to 4.64; STOI and ESTOI up to 1; SI-SDR and segmental SNR in
        dB; CSIG, CBAK and COVL from 1 to 5, with PESQ-WB in them), None where it cannot be scored; and `reasons`: for
        each measure without a value, why. A composite measure without one of its parts has that part's reason.

    Raises:
        ValueError: a pair's shapes differ, a reference holds values that are not finite, a measure is unknown, or the
            rate is none for a measure.
    """
    _check(measures, rate)
    if len(cleans) != len(estimates):
        raise ValueError(f"{len(cleans)} references but {len(estimates)} signals: give one of each for every pair")
    pairs = [_pair(clean, estimate) for clean, estimate in zip(cleans, estimates, strict=True)]
    outcomes: list[dict[str, Outcome]] = [{} for _ in pairs]
    scorable = []
    for number, (pair, outcome) in enumerate(zip(pairs, outcomes, strict=True)):
        try:
            refuse_unscorable(*pair)
        except Unscored as reason:
            outcome.update(dict.fromkeys(measures, str(reason)))
        else:
            scorable.append(number)
    device = torch.device("cpu" if torch.device(device).type == "mps" else device)
    for batch in _batches(scorable, pairs, device.type):
        found = _score_batch([pairs[number] for number in batch], rate, measures, device)
        for number, outcome in zip(batch, found, strict=True):
            outcomes[number] = outcome
    return [_as_scores(outcome, measures) for outcome in outcomes]


def _check(measures: Sequence[str], rate: int) -> None:
    if unknown := [name for name in measures if name not in MEASURES]:
        raise ValueError(f"unknown measures {unknown}: choose from {sorted(MEASURES)}")
    if rate != PESQ_RATE and (needing := [name for name in measures if name in ("pesq_wb", *COMPOSITES)]):
        raise ValueError(f"{needing} are defined at {PESQ_RATE} Hz, not {rate}: resample both signals first")


def _pair(clean: np.ndarray, estimate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    clean, estimate = np.asarray(clean, dtype=np.float64), np.asarray(estimate, dtype=np.float64)
    if clean.shape != estimate.shape or clean.ndim != 1:
        raise ValueError(f"reference has shape {clean.shape}, the signal {estimate.shape}: both must be (S,)")
    if not np.isfinite(clean).all():
        raise ValueError("the clean reference holds values that are not finite numbers: read it again")
    return clean, estimate


def _batches(numbers: Sequence[int], pairs: Sequence[tuple[np.ndarray, np.ndarray]], kind: str) -> Iterator[list[int]]:
    """Yield the numbers of pairs to score together: padded to the same length, not too many samples."""
    by_length: dict[int, list[int]] = {}
    for number in numbers:
        by_length.setdefault(_padded(len(pairs[number][0])), []).append(number)
    for length, alike in sorted(by_length.items()):
        size = max(1, BATCH_SAMPLES[kind] // length)
        yield from (alike[start : start + size] for start in range(0, len(alike), size))


def _padded(length: int) -> int:
    return -(-length // PADDED_TO) * PADDED_TO


def _score_batch(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], rate: int, measures: Sequence[str], device: torch.device
) -> list[dict[str, Outcome]]:
    """Score pairs that can be scored, of about the same length."""
    lengths = torch.tensor([len(clean) for clean, _ in pairs], device=device)
    clean, estimate = (_stack([pair[side] for pair in pairs]).to(device) for side in (0, 1))
    columns: dict[str, list[Outcome]] = {}
    if "si_sdr" in measures:
        columns["si_sdr"] = [
            {torch.inf: IDENTICAL, -torch.inf: UNRELATED}.get(value, value)
            for value in si_sdr(clean, estimate, lengths).tolist()
        ]
    columns |= _intelligibility(clean, estimate, lengths, rate, measures)
    columns |= _frame_measures(clean, estimate, lengths, rate, measures)
    if {"pesq_wb", *COMPOSITES} & set(measures):
        columns["pesq_wb"] = [_pesq_or_reason(*pair, rate) for pair in pairs]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if set(COMPOSITES) & set(measures):
        rows = [row | _composite_or_reason(row) for row in rows]
    return rows or [{} for _ in pairs]


def _stack(signals: Sequence[np.ndarray]) -> Tensor:
    """Return signals padded with zeros, float64 (N, S)."""
    stacked = np.zeros((len(signals), _padded(len(signals[0]))))
    for row, samples in zip(stacked, signals, strict=True):
        row[: len(samples)] = samples
    return torch.from_numpy(stacked)


def _intelligibility(
    clean: Tensor, estimate: Tensor, lengths: Tensor, rate: int, measures: Sequence[str]
) -> dict[str, list[Outcome]]:
    functions = {"stoi": stoi_of_bands, "estoi": estoi_of_bands}
    if not functions.keys() & set(measures):
        return {}
    bands = third_octaves(clean, estimate, lengths, rate)
    short = (bands.counts < SEGMENT).tolist()
    return {
        name: [STOI_SHORT if few else value for few, value in zip(short, function(bands).tolist(), strict=True)]
        for name, function in functions.items()
        if name in measures
    }


def _frame_measures(
    clean: Tensor, estimate: Tensor, lengths: Tensor, rate: int, measures: Sequence[str]
) -> dict[str, list[Outcome]]:
    """Score what is measured on frames of 30 ms: the segmental SNR, and LLR and WSS for the composite measures."""
    functions = {}
    if {"segmental_snr", "cbak"} & set(measures):
        functions["segmental_snr"] = (frame_snr_db, mean_of_frames)
    if set(COMPOSITES) & set(measures):
        functions |= {"llr": (frame_llr, mean_of_best_frames), "wss": (frame_wss, mean_of_best_frames)}
    if not functions:
        return {}
    counts = count_frames(lengths, rate)
    values = frame_values([function for function, _ in functions.values()], clean, estimate, lengths, rate)
    means = {
        name: mean(found, counts).tolist() for (name, (_, mean)), found in zip(functions.items(), values, strict=True)
    }
    short = (counts == 0).tolist()
    return {
        name: [FRAMES_SHORT if few else value for few, value in zip(short, column, strict=True)]
        for name, column in means.items()
    }


def _pesq_or_reason(clean: np.ndarray, estimate: np.ndarray, rate: int) -> Outcome:
    try:
        return pesq_wb(clean, estimate, rate)
    except Unscored as reason:
        return str(reason)


def _composite_or_reason(row: dict[str, Outcome]) -> dict[str, Outcome]:
    parts = [row["pesq_wb"], row["llr"], row["wss"], row.get("segmental_snr", 0.0)]
    if reasons := [part for part in parts if isinstance(part, str)]:
        return dict.fromkeys(COMPOSITES, reasons[0])
    return composite(*parts)


def _as_scores(outcome: dict[str, Outcome], measures: Sequence[str]) -> dict[str, Any]:
    reasons = {name: outcome[name] for name in measures if isinstance(outcome[name], str)}
    return {name: None if name in reasons else outcome[name] for name in measures} | {"reasons": reasons}

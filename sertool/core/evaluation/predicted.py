"""Evaluation of predictions made elsewhere, and of the baseline a system is held against, whatever that is."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.splits import check_disjoint
from sertool.core.errors import InputError
from sertool.core.evaluation.by_snr import prepare_evaluation
from sertool.core.evaluation.comparison import compare
from sertool.core.evaluation.predictions import NOTES, read_predictions
from sertool.core.evaluation.protocol import Protocol, is_noisy
from sertool.core.evaluation.provenance import describe_data, portable, versions
from sertool.core.evaluation.results import Results
from sertool.core.evaluation.scores import Subject, score_by, score_conditions
from sertool.core.evaluation.selection import file_names
from sertool.core.evaluation.utterance import Utterance

TABLES = (".csv", ".tsv", ".parquet")
"""Suffixes by which a table of predictions is told from a run."""


def evaluate_predictions(
    manifest: Manifest,
    paths: Sequence[Path],
    protocol: Protocol,
    *,
    mapping: Mapping[str, str | None] | None = None,
) -> Results:
    """Score another tool's predictions as a model's own are scored.

    Args:
        manifest: the utterances, clean or noisy; those without a category are not scored.
        paths: tables, see `read_predictions`; folds or seeds are pooled.
        protocol: its split, SNRs and `by_kind` count; nothing is heard, so the rest must be as by default.
        mapping: the other tool's words for categories, see `parse_map`.

    Raises:
        InputError: as `read_predictions`.
    """
    check_disjoint(manifest)
    if protocol.enhancer is not None or protocol.dnsmos is not None or protocol.stress is not None:
        raise InputError(
            "--enhancer, --dnsmos and --stress need a model to hear them: leave them out with --predictions"
        )
    if protocol.snr is None and not is_noisy(manifest):
        raise InputError("no SNR was given; expected those that were predicted, or 'clean': write for example --snr 0")
    chosen = manifest.split(protocol.split) if protocol.split is not None else manifest
    chosen.require("emotion")
    chosen = chosen.where(chosen.table["emotion"].notna().to_numpy(bool))
    # Classes are those of the whole corpus: which of them a split has does not change the score of the others.
    classes = tuple(sorted(map(str, manifest.table["emotion"].dropna().unique())))
    table = read_predictions(paths, chosen, protocol.conditions, categories=classes, mapping=mapping)
    if "noise_kind" not in table:
        table["noise_kind"] = None
    subject = Subject(classes, (), ())
    facts = table.astype(object).where(table.notna(), None).to_dict("records")
    heard = [Utterance(file=row["file"], path=Path(row["file"]), facts=row) for row in facts]
    parts = {f"by_{name}": score_by(name, table, subject) for name in ("speaker", "gender")}
    return Results(
        provenance=portable(
            {
                "seed": protocol.seed,
                "split": protocol.split,
                "device": None,
                "versions": versions(),
                "system": {"kind": "predictions", "name": name_of(paths), "digests": _digests(paths)},
                "data": describe_data(manifest, heard, name=manifest.name)
                | {"hours": None, "excluded": {}, "absent_categories": []},
                "attributes": None,
                "noise": None,
                "model": None,
                "seen_utterances": None,
                "failed": 0,
            }
        ),
        conditions=score_conditions(table, subject),
        by_kind=score_conditions(table, subject, by_kind=True) if protocol.by_kind else [],
        table=table,
        notes=[
            "These predictions were made elsewhere: what the system learned from, and which mixtures it heard, is not "
            "known here.",
            *table.attrs[NOTES],
        ],
        failures=[],
        parts={name: part for name, part in parts.items() if part},
    )


def against(
    results: Results,
    baseline: Sequence[str],
    manifest: Manifest,
    protocol: Protocol,
    *,
    workers: int = 1,
    on_start: Callable[[int], Callable[[], None]] | None = None,
    mapping: Mapping[str, str | None] | None = None,
) -> Results:
    """Return results with their comparison to a baseline on the same mixtures.

    Args:
        results: of a system.
        baseline: one run, or tables of predictions.
        manifest: the utterances.
        protocol: what `results` were found by; the baseline is judged by it too, but for speech measures and stress.
        workers: processes.
        on_start: told how many utterances there are to judge; what it returns is called after each.
        mapping: the words for categories of a baseline in tables.

    Raises:
        InputError: as `prepare_evaluation`, `read_predictions` and `compare`.
    """
    if not next((one for one in results.conditions if one.get("f1_macro") is not None), None):
        raise InputError("there are no categories to compare by; expected emotions: leave --baseline out")
    classes = list(next(one["per_class"] for one in results.conditions if one.get("per_class")))
    tables = [Path(text) for text in baseline if Path(text).suffix.lower() in TABLES]
    if len(tables) == len(baseline):
        files = set(results.table["file"])
        judged = [file in files for file in file_names(manifest)]
        chosen, name = manifest.where(np.array(judged)), name_of(tables)
        table = read_predictions(tables, chosen, protocol.conditions, categories=classes, mapping=mapping)
    else:
        table, name = _run_as_baseline(baseline, manifest, protocol, workers=workers, on_start=on_start)
    comparison = compare(results.table, table, classes, name=name, seed=protocol.seed)
    return dataclasses.replace(results, parts={"comparison": comparison} | results.parts)


def _run_as_baseline(
    baseline: Sequence[str], manifest: Manifest, protocol: Protocol, *, workers: int, on_start: Any
) -> tuple[pd.DataFrame, str]:
    if len(baseline) > 1:
        raise InputError(
            f"{len(baseline)} baselines were named, not all of them tables; expected one run, or tables of the folds "
            "of one system: name one --baseline"
        )
    plain = dataclasses.replace(protocol, measures=(), dnsmos=None, stress=None, enhancer=None, by_kind=False)
    evaluation = prepare_evaluation(manifest, baseline[0], plain, workers=workers)
    on_done = None if on_start is None else on_start(len(evaluation.utterances))
    results = evaluation.run(workers=workers, on_done=on_done)
    if results.failures:
        raise InputError(
            f"the baseline could not judge {len(results.failures)} utterances; the first: {results.failures[0]}"
        )
    return results.table, results.provenance["model"]["name"]


def name_of(paths: Sequence[Path]) -> str:
    """Return what to call the system tables of predictions are of."""
    return paths[0].stem if len(paths) == 1 else f"{paths[0].stem} and {len(paths) - 1} more"


def _digests(paths: Sequence[Path]) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in paths}

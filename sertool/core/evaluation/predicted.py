"""Evaluation of predictions made elsewhere, and of the baseline a system is held against, whatever that is."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sertool.core.corpus.categories import canonical
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.splits import check_disjoint
from sertool.core.corpus.tables import read_table
from sertool.core.errors import InputError
from sertool.core.evaluation.by_snr import Evaluation, prepare_evaluation
from sertool.core.evaluation.comparison import compare
from sertool.core.evaluation.pairing import MIXTURE
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
    classes = classes_of(manifest, paths)
    table = read_predictions(paths, chosen, protocol.conditions, categories=classes, mapping=mapping)
    if "noise_kind" not in table:
        table["noise_kind"] = None
    subject = Subject(classes, (), ())
    facts = table.astype(object).where(table.notna(), None).to_dict("records")
    heard = [Utterance(file=row["file"], path=Path(row["file"]), facts=row) for row in facts]
    absent = sorted(set(classes) - set(table["emotion"].dropna()))
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
                | {"hours": None, "excluded": {}, "absent_categories": absent},
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
            *([f"No utterance is labelled {', '.join(absent)}; each counts 0 in F1-macro."] if absent else []),
            *table.attrs[NOTES],
        ],
        failures=[],
        parts={name: part for name, part in parts.items() if part},
    )


def classes_of(manifest: Manifest, paths: Sequence[Path]) -> tuple[str, ...]:
    """Return the classes predictions are scored over: those of the whole corpus, and those a system says it knows.

    Which classes a split has does not change the score of the others; and a system that tells a probability for a class
    (column `p_<category>`) is scored as our own models are, whose classes count 0 where nobody utters them.
    """
    classes = set(map(str, manifest.table["emotion"].dropna().unique()))
    for path in paths:
        names = (name.removeprefix("p_") for name in read_table(path).column_names if name.startswith("p_"))
        classes |= {canonical(name) or name for name in names}
    return tuple(sorted(classes))


@dataclass(frozen=True)
class Baseline:
    """What a system is held against, read and checked, so that nothing is wrong with it once the system is judged.

    Attributes:
        name: what it is called.
        table: its outcomes, where they were made before.
        evaluation: else, what there is to run.
        notes: what a reader of the comparison must know.
    """

    name: str
    table: pd.DataFrame | None
    evaluation: Evaluation | None
    notes: tuple[str, ...] = ()

    def against(
        self, results: Results, *, workers: int | None = 1, on_done: Callable[[], None] | None = None
    ) -> Results:
        """Return results with their comparison to this.

        Args:
            results: of a system, on the same utterances.
            workers: processes.
            on_done: called after each utterance that must be judged.

        Raises:
            InputError: as `compare`; or the baseline cannot judge all utterances.
        """
        table = self.table
        if self.evaluation is not None:
            judged = self.evaluation.run(workers=workers, on_done=on_done)
            if judged.failures:
                raise InputError(
                    f"the baseline could not judge {len(judged.failures)} utterances, the first: {judged.failures[0]}; "
                    "expected all of them, so that both are judged on the same: mend or leave out these files"
                )
            table = judged.table
        classes = list(next(one["per_class"] for one in results.conditions if one.get("per_class")))
        comparison = compare(results.table, table, classes, name=self.name, seed=results.provenance["seed"])
        comparison["notes"] += self.notes
        return dataclasses.replace(results, parts={"comparison": comparison} | results.parts)


def prepare_baseline(
    baseline: Sequence[str],
    manifest: Manifest,
    protocol: Protocol,
    *,
    files: Sequence[str],
    classes: Sequence[str],
    workers: int = 1,
    mapping: Mapping[str, str | None] | None = None,
) -> Baseline:
    """Read or check what a system is to be held against, before the system is judged.

    Args:
        baseline: one run, or tables of predictions.
        manifest: the utterances.
        protocol: how the system is judged; the baseline is too, but for speech measures and stress.
        files: what the system is judged on, by the names results have for them.
        classes: that both are scored over.
        workers: processes.
        mapping: the words for categories of a baseline in tables.

    Raises:
        InputError: as `prepare_evaluation` and `read_predictions`; or there are no categories to compare by.
    """
    if not classes:
        raise InputError("there are no categories to compare by; expected emotions: leave --baseline out")
    tables = [Path(text) for text in baseline if Path(text).suffix.lower() in TABLES]
    if protocol.mixtures is not None:
        raise InputError("--baseline is not judged on fixed mixtures; expected a manifest: leave one of them out")
    if len(tables) == len(baseline):
        wanted = set(files)
        chosen = manifest.where(np.array([file in wanted for file in file_names(manifest)]))
        table = read_predictions(tables, chosen, protocol.conditions, categories=classes, mapping=mapping)
        notes = table.attrs[NOTES]
        if protocol.has_noise and not any(name in table for name in MIXTURE if name != "snr_db"):
            notes = [*notes, f"Which mixtures {name_of(tables)} heard is not told; they are taken for the same."]
        return Baseline(name_of(tables), table, None, tuple(notes))
    if len(baseline) > 1:
        raise InputError(
            f"{len(baseline)} baselines were named, not all of them tables; expected one run, or tables of the folds "
            "of one system: name one --baseline"
        )
    plain = dataclasses.replace(protocol, measures=(), dnsmos=None, stress=None, enhancer=None, by_kind=False)
    evaluation = prepare_evaluation(manifest, baseline[0], plain, workers=workers)
    name = evaluation.provenance["model"]["name"]
    # What must be known of its training; the rest is said of the system already.
    notes = tuple(f"{name}: {note}" for note in evaluation.notes if "learned from" in note)
    return Baseline(name, None, evaluation, notes)


def name_of(paths: Sequence[Path]) -> str:
    """Return what to call the system tables of predictions are of."""
    return paths[0].stem if len(paths) == 1 else f"{paths[0].stem} and {len(paths) - 1} more"


def _digests(paths: Sequence[Path]) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in paths}

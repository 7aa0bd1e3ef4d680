"""The targets of pre-training tasks: what was measured, split at medians of the training split, and what that is worth.

Written into a run's folder once, as a table and a report that a person can open; a run that goes on reads them there.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sertool.core.corpus.manifest import Manifest
from sertool.core.errors import InputError
from sertool.core.pretext.faces import Face
from sertool.core.pretext.measuring import Measured
from sertool.core.pretext.shortcuts import Covariates, balance, shortcuts, told, worth_a_warning
from sertool.core.training.pretext_settings import FACE_TASKS, UTTERANCE_TASKS
from sertool.core.training.recipe import Recipe
from sertool.core.training.run import REPORT_NAME, TARGETS_NAME
from sertool.core.writing import whole_file, write_text

ROUNDING = 1e-9
"""What exceeds a median by less (dB; inter-ocular distances a second) is an error of rounding: a still face measures
1e-15."""

MEASURES = {
    "energy": "energy_db",
    "activation": "activation",
    "activation-without-mouth": "activation_without_mouth",
}
"""Of tasks with high and low: what is split at its median."""


@dataclass(frozen=True)
class Spoken:
    """The utterances of one split, N, as the manifests have them.

    Attributes:
        paths: audio files.
        durations_s: (N,).
        corpora: which corpus each is of: the place of its manifest in the recipe, and what the manifest's column
            `corpus` says, or else the manifest's name.
        sentences: what is said; None where nobody knows.
        faces: where the face of each is; None where it has none.
    """

    paths: list[str]
    durations_s: np.ndarray
    corpora: list[str]
    sentences: list[str | None]
    faces: list[str | None]

    @classmethod
    def of(cls, parts: list[Manifest], durations_s: np.ndarray, faces: Sequence[Face | None]) -> "Spoken":
        """Return the utterances of the recipe's manifests, in order, with their faces."""
        paths, corpora, sentences = [], [], []
        for number, part in enumerate(parts, 1):
            paths += [str(path) for path in part.paths()] if len(part) else []
            corpora += [f"{number} {name or Path(part.name).name}" for name in _column(part, "corpus")]
            sentences += _column(part, "text")
        places = [None if face is None else str(face.path) for face in faces]
        return cls(paths, durations_s, corpora, sentences, places)


def _column(part: Manifest, name: str) -> list[str | None]:
    values = part.table[name] if name in part.table.columns else [None] * len(part)
    return [None if pd.isna(value) else str(value) for value in values]


def make_table(recipe: Recipe, spoken: dict[str, Spoken], measured: dict[str, list[Measured]]) -> pd.DataFrame:
    """Return a row an utterance of every split: what it measures, and the class of each task, null where it has none.

    Args:
        recipe: of the run.
        spoken: utterances by split, `train` and `dev`.
        measured: what they measure.

    Raises:
        InputError: a task has no two classes to learn in the training split.
    """
    parts = []
    for split, one in spoken.items():
        about = {"file_name": one.paths, "split": split, "corpus": one.corpora, "sentence": one.sentences}
        values = pd.DataFrame([vars(each) for each in measured[split]]).drop(columns="messages")
        parts.append(pd.DataFrame({**about, "face": one.faces, "duration_s": one.durations_s}).join(values))
    table = pd.concat(parts, ignore_index=True)
    for task, measure in MEASURES.items():
        if task in recipe.pretext_tasks:
            _split_at_medians(table, task, measure, pooled=recipe.pretext.medians == "pooled")
    if "action-units" in recipe.pretext_tasks:
        table["target_action-units"] = table["expression"]
    tasks = [task for task in recipe.pretext_tasks if task in UTTERANCE_TASKS]
    examples = {reason: text for one in measured["train"] for reason, text in one.messages.items()}
    for task in tasks:
        _check_classes(table, task, examples)
    dev = table[table["split"] == "dev"]
    if set(tasks) == set(recipe.tasks) and not any(dev[f"target_{task}"].notna().any() for task in tasks):
        raise InputError(
            f"no dev utterance has a class of {', '.join(tasks)}; expected some, to choose the best epoch by: bring "
            "faces of the dev split, or split anew"
        )
    return table


def _split_at_medians(table: pd.DataFrame, task: str, measure: str, *, pooled: bool) -> None:
    """Add a column of low and high, split at the training median: of each corpus, or of all.

    The dev utterances of a corpus of which nothing was measured in training are split at the median of all.
    """
    table[measure] = table[measure].astype(float)
    train = table[table["split"] == "train"]
    median = table["corpus"].map(train.groupby("corpus")[measure].median()) if not pooled else np.nan
    median = pd.Series(median, index=table.index, dtype=float).fillna(train[measure].median())
    table[f"threshold_{task}"] = median
    levels = np.where(table[measure] > median + ROUNDING, "high", "low")
    table[f"target_{task}"] = pd.Series(levels, index=table.index).where(table[measure].notna(), None)


def _check_classes(table: pd.DataFrame, task: str, examples: dict[str, str]) -> None:
    train = table[table["split"] == "train"]
    found = train[f"target_{task}"].dropna().unique()
    if len(found) >= 2:
        return
    said = f"all training utterances are {found[0]}" if len(found) else "no training utterance has a class"
    reasons = ""
    if task in FACE_TASKS:
        problems = train["expression_problem" if task == "action-units" else "activation_problem"].value_counts()
        reasons = "; ".join(f"{count} faces: {name}, such as {examples[name]}" for name, count in problems.items())
    raise InputError(
        f"the task '{task}': {said}{f' ({reasons})' if reasons else ''}; expected two classes or more to tell apart: "
        f"leave out --task {task}, or bring other {'faces' if task in FACE_TASKS else 'speech'}"
    )


def labels_of(table: pd.DataFrame, recipe: Recipe, split: str) -> np.ndarray:
    """Return the classes of a split's utterances by task, int64, (N, P); -1 for none."""
    rows = table[table["split"] == split]
    tasks = [task for task in recipe.pretext_tasks if task in UTTERANCE_TASKS]
    columns = [
        rows[f"target_{task}"].map({name: i for i, name in enumerate(UTTERANCE_TASKS[task])}).fillna(-1).to_numpy()
        for task in tasks
    ]
    return np.stack(columns, axis=1).astype(np.int64) if columns else np.zeros((len(rows), 0), np.int64)


def report(recipe: Recipe, table: pd.DataFrame) -> dict[str, Any]:
    """Return, ready for JSON, the balance of each task's classes, its thresholds, and what gives it away."""
    tasks = {}
    covariates = {split: _covariates(table[table["split"] == split]) for split in ("train", "dev")}
    names = [task for task in recipe.pretext_tasks if task in UTTERANCE_TASKS]
    labels = {split: labels_of(table, recipe, split) for split in ("train", "dev")}
    for i, task in enumerate(names):
        classes = UTTERANCE_TASKS[task]
        thresholds = {}
        if task in MEASURES:
            train = table[(table["split"] == "train") & table[f"target_{task}"].notna()]
            thresholds = train.groupby("corpus")[f"threshold_{task}"].first().to_dict()
        tasks[task] = {
            "classes": list(classes),
            "thresholds": thresholds,
            "balance": {split: balance(labels[split][:, i], classes) for split in labels},
            "alone": shortcuts(
                covariates["train"],
                covariates["dev"],
                labels["train"][:, i],
                labels["dev"][:, i],
                num_classes=len(classes),
                seed=recipe.seed,
            ),
        }
    return {"tasks": tasks}


def _covariates(rows: pd.DataFrame) -> Covariates:
    sentences = [None if pd.isna(text) else text for text in rows["sentence"]]
    return Covariates(
        rows["level_db"].to_numpy(float), rows["duration_s"].to_numpy(float), sentences, rows["corpus"].tolist()
    )


def lines(found: dict[str, Any]) -> list[str]:
    """Return what a user should know of the targets: balance, what gives them away, and faces left out."""
    told_lines = []
    for task, about in found["tasks"].items():
        counts = ", ".join(f"{name} {count}" for name, count in about["balance"]["train"].items())
        told_lines.append(f"{task}, training utterances: {counts}")
        silent = sum(counts["none"] for counts in about["balance"].values())
        if task == "energy" and silent:
            told_lines.append(f"{silent} utterances are silent or too short to have an energy variation")
        if not sum(count for name, count in about["balance"]["dev"].items() if name != "none"):
            told_lines.append(f"{task}: no dev utterance has a class, so that the best epoch is chosen without it")
        told_lines.append(told(task, tuple(about["classes"]), about["alone"]))
        if warning := worth_a_warning(about["alone"]):
            told_lines.append(f"{task}: {warning}")
    if faces := found.get("faces"):
        for reason, about in faces["problems"].items():
            told_lines.append(f"{about['count']} faces: {reason}, such as {about['example']}")
        if faces["unreadable_frames"]:
            told_lines.append(f"{faces['unreadable_frames']} frames of faces could not be read and were left out")
        if faces["seldom_seen"]:
            told_lines.append(f"{faces['seldom_seen']} faces were seen well in less than half of their frames")
    return told_lines


def face_report(measured: list[Measured], num_faces: int) -> dict[str, Any]:
    """Return, ready for JSON, how many utterances had a face, how many could not be used, and why."""
    problems: dict[str, dict[str, Any]] = {}
    for one in measured:
        for reason in {one.activation_problem, one.expression_problem} - {None}:
            about = problems.setdefault(reason, {"count": 0, "example": one.messages[reason]})
            about["count"] += 1
    return {
        "utterances": len(measured),
        "with_face": num_faces,
        "problems": problems,
        "unreadable_frames": sum(one.unreadable_frames for one in measured),
        "seldom_seen": sum(one.usable_share is not None and one.usable_share < 0.5 for one in measured),
    }


def write_targets(folder: Path, table: pd.DataFrame, found: dict[str, Any]) -> None:
    """Write the table and the report, the report last: where it is, both are whole.

    Raises:
        OutputError: they cannot be written.
    """
    with whole_file(folder / TARGETS_NAME) as partial:
        table.to_parquet(partial, index=False)
    write_text(folder / REPORT_NAME, json.dumps(found, indent=1) + "\n")


def read_targets(folder: Path, sizes: dict[str, int]) -> tuple[pd.DataFrame, dict[str, Any]] | None:
    """Return the table and the report a run has, or None where it has none yet.

    Args:
        folder: the run's.
        sizes: utterances by split.

    Raises:
        InputError: one of the files is damaged or missing.
    """
    report_file, table_file = folder / REPORT_NAME, folder / TARGETS_NAME
    if not report_file.is_file():
        return None
    try:
        found = json.loads(report_file.read_text(encoding="utf-8"))
        table = pd.read_parquet(table_file)
        if table["split"].value_counts().to_dict() != {split: size for split, size in sizes.items() if size}:
            raise ValueError("it has other utterances")
        found["tasks"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{folder}: its targets ({TARGETS_NAME}, {REPORT_NAME}) are damaged ({error}); expected them as this run "
            "made them: train anew with --overwrite"
        ) from error
    return table, found

"""What an evaluation found: a table of outcomes, one row an utterance and condition, and the scores drawn from it."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sertool.core.corpus.derived_attributes import attribute_sources, label, sources_in_words
from sertool.core.corpus.snr import snr_text
from sertool.core.metrics.by_duration import FEWEST_LABELLED, quartile_bounds, scores_by_duration
from sertool.core.metrics.emotion import category_scores, ccc
from sertool.core.writing import write_text

FORMAT = "sertool-evaluation-1"
CLEAN = "clean"
SIGNALS = ("unprocessed", "enhanced")
MOST_SNRS = 12
BIN_DB = 5.0

# A list of numbers that `json.dumps` has spread over lines (a string never holds a line break).
_NUMBERS = re.compile(r"\[\n[-+.\deE,\s]+\]")


@dataclass(frozen=True)
class Subject:
    """What was judged on what: the model's categories and attributes, and the speech measures taken."""

    categories: tuple[str, ...]
    attributes: tuple[str, ...]
    measures: tuple[str, ...]


@dataclass(frozen=True)
class Results:
    """The outcome of an evaluation.

    Attributes:
        provenance: what was evaluated with what; holds no path of the machine.
        conditions: scores, one record a condition, see `score_conditions`.
        by_kind: the same for each condition and kind of noise; empty unless asked for.
        table: outcomes, one row an utterance and condition: all scores, and later statistics, are drawn from it.
        notes: what a reader of the scores must know, one sentence each.
        failures: messages about the utterances that could not be judged.
    """

    provenance: dict[str, Any]
    conditions: list[dict[str, Any]]
    by_kind: list[dict[str, Any]]
    table: pd.DataFrame
    notes: list[str]
    failures: list[str]

    @property
    def attribute_label(self) -> str:
        """What stands beside the name of an attribute: "derived" where no person rated it, "partly derived", or ""."""
        return label(attribute_sources(self.table, self.provenance["model"]["attributes"]))

    def document(self, **more: Any) -> dict[str, Any]:
        """Return everything but the table as one JSON document; `more` is put at its head."""
        return {
            "format": FORMAT,
            **more,
            **self.provenance,
            "failures": self.failures,
            "notes": self.notes,
            "conditions": self.conditions,
            **({"by_kind": self.by_kind} if self.by_kind else {}),
        }

    def write_json(self, path: Path | str, **more: Any) -> None:
        """Write the document whole or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        text = json.dumps(self.document(**more), indent=1, ensure_ascii=False, allow_nan=False)
        write_text(path, _NUMBERS.sub(lambda found: " ".join(found[0].split()), text) + "\n")

    def write_predictions(self, path: Path | str) -> None:
        """Write the table of outcomes as CSV, whole or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        write_text(path, self.table.to_csv(index=False, lineterminator="\n"))


def tabulate(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return outcomes, see `judge_utterance`, as a table with the column `condition`, see `name_conditions`."""
    table = pd.DataFrame(list(rows))
    for column in ("snr_db", "noise_kind"):
        if column not in table:
            table[column] = None
    table["snr_db"] = pd.to_numeric(table["snr_db"])
    table.insert(1, "condition", name_conditions(table["snr_db"]))
    return table


def name_conditions(snrs: pd.Series) -> pd.Series:
    """Return the condition each SNR in dB belongs to: "clean" for null, "0 dB" for 0.

    Where SNRs were drawn from a range there are as many as utterances; beyond twelve they are put in groups around
    the multiples of 5 dB, called "about 5 dB".
    """
    snrs = pd.to_numeric(snrs, errors="coerce")
    if snrs.nunique() <= MOST_SNRS:
        return snrs.map(lambda snr_db: CLEAN if pd.isna(snr_db) else f"{snr_text(snr_db)} dB")
    grouped = (snrs / BIN_DB).round() * BIN_DB
    return grouped.map(lambda snr_db: CLEAN if pd.isna(snr_db) else f"about {snr_text(snr_db)} dB")


def score_conditions(table: pd.DataFrame, subject: Subject, *, by_kind: bool = False) -> list[dict[str, Any]]:
    """Return the scores of each condition, clean speech first, then from the highest SNR to the lowest.

    Args:
        table: outcomes with a column `condition`, see `judge_utterance` for the others.
        subject: what was judged.
        by_kind: one record for each condition and kind of noise, rather than for each condition.

    Returns:
        Records of `condition`, `snr_db` (mean in the condition; null: clean), `noise_kind`; `n` utterances, and
        `n_labelled` of them with a category; `f1_macro` and the others of `category_scores`; `ccc` and `ccc_n` by
        attribute, and `attributes`: whether these are rated or derived; `speech`, see `summarise_measure`. Not by kind,
        and not where fewer than eight utterances of the condition have a category or the duration of one in the table
        is unknown: `by_duration`, see `scores_by_duration`, its quartiles those of all utterances in the table.
    """
    keys = ["condition", "noise_kind"] if by_kind else ["condition"]
    if by_kind:
        table = table[table["noise_kind"].notna()]
    parts = [
        (dict(zip(keys, names, strict=True)), part) for names, part in table.groupby(keys, sort=False, dropna=False)
    ]
    parts.sort(key=lambda item: (_loudness(item[1]), item[0].get("noise_kind") or ""))
    bounds = None if by_kind else _duration_bounds(table)
    return [
        {
            "condition": names["condition"],
            "snr_db": _snr_of(part),
            "noise_kind": names.get("noise_kind"),
            **_scores(part, subject),
            **_by_duration(part, subject, bounds),
        }
        for names, part in parts
    ]


def duration_notes(table: pd.DataFrame) -> list[str]:
    """Return a sentence where an evaluation went on from a journal of an earlier version, which knew no durations."""
    unknown = int(table["duration_s"].isna().sum()) if "duration_s" in table else len(table)
    if not unknown:
        return []
    return [
        f"Not scored by duration: {unknown} of {len(table)} outcomes were noted by an earlier version, which did not "
        "tell how long an utterance is."
    ]


def summarise_measure(table: pd.DataFrame, measure: str) -> dict[str, Any]:
    """Return the means of a speech measure.

    Returns:
        For `unprocessed` and `enhanced` the `mean` over the `n` utterances that could be scored (None for none) and
        `unscored`: counts by reason; `difference`: mean of enhanced minus unprocessed over the `n` scored in both.
    """
    summary: dict[str, Any] = {}
    for signal in SIGNALS:
        reasons = table[f"{signal}_{measure}_unscored"].dropna().value_counts().sort_index()
        summary[signal] = {
            **_mean(table[f"{signal}_{measure}"]),
            "unscored": {str(reason): int(count) for reason, count in reasons.items()},
        }
    before, after = (pd.to_numeric(table[f"{signal}_{measure}"]) for signal in SIGNALS)
    summary["difference"] = _mean(after - before)
    return summary


def unscored_notes(conditions: Iterable[dict[str, Any]]) -> list[str]:
    """Return a sentence for each measure, signal and reason that left utterances without a score, with its counts."""
    counts: dict[tuple[str, str, str], list[str]] = {}
    for condition in conditions:
        for measure, summary in condition.get("speech", {}).items():
            for signal in SIGNALS:
                for reason, count in summary[signal]["unscored"].items():
                    counts.setdefault((measure, signal, reason), []).append(f"{count} at {condition['condition']}")
    return [
        f"{MEASURE_NAMES[measure]}, {signal}: not scored for {', '.join(places)}: {reason}."
        for (measure, signal, reason), places in counts.items()
    ]


MEASURE_NAMES = {"pesq_wb": "PESQ-WB", "stoi": "STOI", "estoi": "ESTOI", "si_sdr": "SI-SDR"}
"""What tables call the speech measures."""


def _scores(part: pd.DataFrame, subject: Subject) -> dict[str, Any]:
    record: dict[str, Any] = {"n": len(part)}
    if subject.categories:
        labelled = part[part["emotion"].notna()]
        scores = category_scores(labelled["emotion"], labelled["predicted"], subject.categories)
        record |= {"n_labelled": scores.pop("n"), **scores}
    if subject.attributes:
        record["ccc"], record["ccc_n"] = {}, {}
        for name in subject.attributes:
            rated = part[part[name].notna()]
            record["ccc"][name] = ccc(rated[name].astype(float), rated[f"predicted_{name}"].astype(float))
            record["ccc_n"][name] = len(rated)
        record["attributes"] = sources_in_words(attribute_sources(part, subject.attributes))
    if subject.measures:
        record["speech"] = {measure: summarise_measure(part, measure) for measure in subject.measures}
    return record


def _duration_bounds(table: pd.DataFrame) -> np.ndarray | None:
    """Return the durations between quartiles of the utterances in a table; None where one's is unknown."""
    if "duration_s" not in table or table["duration_s"].isna().any():
        return None
    # Each file once: how long it is does not change with the noise.
    return quartile_bounds(table.drop_duplicates(["file", "duration_s"])["duration_s"])


def _by_duration(part: pd.DataFrame, subject: Subject, bounds: np.ndarray | None) -> dict[str, Any]:
    if bounds is None or not subject.categories:
        return {}
    labelled = part[part["emotion"].notna()]
    if len(labelled) < FEWEST_LABELLED:
        return {}
    scores = scores_by_duration(
        labelled["emotion"],
        labelled["predicted"],
        subject.categories,
        durations_s=labelled["duration_s"],
        bounds=bounds,
    )
    return {"by_duration": scores}


def _mean(values: pd.Series) -> dict[str, Any]:
    scored = pd.to_numeric(values).dropna()
    return {"mean": float(scored.mean()) if len(scored) else None, "n": len(scored)}


def _snr_of(part: pd.DataFrame) -> float | None:
    mean = pd.to_numeric(part["snr_db"]).mean()
    return None if pd.isna(mean) else float(mean)


def _loudness(part: pd.DataFrame) -> float:
    snr_db = _snr_of(part)
    return float("-inf") if snr_db is None else -snr_db

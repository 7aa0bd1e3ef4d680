"""What an evaluation found: a table of outcomes, one row an utterance and condition, and the scores drawn from it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from sertool.core.corpus.derived_attributes import attribute_sources, label
from sertool.core.corpus.snr import snr_text
from sertool.core.evaluation.scores import CLEAN
from sertool.core.writing import write_text

FORMAT = "sertool-evaluation-2"
MOST_SNRS = 12
BIN_DB = 5.0

# A list of numbers that `json.dumps` has spread over lines (a string never holds a line break).
_NUMBERS = re.compile(r"\[\n[-+.\deE,\s]+\]")


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
        parts: what was asked for beside these, by its name in the document: `by_speaker`, `by_gender`, `comparison`,
            `stress`, `stored`.
    """

    provenance: dict[str, Any]
    conditions: list[dict[str, Any]]
    by_kind: list[dict[str, Any]]
    table: pd.DataFrame
    notes: list[str]
    failures: list[str]
    parts: dict[str, Any] = field(default_factory=dict)

    @property
    def attribute_label(self) -> str:
        """What stands beside the name of an attribute: "derived" where no person rated it, "partly derived", or ""."""
        model = self.provenance["model"]
        return label(attribute_sources(self.table, model["attributes"])) if model else ""

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
            **self.parts,
        }

    def write_json(self, path: Path | str, **more: Any) -> None:
        """Write the document whole or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        text = json.dumps(self.document(**more), indent=1, ensure_ascii=False, allow_nan=False)
        write_text(path, _NUMBERS.sub(lambda found: " ".join(found[0].split()), text) + "\n")

    def write_outcomes(self, path: Path | str) -> None:
        """Write the table of outcomes as CSV, whole or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        write_text(path, self.table.to_csv(index=False, lineterminator="\n"))


def tabulate(rows: Sequence[dict[str, Any]], *, drawn: bool = True) -> pd.DataFrame:
    """Return outcomes, see `judge_utterance`, as a table with the column `condition`, see `name_conditions`."""
    table = pd.DataFrame(list(rows))
    for column in ("snr_db", "noise_kind"):
        if column not in table:
            table[column] = None
    table["snr_db"] = pd.to_numeric(table["snr_db"])
    table.insert(1, "condition", name_conditions(table["snr_db"], drawn=drawn))
    return table


def name_conditions(snrs: pd.Series, *, drawn: bool = True) -> pd.Series:
    """Return the condition each SNR in dB belongs to: "clean" for null, "0 dB" for 0.

    Where SNRs were drawn from a range there are as many as utterances; beyond twelve they are put in groups around
    the multiples of 5 dB, called "about 5 dB".

    Args:
        snrs: in dB, null for clean speech.
        drawn: whether they may have been drawn, and were not asked for one by one.
    """
    snrs = pd.to_numeric(snrs, errors="coerce")
    if not drawn or snrs.nunique() <= MOST_SNRS:
        return snrs.map(lambda snr_db: CLEAN if pd.isna(snr_db) else f"{snr_text(snr_db)} dB")
    grouped = (snrs / BIN_DB).round() * BIN_DB
    return grouped.map(lambda snr_db: CLEAN if pd.isna(snr_db) else f"about {snr_text(snr_db)} dB")

"""A few utterances of an evaluation heard again, for its report: what was judged, and what the system made of it."""

from typing import Any

import pandas as pd

from sertool.core.evaluation.by_snr import Evaluation
from sertool.core.evaluation.report.listening import Listening, choose, chosen_by
from sertool.core.evaluation.report.words import main_condition
from sertool.core.evaluation.results import Results
from sertool.core.evaluation.scores import MEASURE_NAMES
from sertool.core.evaluation.utterance import conditions_of


def listen_again(evaluation: Evaluation, results: Results) -> tuple[list[Listening], str]:
    """Return the best, the median and the worst utterance of the condition nearest to 0 dB, and how they were chosen.

    Args:
        evaluation: that was run.
        results: what it found.

    Returns:
        The utterances with their audio; the words of `chosen_by`.
    """
    condition = main_condition(results.document())["condition"]
    listener = evaluation.system.open()
    by_file: dict[str, list[Any]] = {}
    for utterance in evaluation.utterances:
        by_file.setdefault(utterance.file, []).append(utterance)
    mixer = evaluation.protocol.mixer()
    part = results.table[results.table["condition"] == condition].set_index("file")
    examples = []
    for place, file in choose(results.table, condition):
        row = part.loc[[file]].iloc[0]
        wanted = None if pd.isna(row["snr_db"]) else float(row["snr_db"])
        heard = next(
            one
            for utterance in by_file[file]
            for one in conditions_of(utterance, mixer, (wanted,))
            if one.facts.get("snr_db", utterance.facts.get("snr_db")) == wanted
        )
        enhanced = listener.hear(heard.samples, enhance=True)[1] if evaluation.subject.measures else None
        examples.append(
            Listening(
                file=file,
                condition=condition,
                place=place,
                label=_text(row.get("emotion")),
                predicted=_text(row.get("predicted")),
                confidence=_confidence(row),
                clean=heard.clean,
                noisy=heard.samples,
                enhanced=enhanced,
                figures=_figures(row),
            )
        )
    return examples, chosen_by(results.table, condition)


def _figures(row: pd.Series) -> dict[str, float]:
    figures = {}
    for measure in ("pesq_wb", "si_sdr"):
        unit = ", dB" if measure == "si_sdr" else ""
        for signal, name in (("unprocessed", "before"), ("enhanced", "after")):
            value = row.get(f"{signal}_{measure}")
            if value is not None and not pd.isna(value):
                figures[f"{MEASURE_NAMES[measure]} {name}{unit}"] = float(value)
    return figures


def _confidence(row: pd.Series) -> float | None:
    shares = [float(value) for name, value in row.items() if str(name).startswith("p_") and not pd.isna(value)]
    return max(shares) if shares else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None

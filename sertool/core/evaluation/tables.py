"""The conditions of an evaluation as tables for other programs: tidy CSV, and LaTeX for a paper."""

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

from sertool.core.corpus.tables import ATTRIBUTES
from sertool.core.evaluation.scores import MEASURE_NAMES

_DECIBELS = ("si_sdr", "segmental_snr")
_DIGITS = {"stoi": 3, "estoi": 3, "si_sdr": 1, "segmental_snr": 1}

MEASURES = {
    measure: (f"{name}, dB" if measure in _DECIBELS else name, _DIGITS.get(measure, 2))
    for measure, name in MEASURE_NAMES.items()
}
"""Speech measures that have columns, what papers call them, and the decimals they give them."""

COLUMNS = (
    "system",
    "condition",
    "snr_db",
    "noise_kind",
    "n",
    "n_labelled",
    *(f"{score}{end}" for score in ("f1_macro", "ua") for end in ("", "_low", "_high")),
    "f1_micro",
    *(f"ccc_{name}" for name in ATTRIBUTES),
    "ece",
    "mce",
    "brier",
    "aurc",
    "agreement",
    "kappa",
    "baseline",
    "baseline_f1_macro",
    "difference_f1_macro",
    "difference_low",
    "difference_high",
    "p",
    "p_holm",
    "verdict",
    *(f"{name}_{part}" for name in MEASURES for part in ("unprocessed", "enhanced", "difference", "n")),
)
"""The columns of the CSV, the same whatever was judged; what was not measured is empty. Shares are from 0 to 1."""

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}


def as_csv(document: dict[str, Any]) -> str:
    """Return the conditions of an evaluation as tidy CSV: a row each, then one for each kind of noise in each.

    Args:
        document: what an evaluation leaves, see `Results.document`.

    Returns:
        Lines of `COLUMNS`. Numbers are as exact as in the document; `<measure>_n` counts the utterances scored before
        and after. Columns of the comparison are empty where there is no baseline, and in the rows by kind of noise.
    """
    compared = {record["condition"]: record for record in _comparison(document).get("conditions", [])}
    written = io.StringIO()
    writer = csv.DictWriter(written, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for record in document["conditions"]:
        row = _row(record, document) | _compared(compared.get(record["condition"]), document)
        writer.writerow(row)
    for record in document.get("by_kind") or []:
        writer.writerow(_row(record, document))
    return written.getvalue()


def as_latex(document: dict[str, Any]) -> str:
    """Return the conditions of an evaluation as LaTeX tables (package booktabs), clean speech first.

    One of emotion: F1-macro and UA in percent, with their intervals over speakers where there are any, and CCC. One of
    speech: each measure's mean before → after enhancement, or before alone where nothing was enhanced. One of the
    comparison with a baseline. What was not measured has no column, and a table without columns is left out.

    Args:
        document: as for `as_csv`.
    """
    conditions = document["conditions"]
    scores = [
        (name, title)
        for name, title in (("f1_macro", r"F1-macro, \%"), ("ua", r"UA, \%"))
        if any(record.get(name) is not None for record in conditions)
    ]
    attributes = list(dict.fromkeys(name for record in conditions for name in record.get("ccc") or {}))
    emotion = [*(title for _, title in scores), *(f"CCC {_escaped(name)}" for name in attributes)]
    measures = [
        name
        for name in MEASURES
        if any(
            _mean(record, name, signal) is not None for record in conditions for signal in ("unprocessed", "enhanced")
        )
    ]
    about, brackets = _caption(document), _on_intervals(conditions)
    tables = ["% Needs \\usepackage{booktabs}."]
    if emotion:
        rows = [
            [
                *(_with_interval(record, name) for name, _ in scores),
                *(_decimal((record.get("ccc") or {}).get(name), 3) for name in attributes),
            ]
            for record in conditions
        ]
        tables.append(_table(f"Emotion recognition{about}{brackets}.", emotion, conditions, rows))
    if measures:
        rows = [[_before_and_after(record, name) for name in measures] for record in conditions]
        heads = [MEASURES[name][0] for name in measures]
        tables.append(_table(f"Speech, before $\\to$ after enhancement{about}.", heads, conditions, rows))
    if comparison := document.get("comparison"):
        tables.append(_against(comparison))
    return "\n".join(tables) + "\n"


def _against(comparison: dict[str, Any]) -> str:
    """Return the table of differences to the baseline, in points of F1-macro."""
    heads = [r"F1-macro, \%", r"baseline, \%", "difference", "$p$ (Holm)", "verdict"]
    rows = []
    for record in comparison["conditions"]:
        ends = record.get("interval")
        spread = "" if ends is None else rf" {{\footnotesize [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]}}"
        scores = [_decimal(100 * record[name], 1) for name in ("ours", "theirs")]
        difference = _decimal(100 * record["difference"], 1) + spread
        rows.append([*scores, difference, _decimal(record.get("p_holm"), 3), record.get("verdict") or "none"])
    caption = f"Against {_escaped(comparison['baseline'])}. {_escaped(comparison.get('verdict') or '')}"
    return _table(caption, heads, comparison["conditions"], rows)


def _table(caption: str, heads: Sequence[str], conditions: Sequence[dict[str, Any]], rows: Sequence[list[str]]) -> str:
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{l{'c' * len(heads)}}}",
        r"\toprule",
        _line(["SNR", *heads]),
        r"\midrule",
        *(_line([_condition(record["condition"]), *row]) for record, row in zip(conditions, rows, strict=True)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _row(record: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    row = {"system": _system(document), **{name: record.get(name) for name in COLUMNS[1:6]}}
    row |= {name: record.get(name) for name in ("f1_macro", "ua", "f1_micro")}
    for name in ("f1_macro", "ua"):
        row[f"{name}_low"], row[f"{name}_high"] = (record.get("intervals") or {}).get(name) or (None, None)
    row |= {f"ccc_{name}": (record.get("ccc") or {}).get(name) for name in ATTRIBUTES}
    row |= {name: (record.get("calibration") or {}).get(name) for name in ("ece", "mce", "brier")}
    row["aurc"] = (record.get("selective") or {}).get("aurc")
    row["agreement"] = (record.get("agreement") or {}).get("share")
    row["kappa"] = (record.get("agreement") or {}).get("kappa")
    for name in MEASURES:
        summary = (record.get("speech") or {}).get(name) or {}
        row |= {
            f"{name}_{part}": (summary.get(part) or {}).get("mean")
            for part in ("unprocessed", "enhanced", "difference")
        }
        # Without enhanced speech, those scored as they were heard.
        row[f"{name}_n"] = (
            ((summary.get("difference") or {}).get("n") or (summary.get("unprocessed") or {}).get("n"))
            if summary
            else None
        )
    return row


def _compared(record: dict[str, Any] | None, document: dict[str, Any]) -> dict[str, Any]:
    if record is None:
        return {}
    low, high = record.get("interval") or (None, None)
    return {
        "baseline": _comparison(document).get("baseline"),
        "baseline_f1_macro": record.get("theirs"),
        "difference_f1_macro": record.get("difference"),
        "difference_low": low,
        "difference_high": high,
        "p": record.get("p"),
        "p_holm": record.get("p_holm"),
        "verdict": record.get("verdict"),
    }


def _comparison(document: dict[str, Any]) -> dict[str, Any]:
    return document.get("comparison") or {}


def _system(document: dict[str, Any]) -> str:
    return str((document.get("system") or {}).get("name") or (document.get("model") or {}).get("name") or "")


def _mean(record: dict[str, Any], measure: str, signal: str) -> float | None:
    return (((record.get("speech") or {}).get(measure) or {}).get(signal) or {}).get("mean")


def _with_interval(record: dict[str, Any], name: str) -> str:
    value = record.get(name)
    if value is None:
        return "--"
    interval = (record.get("intervals") or {}).get(name)
    ends = "" if not interval else rf" {{\footnotesize [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]}}"
    return f"{100 * value:.1f}{ends}"


def _before_and_after(record: dict[str, Any], measure: str) -> str:
    digits = MEASURES[measure][1]
    before, after = (_decimal(_mean(record, measure, signal), digits) for signal in ("unprocessed", "enhanced"))
    return before if after == "--" else rf"{before} $\to$ {after}"


def _decimal(value: float | None, digits: int) -> str:
    if value is None:
        return "--"
    written = f"{round(value, digits) + 0.0:.{digits}f}"  # no minus before a zero
    return f"${written}$" if written.startswith("-") else written


def _condition(name: str) -> str:
    """Return a condition in which a minus is one: `$-5$ dB`."""
    return re.sub(r"(?<![\w.])-(\d+(?:\.\d+)?)", r"$-\1$", _escaped(name))


def _caption(document: dict[str, Any]) -> str:
    data = document.get("data") or {}
    told = f": {_escaped(_system(document))}" if _system(document) else ""
    if data.get("utterances") is not None:
        told += f"; {data['utterances']} utterances of {data.get('speakers') or 'unknown'} speakers"
    if document.get("seen_utterances"):
        told += f"; {document['seen_utterances']} of the utterances were learned from: the scores flatter"
    return told


def _on_intervals(conditions: Sequence[dict[str, Any]]) -> str:
    found = [record["intervals"] for record in conditions if (record.get("intervals") or {}).get("f1_macro")]
    return rf"; in brackets: {100 * found[0]['level']:g}\,\% intervals over speakers" if found else ""


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    """Return a text in which LaTeX sees nothing but letters; what cannot be printed is left out."""
    return "".join(_SPECIAL.get(character, character) for character in str(text) if character.isprintable())

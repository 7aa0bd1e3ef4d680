"""What `sertool evaluate` prints: tables for people, lines of JSON for programs."""

from typing import TYPE_CHECKING, Any

from sertool.cli import console

if TYPE_CHECKING:
    from sertool.core.evaluation.results import Results

IN_DECIBELS = ("si_sdr", "segmental_snr")
FIRST_MEASURES = 5


def print_json(results: "Results", command: list[str]) -> None:
    """Write where the scores come from as the first line, then one line a condition that can stand by itself."""
    document = results.document(command=command)
    conditions = [*document.pop("conditions"), *document.pop("by_kind", [])]
    console.json_line({"record": "evaluation", **document})
    told = results.provenance
    origin = {
        "model": told["model"]["id"] if told["model"] else None,
        "system": told["system"]["name"],
        "split": told["split"],
        "seed": told["seed"],
        "seen_utterances": told["seen_utterances"],
    }
    for condition in conditions:
        console.json_line({"record": "condition", **condition, **origin})


def print_tables(results: "Results") -> None:
    """Write scores by condition, what was compared and stressed, and what must be known of all that."""
    model, data = results.provenance["model"], results.provenance["data"]
    name = results.provenance["system"]["name"] + (f" ({model['id']})" if model else "")
    speakers = f"{data['speakers']} speakers" if data["speakers"] else "unknown speakers"
    about = f"{name}, {data['utterances']} utterances of {speakers}"
    for conditions, where in ((results.conditions, ""), (results.by_kind, ", by kind of noise")):
        if any(one.get("n_labelled") or "ccc" in one for one in conditions):
            columns, rows = _emotion_table(conditions, results.attribute_label)
            console.result(f"Emotion{where}: {about}")
            console.table(columns, rows)
        if conditions and "speech" in conditions[0]:
            console.result(f"Speech quality{where}, unprocessed → enhanced: {about}")
            measures = list(conditions[0]["speech"])
            # All of them side by side are wider than a terminal.
            for group in (measures[:FIRST_MEASURES], measures[FIRST_MEASURES:]):
                if group:
                    console.table(*_speech_table(conditions, group))
    if "stored" in results.parts:
        _print_stored(results.parts["stored"])
    if "comparison" in results.parts:
        _print_comparison(results.parts["comparison"])
    if "stress" in results.parts:
        _print_stress(results.parts["stress"])
    labelled = [one for one in results.conditions if one.get("n_labelled")]
    reasons = {(one.get("intervals") or {}).get("reason") for one in labelled} - {None}
    for reason in sorted(reasons):
        console.result(f"* No intervals: {reason}")
    for note in results.notes:
        console.result(f"* {note}")


def _print_stored(stored: dict[str, Any]) -> None:
    """Write what is stored beside fixed mixtures for other systems."""
    console.result("The same mixtures: scores stored for other systems")
    measures = list(dict.fromkeys(m for by in stored["systems"].values() for one in by.values() for m in one))
    rows = [
        [
            system,
            condition,
            *(_rounded(scores[name]["mean"], _digits(name)) if name in scores else None for name in measures),
        ]
        for system, by_condition in stored["systems"].items()
        for condition, scores in by_condition.items()
    ]
    console.table(["system", "SNR", *map(_measure_name, measures)], rows)
    for measure, distance in stored["largest_deviation"].items():
        name = _measure_name(measure)
        console.result(f"* {name} of the unprocessed mixtures is within {distance:.2g} of what is stored for them.")


def _print_comparison(comparison: dict[str, Any]) -> None:
    console.result(comparison["verdict"])
    rows = [
        [
            one["condition"],
            _rounded(one["ours"], 3),
            _rounded(one["theirs"], 3),
            _rounded(one["difference"], 3),
            "–" if one["interval"] is None else "{:.3f} to {:.3f}".format(*one["interval"]),
            _rounded(one["p"], 4),
            _rounded(one["p_holm"], 4),
            one["verdict"],
        ]
        for one in comparison["conditions"]
    ]
    console.table(["SNR", "F1-macro", "baseline", "difference", "95 % interval", "p", "p, Holm", "verdict"], rows)


def _print_stress(stress: dict[str, Any]) -> None:
    reference = stress["reference"]
    console.result(f"Stress, {reference['n']} utterances; unstressed UA {_rounded(reference['ua'], 3)}")
    rows = [
        [
            " ".join(filter(None, (one["stress"], one["level"]))),
            _rounded(one["ua"], 3),
            None if one["ua_change"] is None else f"{one['ua_change']:+.3f}",
            _rounded(one["unchanged"], 3),
            _rounded(one["abstained"], 3),
        ]
        for one in stress["conditions"]
    ]
    console.table(["test", "UA", "change", "unchanged", "abstained"], rows)
    for test, reason in stress.get("left_out", {}).items():
        console.result(f"* Not tested: {test}: {reason}.")
    for sentence in stress.get("missed", []):
        console.result(f"* Limit missed: {sentence}")


def _emotion_table(conditions: list[dict[str, Any]], attribute_label: str) -> tuple[list[str], list[list[object]]]:
    scores = {"f1_macro": "F1-macro", "f1_micro": "F1-micro", "ua": "UA"}
    scores = {key: name for key, name in scores.items() if key in conditions[0]}
    attributes = list(conditions[0].get("ccc", {}))
    said = f" ({attribute_label})" if attribute_label else ""
    spread = any((one.get("intervals") or {}).get("f1_macro") for one in conditions)
    columns = [*_place_columns(conditions), "n", *scores.values(), *(f"CCC {name}{said}" for name in attributes)]
    if spread:
        columns.insert(columns.index("F1-macro") + 1, "95 % interval")
    rows = [
        [
            *_place(condition, conditions),
            condition["n"],
            *(cell for key in scores for cell in _score(condition, key, spread=spread)),
            *(_rounded(condition["ccc"][name], 3) for name in attributes),
        ]
        for condition in conditions
    ]
    return columns, rows


def _score(condition: dict[str, Any], key: str, *, spread: bool) -> list[str | None]:
    """Return a score and, beside F1-macro, its interval over speakers where any condition has one."""
    cells = [_rounded(condition[key], 3)]
    if spread and key == "f1_macro":
        ends = condition["intervals"]["f1_macro"]
        cells.append(None if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}")
    return cells


def _speech_table(conditions: list[dict[str, Any]], measures: list[str]) -> tuple[list[str], list[list[object]]]:
    columns = [*_place_columns(conditions), "n", *map(_measure_name, measures)]
    rows = []
    for condition in conditions:
        cells: list[object] = [*_place(condition, conditions), condition["n"]]
        for name in measures:
            before, after = (condition["speech"][name][signal]["mean"] for signal in ("unprocessed", "enhanced"))
            cells.append(f"{_rounded(before, _digits(name)) or '–'} → {_rounded(after, _digits(name)) or '–'}")
        rows.append(cells)
    return columns, rows


def _measure_name(measure: str) -> str:
    from sertool.core.evaluation.scores import MEASURE_NAMES

    return MEASURE_NAMES[measure] + (" (dB)" if measure in IN_DECIBELS else "")


def _digits(measure: str) -> int:
    return 1 if measure in IN_DECIBELS else 3 if "stoi" in measure else 2


def _place_columns(conditions: list[dict[str, Any]]) -> list[str]:
    return ["SNR", "noise"] if conditions[0]["noise_kind"] is not None else ["SNR"]


def _place(condition: dict[str, Any], conditions: list[dict[str, Any]]) -> list[object]:
    return [condition["condition"], condition["noise_kind"]][: len(_place_columns(conditions))]


def _rounded(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{round(value, digits) + 0.0:.{digits}f}"  # no minus before a zero

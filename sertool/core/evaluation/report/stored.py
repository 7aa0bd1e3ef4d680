"""The page's part on scores that came with fixed mixtures: what other systems reached on the very same samples."""

from typing import Any

from sertool.core.evaluation.report.emotion import condition_name
from sertool.core.evaluation.report.markup import Html, join, paragraph, section, table
from sertool.core.evaluation.report.words import NONE, listing, measure_name, measure_value, number
from sertool.core.evaluation.tables import MEASURES


def stored(document: dict[str, Any]) -> Html | None:
    """Return the stored scores beside the place of ours, and how far they came out again; None where there are none."""
    found = document.get("stored") or {}
    systems = found.get("systems") or {}
    if not systems:
        return None
    taken = {measure for conditions in systems.values() for scores in conditions.values() for measure in scores}
    measures = [name for name in MEASURES if name in taken] + sorted(taken - set(MEASURES))
    rows = [
        [
            join([condition_name(condition), ", ", system]),
            *(measure_value(name, (scores.get(name) or {}).get("mean")) for name in measures),
            f"{max((score['n'] for score in scores.values()), default=0):,}",
        ]
        for system, conditions in systems.items()
        for condition, scores in conditions.items()
    ]
    deviation = found.get("largest_deviation") or {}
    apart = (
        listing([f"{measure_name(name)} {number(value, 4)}" for name, value in deviation.items()])
        if deviation
        else NONE
    )
    return section(
        "stored",
        "Other systems on the same samples",
        paragraph("The mixtures came with scores of other systems; these stand here as they were stored."),
        table("Stored scores", ["Condition, system", *map(measure_name, measures), "Utterances"], rows),
        paragraph(f"Scored anew, unprocessed mixtures differ from what was stored by at most: {apart}.")
        if deviation
        else "",
    )

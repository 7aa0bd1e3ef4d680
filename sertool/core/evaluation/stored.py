"""Scores stored beside fixed mixtures: what other systems reached on the very samples a model is judged on."""

from typing import Any

import pandas as pd

from sertool.core.corpus.fixed_mixtures import FixedMixtures

UNPROCESSED = "unprocessed"


def stored_scores(mixtures: FixedMixtures, table: pd.DataFrame) -> dict[str, Any]:
    """Return the stored scores by condition, and how far those of the unprocessed mixtures came out again.

    Args:
        mixtures: as they were read.
        table: outcomes of judging some of them, with `mixture`, their rows, `condition` and `unprocessed_<measure>`.

    Returns:
        `systems`: by system, condition and measure, the `mean` of the stored scores and their number `n`, over the
        mixtures judged; `largest_deviation`: by measure, the largest distance of a score of an unprocessed mixture from
        the one stored for it, over those that have both.
    """
    table = table.sort_values("snr_db", ascending=False, kind="stable")
    judged = table["mixture"].to_numpy(int)
    systems: dict[str, Any] = {}
    deviation: dict[str, float] = {}
    for system, measures in mixtures.stored.items():
        for measure, scores in measures.items():
            stored = pd.Series(scores[judged], index=table.index)
            for condition, part in stored.groupby(table["condition"], sort=False):
                record = {"mean": None if part.isna().all() else float(part.mean()), "n": int(part.notna().sum())}
                systems.setdefault(system, {}).setdefault(condition, {})[measure] = record
            column = f"{UNPROCESSED}_{measure}"
            if system == UNPROCESSED and column in table:
                distance = (pd.to_numeric(table[column]) - stored).abs().max()
                if not pd.isna(distance):
                    deviation[measure] = float(distance)
    return {"systems": systems, "largest_deviation": deviation}

"""Stress tests scored: what each costs in UA, how many predictions stay, for whom, and whether limits are kept."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from sertool.core.errors import InputError
from sertool.core.evaluation.stress import UNSTRESSED, Stress
from sertool.core.metrics.emotion import category_scores
from sertool.core.training.stress_limits import (
    ANY,
    SILENT_LIMITS,
    SPOKEN_LIMITS,
    WITHOUT_EMOTION,
    StressLimits,
    covers,
    named,
    nearest,
)

NOBODY_SPEAKS = "nobody speaks, so there is no emotion to be right about"

ROUNDING = 1e-9
"""A limit that is met exactly is met, whatever float64 makes of it."""


def score_stress(table: pd.DataFrame, classes: Sequence[str]) -> dict[str, Any]:
    """Score the rows of `stress_rows` of all utterances.

    Changes are against the same utterances unstressed. Utterances without a known speaker or sex count in no row of
    `by_speaker` or `by_gender`.

    Args:
        table: a row for each utterance and stressor: `file`, `emotion`, `stress`, `level`, `predicted`, `p_<category>`;
            `speaker`, `gender` and `abstained` (bool: the model says that it cannot tell) where they are known.
        classes: all categories, as for `category_scores`.

    Returns:
        `reference`: `n`, `ua`, `f1_macro` of the utterances as they are. `conditions`, in the order of the table, each
        with `stress`, `level`, `n`; `ua`, `ua_change`, `f1_macro`, `f1_change`; `unchanged`, the share of predictions
        that are those of the utterances as they are; `by_gender` (`gender`, `n`, `speakers`, `ua_change`, `unchanged`)
        and `by_speaker` (`speaker`, `n`, `ua_change`, `unchanged`); `worst_speaker`, that row of it whose UA falls
        most, the first by name of several; `reason`, null.
        Where nobody speaks these scores are null, the lists empty, and `reason` says why; instead there are
        `most_predicted` (category: share of utterances, the largest first) and `confidence` (mean highest probability).
        `abstained`: the share of utterances, null where the table does not tell.

    Raises:
        ValueError: an utterance has not one row of each test, or none unstressed.
    """
    reference = table[table["stress"] == UNSTRESSED].set_index("file")
    if not reference.index.is_unique:
        raise ValueError("an utterance is unstressed twice: give each file once")
    before = category_scores(reference["emotion"], reference["predicted"], classes)
    conditions = []
    stressed = table[table["stress"] != UNSTRESSED]
    for (stress, level), rows in stressed.groupby(["stress", "level"], sort=False):
        if sorted(rows["file"]) != sorted(reference.index):
            raise ValueError(f"{named(stress, level)}: its files are not those unstressed: give one row of each")
        # The predictions on the same utterances as they are, beside those under stress.
        rows = rows.assign(before=reference["predicted"].loc[rows["file"]].to_numpy())
        scores = _without_emotion(rows) if stress in WITHOUT_EMOTION else _with_emotion(rows, classes, before)
        conditions.append({"stress": stress, "level": level, "n": len(rows)} | scores | {"abstained": _abstained(rows)})
    return {"reference": {name: before[name] for name in ("n", "ua", "f1_macro")}, "conditions": conditions}


def check_limits(limits: StressLimits, stress: Stress, *, abstains: bool = False) -> None:
    """Make sure that every limit is about a test that is run and can be told of it, before anything is judged.

    Args:
        limits: of the recipe.
        stress: what is run.
        abstains: whether the model can say that it cannot tell.

    Raises:
        InputError: one is not; the nearest test that is run is named.
    """
    for key, limit in limits.limits.items():
        about = [one for one in stress.stressors if covers(key, one.stress, one.level)]
        if not about:
            raise InputError(_not_run(key, stress))
        if limit.abstained is not None and not abstains:
            raise InputError(
                f"stress limit '{key}' asks how often the model abstains, which this one cannot; expected a model "
                "that can: remove the limit 'abstained'"
            )
        if key == ANY:
            continue  # each of its limits counts where it can be told
        for has_emotion, can_be_told, others in (
            (True, SPOKEN_LIMITS, SILENT_LIMITS),
            (False, SILENT_LIMITS, SPOKEN_LIMITS),
        ):
            untold = limit.among(others)
            if untold and all(one.has_emotion == has_emotion for one in about):
                raise InputError(
                    f"stress limit '{untold[0]}' of '{key}' cannot be told where {'some' if has_emotion else 'no'}body "
                    f"speaks; expected {' or '.join(can_be_told)}: choose among these"
                )


def _not_run(key: str, stress: Stress) -> str:
    """Return the message about a limit on a test that is not run."""
    test = key.partition(":")[0]
    reasons = [why for name, why in stress.left_out.items() if name in (key, test)]
    because = f" ({reasons[0]})" if reasons else ""
    known = dict.fromkeys(name for one in stress.stressors for name in (one.stress, one.name))
    return (
        f"stress limit '{key}' is of a test that is not run{because}; expected one that is, the nearest is "
        f"'{nearest(key, known)}': correct it, or give what the test needs"
    )


def missed_limits(scores: dict[str, Any], limits: StressLimits) -> list[str]:
    """Return a sentence for every limit that was missed, with what was found and what was allowed.

    A limit on what could not be told (the speakers are not named, say) counts as missed.

    Args:
        scores: of `score_stress`.
        limits: of the recipe.
    """
    missed = []
    for condition in scores["conditions"]:
        name = named(condition["stress"], condition["level"])
        for limit, allowed in limits.of(condition["stress"], condition["level"]).items():
            if limit not in (SILENT_LIMITS if condition["stress"] in WITHOUT_EMOTION else SPOKEN_LIMITS):
                continue
            found, sentence, at_most = _LIMITED[limit]
            value = found(condition)
            bound = f"{'at most' if at_most else 'at least'} {allowed:.3f}"
            if value is None:
                missed.append(f"{name}: {sentence.format('could not be told')}; the limit is {bound}")
            elif (value - allowed if at_most else allowed - value) > ROUNDING:
                missed.append(f"{name}: {sentence.format(f'is {value:.3f}')}; the limit is {bound}")
    return missed


def _with_emotion(rows: pd.DataFrame, classes: Sequence[str], before: dict[str, Any]) -> dict[str, Any]:
    scores = category_scores(rows["emotion"], rows["predicted"], classes)
    by_speaker = _moved_by("speaker", rows)
    speakers = rows.groupby("gender")["speaker"].nunique() if {"speaker", "gender"} <= set(rows) else {}
    return {
        "ua": scores["ua"],
        "ua_change": scores["ua"] - before["ua"],
        "f1_macro": scores["f1_macro"],
        "f1_change": scores["f1_macro"] - before["f1_macro"],
        "unchanged": float((rows["predicted"] == rows["before"]).mean()),
        "by_gender": [{**one, "speakers": int(speakers.get(one["gender"], 0))} for one in _moved_by("gender", rows)],
        "by_speaker": by_speaker,
        "worst_speaker": min(by_speaker, key=lambda one: one["ua_change"], default=None),
        "reason": None,
    }


def _moved_by(column: str, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the change in UA and the share of unchanged predictions of every speaker, or each sex, that is known."""
    if column not in rows or rows[column].isna().all():
        return []
    rows = rows.assign(
        right_before=rows["before"] == rows["emotion"],
        right_now=rows["predicted"] == rows["emotion"],
        same=rows["predicted"] == rows["before"],
    )
    # UA: the recall of each category that occurs, then their plain mean.
    recall = rows.groupby([column, "emotion"])[["right_before", "right_now"]].mean()
    ua = recall.groupby(level=0).mean()
    return [
        {
            column: str(name),
            "n": len(one),
            "ua_change": float(ua.at[name, "right_now"] - ua.at[name, "right_before"]),
            "unchanged": float(one["same"].mean()),
        }
        for name, one in rows.groupby(column)
    ]


def _without_emotion(rows: pd.DataFrame) -> dict[str, Any]:
    shares = rows["predicted"].value_counts(normalize=True).sort_index().sort_values(ascending=False, kind="stable")
    highest = rows[[name for name in rows.columns if name.startswith("p_")]].max(axis=1)
    return {
        **dict.fromkeys(("ua", "ua_change", "f1_macro", "f1_change", "unchanged")),
        "by_gender": [],
        "by_speaker": [],
        "worst_speaker": None,
        "reason": NOBODY_SPEAKS,
        "most_predicted": {str(name): float(share) for name, share in shares.items()},
        "confidence": float(highest.mean()),
    }


def _abstained(rows: pd.DataFrame) -> float | None:
    return float(rows["abstained"].astype(float).mean()) if "abstained" in rows else None


def _worst_drop(condition: dict[str, Any]) -> float | None:
    worst = condition["worst_speaker"]
    return None if worst is None else -worst["ua_change"]


def _gender_gap(condition: dict[str, Any]) -> float | None:
    changes = [one["ua_change"] for one in condition["by_gender"]]
    return max(changes) - min(changes) if len(changes) > 1 else None


# Of each limit: what is found, the sentence about it, and whether it is a most or a least.
_LIMITED: dict[str, tuple[Callable[[dict[str, Any]], float | None], str, bool]] = {
    "ua_drop": (lambda condition: -condition["ua_change"], "the fall in UA {}", True),
    "unchanged": (lambda condition: condition["unchanged"], "the share of unchanged predictions {}", False),
    "worst_speaker_ua_drop": (_worst_drop, "the largest fall in UA of a speaker {}", True),
    "gender_gap": (_gender_gap, "the difference between the sexes in the change of UA {}", True),
    "confidence": (lambda condition: condition["confidence"], "the mean confidence {}", True),
    "abstained": (lambda condition: condition["abstained"], "the share of abstentions {}", False),
}

"""Scores drawn from a table of outcomes: of each condition, kind of noise, speaker and sex."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sertool.core.corpus.derived_attributes import attribute_sources, sources_in_words
from sertool.core.errors import InputError
from sertool.core.metrics.agreement import agreement
from sertool.core.metrics.bootstrap import confusion_intervals
from sertool.core.metrics.by_duration import FEWEST_LABELLED, quartile_bounds, scores_by_duration
from sertool.core.metrics.calibration import calibration
from sertool.core.metrics.emotion import category_scores, ccc
from sertool.core.metrics.selective import selective_accuracy
from sertool.core.metrics.speaker_confusions import speaker_confusions

CLEAN = "clean"
SIGNALS = ("unprocessed", "enhanced")
MEANS = ("f1_macro", "f1_micro", "ua")
"""Scores of which the mean over several trainings is told."""


@dataclass(frozen=True)
class Subject:
    """What was judged on what: the model's categories and attributes, and the speech measures taken."""

    categories: tuple[str, ...]
    attributes: tuple[str, ...]
    measures: tuple[str, ...]


def score_conditions(table: pd.DataFrame, subject: Subject, *, by_kind: bool = False) -> list[dict[str, Any]]:
    """Return the scores of each condition, clean speech first, then from the highest SNR to the lowest.

    Args:
        table: outcomes with a column `condition`, see `judge_utterance` for the others.
        subject: what was judged.
        by_kind: one record for each condition and kind of noise, rather than for each condition.

    Returns:
        Records of `condition`, `snr_db` (mean in the condition; null: clean), `noise_kind`; `n` utterances, and
        `n_labelled` of them with a category; `f1_macro` and the others of `category_scores`, the three scores means
        over the trainings where the table holds several (column `seed`), whose confusions and classes are told of all
        their outcomes together; `calibration`, `selective` and `agreement`
        (with the same system on clean speech) where they can be told; `ccc` and `ccc_n` by attribute, and
        `attributes`: whether these are rated or derived; `speech`, see `summarise_measure`. Not by kind: `intervals`,
        see `confusion_intervals`; and `by_duration`, see `scores_by_duration`, its quartiles those of all utterances in
        the table, where at least eight utterances of the condition have a category and the duration of each is known.
    """
    keys = ["condition", "noise_kind"] if by_kind else ["condition"]
    if by_kind:
        table = table[table["noise_kind"].notna()]
    parts = [
        (dict(zip(keys, names, strict=True)), part) for names, part in table.groupby(keys, sort=False, dropna=False)
    ]
    parts.sort(key=lambda item: (_loudness(item[1]), item[0].get("noise_kind") or ""))
    bounds = None if by_kind else _duration_bounds(table)
    clean = table[table["condition"] == CLEAN] if subject.categories and not by_kind else None
    return [
        {
            "condition": names["condition"],
            "snr_db": _snr_of(part),
            "noise_kind": names.get("noise_kind"),
            **_scores(part, subject),
            **({} if by_kind else _intervals(part, subject)),
            **_agreement(part, clean),
            **_by_duration(part, subject, bounds),
        }
        for names, part in parts
    ]


def score_by(column: str, table: pd.DataFrame, subject: Subject) -> list[dict[str, Any]]:
    """Return the emotion scores of each condition and speaker, or sex.

    Args:
        column: `speaker` or `gender`; utterances of which it is unknown count in no record.
        table: outcomes, see `score_conditions`.
        subject: what was judged.

    Returns:
        Records of `condition`, `snr_db`, the column; `n` utterances with a category and the number of `speakers` where
        these are known; `f1_macro`, `f1_micro`, `ua`; of a speaker the `gender` too (null: unknown). Empty where the
        column is not known or no categories are judged.
    """
    if column not in table or not subject.categories:
        return []
    known = table[table[column].notna() & table["emotion"].notna()]
    records = []
    for (condition, name), part in known.groupby(["condition", column], sort=False):
        scores = _category_scores(part, subject.categories)
        record = {"condition": condition, "snr_db": _snr_of(part), column: str(name), "n": scores["n"]}
        if column == "speaker":
            record["gender"] = _one_of(part, "gender")
        elif "speaker" in part:
            record["speakers"] = int(part["speaker"].nunique())
        records.append(record | {score: scores[score] for score in MEANS})
    return sorted(records, key=lambda record: (_order(record["snr_db"]), record[column]))


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


MEASURE_NAMES = {
    **{"pesq_wb": "PESQ-WB", "stoi": "STOI", "estoi": "ESTOI", "si_sdr": "SI-SDR", "segmental_snr": "segSNR"},
    **{"csig": "CSIG", "cbak": "CBAK", "covl": "COVL"},
    **{
        "dnsmos_sig": "DNSMOS SIG",
        "dnsmos_bak": "DNSMOS BAK",
        "dnsmos_ovr": "DNSMOS OVRL",
        "dnsmos_p808": "DNSMOS P.808",
    },
}
"""What tables call the speech measures."""


def _scores(part: pd.DataFrame, subject: Subject) -> dict[str, Any]:
    record: dict[str, Any] = {"n": len(part) // (part["seed"].nunique() if "seed" in part else 1)}
    if subject.categories:
        labelled = part[part["emotion"].notna()]
        scores = _category_scores(labelled, subject.categories)
        record |= {"n_labelled": scores.pop("n"), **scores, **_trust(labelled, subject.categories)}
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


def _category_scores(labelled: pd.DataFrame, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return `category_scores`; of several trainings the mean scores, and all else of their outcomes together."""
    scores = category_scores(labelled["emotion"], labelled["predicted"], classes)
    if "seed" in labelled and labelled["seed"].nunique() > 1:
        trainings = [
            category_scores(part["emotion"], part["predicted"], classes) for _, part in labelled.groupby("seed")
        ]
        scores |= {name: float(np.mean([training[name] for training in trainings])) for name in MEANS}
        scores |= {"trainings": len(trainings), "n": trainings[0]["n"]}
    return scores


def _trust(labelled: pd.DataFrame, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return how far the probabilities can be trusted, where they are known."""
    columns = [f"p_{name}" for name in classes]
    if labelled.empty or not set(columns) <= {*labelled} or labelled[columns].isna().any(axis=None):
        return {}
    shares = labelled[columns].to_numpy(float)
    correct = (labelled["emotion"] == labelled["predicted"]).to_numpy(bool)
    return {
        "calibration": calibration(labelled["emotion"], shares, classes),
        "selective": selective_accuracy(correct, shares.max(axis=1)),
    }


def _intervals(part: pd.DataFrame, subject: Subject) -> dict[str, Any]:
    if not subject.categories:
        return {}
    labelled = part[part["emotion"].notna()]
    if "seed" in labelled:
        # The trainings of one utterance are one utterance still.
        trainings = [one.set_index("file") for _, one in labelled.groupby("seed", sort=True)] or [labelled]
        first = trainings[0]
        if any(set(one.index) != set(first.index) for one in trainings):
            raise InputError(
                "the trainings did not judge the same utterances; expected each to judge all: evaluate the others too"
            )
        predicted = [one["predicted"].loc[first.index] for one in trainings]
    else:
        first, predicted = labelled, [labelled["predicted"]]
    speakers = first["speaker"] if "speaker" in first else pd.Series(None, index=first.index, dtype=object)
    speakers = speakers.astype(object).where(speakers.notna(), None)
    counted = speaker_confusions(first["emotion"], predicted, speakers, subject.categories)
    return {"intervals": confusion_intervals(counted)}


def _agreement(part: pd.DataFrame, clean: pd.DataFrame | None) -> dict[str, Any]:
    """Return how far predictions are those on clean speech; nothing for clean speech itself, or where it is missing."""
    if clean is None or clean.empty or part["condition"].iloc[0] == CLEAN:
        return {}
    # In a noisy manifest every condition is a file of its own: what tells an utterance is the speech it was made from.
    told = "clean_digest" in part and part["clean_digest"].notna().all()
    keys = ["clean_digest" if told else "file", *(["seed"] if "seed" in part else [])]
    clean = clean[[*keys, "predicted"]].drop_duplicates(keys)
    both = part[[*keys, "predicted"]].merge(clean, on=keys, suffixes=("", "_clean"))
    return {"agreement": agreement(both["predicted_clean"], both["predicted"])} if len(both) else {}


def _one_of(part: pd.DataFrame, column: str) -> str | None:
    """Return the one value of a column; None where it is unknown, or there are several."""
    values = part[column].dropna().unique() if column in part else []
    return str(values[0]) if len(values) == 1 else None


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
    return _order(_snr_of(part))


def _order(snr_db: float | None) -> float:
    """Return what puts clean speech first, then the highest SNR."""
    return float("-inf") if snr_db is None else -snr_db

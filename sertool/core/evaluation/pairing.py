"""Two tables of outcomes side by side, utterance for utterance: what makes a comparison one of the same mixtures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sertool.core.errors import InputError

REQUIRED = ("file", "condition", "speaker", "emotion", "predicted")

MIXTURE = (
    *("snr_db", "speech_level", "noise_file", "noise_offset_s"),
    *("babble_files", "babble_offsets_s", "rir_file", "noise_rir_file"),
)
"""Facts of a mixture that must agree where both tables tell them."""

_OURS = "ours"
_NO_SEED = -1  # where a table has one training and does not tell its seed


@dataclass(frozen=True)
class Pair:
    """The outcomes of two systems in one condition, utterances in one order.

    Attributes:
        condition: its name.
        snr_db: mean over utterances; None for clean speech, and where ours does not tell.
        true: labels, (N,).
        speakers: (N,), None where unknown.
        seeds: of the trainings, (R,); one None where there is one training without.
        ours: predictions, (R, N).
        theirs: the same of the baseline.
    """

    condition: str
    snr_db: float | None
    true: list[str]
    speakers: list[str | None]
    seeds: list[int | None]
    ours: list[list[str]]
    theirs: list[list[str]]


def pair(
    ours: pd.DataFrame, baseline: pd.DataFrame, classes: Sequence[str], *, name: str
) -> tuple[list[Pair], list[str]]:
    """Join two tables of outcomes on file, condition and seed.

    Args:
        ours: see `compare`.
        baseline: the same.
        classes: all categories.
        name: what messages call the baseline.

    Returns:
        The conditions both were heard in, clean first, then from the highest SNR down; and the names of the others.

    Raises:
        InputError: see `compare`.
    """
    if all("seed" not in table or table["seed"].nunique(dropna=False) == 1 for table in (ours, baseline)):
        # One training against one: whatever their seeds, they are compared.
        ours, baseline = (table.drop(columns="seed", errors="ignore") for table in (ours, baseline))
    mine, theirs = _tidy(ours, _OURS), _tidy(baseline, name)
    heard = [list(dict.fromkeys(table["condition"])) for table in (mine, theirs)]
    common = [condition for condition in heard[0] if condition in heard[1]]
    left_out = [condition for condition in dict.fromkeys(heard[0] + heard[1]) if condition not in common]
    if not common:
        raise InputError(
            f"ours was heard in {', '.join(heard[0]) or 'nothing'}, {name} in {', '.join(heard[1]) or 'nothing'}; "
            "expected a condition common to both: evaluate both at the same SNRs"
        )
    mine, theirs = (table[table["condition"].isin(common)] for table in (mine, theirs))
    _same_seeds(mine, theirs, name)
    _same_utterances(mine, theirs, name)
    theirs = theirs.reindex(mine.index)
    _agree(mine, theirs, name)
    labelled = mine["emotion"].notna()
    mine, theirs = mine[labelled], theirs[labelled]
    for table, whose in ((mine, _OURS), (theirs, name)):
        _known_categories(table, classes, whose)
    pairs = [_condition(mine, theirs, condition) for condition in common if (mine["condition"] == condition).any()]
    if not pairs:
        raise InputError("no utterance has a label; expected emotions to compare on: evaluate on a labelled corpus")
    order = {each.condition: (each.condition != "clean", -(each.snr_db or 0.0)) for each in pairs}
    return sorted(pairs, key=lambda each: order[each.condition]), left_out


def _tidy(table: pd.DataFrame, whose: str) -> pd.DataFrame:
    """Return a table by file, condition and seed, in this order."""
    if missing := [column for column in REQUIRED if column not in table.columns]:
        raise InputError(
            f"the outcomes of {whose} lack {', '.join(missing)}; expected {', '.join(REQUIRED)}: write them with "
            "sertool evaluate --outcomes"
        )
    seeds = pd.to_numeric(table["seed"], errors="coerce") if "seed" in table.columns else _NO_SEED
    table = table.assign(seed=seeds)
    if unknown := int(table["seed"].isna().sum()):
        raise InputError(f"{unknown} outcomes of {whose} have no number as seed; expected one each: add it")
    keys = ["file", "condition", "seed"]
    twice = table.duplicated(keys)
    if twice.any():
        first = table[twice].iloc[0]
        raise InputError(
            f"{int(twice.sum())} outcomes of {whose} are there twice, such as {first['file']} ({first['condition']}); "
            "expected one an utterance, condition and seed: leave out the others"
        )
    return table.set_index(keys, drop=False).rename_axis([None] * 3).sort_index()


def _same_seeds(mine: pd.DataFrame, theirs: pd.DataFrame, name: str) -> None:
    ours, others = sorted(mine["seed"].unique()), sorted(theirs["seed"].unique())
    if ours != others:
        said = [
            "no seed" if seeds == [_NO_SEED] else "seeds " + ", ".join(f"{seed:g}" for seed in seeds)
            for seeds in (ours, others)
        ]
        raise InputError(
            f"ours has {said[0]}, {name} {said[1]}; expected the same trainings of both: leave out those of one alone"
        )
    if (mine.groupby(["file", "condition"])["emotion"].nunique(dropna=False) > 1).any():
        raise InputError("labels of ours differ between its trainings; expected one an utterance: mend the table")
    for condition, part in mine.groupby("condition", sort=False):
        files = part.groupby("seed")["file"].agg(frozenset)
        if files.nunique() > 1:
            raise InputError(
                f"the trainings judged {files.map(len).min()} to {files.map(len).max()} utterances at {condition}, not "
                "the same ones; expected each to judge all: evaluate the others too"
            )


def _same_utterances(mine: pd.DataFrame, theirs: pd.DataFrame, name: str) -> None:
    for table, other, whose in ((mine, theirs, _OURS), (theirs, mine, name)):
        alone = table[~table.index.isin(other.index)]
        if len(alone):
            first = alone.iloc[0]
            raise InputError(
                f"{len(alone)} outcomes are there of {whose} alone, such as {first['file']} ({first['condition']}); "
                "expected the same utterances of both systems: judge both on one manifest"
            )


def _agree(mine: pd.DataFrame, theirs: pd.DataFrame, name: str) -> None:
    """Make sure that labels, speakers and mixtures are the same."""
    _refuse_differing(mine, theirs, "emotion", name, "labels", "take both from one manifest")
    both = mine["speaker"].notna() & theirs["speaker"].notna()
    _refuse_differing(mine[both], theirs[both], "speaker", name, "speakers", "take both from one manifest")
    for column in MIXTURE:
        if column in mine.columns and column in theirs.columns:
            _refuse_differing(mine, theirs, column, name, "mixtures", "mix with the same noise and seed")


def _refuse_differing(
    mine: pd.DataFrame, theirs: pd.DataFrame, column: str, name: str, expected: str, remedy: str
) -> None:
    left, right = mine[column], theirs[column]
    numbers = [pd.to_numeric(side, errors="coerce") for side in (left, right)]
    # A CSV file keeps a number to its last digit or not, and a name of digits as a number or not.
    same = np.isclose(*numbers, rtol=0, atol=1e-6) | (left.astype("string") == right.astype("string")).fillna(False)
    differ = ~(same | (left.isna() & right.isna()))
    if differ.any():
        first = mine[differ].iloc[0]
        raise InputError(
            f"{int(differ.sum())} outcomes differ in {column}, such as {first['file']} ({first['condition']}): "
            f"{_said(left[differ].iloc[0])} of ours, {_said(right[differ].iloc[0])} of {name}; expected the same "
            f"{expected} for both systems: {remedy}"
        )


def _known_categories(table: pd.DataFrame, classes: Sequence[str], whose: str) -> None:
    for column in ("emotion", "predicted"):
        outside = table[~table[column].isin(list(classes))]
        if len(outside):
            first = outside.iloc[0]
            raise InputError(
                f"{len(outside)} outcomes of {whose} have as {column} what is no category here, such as "
                f"{_said(first[column])} for {first['file']}; expected {', '.join(classes)}: map it, or leave it "
                "out of both"
            )


def _condition(mine: pd.DataFrame, theirs: pd.DataFrame, condition: str) -> Pair:
    inside = mine["condition"] == condition
    mine, theirs = mine[inside], theirs[inside]
    seeds = sorted(mine["seed"].unique())
    parts = [mine["seed"] == seed for seed in seeds]
    one = mine[parts[0]]
    snr_db = pd.to_numeric(one["snr_db"]).mean() if "snr_db" in one else None
    return Pair(
        condition=condition,
        snr_db=None if pd.isna(snr_db) else float(snr_db),
        true=one["emotion"].tolist(),
        speakers=[None if pd.isna(speaker) else str(speaker) for speaker in one["speaker"]],
        seeds=[None if seed == _NO_SEED else int(seed) for seed in seeds],
        ours=[mine[part]["predicted"].tolist() for part in parts],
        theirs=[theirs[part]["predicted"].tolist() for part in parts],
    )


def _said(value: object) -> str:
    return "nothing" if pd.isna(value) else str(value)

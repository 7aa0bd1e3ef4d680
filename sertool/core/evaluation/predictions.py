"""Predictions made elsewhere: another tool's table becomes a table of outcomes, judged as a model's own.

The way to put any tool on the very mixtures a model is judged on:

    sertool mix-noise metadata.csv --noise DIR --snr 0 --snr 10 -o mixtures      # the draws of `evaluate`, as files
    … the tool hears each `file_name` of mixtures/metadata.csv and writes file_name,predicted …
    sertool evaluate mixtures/metadata.csv --predictions theirs.csv

or, with the column `snr_db` (or `condition`) beside them and clean speech heard too,

    sertool evaluate metadata.csv --snr clean --snr 0 --snr 10 --predictions theirs.csv

`evaluate --outcomes` of a run writes such a table as well.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sertool.core.corpus.manifest import Manifest
from sertool.core.errors import InputError
from sertool.core.evaluation.predicted_files import UtteranceNames
from sertool.core.evaluation.predicted_rows import Words, condition_key, read_rows
from sertool.core.evaluation.protocol import is_noisy
from sertool.core.evaluation.results import name_conditions
from sertool.core.evaluation.selection import file_names

NOTES = "notes"
"""Key in `attrs` of the table: sentences about the predictions which a reader of the scores must know."""

_FACTS = ("gender", "emotion")
_NOISY_FACTS = (*_FACTS, "snr_db", "noise_kind", "noise_file", "noise_offset_s", "gain_db")


def read_predictions(
    paths: Sequence[Path | str],
    manifest: Manifest,
    conditions: Sequence[float | None] = (),
    *,
    categories: Sequence[str] | None = None,
    mapping: Mapping[str, str | None] | None = None,
) -> pd.DataFrame:
    """Read tables of predictions, pooled, as outcomes of the utterances of a manifest.

    A table has the columns `file_name` or `file` (see `UtteranceNames` for how names match) and `predicted`; where
    clean speech is mixed at several conditions, `snr_db` (empty: clean) or `condition` ("clean", "0 dB", "0"); if it
    likes, `p_<category>` for each category, and `seed` where it holds several trainings of one system. Of a noisy
    manifest the file alone says the condition. Words for emotions are taken as their category ("angry" is anger). A
    category that `p_` columns leave out has the probability 0: the others sum to 1.

    Args:
        paths: CSV, TSV or Parquet; folds, or several seeds.
        manifest: the utterances judged, each of which must have been predicted under each condition, for each seed.
        conditions: SNRs in dB asked for of a clean manifest, None for clean speech; empty for a noisy one.
        categories: the classes scores are over; None for those the manifest's utterances are labelled with. So a
            system is judged on the corpus's classes, not on its own (ours: F1-macro over classes of which the corpus
            has none is no number).
        mapping: of further words, see `parse_map`.

    Returns:
        One row an utterance, condition and seed: `file`, `condition`, `speaker`, `gender`, `emotion`, `snr_db`, the
        noise of a noisy manifest, `seed` if any, `predicted`, `p_<category>` if any; by seed, then in the manifest's
        order. Rows of other utterances or conditions are left out; `attrs["notes"]` counts them.

    Raises:
        InputError: a column or a prediction is missing or double, a name is ambiguous, a category is none of the
            classes, or probabilities are none.
    """
    if not paths:
        raise InputError("no table of predictions was given; expected one at least: name it with --predictions")
    noisy = is_noisy(manifest)
    facts = _facts(manifest, noisy=noisy)
    names = UtteranceNames(manifest, facts["file"].tolist())
    words = Words(_classes(manifest) if categories is None else categories, mapping or {})
    parts = [read_rows(Path(path), names, () if noisy else conditions, words) for path in paths]
    _check_alike(parts, paths)
    found = pd.concat(parts, ignore_index=True)
    found["key"] = [condition_key(snr_db) for snr_db in found["snr_db"]]
    kept = found[found["row"] >= 0]
    # A noisy manifest tells the SNR of each file, which is then one condition by itself.
    wanted = (math.nan,) if noisy else tuple(math.nan if snr_db is None else snr_db for snr_db in conditions)
    _check_once(kept)
    _check_complete(kept, facts["file"], wanted, noisy=noisy)
    table = _joined(kept, facts, wanted, noisy=noisy)
    if left_out := len(found) - len(kept):
        which = "utterances" if noisy else "utterances or conditions"
        table.attrs[NOTES].append(f"Not scored: {left_out} predictions, of other {which} than those evaluated.")
    return table


def _classes(manifest: Manifest) -> tuple[str, ...]:
    manifest.require("emotion")
    return tuple(sorted(str(name) for name in manifest.table["emotion"].dropna().unique()))


def _facts(manifest: Manifest, *, noisy: bool) -> pd.DataFrame:
    """Return what results say of each utterance of a manifest."""
    table = manifest.table
    facts = pd.DataFrame({"file": file_names(manifest), "speaker": manifest.speakers().astype(object)})
    for name in _NOISY_FACTS if noisy else _FACTS:
        if name in table.columns:
            facts[name] = table[name].astype(object)
    facts = facts.astype(object).where(facts.notna(), None)
    if "noise_file" in facts:
        # Its last two parts say nothing of the machine.
        facts["noise_file"] = [name and "/".join(Path(name).parts[-2:]) for name in facts["noise_file"]]
    return facts


def _check_alike(parts: Sequence[pd.DataFrame], paths: Sequence[Path | str]) -> None:
    """Check that the tables share the columns one may leave out."""
    for column in ("seed", "p_"):
        having = [any(str(name).startswith(column) for name in part) for part in parts]
        if any(having) and not all(having):
            told = "p_<category>" if column == "p_" else column
            raise InputError(
                f"{paths[having.index(False)]}: has no column {told}, but {paths[having.index(True)]} has; expected it "
                "in all tables or in none: add it, or leave it out"
            )


def _keys(kept: pd.DataFrame) -> list[str]:
    return ["row", "key", *(["seed"] if "seed" in kept else [])]


def _check_once(kept: pd.DataFrame) -> None:
    again = kept[kept.duplicated(_keys(kept))]
    if len(again):
        second = again.iloc[0]
        same = kept[(kept[_keys(kept)] == second[_keys(kept)]).all(axis=1)]
        raise InputError(
            f"{second['place']}: predicts the same utterance and condition as {same.iloc[0]['place']}; expected each "
            "once: leave one out, or tell several trainings apart by a column 'seed'"
        )


def _check_complete(kept: pd.DataFrame, files: pd.Series, wanted: Sequence[float], *, noisy: bool) -> None:
    """Check that every utterance was predicted under every condition, by every training."""
    trainings = dict(list(kept.groupby("seed", sort=False))) if "seed" in kept and len(kept) else {None: kept}
    for seed, predicted in trainings.items():
        for snr_db in wanted:
            there = predicted.loc[predicted["key"] == condition_key(snr_db), "row"]
            lacking = np.setdiff1d(np.arange(len(files)), there)
            if len(lacking):
                heard = "" if noisy else f" as heard in condition '{name_conditions(pd.Series([snr_db])).iloc[0]}'"
                by = "" if seed is None else f" by seed {seed}"
                raise InputError(
                    f"{len(lacking)} of {len(files)} utterances were not predicted{heard}{by}, first "
                    f"{files.iloc[lacking[0]]}; expected all: predict these too, or leave them out of the manifest"
                )


def _joined(kept: pd.DataFrame, facts: pd.DataFrame, wanted: Sequence[float], *, noisy: bool) -> pd.DataFrame:
    """Return predictions with what is known of their utterances, by seed, utterance and condition."""
    place = {condition_key(snr_db): number for number, snr_db in enumerate(wanted)}
    order = kept.assign(key=kept["key"].map(place))
    if "seed" in kept:
        order["seed"] = pd.factorize(kept["seed"])[0]
    kept = kept.loc[order.sort_values(["seed", "row", "key"] if "seed" in kept else ["row", "key"]).index]
    of_file = facts.iloc[kept["row"].to_numpy()].reset_index(drop=True)
    told = kept.drop(columns=["row", "place", "key", *(["snr_db"] if noisy else [])]).reset_index(drop=True)
    table = pd.concat([of_file, told], axis=1)
    table["snr_db"] = pd.to_numeric(table["snr_db"])
    if "noise_kind" not in table:
        table["noise_kind"] = None
    table.insert(1, "condition", name_conditions(table["snr_db"], drawn=noisy))
    table.attrs[NOTES] = []
    return table

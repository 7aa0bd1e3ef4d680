"""What is judged: the utterances of a manifest whose labels a model can be scored on."""

import json
from pathlib import Path
from typing import Literal

import pandas as pd

from sertool.core.corpus.categories import select_categories
from sertool.core.corpus.derived_attributes import SOURCE_COLUMN
from sertool.core.corpus.manifest import Manifest, utterance_key
from sertool.core.errors import InputError
from sertool.core.evaluation.protocol import is_noisy
from sertool.core.evaluation.utterance import FURTHER_FACTS, NOISE_FACTS, Utterance
from sertool.core.models.config import SharedConfig


def with_labels(
    manifest: Manifest, config: SharedConfig, *, on_unknown: Literal["exclude", "error"]
) -> tuple[Manifest, dict[str, int]]:
    """Choose the utterances that can be scored.

    One that has no category the model knows is left out, unless it is rated on an attribute the model estimates: then
    its category becomes null.

    Args:
        manifest: the test utterances.
        config: of the model.
        on_unknown: what a category the model does not know means.

    Returns:
        The utterances, and how many of each category could not be scored by category.

    Raises:
        InputError: there are no labels, a category is unknown and `on_unknown` is "error", or nothing is left.
    """
    if not config.categories:
        return manifest, {}
    if not manifest.has("emotion"):
        manifest.require("emotion")
        raise InputError(f"{manifest.name}: the column 'emotion' is empty; expected categories: label the utterances")
    known, excluded = select_categories(manifest, config.categories, on_unknown=on_unknown)
    rated = [name for name in config.attributes if manifest.has(name)]
    if not rated:
        return known, excluded
    # An utterance without a category the model knows still counts for the attributes it is rated on.
    is_known = manifest.table["emotion"].isin(list(config.categories))
    table = manifest.table.assign(emotion=manifest.table["emotion"].where(is_known))
    kept = is_known.to_numpy(bool) | manifest.table[rated].notna().any(axis=1).to_numpy(bool)
    return Manifest(table, manifest.folder, manifest.path).where(kept), excluded


def list_utterances(manifest: Manifest, config: SharedConfig) -> tuple[Utterance, ...]:
    """Return what judging needs of each row of a manifest, clean or noisy.

    Raises:
        InputError: a row has no path.
    """
    noisy = is_noisy(manifest)
    labels = ("emotion",) * bool(config.categories) + tuple(config.attributes)
    labels += (SOURCE_COLUMN,) * bool(config.attributes)
    columns = ["speaker", *labels, *((*NOISE_FACTS, *FURTHER_FACTS) if noisy else ())]
    table = manifest.table[[name for name in columns if name in manifest.table.columns]]
    facts = table.astype(object).where(table.notna(), None).to_dict("records") or [{} for _ in range(len(manifest))]
    paths = manifest.paths()
    names = [name if not Path(name).is_absolute() else utterance_key(name) for name in manifest.table["file_name"]]
    clean: list[Path | None] = [None] * len(paths)
    digests: list[str | None] = [None] * len(paths)
    if noisy:
        has_clean = manifest.table["clean_file"].notna()
        clean = [manifest.path_of(row, "clean_file") if there else None for row, there in enumerate(has_clean)]
        if "clean_digest" in manifest.table:
            digests = [None if pd.isna(digest) else str(digest) for digest in manifest.table["clean_digest"]]
        for column in {"noise_file", "rir_file", "noise_rir_file"} & {*table}:
            for row in facts:
                row[column] = row[column] and _short(row[column])
        for row in facts if "babble_files" in table else ():
            row["babble_files"] = row["babble_files"] and json.dumps(list(map(_short, json.loads(row["babble_files"]))))
    return tuple(
        Utterance(file=name, path=path, facts=row, is_noisy=noisy, clean_path=reference, clean_digest=digest)
        for name, path, row, reference, digest in zip(names, paths, facts, clean, digests, strict=True)
    )


def _short(path: str) -> str:
    """Return the last two parts of a path, which say nothing of the machine."""
    return "/".join(Path(path).parts[-2:])

"""What is judged: the utterances of a manifest whose labels a model can be scored on."""

import json
import math
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

import pandas as pd

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.corpus.categories import select_categories
from sertool.core.corpus.derived_attributes import SOURCE_COLUMN
from sertool.core.corpus.fixed_mixtures import FixedMixtures
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.splits import check_disjoint
from sertool.core.errors import InputError
from sertool.core.evaluation.protocol import Protocol, check_noise, is_noisy
from sertool.core.evaluation.utterance import FURTHER_FACTS, NOISE_FACTS, Utterance
from sertool.core.models.config import SharedConfig
from sertool.core.models.recognizer import Recognizer


@dataclass(frozen=True)
class Chosen:
    """What is judged, and what it was chosen from.

    Attributes:
        name: what messages call its source.
        manifest: the whole table; None for fixed mixtures without labels.
        part: the rows that are judged, or that label the mixtures; None as above.
        utterances: what is judged.
        excluded: utterances whose category the model does not know, by category.
        attributes: attributes the model estimates and somebody rated.
    """

    name: str
    manifest: Manifest | None
    part: Manifest | None
    utterances: tuple[Utterance, ...]
    excluded: dict[str, int]
    attributes: tuple[str, ...]


def choose(manifest: Manifest | None, recognizer: Recognizer, protocol: Protocol) -> Chosen:
    """Choose what a model is judged on.

    Raises:
        InputError: as `check_noise`, `check_disjoint` and `with_labels`.
    """
    config = recognizer.model.config
    mixtures = protocol.mixtures
    if manifest is None:
        if mixtures is None:
            raise ValueError("neither a manifest nor fixed mixtures: give one")
        check_noise(protocol, None)
        return Chosen(mixtures.path.name, None, None, list_mixtures(mixtures, None, config), {}, ())
    check_disjoint(manifest)
    check_noise(protocol, manifest)
    part = manifest.split(protocol.split) if protocol.split is not None else manifest
    part, excluded = with_labels(part, config, on_unknown=protocol.on_unknown)
    attributes = tuple(name for name in config.attributes if part.has(name))
    utterances = list_utterances(part, config) if mixtures is None else list_mixtures(mixtures, part, config)
    return Chosen(manifest.name, manifest, part, utterances, excluded, attributes)


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
    columns = ["speaker", "gender", *labels, *((*NOISE_FACTS, *FURTHER_FACTS, "clean_digest") if noisy else ())]
    table = manifest.table[[name for name in columns if name in manifest.table.columns]]
    if "speaker" in table:
        table = table.assign(speaker=manifest.speakers())
    facts = table.astype(object).where(table.notna(), None).to_dict("records") or [{} for _ in range(len(manifest))]
    paths = manifest.paths()
    names = file_names(manifest)
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


def file_names(manifest: Manifest) -> list[str]:
    """Return what results call each file of a manifest: its name there, or the end of it where that is absolute.

    The end is two parts long, as `utterance_key`, or as many more as tell the files apart.

    Raises:
        InputError: a file is listed twice.
    """
    paths = [PurePath(name) for name in manifest.table["file_name"]]
    for parts in range(2, 2 + max((len(path.parts) for path in paths), default=0)):
        names = ["/".join(path.parts[-parts:]) if path.is_absolute() else path.as_posix() for path in paths]
        if len(set(names)) == len(names):
            return names
    double = next((name for name in names if names.count(name) > 1), "")
    raise InputError(f"{manifest.name}: {double} is listed twice; expected each file once: remove the other row")


def list_mixtures(mixtures: FixedMixtures, manifest: Manifest | None, config: SharedConfig) -> tuple[Utterance, ...]:
    """Return what judging needs of each fixed mixture; labels and speakers are those of the manifest's utterances.

    Args:
        mixtures: what is judged.
        manifest: utterances with the same files as clips; clips it does not have are without label. None for none.
        config: of the model.
    """
    labels = {}
    if manifest is not None:
        listed = list_utterances(manifest, config)
        labels = {utterance.path.resolve(): utterance.facts for utterance in listed}
    unknown = dict.fromkeys(("speaker", "gender", *(("emotion",) * bool(config.categories)), *config.attributes))
    return tuple(
        Utterance(
            file=row.clip,
            path=row.clip_path,
            facts=unknown
            | labels.get(row.clip_path.resolve(), {})
            | {
                **{"snr_db": row.snr_db, "noise_kind": row.noise_kind, "noise_file": _short(row.noise)},
                **{"noise_offset_s": row.offset / SAMPLE_RATE, "gain_db": 20 * math.log10(row.gain), "mixture": number},
            },
            is_noisy=True,
            mixture=row,
        )
        for number, row in enumerate(mixtures.rows)
    )


def _short(path: str) -> str:
    """Return the last two parts of a path, which say nothing of the machine."""
    return "/".join(Path(path).parts[-2:])

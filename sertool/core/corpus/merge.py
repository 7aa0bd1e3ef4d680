"""Merging corpora: several manifests as one, on the categories they share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sertool.core.corpus.categories import CATEGORIES, UNLABELLED, VOTES
from sertool.core.corpus.derived_attributes import attribute_sources
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.splits import check_disjoint
from sertool.core.errors import InputError

MIXED = "clean_file"
"""A manifest with this column holds mixtures; one without it, speech that noise may be mixed into."""


@dataclass(frozen=True)
class Part:
    """What became of one manifest.

    Attributes:
        name: of the file.
        corpora: what its utterances are called after.
        kept: utterances in the merged manifest.
        dropped: utterances left out, by category; `unlabelled` has none.
        lacks: columns of the others that it does not have: its utterances are null there.
    """

    name: str
    corpora: list[str]
    kept: int
    dropped: dict[str, int]
    lacks: list[str]


@dataclass(frozen=True)
class Merged:
    """Manifests as one, and what was lost on the way.

    Attributes:
        manifest: the utterances.
        categories: those in it, in the order of the vocabulary.
        parts: what became of each manifest, in order.
        dropped_votes: columns of votes for categories that are not shared.
        as_text: columns that hold numbers in one manifest and text in another, say, and are text now.
        attribute_sources: how many utterances have attributes, by what these come from: rated, or derived.
    """

    manifest: Manifest
    categories: list[str]
    parts: list[Part]
    dropped_votes: list[str] = field(default_factory=list)
    as_text: list[str] = field(default_factory=list)
    attribute_sources: dict[str, int] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return all but the manifest as one JSON object; keys are the attributes' names."""
        return {
            "utterances": len(self.manifest),
            "categories": self.categories,
            "parts": [vars(part) for part in self.parts],
            "dropped_votes": self.dropped_votes,
            "as_text": self.as_text,
            "attribute_sources": self.attribute_sources,
        }


def merge(paths: Sequence[Path], output: Path, *, categories: Literal["shared", "all"] = "shared") -> Merged:
    """Join manifests into one.

    A speaker is known by corpus and name: a manifest without a column `corpus` gets one with the name of its file (of
    its folder where the file is called metadata). Every column is kept, null where a manifest lacks it.

    "shared" keeps the utterances whose category occurs in every manifest, and of those without a category the ones
    that annotators gave a vote for a shared category; of the votes, the columns of shared categories. "all" keeps
    every utterance and column.

    Args:
        paths: at least two manifests.
        output: where the merged one is going to be written.
        categories: "shared" or "all".

    Returns:
        The merged manifest, and what was dropped.

    Raises:
        InputError: there is only one manifest, one is given twice, a file or a speaker of one corpus is in two of them,
            some have splits or mixtures and others do not, nothing is shared, or a speaker is in two splits.
    """
    manifests = _named([Manifest.read(path) for path in _distinct(paths)])
    _check_alike(manifests)
    _check_speakers(manifests)
    _check_files(manifests)
    shared = _shared(manifests) if categories == "shared" else None
    kept = manifests if shared is None else [_keep(manifest, shared) for manifest in manifests]
    dropped_votes = [] if shared is None else _votes_besides(manifests, shared)
    tables = [
        manifest.rebased(output.parent).table.drop(columns=[name for name in dropped_votes if name in manifest.table])
        for manifest in kept
    ]
    joined, as_text = _joined([pa.Table.from_pandas(table, preserve_index=False) for table in tables])
    merged = Manifest.from_table(joined, output.parent, path=output)
    check_disjoint(merged)
    parts = [
        Part(
            name=manifest.name,
            corpora=sorted(manifest.table["corpus"].unique()),
            kept=len(rest),
            dropped=_dropped(manifest, rest),
            lacks=[name for name in merged.table.columns if name not in rest.table],
        )
        for manifest, rest in zip(manifests, kept, strict=True)
    ]
    found = set(merged.table["emotion"].dropna()) if "emotion" in merged.table else set()
    return Merged(merged, _in_order(found), parts, dropped_votes, as_text, attribute_sources(merged.table))


def _distinct(paths: Sequence[Path]) -> Sequence[Path]:
    if len(paths) < 2:
        raise InputError(f"{len(paths)} manifest was given; expected at least two to merge: name another")
    seen: dict[Path, Path] = {}
    for path in paths:
        if path.resolve() in seen:
            raise InputError(f"{path}: is given twice; expected each manifest once: leave out one")
        seen[path.resolve()] = path
    return paths


def _named(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return the manifests with a corpus in every row: where there is none, the file's name."""
    found: list[Manifest] = []
    after: dict[str, Manifest] = {}
    for manifest in manifests:
        table = manifest.table
        if "corpus" not in table or table["corpus"].isna().any():
            path = (manifest.path or Path("manifest")).resolve()
            # Beside its audio, every manifest is called metadata.
            name = path.parent.name if path.stem == "metadata" and path.parent.name else path.stem
            if name in after:
                raise InputError(
                    f"{after[name].name} and {manifest.name} say of no corpus, and both would be called '{name}'; "
                    "expected two names: rename one file, or add the column 'corpus'"
                )
            after[name] = manifest
            table = table.assign(corpus=table["corpus"].fillna(name) if "corpus" in table else name)
            table["corpus"] = table["corpus"].astype(pd.ArrowDtype(pa.string()))
        found.append(Manifest(table, manifest.folder, manifest.path))
    return found


def _check_alike(manifests: Sequence[Manifest]) -> None:
    """Check that all manifests, or none, have splits, and mixtures."""
    for column, what, remedy in (
        ("split", "splits", "split it with 'sertool corpus', or drop the column everywhere and split the merged one"),
        (MIXED, "mixtures (column clean_file)", "mix noise into all of them or none, before or after merging"),
    ):
        having = [manifest.has(column) for manifest in manifests]
        if any(having) and not all(having):
            with_, without = manifests[having.index(True)].name, manifests[having.index(False)].name
            raise InputError(f"{with_} has {what} and {without} has none; expected all alike: {remedy}")


def _check_speakers(manifests: Sequence[Manifest]) -> None:
    """Check that no speaker of a corpus is in two manifests."""
    seen: dict[tuple[str, str], Manifest] = {}
    for manifest in manifests:
        if "speaker" not in manifest.table:
            continue
        people = manifest.table[["corpus", "speaker"]].dropna().drop_duplicates()
        for person in people.itertuples(index=False, name=None):
            other = seen.setdefault(person, manifest)
            if other is not manifest:
                corpus, speaker = person
                raise InputError(
                    f"speaker '{speaker}' of corpus '{corpus}' is in {other.name} and in {manifest.name}; expected a "
                    "speaker in one of them: merge one of the two, or name their corpora apart (column 'corpus', or "
                    "the file's name)"
                )


def _check_files(manifests: Sequence[Manifest]) -> None:
    """Check that no file is listed in two manifests."""
    names = pd.concat([manifest.rebased("/").table["file_name"] for manifest in manifests], ignore_index=True)
    double = names[names.duplicated()]
    if len(double):
        # Within one manifest a name is never double: `Manifest.read` has seen to it.
        name = double.iloc[0]
        both = [one.name for one in manifests if (one.rebased("/").table["file_name"] == name).any()]
        raise InputError(
            f"/{name}: is listed in {both[0]} and in {both[1]}; expected it in one of them: leave it out of the other"
        )


def _shared(manifests: Sequence[Manifest]) -> list[str]:
    found = []
    for manifest in manifests:
        if not manifest.has("emotion"):
            raise InputError(
                f"{manifest.name}: has no categories; expected some in every manifest, to merge on those they share: "
                "label it, or give --categories all"
            )
        found.append(set(manifest.table["emotion"].dropna()))
    shared = set.intersection(*found)
    if not shared:
        listed = "; ".join(
            f"{manifest.name}: {', '.join(_in_order(words))}" for manifest, words in zip(manifests, found, strict=True)
        )
        raise InputError(f"no category is in every manifest ({listed}); expected one at least: give --categories all")
    return _in_order(shared)


def _keep(manifest: Manifest, shared: Sequence[str]) -> Manifest:
    emotion = manifest.table["emotion"]
    votes = [f"{VOTES}{word}" for word in shared if f"{VOTES}{word}" in manifest.table]
    voted = manifest.table[votes].sum(axis=1) > 0 if votes else False
    return manifest.where(emotion.isin(shared) | (emotion.isna() & voted))


def _votes_besides(manifests: Sequence[Manifest], shared: Sequence[str]) -> list[str]:
    keep = {f"{VOTES}{word}" for word in shared}
    names = {name for manifest in manifests for name in manifest.table.columns if name.startswith(VOTES)}
    return sorted(names - keep)


def _joined(tables: Sequence[pa.Table]) -> tuple[pa.Table, list[str]]:
    """Return tables one below the other, and the columns that had to become text for it."""
    kinds: dict[str, set[str]] = {}
    for table in tables:
        for column in table.schema:
            if not pa.types.is_null(column.type):
                kinds.setdefault(column.name, set()).add(_kind(column.type))
    as_text = sorted(name for name, found in kinds.items() if len(found) > 1)
    alike = [_with_text(table, as_text) for table in tables]
    return pa.concat_tables(alike, promote_options="permissive").combine_chunks(), as_text


def _with_text(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    for name in columns:
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, pc.cast(table[name], pa.string()))
    return table


def _kind(kind: pa.DataType) -> str:
    """Return what a column holds, as far as columns of one kind go below one another without a change."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    return "number" if pa.types.is_integer(kind) or pa.types.is_floating(kind) else str(kind)


def _dropped(manifest: Manifest, rest: Manifest) -> dict[str, int]:
    if "emotion" not in manifest.table:
        return {}
    before, after = (one.table["emotion"].fillna(UNLABELLED).value_counts() for one in (manifest, rest))
    lost = before.sub(after, fill_value=0).astype(int)
    return {word: int(lost[word]) for word in _in_order(set(lost[lost > 0].index))}


def _in_order(words: set[str]) -> list[str]:
    """Return categories in the order of the vocabulary, others by name after them."""
    known = {word: place for place, word in enumerate(CATEGORIES)}
    return sorted(words, key=lambda word: (known.get(word, len(known)), word))

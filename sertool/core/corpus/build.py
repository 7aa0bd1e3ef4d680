"""From a reader's rows to a manifest on disk: categories mapped, speakers split, audio copied where asked."""

import filecmp
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from sertool.core.audio.files import SUFFIXES
from sertool.core.corpus.categories import map_categories, map_votes, unused_words
from sertool.core.corpus.clips import NOTES, SKIPPED
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.splits import Protocol, SplitChoice, check_disjoint, choose, split_column
from sertool.core.errors import AudioError, InputError
from sertool.core.writing import whole_file

FIRST_COLUMNS = ("file_name", "corpus", "speaker", "split", "emotion", "gender", "text")


@dataclass(frozen=True)
class Built:
    """A manifest, and what a user should be told about how it came about.

    Attributes:
        manifest: the utterances, with absolute paths.
        skipped: how many clips were left out, by reason.
        unused: words of the category map that no clip bears.
        unknown_speakers: utterances whose speaker is not known; they are for training only, unless the corpus's own
            split says otherwise.
        published_split: whether the split is the corpus's own, taken from its table.
        notes: what else the reader found.
    """

    manifest: Manifest
    skipped: dict[str, int] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    unknown_speakers: int = 0
    published_split: bool = False
    notes: list[str] = field(default_factory=list)


def build(
    rows: pd.DataFrame,
    output: Path,
    *,
    protocol: Protocol,
    choice: SplitChoice,
    mapping: Mapping[str, str | None] | None = None,
    corpus: str | None = None,
) -> Built:
    """Make the manifest of a corpus.

    Args:
        rows: from a reader.
        output: where the manifest is going to be written.
        protocol: how the corpus is published to be split.
        choice: how the user wants it split; where neither says, a column `split` of the rows is kept.
        mapping: categories, from `parse_map`.
        corpus: what the corpus is called; two corpora may then number their speakers alike.

    Raises:
        InputError: a category is unknown, the split cannot be made, or a split the rows bring shares speakers.
    """
    mapping = mapping or {}
    skipped = rows[SKIPPED].value_counts()
    notes = list(rows.attrs.get(NOTES, []))
    table = rows[rows[SKIPPED].isna()].drop(columns=SKIPPED).reset_index(drop=True)
    unused = unused_words(table["emotion"], mapping) if "emotion" in table else sorted(mapping)
    if "emotion" in table:
        table["emotion"] = map_categories(table["emotion"], mapping)
    table = map_votes(table, mapping)
    if corpus is not None:
        table["corpus"] = corpus
    published = "split" in table and not choice.asked
    table = _split(table, protocol, choice)
    table = table.rename(columns={"path": "file_name"})
    first = [name for name in FIRST_COLUMNS if name in table]
    table = table[[*first, *(name for name in table.columns if name not in first)]]
    manifest = Manifest.from_table(table, output.parent, path=output)
    check_disjoint(manifest, remedy=protocol.remedy if published else "")
    unknown = int(manifest.table["speaker"].isna().sum()) if "speaker" in table else len(table)
    counts = {str(reason): int(count) for reason, count in skipped.items()}
    return Built(manifest, counts, unused, unknown, published, notes)


def plan_copies(manifest: Manifest, source: Path, target: Path) -> tuple[Manifest, list[tuple[Path, Path]]]:
    """Return the manifest of a corpus copied into a folder, and what to copy where; nothing is copied yet.

    Each file keeps the folders it lies in from the corpus's own folder on, so at least its parent's name: what an
    utterance is known by (`utterance_key`) does not change.

    Args:
        manifest: with absolute paths.
        source: the corpus's folder.
        target: the folder the manifest is going to lie in.

    Raises:
        InputError: two files would have the same name.
    """
    source, target = source.resolve(), target.resolve()
    paths = manifest.paths()
    places = [_place(path, source) for path in paths]
    double = pd.Series([str(place) for place in places]).duplicated()
    if double.any():
        place = places[int(double.to_numpy().argmax())]
        raise InputError(
            f"two files would be copied to {target / place}; expected different names: rename one, or drop --copy"
        )
    table = manifest.table.assign(file_name=[str(place) for place in places])
    copies = [(path, target / place) for path, place in zip(paths, places, strict=True)]
    return Manifest.from_table(table, target, path=manifest.path), copies


def copy_file(source: Path, target: Path) -> None:
    """Copy a file whole or not at all; one that is there already is kept when it is the same.

    Raises:
        AudioError: it is not called like audio: a table may name any file of this machine, and copies are passed on.
        InputError: another file is there.
        OutputError: it cannot be written.
    """
    if source.suffix.lower() not in SUFFIXES:
        raise AudioError(
            f"{source}: is not called like audio; expected {', '.join(sorted(SUFFIXES))}: only audio is copied, since "
            "copies are passed on: convert it, or drop --copy"
        )
    if target.exists():
        if target.samefile(source) or filecmp.cmp(source, target, shallow=False):
            return
        raise InputError(f"{target}: is there and differs from {source}; expected no file or its copy: write elsewhere")
    with whole_file(target, durable=False) as partial:
        shutil.copyfile(source, partial)


def is_there(manifest: Manifest, output: Path) -> bool:
    """Return whether the same manifest has been written to `output` already; False where there is no file.

    Raises:
        InputError: something else is there; the message names what differs.
    """
    if not output.exists():
        return False
    beside = output.with_name(f".{output.stem}.new-{os.getpid()}{output.suffix}")
    try:
        manifest.write(beside)
        if filecmp.cmp(output, beside, shallow=False):
            return True
        difference = _difference(output, Manifest.read(beside).table)
    finally:
        beside.unlink(missing_ok=True)
    if difference is None:
        return True
    raise InputError(
        f"{output}: another file is there ({difference}); expected none, or the same manifest: "
        "write elsewhere, or give --overwrite"
    )


def _split(table: pd.DataFrame, protocol: Protocol, choice: SplitChoice) -> pd.DataFrame:
    if "speaker" not in table or table["speaker"].isna().all():
        if choice.asked:
            raise InputError(
                "no speaker is known, so none can be kept apart; expected a column 'speaker': give --speaker-pattern, "
                "or ask for no split"
            )
        return table
    if "split" in table and not choice.asked:
        return table
    known = table.dropna(subset=["speaker"]).drop_duplicates("speaker")
    gender = dict(zip(known["speaker"], known["gender"], strict=True)) if "gender" in table else {}
    gender = {speaker: None if pd.isna(sex) else sex for speaker, sex in gender.items()}
    split_of = choose(known["speaker"], gender, choice, protocol)
    return table if split_of is None else table.assign(split=split_column(table["speaker"], split_of))


def _place(path: Path, source: Path) -> Path:
    """Return where a copy lies beneath the manifest's folder."""
    if path.is_relative_to(source) and len(path.relative_to(source).parts) > 1:
        return path.relative_to(source)
    return Path(path.parent.name, path.name)


def _difference(path: Path, new: pd.DataFrame) -> str | None:
    """Return in a few words how the manifest in a file differs from another, None when it does not."""
    try:
        old = Manifest.read(path).table
    except InputError as error:
        return f"it cannot be read as a manifest: {error}"
    for found, other, word in ((old, new, "it has the column"), (new, old, "it lacks the column")):
        extra = [name for name in found.columns if name not in other.columns]
        if extra:
            return f"{word} '{extra[0]}'"
    if len(old) != len(new):
        return f"it holds {len(old)} utterances instead of {len(new)}"
    return _first_difference(old, new, ["file_name", *(name for name in new.columns if name != "file_name")])


def _first_difference(old: pd.DataFrame, new: pd.DataFrame, columns: Iterable[str]) -> str | None:
    for name in columns:
        differs = old[name].astype("string").fillna("") != new[name].astype("string").fillna("")
        if differs.any():
            row = int(differs.to_numpy().argmax())
            count = int(differs.sum())
            return (
                f"{count} rows differ in '{name}', row {row + 1} has '{old[name][row]}' instead of '{new[name][row]}'"
            )
    return None

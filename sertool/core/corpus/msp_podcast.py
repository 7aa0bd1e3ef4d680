"""MSP-Podcast: natural speech from podcasts, rated by several listeners each (Lotfian & Busso, TAC 2019)."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from sertool.core.audio.files import SUFFIXES
from sertool.core.corpus.categories import canonical
from sertool.core.corpus.clips import NOTES, SKIPPED, check_any, check_folder, check_once, find_clips
from sertool.core.corpus.splits import DEV, TEST, TRAIN, Protocol, kept_in_one_split
from sertool.core.corpus.tables import columns_found, read_table
from sertool.core.errors import InputError

PROTOCOL = Protocol(
    remedy="give --crossing leave-out to keep each speaker in one of the published splits, or --folds 5 to deal the "
    "speakers anew"
)

EMOTIONS = {
    "A": "anger",
    "S": "sadness",
    "H": "happiness",
    "U": "surprise",
    "F": "fear",
    "D": "disgust",
    "C": "contempt",
    "N": "neutral",
}
WITHOUT_CATEGORY = {"O": "other", "X": "no agreement"}
"""Codes of `EmoClass` that stand for no category."""

SPLITS = {
    "train": TRAIN,
    "development": DEV,
    "validation": DEV,
    "test": TEST,
    "test1": TEST,
    "test2": "test2",
    "test3": "test3",
}
GENDERS = {"female": "female", "male": "male"}
ATTRIBUTES = {"arousal": "EmoAct", "dominance": "EmoDom", "valence": "EmoVal"}

CONSENSUS = ("labels_consensus.csv", "labels_concensus.csv")
"""The table of one row a clip; up to release 1.9 its name was misspelt."""

DETAILED = "labels_detailed.csv"
PRIMARY = ("EmoClass_Major", "EmoClass_Primary", "EmoClass")
"""What the column of a listener's primary emotion is called, where the detailed table has columns for it."""

OTHER = "votes_other"


def read(folder: Path, *, crossing: str = "error") -> pd.DataFrame:
    """Read the clips of MSP-Podcast from its consensus table, with the listeners' votes from the detailed one if there.

    The published split is kept: Train, Development or Validation, Test or Test1, Test2 and Test3 become train, dev,
    test, test2, test3. A speaker "Unknown" is null. A clip of class O (other) or X (no agreement) keeps its attributes
    and votes, but has no emotion. Columns are found by name, so that every release's order of them is understood.

    Args:
        folder: holds the tables, or a folder `Labels` that does, and at any depth the clips; or is `Audios` beside it.
        crossing: what to do with speakers in more than one published split. "error" leaves them for `build` to refuse;
            "leave-out" keeps each in one split (test before test2, test3, dev and train) and leaves their other clips
            out.

    Returns:
        One row a clip: path, speaker, split, emotion, emo_class (the letter in the table), arousal, dominance, valence
        (1–7), gender; `votes_…` of primary emotions, `votes_other` among them; skipped.

    Raises:
        InputError: a table is missing where it must be there, lacks a column, or holds a code this reader does not
            know; no clip is listed, or one is there twice.
    """
    consensus_path, detailed_path = _tables(folder)
    listed, notes = _consensus(consensus_path)
    if detailed_path is not None:
        votes = read_votes(detailed_path)
        notes += votes.attrs[NOTES]
        without = ~listed["stem"].isin(votes.index)
        if without.any():
            notes.append(f"clips without votes in {detailed_path.name}: {int(without.sum())}")
        listed = listed.join(votes, on="stem")
    clips = find_clips(_audio_folder(folder))
    check_once(clips, folder)
    rows = clips.merge(listed, on="stem", how="outer", indicator="found", sort=True)
    rows[SKIPPED] = (
        rows["found"]
        .astype(str)
        .map({"left_only": f"not listed in {consensus_path.name}", "right_only": "listed, without audio"})
    )
    if crossing == "leave-out":
        here = rows[rows[SKIPPED].isna()]
        kept = kept_in_one_split(here["speaker"], here["split"])
        rows.loc[kept.index[~kept], SKIPPED] = "by speakers of another split"
    check_any(rows, folder, names="MSP-PODCAST_0001_0008.wav")
    rows = rows.drop(columns=["stem", "found"])
    rows.attrs[NOTES] = notes
    return rows


def read_votes(path: Path) -> pd.DataFrame:
    """Return how many listeners chose each primary emotion for each clip.

    Both layouts are read: columns for a listener's answers, and `EmoDetail`, one text
    `WORKER…; primary; secondary,secondary; A:x; V:y; D:z;`. "Other-" and what a listener wrote after it is other; so is
    a word that listeners are not offered, of which a note is made (`attrs`).

    Returns:
        Columns `votes_<category>`, float64, indexed by clip (without suffix).

    Raises:
        InputError: the table has neither layout.
    """
    table = read_table(path)
    names = _named(table.column_names, path, "FileName")
    primary = next((names[name.lower()] for name in PRIMARY if name.lower() in names), None)
    if primary is not None:
        words = _strings(table, primary)
    elif "emodetail" in names:
        # Free text of "Other-…" may hold a semicolon; what comes after the word itself is not looked at.
        words = _strings(table, names["emodetail"]).str.extract(r"^[^;]*;\s*([^;]*)", expand=False)
    else:
        found = columns_found(table.column_names)
        raise InputError(
            f"{path}: has no column of primary emotions, but {found}; expected '{PRIMARY[0]}' or 'EmoDetail': "
            "get the file anew"
        )
    rows = pd.DataFrame({"stem": _stems(_strings(table, names["filename"])), "word": words.str.strip().str.lower()})
    answered = rows[rows["word"].fillna("") != ""]
    meaning = {word: _vote(str(word)) for word in answered["word"].unique()}
    votes = pd.crosstab(answered["stem"], answered["word"].map(lambda word: meaning[word] or OTHER)).astype("float64")
    columns = [*(f"votes_{word}" for word in sorted(EMOTIONS.values())), OTHER]
    votes = votes.reindex(columns=columns, fill_value=0.0).rename_axis(columns=None)
    votes.attrs[NOTES] = _notes_on_votes(len(rows) - len(answered), answered["word"], meaning)
    return votes


def _notes_on_votes(unanswered: int, words: pd.Series, meaning: Mapping[str, str | None]) -> list[str]:
    notes = [f"rows of {DETAILED} without a primary emotion: {unanswered}"] if unanswered else []
    unknown = words[words.map(meaning).isna()].value_counts()
    if len(unknown):
        named = ", ".join(f"'{word}' {count}" for word, count in list(unknown.items())[:5])
        notes.append(f"votes for emotions that listeners are not offered, counted as other: {named}")
    return notes


def _consensus(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of the consensus table in our words, and what is to be said of them."""
    table = read_table(path)
    names = _named(table.column_names, path, "FileName", "EmoClass", *ATTRIBUTES.values(), "SpkrID", "Split_Set")
    letters = _strings(table, names["emoclass"]).str.strip().str.upper()
    speakers = _strings(table, names["spkrid"]).str.strip()
    sets = _strings(table, names["split_set"]).str.strip().str.lower()
    for column, given, known in (
        ("EmoClass", letters, {*EMOTIONS, *WITHOUT_CATEGORY}),
        ("Split_Set", sets, set(SPLITS)),
    ):
        strange = given.notna() & ~given.isin(list(known))
        if strange.any():
            row = int(strange.to_numpy().argmax())
            raise InputError(
                f"{path}: row {row + 1}: {column} is '{_strings(table, names[column.lower()])[row]}'; expected one of "
                f"{', '.join(sorted(known))}: correct it"
            )
    rows = pd.DataFrame(
        {
            "stem": _stems(_strings(table, names["filename"])),
            "speaker": speakers.mask(speakers.str.lower().isin(["unknown", ""])),
            "split": sets.map(SPLITS),
            "emotion": letters.map(EMOTIONS),
            "emo_class": letters,
            **{ours: _strings(table, names[theirs.lower()]) for ours, theirs in ATTRIBUTES.items()},
        }
    )
    if "gender" in names:
        rows["gender"] = _strings(table, names["gender"]).str.strip().str.lower().map(GENDERS)
    if rows["stem"].duplicated().any():
        double = rows["stem"][rows["stem"].duplicated()].iloc[0]
        raise InputError(f"{path}: lists '{double}' twice; expected one row a clip: remove one")
    return rows, _notes(letters, sets)


def _notes(letters: pd.Series, sets: pd.Series) -> list[str]:
    counts = {letter: int((letters == letter).sum()) for letter in WITHOUT_CATEGORY}
    named = [f"{letter} ({WITHOUT_CATEGORY[letter]}) {count}" for letter, count in counts.items() if count]
    notes = [f"without emotion, attributes and votes kept: class {', '.join(named)}"] if named else []
    unlabelled = sets[letters.isna()].map(SPLITS).fillna("no split").value_counts().sort_index()
    if len(unlabelled):
        notes.append(f"published without labels: {', '.join(f'{split} {n}' for split, n in unlabelled.items())}")
    return notes


def _tables(folder: Path) -> tuple[Path, Path | None]:
    """Return the consensus table, and the detailed one where it is there.

    Raises:
        InputError: there is no folder, no consensus table, or more than one.
    """
    check_folder(folder)
    folder = folder.resolve()
    beside = folder.parent if re.fullmatch(r"audios?", folder.name, re.IGNORECASE) else folder
    places = [place for place in beside.iterdir() if place.is_dir() and place.name.lower() in ("labels", "label")]
    files = {path.name.lower(): path for place in (*sorted(places), beside) for path in place.iterdir()}
    found = [files[name] for name in CONSENSUS if name in files]
    if not found:
        raise InputError(
            f"{folder}: has no {CONSENSUS[0]} (up to release 1.9: {CONSENSUS[1]}); expected it there or in Labels: "
            "check which corpus this is"
        )
    if len(found) > 1:
        raise InputError(f"{found[0]} and {found[1].name} are both there; expected one table of labels: remove one")
    return found[0], files.get(DETAILED)


def _audio_folder(folder: Path) -> Path:
    places = [place for place in sorted(folder.iterdir()) if place.name.lower() in ("audios", "audio")]
    return places[0] if len(places) == 1 and places[0].is_dir() else folder


def _named(found: Sequence[str], path: Path, *wanted: str) -> dict[str, str]:
    """Return a table's columns by their names in lower case.

    Raises:
        InputError: one that is wanted is missing.
    """
    names = {name.strip().lower(): name for name in found}
    missing = [name for name in wanted if name.lower() not in names]
    if missing:
        raise InputError(
            f"{path}: has no column '{missing[0]}', but {columns_found(found)}; expected MSP-Podcast's table: "
            "get the file anew"
        )
    return names


def _strings(table: pa.Table, name: str) -> pd.Series:
    return table[name].to_pandas(types_mapper={pa.string(): pd.StringDtype("pyarrow")}.get)


def _stems(names: pd.Series) -> pd.Series:
    """Return clips' names without the audio suffix that some releases write and others do not."""
    suffix = "|".join(re.escape(suffix) for suffix in sorted(SUFFIXES))
    return names.str.strip().str.replace(rf"(?:{suffix})$", "", case=False, regex=True)


def _vote(word: str) -> str | None:
    if word.startswith("other"):
        return OTHER
    category = canonical(word)
    return f"votes_{category}" if category in EMOTIONS.values() else None

"""IEMOCAP: ten actors in five sessions of two, scripted and improvised (Busso et al., LRE 2008)."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from sertool.core.audio.files import find_audio
from sertool.core.corpus.clips import NOTES, SKIPPED, check_any, check_folder, existing_audio
from sertool.core.corpus.splits import Protocol
from sertool.core.errors import InputError

CODES = {
    "ang": "anger",
    "hap": "happiness",
    "exc": "excitement",
    "sad": "sadness",
    "neu": "neutral",
    "fru": "frustration",
    "fea": "fear",
    "sur": "surprise",
    "dis": "disgust",
}
WITHOUT_CATEGORY = {"oth": "other", "xxx": "no agreement"}
"""Codes that stand for no category."""

FOUR_CLASSES = {"ang": "anger", "hap": "happiness", "exc": "happiness", "sad": "sadness", "neu": "neutral"}
"""The four classes most results are reported on: excited utterances count as happy ones."""

WORDS = {
    "anger": "anger",
    "happiness": "happiness",
    "excited": "excitement",
    "sadness": "sadness",
    "neutral": "neutral",
    "neutral state": "neutral",
    "frustration": "frustration",
    "fear": "fear",
    "surprise": "surprise",
    "disgust": "disgust",
    "other": "other",
}
"""What observers tick."""

NAME = (
    r"(?P<session>Ses0[1-5])(?P<recorded>[FM])_(?P<kind>impro|script)(?P<rest>\w*)_(?P<letter>[FM])(?P<number>[X\d]+)"
)
NUMBER = r"\s*(-?\d+(?:\.\d+)?)\s*"
SUMMARY = re.compile(
    rf"^\[\s*[\d.]+\s*-\s*[\d.]+\s*\]\s+(?P<name>\S+)\s+(?P<code>[a-z]{{3}})\s+\[{NUMBER},{NUMBER},{NUMBER}\]\s*$"
)
OBSERVER = re.compile(r"^C-E\d+\s*:\s*(?P<words>[^()]*)")
"""An observer's categories; `C-F1:` and `C-M1:` are the actors' own, `A-…:` attributes."""

UNKNOWN = "unknown_words"
"""Key of the words an observer is said to have ticked that are none of these."""

SPOKEN = re.compile(r"^(?P<name>Ses0\w+)\s+\[[\d.\s-]+\]\s*:\s*(?P<text>.*?)\s*$")
SESSIONS = ("Ses01", "Ses02", "Ses03", "Ses04", "Ses05")


def fold_of(speaker: str) -> int:
    """Return the fold of a speaker such as "Ses01F": both speakers of a session share one."""
    return SESSIONS.index(speaker[:5])


PROTOCOL = Protocol(folds=5, fold_of=fold_of)


def read(folder: Path, *, classes: str = "4") -> pd.DataFrame:
    """Read the utterances of IEMOCAP from its evaluation files.

    The attributes are means over raters from 1 to 5, rescaled linearly to 1–7 (1.5 x − 0.5), and beside them as they
    were; what lies outside 1–5 is held to 1–7 and counted in a note. An observer who ticks several words gives each an
    equal part of one vote; a word observers are not offered is other, and a note is made of it; the actors' ratings of
    themselves are no votes. All votes are kept, whichever classes are.

    A fold is a session: by default both speakers of session 1 are test, both of session 2 dev, the others train.

    Args:
        folder: holds `Session1` … `Session5`, at any depth.
        classes: "4": anger, happiness (excitement in it), sadness, neutral; other utterances are left out. "all":
            every category of the corpus; an utterance of class oth (other) or xxx (no agreement) has no emotion.

    Returns:
        One row an utterance: path, speaker ("Ses01F": session and the letter before the utterance's number), emotion,
        gender, text where there is a transcript, emotion_code, session, dialogue, kind ("impro" or "script"), arousal,
        dominance, valence (1–7) and `arousal_1_to_5` …, `votes_…`, skipped.

    Raises:
        InputError: there are no evaluation files, a line of one cannot be read, an utterance is listed twice, or none
            can be used.
    """
    check_folder(folder)
    folder = folder.resolve()
    sessions = sorted(path.parent.parent for path in folder.rglob("EmoEvaluation") if path.is_dir())
    utterances = [row for session in sessions for row in _session(session)]
    unknown = Counter(word for row in utterances for word in row.pop(UNKNOWN))
    rows = pd.DataFrame(utterances)
    if rows.empty:
        raise InputError(
            f"{folder}: has no evaluations; expected Session1/dialog/EmoEvaluation/Ses01F_impro01.txt and so on: check "
            "the folder"
        )
    if rows["name"].duplicated().any():
        double = rows["name"][rows["name"].duplicated()].iloc[0]
        raise InputError(f"{folder}: '{double}' is rated twice; expected each utterance once: remove the second copy")
    rows = pd.concat([rows, _unrated(sessions, set(rows["name"]))], ignore_index=True)
    texts = _texts(sessions)
    if texts:
        rows["text"] = rows["name"].map(texts)
    notes = _rescale(rows)
    if unknown:
        named = ", ".join(f"'{word}' {count}" for word, count in unknown.most_common(5))
        notes.append(f"votes for emotions that observers are not offered, counted as other: {named}")
    _choose(rows, classes, notes)
    check_any(rows, folder, names="Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav")
    rows = rows.drop(columns="name")
    rows.attrs[NOTES] = notes
    return rows


def _session(folder: Path) -> list[dict[str, Any]]:
    """Return a row for each utterance rated in a session. Subfolders, `.anvil` and hidden files are passed over."""
    files = sorted(
        path for path in (folder / "dialog" / "EmoEvaluation").glob("*.txt") if path.name[0] != "." and path.is_file()
    )
    rows = [row for path in files for row in _evaluation(path)]
    wav = folder / "sentences" / "wav"
    located = existing_audio([wav / row["dialogue"] / f"{row['name']}.wav" for row in rows])
    for row, path in zip(rows, located, strict=True):
        row["path"] = None if path is None else str(path)
        row[SKIPPED] = "rated, without audio" if path is None else None
    return rows


def _evaluation(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_text(encoding="latin-1").splitlines(), start=1):
        line = line.strip()
        if line.startswith("["):
            rows.append(_summary(line, f"{path}: line {number}"))
        elif rows and (observer := OBSERVER.match(line)):
            words = [word.strip().lower() for word in observer["words"].split(";") if word.strip()]
            rows[-1][UNKNOWN] += [word for word in words if word not in WORDS]
            for word in words:
                column = f"votes_{WORDS.get(word, 'other')}"
                rows[-1][column] = rows[-1].get(column, 0.0) + 1.0 / len(words)
    return rows


def _summary(line: str, where: str) -> dict[str, Any]:
    match = SUMMARY.match(line)
    name = re.fullmatch(NAME, match["name"]) if match else None
    if match is None or name is None:
        raise InputError(
            f"{where}: is '{line[:80]}'; expected '[start - end] Ses01F_impro01_F000 neu [valence, activation, "
            "dominance]': get the file anew"
        )
    if match["code"] not in CODES and match["code"] not in WITHOUT_CATEGORY:
        known = ", ".join([*CODES, *WITHOUT_CATEGORY])
        raise InputError(f"{where}: the emotion is '{match['code']}'; expected one of {known}: get the file anew")
    valence, activation, dominance = (float(value) for value in match.groups()[2:])
    return {
        UNKNOWN: [],
        "name": match["name"],
        "speaker": name["session"] + name["letter"],
        "gender": {"F": "female", "M": "male"}[name["letter"]],
        "emotion_code": match["code"],
        "session": name["session"],
        "dialogue": match["name"].rpartition("_")[0],
        "kind": name["kind"],
        "arousal_1_to_5": activation,
        "dominance_1_to_5": dominance,
        "valence_1_to_5": valence,
    }


def _unrated(sessions: Iterable[Path], rated: set[str]) -> pd.DataFrame:
    """Return a row, to be left out and counted, for each sentence nobody rated."""
    folders = [session / "sentences" / "wav" for session in sessions]
    paths = [path for folder in folders if folder.is_dir() for path in find_audio(folder) if path.stem not in rated]
    return pd.DataFrame({"name": [path.stem for path in paths], "path": [str(path) for path in paths]}).assign(
        **{SKIPPED: "not rated in EmoEvaluation"}
    )


def _texts(sessions: Iterable[Path]) -> dict[str, str]:
    """Return what was said, by utterance, where the transcripts are there."""
    files = [path for session in sessions for path in sorted((session / "dialog" / "transcriptions").glob("*.txt"))]
    lines = (
        SPOKEN.match(line)
        for path in files
        if path.name[0] != "." and path.is_file()
        for line in path.read_text(encoding="latin-1").splitlines()
    )
    return {line["name"]: line["text"] for line in lines if line and line["text"]}


def _rescale(rows: pd.DataFrame) -> list[str]:
    """Add the attributes on the scale 1–7, and return what is to be said of them."""
    notes = []
    for name in ("arousal", "dominance", "valence"):
        ratings = rows[f"{name}_1_to_5"]
        outside = int(((ratings < 1) | (ratings > 5)).sum())
        if outside:
            notes.append(f"ratings of {name} outside 1 to 5, held to 1 or 7 when rescaled: {outside}")
        rows[name] = (1.5 * ratings - 0.5).clip(1.0, 7.0)
    return notes


def _choose(rows: pd.DataFrame, classes: str, notes: list[str]) -> None:
    """Add the emotion of each utterance and the votes of each category, as four classes or all of them."""
    votes = [f"votes_{word}" for word in dict.fromkeys(WORDS.values())]
    for column in votes:
        rows[column] = rows[column].fillna(0.0) if column in rows else 0.0
    unvoted = rows[votes].sum(axis=1) == 0
    rows.loc[unvoted, votes] = None
    if classes == "all":
        rows["emotion"] = rows["emotion_code"].map(CODES)
        counts = rows.loc[rows[SKIPPED].isna(), "emotion_code"].value_counts()
        named = [f"{code} ({word}) {counts[code]}" for code, word in WITHOUT_CATEGORY.items() if code in counts]
        if named:
            notes.append(f"without emotion, attributes and votes kept: class {', '.join(named)}")
        return
    rows["emotion"] = rows["emotion_code"].map(FOUR_CLASSES)
    rows["votes_happiness"] += rows.pop("votes_excitement")
    left_out = rows[SKIPPED].isna() & rows["emotion"].isna()
    meaning = CODES | WITHOUT_CATEGORY
    rows.loc[left_out, SKIPPED] = "class " + rows["emotion_code"] + " (" + rows["emotion_code"].map(meaning) + ")"

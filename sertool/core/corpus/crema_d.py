"""CREMA-D: 91 actors, 12 sentences, six emotions, and what others took them for (Cao et al., TAC 2014)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from sertool.core.audio.files import read_audio_native
from sertool.core.corpus.check import SILENT_PEAK_DBFS
from sertool.core.corpus.clips import NOTES, SKIPPED, check_any, check_once, find_clips, first_file
from sertool.core.corpus.splits import Protocol
from sertool.core.corpus.tables import columns_found, read_table
from sertool.core.errors import AudioError, InputError

EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified"}
SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
NAME = (
    r"^(?P<speaker>1(?:0[0-8]\d|09[01]))_(?P<sentence>[A-Z]{3})"
    r"_(?P<code>ANG|DIS|FEA|HAP|NEU|SAD)_(?P<level>LO|MD|HI|XX?)$"
)

CHANNELS = ("voice", "face", "multimodal")
"""What raters were given: the first digit of a row's number in `tabulatedVotes.csv` is 1, 2 or 3."""

LETTERS = {word[0].upper(): word for word in EMOTIONS.values()}
"""How the tables write the categories: A, D, F, H, N, S."""

VOTES = [f"votes_{word}" for word in EMOTIONS.values()]
SUMMARY_COLUMNS = {"voice": "VoiceVote", "face": "FaceVote", "multimodal": "MultiModalVote"}

SILENT_CLIP = "1076_MTI_SAD_XX"
"""Its published WAV holds no sound."""

TEST_SPEAKERS = ((1037, 1054), (1001, 1018), (1073, 1091), (1055, 1072), (1019, 1036))
"""First and last actor of the five speaker-disjoint test folds in use."""


def fold_of(speaker: str) -> int:
    """Return the fold in which an actor is tested on."""
    return next(fold for fold, (first, last) in enumerate(TEST_SPEAKERS) if first <= int(speaker) <= last)


PROTOCOL = Protocol(folds=5, fold_of=fold_of)


def read(folder: Path, *, labels: str = "intended", channel: str | None = None) -> pd.DataFrame:
    """Read the clips of CREMA-D from their names, with the raters' votes where `tabulatedVotes.csv` is there.

    Intended labels say what the actor was asked to show, perceived ones what most raters of one channel took it for.
    The tables lie in the folder, beside `AudioWAV`, or in `processedResults`. One clip's published audio is named
    1040_ITH_SAD_X, and 1040_ITH_SAD_XX in the tables; it is found all the same. Clip 1076_MTI_SAD_XX is left out
    where it is silent, as published.

    Args:
        folder: holds `AudioWAV`, or the clips themselves at any depth.
        labels: "intended" or "perceived"; perceived, a tie is no emotion, and a clip without votes is left out.
        channel: whose votes: "voice", "face" or "multimodal". None: voice, where there are votes.

    Returns:
        One row a clip: path, speaker ("1001" … "1091"), emotion, label_source ("intended", "perceived: voice"), text,
        sentence, intended_emotion, intended_level; with votes, perceived_emotion (null: a tie), vote_channel, agreement
        (share of raters who gave the most frequent answer) and the six `votes_…`; with `VideoDemographics.csv`, gender,
        age, race and ethnicity; skipped.

    Raises:
        InputError: there are no such clips, one lies there twice, a table cannot be read, or votes are asked for and
            there is no table of them.
    """
    clips = find_clips(folder / "AudioWAV" if (folder / "AudioWAV").is_dir() else folder)
    rows = _named(clips)
    check_any(rows, folder, names="1001_IEO_ANG_HI.wav")
    check_once(clips[rows[SKIPPED].isna()], folder)
    notes: list[str] = []
    tables = _folders_of_tables(folder.resolve())
    votes_path = first_file(tables, "tabulatedVotes.csv")
    if votes_path is None and (labels == "perceived" or channel):
        raise InputError(
            f"{folder}: has no tabulatedVotes.csv, which holds the votes; expected it there or beside AudioWAV: "
            "get it from the corpus, or ask for intended labels without a channel"
        )
    channel = channel or CHANNELS[0]
    source = labels if labels == "intended" else f"{labels}: {channel}"
    rows["label_source"] = source
    notes.append(f"emotions: {source}; votes: {'none' if votes_path is None else channel}")
    if votes_path is not None:
        rows = _with_votes(rows, clips["stem"], votes_path, channel, tables, notes)
    rows["emotion"] = rows["intended_emotion"] if labels == "intended" else rows["perceived_emotion"]
    if labels == "perceived":
        rows.loc[rows[SKIPPED].isna() & rows[VOTES].isna().all(axis=1), SKIPPED] = "without votes in tabulatedVotes.csv"
        check_any(rows, folder, names="those in tabulatedVotes.csv")
        ties = int((rows[SKIPPED].isna() & rows["emotion"].isna()).sum())
        notes.append(f"ties between categories, without emotion, votes kept: {ties}")
    rows = _with_demographics(rows, first_file(tables, "VideoDemographics.csv"))
    rows.attrs[NOTES] = notes
    return rows


def read_votes(path: Path, channel: str) -> pd.DataFrame:
    """Return how often each category was chosen for each clip in one channel.

    Args:
        path: `tabulatedVotes.csv`; the first digit of a row's number says what its raters were given.
        channel: "voice", "face" or "multimodal".

    Returns:
        Columns `votes_anger` … `votes_sadness`, float64, indexed by clip.

    Raises:
        InputError: the table lacks a column, a row's number is of no channel, a count is no number, or a clip occurs
            twice in the channel.
    """
    table = read_table(path)
    missing = [name for name in ("fileName", *LETTERS) if name not in table.column_names]
    if missing:
        found = columns_found(table.column_names)
        raise InputError(
            f"{path}: has no column '{missing[0]}', but {found}; expected CREMA-D's tabulatedVotes.csv: get it anew"
        )
    rows = table.to_pandas(types_mapper={pa.string(): pd.StringDtype("pyarrow")}.get)
    numbers = rows.iloc[:, 0]
    strange = ~numbers.fillna("").str.fullmatch(r"[123]\d{5}")
    if strange.any():
        row = int(strange.to_numpy().argmax())
        raise InputError(
            f"{path}: row {row + 1} is numbered '{numbers[row]}'; expected six digits, the first of them 1 (voice), "
            "2 (face) or 3 (multimodal): get the file anew"
        )
    rows = rows[numbers.str[0] == str(CHANNELS.index(channel) + 1)].set_index("fileName")
    if rows.index.has_duplicates:
        double = rows.index[rows.index.duplicated()][0]
        raise InputError(f"{path}: counts the {channel} votes of '{double}' twice; expected one row a clip: remove one")
    try:
        votes = rows[list(LETTERS)].astype("float64")
    except ValueError as error:
        raise InputError(f"{path}: a count of votes is no number ({error}); expected numbers: get it anew") from error
    return votes.rename(columns={letter: f"votes_{word}" for letter, word in LETTERS.items()})


def most_voted(votes: pd.DataFrame) -> pd.Series:
    """Return the category most raters chose for each clip, (n,); null for a tie, and for a clip without votes."""
    most = votes.max(axis=1)
    alone = votes.eq(most, axis=0).sum(axis=1) == 1
    words = votes.fillna(-1.0).idxmax(axis=1).str.removeprefix("votes_")
    return words.where(alone & (most > 0)).astype(object).where(lambda words: words.notna(), None)


def agreement_with_summary(votes: pd.DataFrame, path: Path, channel: str) -> tuple[int, int]:
    """Return for how many clips `summaryTable.csv` names the same category, or tie, and how many it names one for.

    In the published tables it is the same for every clip in each channel, which shows what the row numbers mean.

    Raises:
        InputError: the table lacks a column.
    """
    table = read_table(path)
    missing = [name for name in ("FileName", SUMMARY_COLUMNS[channel]) if name not in table.column_names]
    if missing:
        found = columns_found(table.column_names)
        raise InputError(
            f"{path}: has no column '{missing[0]}', but {found}; expected CREMA-D's summaryTable.csv: get it anew"
        )
    summary = dict(zip(*(table[name].to_pylist() for name in ("FileName", SUMMARY_COLUMNS[channel])), strict=True))
    letters = [word.removeprefix("votes_")[0].upper() for word in votes.columns]
    top = votes.eq(votes.max(axis=1), axis=0)
    ours = {
        clip: {letter for letter, is_top in zip(letters, row, strict=True) if is_top}
        for clip, row in zip(votes.index, top.to_numpy(), strict=True)
    }
    both = [clip for clip in ours if summary.get(clip)]
    return sum(set(summary[clip].split(":")) == ours[clip] for clip in both), len(both)


def _named(clips: pd.DataFrame) -> pd.DataFrame:
    """Return what the clips' names say, and make their stems those of the tables."""
    parts = clips["stem"].str.extract(NAME)
    clips["stem"] = clips["stem"].where(parts["level"] != "X", clips["stem"] + "X")
    rows = pd.DataFrame(
        {
            "path": clips["path"],
            "speaker": parts["speaker"],
            "text": parts["sentence"].map(SENTENCES),
            "sentence": parts["sentence"],
            "intended_emotion": parts["code"].map(EMOTIONS),
            "intended_level": parts["level"].replace("X", "XX").map(LEVELS),
        }
    )
    rows[SKIPPED] = None
    rows.loc[parts["speaker"].isna() | rows["text"].isna(), SKIPPED] = "not named as CREMA-D names its clips"
    for row in clips.index[(clips["stem"] == SILENT_CLIP) & rows[SKIPPED].isna()]:
        if _is_silent(clips.at[row, "path"]):
            rows.at[row, SKIPPED] = "published without sound"
    return rows


def _with_votes(
    rows: pd.DataFrame, stems: pd.Series, path: Path, channel: str, tables: list[Path], notes: list[str]
) -> pd.DataFrame:
    votes = read_votes(path, channel)
    summary = first_file(tables, "summaryTable.csv")
    if summary is not None:
        same, compared = agreement_with_summary(votes, summary, channel)
        if same < compared:
            notes.append(
                f"summaryTable.csv names another category than the {channel} votes for {compared - same} of {compared} "
                "clips: the votes are taken"
            )
    matched = votes.reindex(stems).set_axis(rows.index)
    rows["perceived_emotion"] = most_voted(matched)
    rows["vote_channel"] = channel
    rows["agreement"] = matched.max(axis=1) / matched.sum(axis=1)
    without = int((matched.isna().all(axis=1) & rows[SKIPPED].isna()).sum())
    if without:
        notes.append(f"clips without votes in tabulatedVotes.csv: {without}")
    return rows.join(matched)


def _with_demographics(rows: pd.DataFrame, path: Path | None) -> pd.DataFrame:
    if path is None:
        return rows
    table = read_table(path)
    if missing := [name for name in ("ActorID", "Age", "Sex", "Race", "Ethnicity") if name not in table.column_names]:
        found = columns_found(table.column_names)
        raise InputError(
            f"{path}: has no column '{missing[0]}', but {found}; expected CREMA-D's VideoDemographics.csv: get it anew"
        )
    people = table.to_pandas().drop_duplicates("ActorID").set_index("ActorID").replace("Unknown", None)
    for column, source in (("gender", "Sex"), ("age", "Age"), ("race", "Race"), ("ethnicity", "Ethnicity")):
        rows[column] = rows["speaker"].map(people[source]).astype("string")
    rows["gender"] = rows["gender"].str.lower()
    return rows


def _folders_of_tables(folder: Path) -> list[Path]:
    """Return where the tables may lie: in the folder, beside it, or in `processedResults` there."""
    return [place for base in (folder, folder.parent) for place in (base, base / "processedResults")]


def _is_silent(path: str) -> bool:
    try:
        samples, _ = read_audio_native(path)
    except AudioError:
        return False  # not for a reader to say: `corpus check` names every file that cannot be read
    return float(np.abs(samples).max()) < 10.0 ** (SILENT_PEAK_DBFS / 20.0)

"""RAVDESS: 24 North American actors, two sentences, eight emotions (Livingstone & Russo, PLOS ONE 2018)."""

from pathlib import Path

import pandas as pd

from sertool.core.corpus.clips import SKIPPED, check_any, check_once, find_clips
from sertool.core.corpus.splits import Protocol

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
SENTENCES = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
INTENSITIES = {"01": "normal", "02": "strong"}

NAME = (
    r"^(?P<modality>0[1-3])-(?P<channel>0[12])-(?P<code>0[1-8])-(?P<level>0[12])"
    r"-(?P<statement>0[12])-(?P<repetition>0[12])-(?P<speaker>0[1-9]|1\d|2[0-4])$"
)


def fold_of(speaker: str) -> int:
    """Return the fold of an actor in the six-fold protocol: two actors of each sex share one."""
    return (int(speaker) - 1) // 2 % 6


PROTOCOL = Protocol(folds=6, fold_of=fold_of)


def read(folder: Path) -> pd.DataFrame:
    """Read the clips of RAVDESS from their names.

    Audio-only speech (modality 03, vocal channel 01) is kept. Song, and the sound tracks of the videos (modalities
    01 and 02, the same performances again), are left out.

    Args:
        folder: holds `Actor_01` … `Actor_24`, at any depth.

    Returns:
        One row a clip: path, speaker ("01" … "24"), emotion, gender, text, intensity (normal, strong), statement,
        repetition, skipped.

    Raises:
        InputError: there are no such clips, or one lies there twice.
    """
    clips = find_clips(folder)
    parts = clips["stem"].str.extract(NAME)
    rows = pd.DataFrame(
        {
            "path": clips["path"],
            "speaker": parts["speaker"],
            "emotion": parts["code"].map(EMOTIONS),
            "gender": (pd.to_numeric(parts["speaker"]) % 2).map({1: "male", 0: "female"}),
            "text": parts["statement"].map(SENTENCES),
            "intensity": parts["level"].map(INTENSITIES),
            "statement": parts["statement"],
            "repetition": parts["repetition"],
        }
    )
    rows[SKIPPED] = None
    rows.loc[parts["channel"] == "02", SKIPPED] = "song"
    rows.loc[parts["modality"].isin(["01", "02"]), SKIPPED] = "from a video"
    rows.loc[parts["speaker"].isna(), SKIPPED] = "not named as RAVDESS names its clips"
    check_any(rows, folder, names="03-01-05-02-01-01-12.wav")
    check_once(clips[rows[SKIPPED].isna()], folder)
    return rows

"""EmoDB: ten German actors, ten sentences, seven emotions (Burkhardt et al., Interspeech 2005)."""

from pathlib import Path

import pandas as pd

from sertool.core.corpus.clips import SKIPPED, check_any, check_once, find_clips
from sertool.core.corpus.splits import Protocol
from sertool.core.errors import InputError

EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
GENDERS = {
    "03": "male",
    "08": "female",
    "09": "female",
    "10": "male",
    "11": "male",
    "12": "male",
    "13": "female",
    "14": "female",
    "15": "male",
    "16": "female",
}
SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
NAME = r"^(?P<speaker>03|08|09|1[0-6])(?P<text_code>[ab]\d\d)(?P<letter>[WLEAFTN])(?P<version>[a-z]?)$"
RATINGS = "erkennung.txt"
RATING = (
    r"^\s*\d+\s+(?P<stem>\w+)\.wav\s+(?P<recognition_percent>\d+(?:,\d+)?)\s+(?P<naturalness_percent>\d+(?:,\d+)?)\s*$"
)


def fold_of(speaker: str) -> int:
    """Return the fold of a speaker when each is left out in turn."""
    return list(GENDERS).index(speaker)


PROTOCOL = Protocol(folds=10, fold_of=fold_of, test=("03", "08"), dev=("09", "10"))


def read(folder: Path) -> pd.DataFrame:
    """Read the clips of EmoDB from their names, with the listeners' ratings where `erkennung.txt` lies beside them.

    Args:
        folder: holds the clips, or the folder `wav` that does.

    Returns:
        One row a clip: path, speaker ("03" … "16"), emotion, gender, text, text_code, version, and where rated
        recognition_percent (listeners who recognised the emotion) and naturalness_percent (who found it natural);
        skipped.

    Raises:
        InputError: there are no such clips, one lies there twice, or the ratings cannot be read.
    """
    clips = find_clips(folder)
    parts = clips["stem"].str.extract(NAME)
    rows = pd.DataFrame(
        {
            "path": clips["path"],
            "speaker": parts["speaker"],
            "emotion": parts["letter"].map(EMOTIONS),
            "gender": parts["speaker"].map(GENDERS),
            "text": parts["text_code"].map(SENTENCES),
            "text_code": parts["text_code"],
            "version": parts["version"],
        }
    )
    ratings = _ratings(folder.resolve())
    if ratings is not None:
        rows = rows.join(ratings.reindex(clips["stem"]).reset_index(drop=True))
    rows[SKIPPED] = None
    rows.loc[parts["speaker"].isna(), SKIPPED] = "not named as EmoDB names its clips"
    check_any(rows, folder, names="03a01Fa.wav")
    check_once(clips[rows[SKIPPED].isna()], folder)
    return rows


def _ratings(folder: Path) -> pd.DataFrame | None:
    """Return the ratings by clip, or None where the corpus came without them. Decimal commas, ISO 8859-1."""
    path = next((path for path in (folder / RATINGS, folder.parent / RATINGS) if path.is_file()), None)
    if path is None:
        return None
    lines = pd.Series(path.read_text(encoding="latin-1").splitlines())
    lines = lines[lines.str.strip() != ""].iloc[1:]  # below the header
    table = lines.str.extract(RATING)
    wrong = table["stem"].isna()
    if wrong.any() or table.empty or table["stem"].duplicated().any():
        line = lines[wrong].iloc[0].strip() if wrong.any() else "a clip twice, or none"
        raise InputError(
            f"{path}: found '{line}'; expected number, clip and two percentages a line: get the file anew, or remove it"
        )
    table = table.set_index("stem")
    return table.apply(lambda column: column.str.replace(",", ".").astype(float))

"""The audio of a corpus, found by its files' names: whichever suffix they have now, and however deep they lie."""

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sertool.core.audio.files import SUFFIXES, find_audio
from sertool.core.errors import InputError

SKIPPED = "skipped"
"""Column of a reader's rows: why a clip is left out of the manifest, null where it is not."""

NOTES = "notes"
"""Key in `attrs` of a reader's rows: sentences about the corpus as it was found, which the user should read."""


def find_clips(folder: Path) -> pd.DataFrame:
    """Return the audio beneath a folder.

    Returns:
        Columns `path` (absolute) and `stem` (the file's name without its suffix), sorted by path.

    Raises:
        InputError: the folder is missing, is a file, holds no audio, or a file's name is no UTF-8.
    """
    check_folder(folder)
    paths = find_audio(folder.resolve())
    if not paths:
        raise InputError(f"{folder}: holds no audio; expected {', '.join(sorted(SUFFIXES))} files: check the folder")
    unspellable = next((path for path in paths if not _is_text(path)), None)
    if unspellable:
        raise InputError(
            f"{str(unspellable)!a}: its name is no UTF-8; expected a name that a table can hold: rename it"
        )
    return pd.DataFrame({"path": [str(path) for path in paths], "stem": [path.stem for path in paths]})


def check_folder(folder: Path) -> None:
    """Check that a corpus's folder is one.

    Raises:
        InputError: it is missing, or is a file.
    """
    if not folder.exists():
        raise InputError(f"{folder}: no such folder: check the spelling")
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected the corpus's folder: name the folder it lies in")


def check_once(clips: pd.DataFrame, folder: Path) -> None:
    """Check that no stem occurs twice, as it does in archives that hold a corpus twice over.

    Raises:
        InputError: one does; the message names both files.
    """
    double = clips[clips["stem"].duplicated(keep=False)].sort_values("stem")
    if len(double):
        first, second = double["path"].iloc[:2]
        raise InputError(
            f"{folder}: the same clip lies there twice, {first} and {second}; expected it once: remove one"
        )


def check_any(rows: pd.DataFrame, folder: Path, *, names: str) -> None:
    """Check that a reader kept at least one clip.

    Args:
        rows: with the column `skipped`.
        folder: where they were found.
        names: what the corpus's files are called, for the message.

    Raises:
        InputError: every clip was left out; the message says why.
    """
    if rows[SKIPPED].isna().any():
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in rows[SKIPPED].value_counts().items())
    raise InputError(
        f"{folder}: no clip can be used ({reasons}); expected names like {names}: check which corpus this is"
    )


def existing_audio(paths: Iterable[Path]) -> list[Path | None]:
    """Return where each file lies: as named, or beside that with another audio suffix; None where it does not."""
    listings: dict[Path, dict[str, Path]] = {}

    def locate(path: Path) -> Path | None:
        if path.is_file():
            return path
        if path.parent not in listings:
            listings[path.parent] = _by_stem(path.parent)
        return listings[path.parent].get(path.stem)

    return [locate(path) for path in paths]


def first_file(folders: Iterable[Path], name: str) -> Path | None:
    """Return the first file of this name in some folders, None where none has it."""
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _is_text(path: Path) -> bool:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    found = (folder / name for name in sorted(os.listdir(folder)))
    return {path.stem: path for path in found if path.suffix.lower() in SUFFIXES}

"""A cache of scores by content: what a model said of these very samples, and how these very samples were scored.

Its keys are digests of all that decides a value (samples, model, measures, versions), so nothing in it ever grows stale
and any evaluation may use it: a rerun judges only what changed. It is one SQLite file. Worker processes read it; the
process that collects their outcomes writes.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sertool.core.environment import installed_versions
from sertool.core.errors import CacheError

FOLDER_VARIABLE = "SERTOOL_CACHE"
"""Environment variable that names another folder for the cache."""

FILE_NAME = "scores-1.sqlite"
_DECIDING = ("sertool", "torch", "transformers", "numpy", "scipy", "pesq", "soxr", "soundfile", "onnxruntime")
_PATIENCE_S = 60.0  # another evaluation may be writing
_CODE = Path(__file__).resolve().parents[1]


def cache_folder() -> Path:
    """Return where the cache lies: `$SERTOOL_CACHE`, else `sertool` in the user's own cache folder."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sertool"


def key_of(*parts: Any) -> str:
    """Return a digest of JSON values and arrays, and of the versions of what computes with them."""
    digest = hashlib.sha256(_versions().encode())
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"|{part.dtype}{part.shape}|".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(f"|{json.dumps(part, sort_keys=True)}|".encode())
    return digest.hexdigest()


class ScoreCache:
    """Scores kept from earlier evaluations, and those found since in this process."""

    def __init__(self, folder: Path | None) -> None:
        """Open the cache in a folder for reading; None for one that knows nothing and keeps nothing.

        Raises:
            CacheError: the file there is no cache.
        """
        self.folder = folder
        self.found: dict[str, Any] = {}
        """Entries to be kept, see `drain`."""
        self._file = None if folder is None else _connect(folder / FILE_NAME, writes=False)

    def get(self, key: str) -> Any:
        """Return the entry of a key; None where there is none."""
        if key in self.found or self._file is None:
            return self.found.get(key)
        path = self.folder / FILE_NAME
        try:
            row = self._file.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchone()
            return None if row is None else json.loads(row[0])
        except (sqlite3.Error, ValueError) as error:
            raise _unusable(path, error) from error

    def put(self, key: str, value: Any) -> None:
        """Note a value, JSON without null at its top."""
        if self._file is not None:
            self.found[key] = value

    def drain(self) -> dict[str, Any]:
        """Return what was found since the last call, for the process that writes."""
        found, self.found = self.found, {}
        return found


class CacheWriter:
    """The one process of an evaluation that writes to the cache."""

    def __init__(self, folder: Path) -> None:
        """Make the cache in a folder, if it is not there.

        Raises:
            CacheError: the file there is no cache, or none can be made.
        """
        self._path = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(self._path, error) from error
        self._file = _connect(self._path, writes=True)
        self._do("CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")

    def write(self, entries: dict[str, Any]) -> None:
        """Keep entries.

        Raises:
            CacheError: the file cannot be written, as on a full disk.
        """
        rows = [(key, json.dumps(value)) for key, value in entries.items()]
        self._do("INSERT OR REPLACE INTO entries VALUES (?, ?)", rows)

    def _do(self, statement: str, rows: Iterable[tuple[str, str]] = ((),)) -> None:
        try:
            with self._file:
                self._file.executemany(statement, rows)
        except sqlite3.Error as error:
            raise _unusable(self._path, error) from error

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


@cache
def _versions() -> str:
    """Return what computes: the versions of the packages, and a digest of our own code, which changes between them."""
    code = hashlib.sha256()
    for path in sorted(_CODE.rglob("*.py")):
        code.update(path.read_bytes())
    return json.dumps([installed_versions(list(_DECIDING)), code.hexdigest()], sort_keys=True)


def _connect(path: Path, *, writes: bool) -> sqlite3.Connection:
    mode = "rwc" if writes else "ro"
    try:
        return sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=_PATIENCE_S)
    except sqlite3.Error as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> CacheError:
    return CacheError(
        f"{path}: cannot be used as the cache of scores ({error}); expected the file earlier evaluations made, and "
        f"room to write: remove it, name another folder in ${FOLDER_VARIABLE}, or say --no-cache"
    )

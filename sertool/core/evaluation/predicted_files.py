"""Which utterance a name in a stranger's table means: as the manifest spells it, or by what is left of its path."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from sertool.core.corpus.manifest import Manifest, utterance_key
from sertool.core.errors import InputError

_MIXTURES = re.compile(r"snr_[^/]*dB|clean|clean_snr_[^/]*dB")
"""Folders `sertool mix-noise` puts between its own folder and the names of the speech."""


class UtteranceNames:
    """The utterances of a manifest by name.

    A name is tried in this order, and the first that fits decides: as the manifest spells it, or with folders before
    that (a tool may write absolute paths); by `utterance_key`, the last two parts, whatever the audio's suffix; and,
    where it is or comes down to a file's name without a folder, by that alone. Mixtures of `sertool mix-noise` thus
    mean the clean utterance they were made from: `snr_0dB/Actor_01/x.flac` that in `Actor_01/x.wav`.

    Args:
        manifest: the utterances judged.
        files: what results call each of its rows.
    """

    def __init__(self, manifest: Manifest, files: Sequence[str]):
        self._name = manifest.name
        self._files = files
        self._spelt: dict[str, int] = {}
        self._by_key: defaultdict[str, list[int]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[int]] = defaultdict(list)
        for row, (spelt, path) in enumerate(zip(manifest.table["file_name"], manifest.paths(), strict=True)):
            for name in (str(PurePosixPath(spelt)), str(path), files[row]):
                self._spelt.setdefault(name, row)
            self._by_key[_bare(utterance_key(path))].append(row)
            self._by_stem[path.stem].append(row)

    def row_of(self, name: str, where: str) -> int | None:
        """Return the row of the manifest a name means, None where it means none.

        Args:
            name: a path, of whatever machine.
            where: what messages call the place the name stands in.

        Raises:
            InputError: it may mean several.
        """
        parts = PurePosixPath(name).parts
        for spelt in (str(PurePosixPath(*parts[start:])) for start in range(len(parts))):
            if spelt in self._spelt:
                return self._spelt[spelt]
        short = parts[:-2] + parts[-1:] if len(parts) > 1 and _MIXTURES.fullmatch(parts[-2]) else parts
        candidates: Iterable[list[int]] = (
            self._by_key.get(_bare("/".join(parts[-2:])), []),
            self._by_stem.get(PurePosixPath(name).stem, []) if len(short) == 1 or short != parts else [],
        )
        rows = next((rows for rows in candidates if rows), [])
        if len(rows) > 1:
            raise InputError(
                f"{where}: '{name}' may be {self._files[rows[0]]} or {self._files[rows[1]]} of {self._name}; expected "
                "one utterance: write file_name as the manifest does"
            )
        return rows[0] if rows else None


def _bare(name: str) -> str:
    """Return a relative path without its suffix, which differs between a corpus and mixtures made of it."""
    return str(PurePosixPath(name).with_suffix("")) if PurePosixPath(name).name else name

"""Noise sets: recordings by kind, told apart by what they hold rather than by where they lie."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

from sertool.core.audio.files import find_audio
from sertool.core.corpus.manifest import Manifest
from sertool.core.errors import InputError

Part = Literal["all", "train", "dev"]
"""Which recordings of a set to take: all, those for training, or the fifth kept apart for development."""

PARTS: tuple[Part, ...] = ("all", "train", "dev")

_DEV_SHARE = 5  # one recording in five


@dataclass(frozen=True)
class NoiseFile:
    """One recording of noise.

    Attributes:
        path: where it lies, absolute.
        name: its POSIX path within the set, so that a set is the same set wherever it lies.
        kind: what sounds in it.
        digest: SHA-256 of the file's bytes, in hex.
    """

    path: Path
    name: str
    kind: str
    digest: str


@dataclass(frozen=True)
class NoiseSet:
    """Recordings of noise, each of one kind, sorted by name.

    Attributes:
        files: the recordings; their order is part of what a draw means.
        digest: SHA-256 over names, grouping into kinds and content; the same for a copy of the set elsewhere.
    """

    files: tuple[NoiseFile, ...]
    digest: str

    @classmethod
    def read(cls, source: Path | str, *, part: Part = "all", kinds: Sequence[str] | None = None) -> "NoiseSet":
        """Read a set from a folder or a manifest, hashing every recording once.

        Args:
            source: a folder, in which the first folder on the way to a recording names its kind (recordings at the top
                are of the kind the folder itself is called); or a manifest (CSV, Parquet) with a column `kind`.
            part: "dev" takes the recordings for which the SHA-1 of the file's name (suffix included, read as an
                integer) is 0 mod 5, "train" the others, "all" both.
            kinds: the kinds to take; None takes all.

        Raises:
            InputError: the source does not exist, holds no audio, names no kinds, lacks a kind asked for, or nothing is
                left of it.
        """
        if part not in PARTS:
            raise InputError(f"noise part '{part}' is unknown; expected one of {', '.join(PARTS)}: choose one of these")
        source = Path(os.path.abspath(source))
        if not source.exists():
            raise InputError(f"{source}: no such noise set; expected a folder or a manifest: check the spelling")
        found = _of_folder(source) if source.is_dir() else _of_manifest(source)
        chosen = _of_kinds(found, kinds, source)
        chosen = [entry for entry in chosen if in_part(entry[0].name, part)]
        if not chosen:
            raise InputError(
                f"{source}: none of its {len(found)} recordings belongs to part '{part}'; expected at least one: "
                "add recordings (one in five, told by its file's name, is kept for dev), or take part 'all'"
            )
        files = (NoiseFile(path=path, name=name, kind=kind, digest=file_digest(path)) for path, name, kind in chosen)
        return cls.of(files)

    @classmethod
    def of(cls, files: Iterable[NoiseFile]) -> "NoiseSet":
        """Return the set of these recordings, sorted by name."""
        files = tuple(sorted(files, key=lambda file: (file.name, file.digest)))
        if not files:
            raise InputError("a noise set without recordings; expected at least one: add a recording")
        # The kinds enter as numbers, in order of appearance: renaming a folder of recordings does not make another set.
        numbers = {kind: number for number, kind in enumerate(dict.fromkeys(file.kind for file in files))}
        content = [[file.name, numbers[file.kind], file.digest] for file in files]
        return cls(files=files, digest=hashlib.sha256(json.dumps(content).encode()).hexdigest())

    @cached_property
    def by_kind(self) -> dict[str, tuple[int, ...]]:
        """Indices into `files` of every kind's recordings; kinds in order of appearance."""
        indices: dict[str, list[int]] = {}
        for index, file in enumerate(self.files):
            indices.setdefault(file.kind, []).append(index)
        return {kind: tuple(members) for kind, members in indices.items()}

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds in the set, in alphabetical order."""
        return tuple(sorted(self.by_kind))

    def file_digests(self) -> dict[str, str]:
        """Return the SHA-256 of every recording's bytes, by name within the set."""
        return {file.name: file.digest for file in self.files}

    def __len__(self) -> int:
        return len(self.files)


def in_dev_part(name: str) -> bool:
    """Return whether a recording of this file name (suffix included, no folder) is kept for development."""
    return int(hashlib.sha1(name.encode(errors="surrogateescape")).hexdigest(), 16) % _DEV_SHARE == 0


def in_part(name: str, part: Part) -> bool:
    """Return whether a recording of this file name belongs to a part of its set."""
    return part == "all" or (part == "dev") == in_dev_part(name)


def names_within(paths: Sequence[Path], folder: Path) -> list[str]:
    """Return the POSIX paths of files within their set: from its folder, or else from the folder all files share."""
    # Relative to the manifest where everything lies beneath it, so that a folder and its manifest give the same names.
    if not all(path.is_relative_to(folder) for path in paths):
        folder = Path(os.path.commonpath([path.parent for path in paths]))
    return [path.relative_to(folder).as_posix() for path in paths]


def file_digest(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes in hex; read once a process as long as its time and size stay the same.

    Raises:
        InputError: there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such recording; expected a file: check its spelling where it is listed")
    state = path.stat()
    if state.st_size == 0:  # also what the system makes up as it is read, some of it without end
        raise InputError(f"{path}: is empty; expected a file with something in it: copy it again")
    return _file_digest(str(path), state.st_mtime_ns, state.st_size)


def check_disjoint(first: NoiseSet, second: NoiseSet) -> None:
    """Make sure that two noise sets have neither a kind nor a recording in common.

    Kinds are compared by name, whatever the case; recordings by their bytes.

    Raises:
        InputError: they have; the message names what they share.
    """
    others = {kind.casefold() for kind in second.kinds}
    kinds = [kind for kind in first.kinds if kind.casefold() in others]
    twins = {file.digest: file for file in second.files}
    pairs = [(file.name, twins[file.digest].name) for file in first.files if file.digest in twins]
    shared = []
    if kinds:
        shared.append(f"{len(kinds)} kinds ({_few(kinds)})")
    if pairs:
        names = [one if one == other else f"{one} = {other}" for one, other in pairs]
        shared.append(f"{len(pairs)} byte-identical recordings ({_few(names)})")
    if shared:
        raise InputError(
            f"the two noise sets share {' and '.join(shared)}; expected nothing in common: "
            "take other kinds for one of them"
        )


@lru_cache(maxsize=65_536)
def _file_digest(path: str, mtime_ns: int, size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_folder(folder: Path) -> list[tuple[Path, str, str]]:
    """Return (path, name, kind) of every recording in a folder."""
    paths = find_audio(folder)
    if not paths:
        raise InputError(
            f"{folder}: holds no audio; expected recordings of noise, one folder a kind: name the folder that has them"
        )
    names = [path.relative_to(folder) for path in paths]
    return [
        (path, name.as_posix(), name.parts[0] if len(name.parts) > 1 else folder.name)
        for path, name in zip(paths, names, strict=True)
    ]


def _of_manifest(source: Path) -> list[tuple[Path, str, str]]:
    """Return (path, name, kind) of every recording in a manifest."""
    manifest = Manifest.read(source, require=("kind",))
    kinds = manifest.table["kind"]
    if kinds.isna().any():
        row = int(kinds.isna().to_numpy().argmax()) + 1
        raise InputError(f"{source}: row {row} has no kind; expected one for every recording: fill the column 'kind'")
    paths = manifest.paths()
    names = names_within(paths, manifest.folder)
    return [(path, name, str(kind)) for path, name, kind in zip(paths, names, kinds, strict=True)]


def _of_kinds(
    found: list[tuple[Path, str, str]], kinds: Sequence[str] | None, source: Path
) -> list[tuple[Path, str, str]]:
    if kinds is None:
        return found
    known = {kind for _, _, kind in found}
    unknown = sorted(set(kinds) - known)
    if unknown or not kinds:
        wanted = f"has no noise of kind {_few(unknown)}" if unknown else "was asked for no kind at all"
        raise InputError(f"{source}: {wanted}; it holds {_few(sorted(known), 20)}: choose among these")
    return [entry for entry in found if entry[2] in set(kinds)]


def _few(names: Sequence[str], most: int = 3) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

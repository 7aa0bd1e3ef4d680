"""Which face belongs to which utterance, by one rule.

1. A row of a manifest whose column `face_file` is filled in has that face: an OpenFace CSV, its path read as every path
   of the manifest.
2. Any other row has the face of the same key among the sources named with `--faces`. A source is a folder, of which
   every `.csv` at any depth is the OpenFace file of one video, or a table of clips (`face_tables`).

The key of an utterance is its audio file's name without folders and suffix; that of a face is its CSV's name, or its
clip's, likewise. Where such a name is RAVDESS's (seven fields of two digits, joined by '-'), the first field, the
modality, is left out: the video 01-01-05-01-02-01-12 is the face of the audio 03-01-05-01-02-01-12. Other corpora may
need another key: `pretext.faces.key` is a regular expression, searched for in the names on both sides; its first group,
or the whole match where it has none, is the key, and a name in which it is not found has none. Keys are compared letter
by letter.

A key is that of one face and of one utterance; a second of either is an error. A file listed in two manifests is one
utterance; so are the mixtures that `mix-noise` made of one recording (column `clean_digest`). A file that `face_file`
names may be the face of several rows.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.noise import file_digest
from sertool.core.errors import InputError
from sertool.core.pretext.face_keys import AUTO, file_stem, key_rule
from sertool.core.pretext.face_tables import FaceTable, read_face_table

FACE_FILE_REMEDY = "name each utterance's face in the manifest's column 'face_file'"

_Utterance = tuple[Path, str, str | None]
"""Its manifest's folder, its file there, and the digest of the recording it is a mixture of, if it is one."""


END_BYTES = 16_384
"""Of each file, what is read to tell whether it is the same: a few rows. OpenFace writes fixed decimals, so that other
numbers often make files of the same size."""


@dataclass(frozen=True)
class Face:
    """Where an utterance's face is.

    Attributes:
        path: an OpenFace CSV, or a table of clips.
        row: of the table, from 0; None for an OpenFace CSV.
    """

    path: Path
    row: int | None


@dataclass(frozen=True)
class FaceSource:
    """What one `--faces` names: faces, and the names their keys are taken from.

    Attributes:
        path: the folder or the table, absolute.
        faces: all faces in it, in order.
        names: of each face, without folders and suffix.
        digest: SHA-256 of a table's bytes, or of the names and sizes of a folder's files.
        table: what was read, if it is a table.
    """

    path: Path
    faces: tuple[Face, ...]
    names: tuple[str, ...]
    digest: str
    table: FaceTable | None


@dataclass(frozen=True)
class JoinedFaces:
    """What joining faces to utterances found.

    Attributes:
        faces: of every utterance of all manifests, in order; None where it has none.
        identity: digests by name of the sources, and of the files that the manifests' `face_file` name.
        notes: sentences that the user should read: how many utterances of each manifest have a face, and how many
            faces no utterance has.
    """

    faces: list[Face | None]
    identity: dict[str, str]
    notes: list[str]


@dataclass(frozen=True)
class FaceSources:
    """All faces that a call names.

    Attributes:
        sources: in the order given.
        key: "auto", or a regular expression.
    """

    sources: tuple[FaceSource, ...]
    key: str = AUTO

    @classmethod
    def read(cls, names: Sequence[Path | str], key: str = AUTO) -> "FaceSources":
        """Find the faces of every source; tables are read, OpenFace files only listed.

        Args:
            names: folders of OpenFace CSVs, and tables of clips; a source named twice is one.
            key: "auto", or a regular expression for names of another make.

        Raises:
            InputError: a source does not exist, holds no face, or cannot be read; the expression is none.
        """
        key_rule(key)
        if "" in map(str, names):
            raise InputError("--faces is empty; expected a folder of OpenFace CSVs or a table of clips: name it")
        paths = dict.fromkeys(Path(os.path.abspath(name)) for name in names)
        return cls(tuple(_of_folder(path) if path.is_dir() else _of_table(path) for path in paths), key)

    @property
    def tables(self) -> dict[Path, FaceTable]:
        """The tables that were read, by `Face.path`."""
        return {source.path: source.table for source in self.sources if source.table is not None}

    def identity(self) -> dict[str, str]:
        """Return a digest of every source by its name, the same wherever it lies.

        A table counts by its content, a folder by the names, sizes and last bytes of its files: corpora of faces are
        too large to read for this.
        """
        digests: dict[str, str] = {}
        for source in self.sources:
            digests[_unused_name(source.path.name, digests)] = source.digest
        return digests

    def join(self, manifests: Sequence[Manifest]) -> JoinedFaces:
        """Find the face of every utterance, by the rule above; manifests may be empty.

        Raises:
            InputError: two faces have one key, or two utterances that of one face; or no utterance has a face.
        """
        key_of = key_rule(self.key)
        of_key, nameless_faces = self._by_key(key_of)
        faces: list[Face | None] = []
        keys: list[str | None] = []
        named: list[tuple[str, Path]] = []
        counts: dict[str, list[int]] = {}  # by manifest, whose parts are counted together
        taken: dict[str | None, _Utterance] = {}
        for manifest in manifests:
            files, face_files, digests = (
                _column(manifest, name) for name in ("file_name", "face_file", "clean_digest")
            )
            own = [None if face else key_of(file_stem(file)) for file, face in zip(files, face_files, strict=True)]
            found = [
                Face(manifest.folder / face_file, None) if face_file else of_key.get(key)
                for key, face_file in zip(own, face_files, strict=True)
            ]
            named += [(face_file, manifest.folder / face_file) for face_file in face_files if face_file]
            _take(taken, of_key, own, ((manifest.folder, *row) for row in zip(files, digests, strict=True)))
            count = counts.setdefault(manifest.name, [0, 0])
            count[0], count[1] = count[0] + len(found) - found.count(None), count[1] + len(found)
            faces += found
            keys += own
        if faces and faces.count(None) == len(faces):
            raise self._nothing_joined(next((key for key in keys if key), None), next(iter(of_key), None))
        notes = [f"{name}: utterances with a face: {some} of {every}" for name, (some, every) in counts.items()]
        told = {path for _, path in named}
        unused = [face for key, face in of_key.items() if key not in taken and face.path not in told]
        if unused:
            notes.append(f"faces of no train or dev utterance: {len(unused)}, such as {self._spoken(unused[0])}")
        if (nameless := keys.count(None) - len(named)) or nameless_faces:
            notes.append(f"without a key by '{self.key}': {nameless} utterances, {nameless_faces} faces")
        identity = self.identity()
        if named:
            identity[_unused_name("face_file", identity)] = _digest_of_ends(named)
        return JoinedFaces(faces, identity, notes)

    def _by_key(self, key_of: Callable[[str], str | None]) -> tuple[dict[str | None, Face], int]:
        """Return the faces by key, and how many have none."""
        faces: dict[str | None, Face] = {}
        nameless = 0
        for source in self.sources:
            for name, face in zip(source.names, source.faces, strict=True):
                key = key_of(name)
                if key is None:
                    nameless += 1
                    continue
                other = faces.setdefault(key, face)
                if other is not face and other != face:
                    raise InputError(
                        f"two faces have the key '{key}': {self._spoken(other)} and {self._spoken(face)}; expected "
                        f"one: name the folder of one modality or take, or {FACE_FILE_REMEDY}"
                    )
        return faces, nameless

    def _spoken(self, face: Face) -> str:
        """Return where a face is, as a message says it."""
        return str(face.path) if face.row is None else f"{face.path} (clip '{self.tables[face.path].keys[face.row]}')"

    def _nothing_joined(self, of_utterances: str | None, of_faces: str | None) -> InputError:
        if not self.sources:
            return InputError(
                "no utterance has a face: no faces were named; expected a folder of OpenFace CSVs or a table of clips: "
                f"name it with --faces, or {FACE_FILE_REMEDY}"
            )
        ours, theirs = (f"'{key}'" if key else f"none by '{self.key}'" for key in (of_utterances, of_faces))
        return InputError(
            f"no utterance has a face: the first key is {ours} among the utterances and {theirs} among the faces of "
            f"{', '.join(source.path.name for source in self.sources)}; expected the same keys on both sides: say what "
            f"their names have in common with --set pretext.faces.key=REGEX (its first group is the key), or "
            f"{FACE_FILE_REMEDY}"
        )


def _of_folder(folder: Path) -> FaceSource:
    """List the CSVs beneath a folder, sorted by name."""
    found = sorted(_csv_files(folder))
    if not found:
        raise InputError(
            f"{folder}: holds no .csv file; expected OpenFace's CSVs, one a video: name the folder they were written to"
        )
    faces = tuple(Face(folder / name, None) for name in found)
    digest = _digest_of_ends([(name, face.path) for name, face in zip(found, faces, strict=True)])
    return FaceSource(folder, faces, tuple(file_stem(name) for name in found), digest, None)


def _csv_files(folder: Path) -> Iterator[str]:
    """Yield the POSIX paths within a folder of its CSVs, hidden ones left out."""

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be listed ({error.strerror}); expected a folder of faces: open it")

    for place, _, names in os.walk(folder, onerror=refuse, followlinks=True):
        within = Path(place).relative_to(folder).as_posix()
        for name in names:
            if name.lower().endswith(".csv") and not name.startswith("."):
                yield name if within == "." else f"{within}/{name}"


def _of_table(path: Path) -> FaceSource:
    if not path.exists():
        raise InputError(f"{path}: no such faces; expected a folder of OpenFace CSVs or a table: check the spelling")
    table = read_face_table(path)
    faces = tuple(Face(path, row) for row in range(len(table.keys)))
    return FaceSource(path, faces, table.keys, file_digest(path), table)


def _column(manifest: Manifest, name: str) -> list[str | None]:
    """Return a column of text, None where it is null or the manifest has none such."""
    if name not in manifest.table.columns:
        return [None] * len(manifest)
    return pa.array(manifest.table[name]).cast(pa.string()).to_pylist()


def _take(
    taken: dict[str | None, _Utterance],
    faces: dict[str | None, Face],
    keys: Iterable[str | None],
    utterances: Iterable[_Utterance],
) -> None:
    """Note which utterance has the face of each key, which no other may have."""
    for key, utterance in zip(keys, utterances, strict=True):
        if key in faces:
            other = taken.setdefault(key, utterance)
            if other is not utterance and not _is_same(other, utterance):
                raise InputError(
                    f"two utterances have the key '{key}' of the face in {faces[key].path}: {other[0] / other[1]} and "
                    f"{utterance[0] / utterance[1]}; expected one: {FACE_FILE_REMEDY}"
                )


def _is_same(one: _Utterance, other: _Utterance) -> bool:
    if one[2] and one[2] == other[2]:
        return True
    return os.path.normpath(one[0] / one[1]) == os.path.normpath(other[0] / other[1])


def _unused_name(name: str, digests: dict[str, str]) -> str:
    """Return what `identity` calls a source: by its name, and by a number where two are called the same."""
    candidates = (f"faces ({name})" if number == 1 else f"faces ({name}, {number})" for number in range(1, 1_000_000))
    return next(candidate for candidate in candidates if candidate not in digests)


def _digest_of_ends(files: Sequence[tuple[str, Path]]) -> str:
    """Return the SHA-256 of files' names, sizes and last bytes, sorted by name; a missing file has none of these."""
    told = [[name, *_size_and_end(path)] for name, path in sorted(files)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _size_and_end(path: Path) -> tuple[int, str]:
    if not path.is_file():
        return -1, ""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - END_BYTES))
        return size, hashlib.sha256(file.read()).hexdigest()

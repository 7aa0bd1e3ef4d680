"""The journal of an evaluation: what has been judged, beside the results to come, so that a long evaluation goes on.

The first line tells by digests what is evaluated with what; then there is a line an utterance, in the order in which
they were judged. Utterances that could not be judged are left out, so they are tried again. The file goes when the
results are written.
"""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from sertool.core.errors import InputError
from sertool.core.evaluation.protocol import Protocol
from sertool.core.evaluation.utterance import Utterance
from sertool.core.writing import cannot_write, hold

FORMAT = "sertool-evaluation-journal-1"

SCORING_ONLY = ("by_kind", "cache")
"""Fields of a protocol that change how outcomes are found or summed up, but no outcome."""


class Journal:
    """What an evaluation has found so far, in memory and in a file.

    Attributes:
        rows: the outcomes of each utterance judged, see `judge_utterance`, by its place in the evaluation.
        writing: whether an earlier process had begun to write results, so that files there are its own.
    """

    def __init__(self, file: IO[bytes], path: Path, inputs: dict[str, str], *, overwrite: bool) -> None:
        self._file, self._path = file, path
        self.rows: dict[int, list[dict[str, Any]]] = {}
        self.writing = False
        header = {"format": FORMAT, "inputs": inputs}
        found, whole_bytes = self._read(header)
        differing = _differing(found, inputs)
        if differing and not overwrite:
            raise InputError(
                f"{_results(path)}: an unfinished evaluation of other inputs is kept beside it ({differing} differ): "
                "finish it with the command it was begun with, choose another output, or add --overwrite"
            )
        # A line cut short goes, so that the next one does not continue it.
        file.truncate(whole_bytes)
        if found != header:
            self._append(header)

    def record(self, place: int, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Note the outcomes of an utterance, and return them as they will be read back.

        So an evaluation that goes on has the same rows as one that was never stopped.

        Raises:
            OutputError: the journal cannot be written, as on a full disk.
        """
        self._append({"utterance": place, "rows": rows})
        self.rows[place] = json.loads(json.dumps(rows))
        return self.rows[place]

    def begin_writing(self) -> None:
        """Note that from now on the results' files are this evaluation's own."""
        if not self.writing:
            self._append({"writing": True})
        self.writing = True

    def _read(self, header: dict[str, Any]) -> tuple[dict[str, Any] | None, int]:
        """Take over what follows the header, up to a line cut short; return the header found, and the bytes taken."""
        self._file.seek(0)
        first, *lines = self._file.read().splitlines(keepends=True) or [b""]
        found = _parsed(first)
        if found != header:
            return found, 0
        whole_bytes = len(first)
        for line in lines:
            entry = _parsed(line)
            if entry is None:
                break
            if "rows" in entry:
                self.rows[entry["utterance"]] = entry["rows"]
            self.writing = self.writing or "writing" in entry
            whole_bytes += len(line)
        return found, whole_bytes

    def _append(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry).encode() + b"\n"
        try:
            # Unbuffered, so a write may take less than it is given.
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            raise cannot_write(self._path, error) from error


@contextlib.contextmanager
def open_journal(path: Path, inputs: dict[str, str], *, overwrite: bool = False) -> Iterator[Journal]:
    """Hold the journal of an evaluation; it is removed when the block ends without an error, or if it holds nothing.

    Args:
        path: the journal, see `journal_beside`.
        inputs: digests of what is evaluated, see `digest_inputs`.
        overwrite: drop what was kept of another evaluation.

    Raises:
        InputError: another process holds it, or it keeps an evaluation of other inputs; the message says what differs.
        OutputError: it cannot be written.
    """
    with hold(path, what=_results(path)) as file:
        journal = Journal(file, path, inputs, overwrite=overwrite)
        done = False
        try:
            yield journal
            done = True
        finally:
            if done or not journal.rows:
                path.unlink(missing_ok=True)


def journal_beside(output: Path) -> Path:
    """Return where the journal of results lies."""
    return output.with_name(f".{output.name}.journal")


def had_begun_writing(path: Path) -> bool:
    """Return whether a process that left this journal had begun to write the results."""
    return path.is_file() and path.read_bytes().endswith(b'{"writing": true}\n')


def digest_inputs(protocol: Protocol, utterances: Sequence[Utterance], provenance: dict[str, Any]) -> dict[str, str]:
    """Return digests, by name, of all that decides the outcomes: how, with what model and versions, and on what.

    Audio counts by its path, size and time of change: reading all of it would take as long as much of the evaluation.
    """
    how = {
        field.name: _told(getattr(protocol, field.name))
        for field in dataclasses.fields(protocol)
        if field.name not in SCORING_ONLY
    }
    files = [
        [
            *(one.file, one.facts, one.is_noisy, _state(one.path), one.clean_path and _state(one.clean_path)),
            one.mixture and [_state(one.mixture.noise_path), one.mixture.offset, one.mixture.noise_gain],
        ]
        for one in utterances
    ]
    told = provenance | {"utterances": files}
    told |= {name: [how[name], told.get(name)] for name in how}
    return {
        name: hashlib.sha256(json.dumps(value, sort_keys=True).encode(errors="surrogateescape")).hexdigest()[:16]
        for name, value in sorted(told.items())
    }


def _results(path: Path) -> str:
    """Return the results a journal belongs to."""
    return str(path.parent / path.name.removeprefix(".").removesuffix(".journal"))


def _differing(found: dict[str, Any] | None, inputs: dict[str, str]) -> str:
    """Return the names of inputs that differ from those of a journal that was found, if it is one."""
    earlier = found.get("inputs") if found and found.get("format") == FORMAT else None
    if not isinstance(earlier, dict):
        return ""
    return ", ".join(name for name in sorted(earlier.keys() | inputs) if earlier.get(name) != inputs.get(name))


def _told(value: Any) -> str:
    for name in ("digest", "digests", "identity"):
        if hasattr(value, name):
            return str(getattr(value, name))
    return repr(value)


def _state(path: Path) -> list[Any]:
    try:
        state = path.stat()
    except OSError:
        return [str(path)]
    return [str(path), state.st_size, state.st_mtime_ns]


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return the entry on a line; None where it was cut short."""
    if not line.endswith(b"\n"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None

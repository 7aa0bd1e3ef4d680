"""Rooms on disk: a folder of simulated impulse responses, one subfolder a room, and a table of what they are."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sertool.core.audio.files import SAMPLE_RATE, read_audio, write_audio
from sertool.core.audio.reverberation_time import reverberation_time
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.room_simulation import PLACES, Room, draw_room, simulate_room, simulator_version
from sertool.core.engine import map_tasks
from sertool.core.errors import InputError
from sertool.core.writing import cannot_write, is_leftover, sole_process, write_text

MADE_BY = "sertool rooms"
VERSION = 1
"""Raised when the same inputs would no longer give the same rooms."""

PLAN_NAME, TABLE_NAME = "rooms.json", "metadata.csv"


@dataclass(frozen=True)
class RoomRequest:
    """Which rooms to simulate.

    Attributes:
        count: rooms.
        rt60_s: least and greatest reverberation time, in seconds.
        seed: of every draw.
    """

    count: int = 100
    rt60_s: tuple[float, float] = (0.2, 0.8)
    seed: int = 0

    def inputs(self) -> dict[str, Any]:
        """Return what decides the rooms."""
        low, high = self.rt60_s
        return {
            "count": self.count,
            "rt60": f"{low:g}:{high:g}",
            "seed": self.seed,
            "pyroomacoustics": simulator_version(),
            "version": VERSION,
        }

    def room(self, index: int) -> Room:
        """Return one of the rooms."""
        return draw_room(index, seed=self.seed, rt60_s=self.rt60_s)


@dataclass(frozen=True)
class RoomPlan:
    """A folder of rooms, opened for making what it lacks.

    Attributes:
        folder: where everything is written.
        request: what was asked for.
        pending: indices of the rooms that are still to be made.
    """

    folder: Path
    request: RoomRequest
    pending: tuple[int, ...]

    @property
    def table_path(self) -> Path:
        """Where the table of the rooms is written when all else is done."""
        return self.folder / TABLE_NAME

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return not self.pending and self.table_path.is_file()


def open_rooms(request: RoomRequest, folder: Path | str, *, overwrite: bool = False) -> RoomPlan:
    """Open a folder for the rooms asked for: a new one, or one begun with the same inputs.

    Args:
        request: what to make.
        folder: where; new, empty, or left by an earlier run.
        overwrite: start anew where an earlier run had other inputs or was finished; only its own files are deleted.

    Raises:
        InputError: the folder holds other files or other rooms, the range cannot be simulated, or pyroomacoustics is
            not installed.
        OutputError: the folder cannot be written to.
    """
    folder = Path(os.path.abspath(folder))
    request.room(0)
    inputs = request.inputs()
    earlier = _read_earlier(folder)
    if earlier is not None and overwrite:
        _delete(folder, earlier["count"])
        earlier = None
    if earlier is not None and earlier != inputs:
        differing = [name for name in inputs if earlier.get(name) != inputs[name]]
        told = ", ".join(f"{name} {earlier.get(name)}, now {inputs[name]}" for name in differing)
        raise InputError(
            f"{folder}: holds rooms of other inputs ({told}); expected the same ones to go on: choose another folder, "
            "or start anew with --overwrite"
        )
    if earlier is None:
        write_text(folder / PLAN_NAME, json.dumps({"made_by": MADE_BY, "inputs": inputs}, indent=1) + "\n")
    return RoomPlan(folder, request, _pending(folder, request))


def make_rooms(plan: RoomPlan, *, workers: int = 1, on_done: Callable[[], None] | None = None) -> Path:
    """Simulate the rooms a folder still lacks, each there whole or not at all, then write its `metadata.csv`.

    The same samples whatever the number of workers and however often the making was interrupted.

    Args:
        plan: from `open_rooms`.
        workers: processes.
        on_done: called whenever a room is done.

    Returns:
        Path of the table, one row a response: `file_name`, `room`, `place`, the room's size, the reverberation time
        asked for and the one measured (T20), the distance to the microphone, and all positions, in metres.

    Raises:
        SertoolError: a room cannot be simulated or written, or another process makes rooms there.
    """
    with sole_process(plan.folder):
        for partial in plan.folder.glob(".room-*.partial-*"):
            shutil.rmtree(partial)  # of a run that was killed
        # Asked again: another process may have made some since the plan was opened.
        pending = _pending(plan.folder, plan.request)
        outcomes = map_tasks(
            _make_room,
            pending,
            workers=min(workers, max(1, len(pending))),
            describe=_name,
            on_done=None if on_done is None else lambda _: on_done(),
            setup=_Site,
            setup_args=(plan.folder, plan.request),
        )
        with contextlib.closing(outcomes):
            for outcome in outcomes:
                if outcome.error is not None:
                    raise outcome.error
        if pending or not plan.table_path.is_file():
            rows = [row for index in range(plan.request.count) for row in _rows(plan, index)]
            Manifest.from_table(pd.DataFrame(rows), plan.folder).write(plan.table_path)
    return plan.table_path


@dataclass(frozen=True)
class _Site:
    """What a process needs to make rooms."""

    folder: Path
    request: RoomRequest


def _make_room(index: int, site: _Site) -> None:
    """Simulate a room into a hidden folder, and give it its name when all of it is there.

    Raises:
        OutputError: it cannot be written.
    """
    responses = simulate_room(site.request.room(index))
    partial = site.folder / f".{_name(index)}.partial-{os.getpid()}"
    try:
        partial.mkdir(parents=True)
        for place, file in zip(PLACES, _files(partial), strict=True):
            write_audio(file, responses[place], SAMPLE_RATE)
        room = site.folder / _name(index)
        if not room.exists():
            partial.rename(room)
            return
        # It holds files that are not ours, or lacks one of its own.
        for part, whole in zip(_files(partial), _files(room), strict=True):
            part.replace(whole)
    except OSError as error:
        raise cannot_write(site.folder / _name(index), error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _rows(plan: RoomPlan, index: int) -> list[dict[str, Any]]:
    """Return what the table says of a room; the reverberation time is measured on the files as they are."""
    room = plan.request.room(index)
    rows = []
    for place in PLACES:
        file_name = f"{_name(index)}/{place}.wav"
        row = {"file_name": file_name, "room": _name(index), "place": place}
        row |= dict(zip(("length_m", "width_m", "height_m"), room.size_m, strict=True))
        row["rt60_asked_s"] = room.rt60_s
        row["rt60_measured_s"] = reverberation_time(read_audio(plan.folder / file_name), SAMPLE_RATE)
        row["distance_m"] = room.distance_m(place)
        for thing, point in (("source", room.sources_m[place]), ("microphone", room.microphone_m)):
            row |= {f"{thing}_{axis}_m": value for axis, value in zip("xyz", point, strict=True)}
        rows.append({name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()})
    return rows


def _name(index: int) -> str:
    return f"room-{index:03d}"


def _pending(folder: Path, request: RoomRequest) -> tuple[int, ...]:
    """Return the rooms of which not every response is there."""
    return tuple(
        index for index in range(request.count) if not all(file.is_file() for file in _files(folder / _name(index)))
    )


def _files(room: Path) -> list[Path]:
    return [room / f"{place}.wav" for place in PLACES]


def _read_earlier(folder: Path) -> dict[str, Any] | None:
    """Return the inputs of an earlier run, or None where the folder is new or empty."""
    path = folder / PLAN_NAME
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder to write rooms to: name another")
    if not path.is_file():
        if folder.is_dir() and not all(is_leftover(entry) for entry in folder.iterdir()):
            raise InputError(
                f"{folder}: holds files that {MADE_BY} did not make; expected a new or empty folder: choose another"
            )
        return None
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        if plan["made_by"] != MADE_BY or type(plan["inputs"]["count"]) is not int:
            raise ValueError("made by something else")
        if not 0 <= plan["inputs"]["count"] <= 1_000_000:
            raise ValueError("it tells of more rooms than anybody makes")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: is not a plan of {MADE_BY} ({error}); expected one: choose another folder"
        ) from error
    return plan["inputs"]


def _delete(folder: Path, count: int) -> None:
    """Delete what an earlier run made, and the folders left empty by it; the plan itself last."""
    (folder / TABLE_NAME).unlink(missing_ok=True)
    for index in range(count):
        room = folder / _name(index)
        for file in _files(room):
            file.unlink(missing_ok=True)
        if room.is_dir() and not any(room.iterdir()):
            room.rmdir()
    (folder / PLAN_NAME).unlink(missing_ok=True)

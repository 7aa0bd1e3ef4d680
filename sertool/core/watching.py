"""A folder that is watched: every audio file that appears in it, once it is complete."""

import time
from collections.abc import Iterator
from pathlib import Path

from sertool.core.audio.files import find_audio
from sertool.core.errors import InputError

POLL_S = 0.5
"""Seconds from one look at the folder to the next (ours)."""

SETTLED_S = 2.0
"""Seconds for which size and time of a file must stay the same before it counts as complete (ours): programs that
record write about once a second."""

REST = 9.0
"""How many times as long as a look takes the next one waits at least, so that a folder of very many files does not keep
the processor busy."""

State = tuple[int, int]
"""A file's size in bytes and the time of its last change in ns."""


def arrivals(folder: Path | str, *, settled_s: float = SETTLED_S, poll_s: float = POLL_S) -> Iterator[Path]:
    """Yield every audio file that appears in a folder or beneath it once it is complete, without end.

    Complete is a file that holds something and has not changed for a while. Files that are there at the start are left
    alone; one that changes later is as good as new, so a file that was taken for complete too early comes once more.

    Args:
        folder: looked through by suffix; hidden files are passed over.
        settled_s: seconds for which a file must not change.
        poll_s: seconds between two looks.

    Raises:
        InputError: there is no such folder, or none any more.
    """
    folder = Path(folder)
    known = _states(folder)
    waiting: dict[Path, tuple[State, float]] = {}
    while True:
        begun = time.monotonic()
        found = _states(folder)
        known = {path: state for path, state in known.items() if path in found}
        waiting = {
            path: waiting[path] if path in waiting and waiting[path][0] == state else (state, begun)
            for path, state in found.items()
            if known.get(path) != state and state[0]
        }
        took = time.monotonic() - begun
        complete = [path for path, (_, since) in waiting.items() if begun - since >= settled_s]
        for path in complete:
            known[path] = waiting.pop(path)[0]
            yield path
        if not complete:
            time.sleep(max(poll_s, REST * took))


def expect_folder(folder: Path) -> None:
    """Raise InputError where there is no folder to watch."""
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "no such folder"
        raise InputError(f"{folder}: {found}; expected a folder to watch: check the spelling, or make it first")


def _states(folder: Path) -> dict[Path, State]:
    expect_folder(folder)
    states = {}
    for path in find_audio(folder):
        try:
            state = path.stat()
        except OSError:  # gone since the folder was listed: as if it had never been there
            continue
        states[path] = (state.st_size, state.st_mtime_ns)
    return states

"""Files written whole or not at all, and one process at a time where two would spoil each other's work.

A file is written under a temporary name beside its place and renamed when it is whole. So a process may be killed, or
the disk fill up, at any moment: no half-written file has a final name, and what was there before still is. Files that
are few and dear (a run's state, a manifest, results) are also brought to the disk before they are renamed, which makes
the same true of a power cut. Files made by the thousand (mixtures, copies) are not: each would wait for the disk.
"""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from sertool.core.errors import InputError, OutputError

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two processes apart there
    fcntl = None

LOCK_NAME = ".lock"
"""The file in a folder that its one process holds; gone when the work is done."""

_PARTIAL = re.compile(r"\..*\.partial-(\d+)(\.\w+)?")

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def whole_file(path: Path | str, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary name to write to, and rename it to the final one when the block ends without an error.

    Args:
        path: the final name; missing folders are made.
        durable: bring the content to the disk first. Without, a power cut may leave an empty file behind the name.

    Raises:
        OutputError: the file cannot be written; nothing of it stays, and a file that was there before is untouched.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.partial-{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if durable:
            _bring_to_disk(partial)
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        # What cannot be written to may not be looked into either; the error on its way says so.
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write a text file (UTF-8) whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def append_line(path: Path, line: str) -> None:
    """Append a line to a file of lines; cut short, it lacks its line break, and whoever reads the file leaves it out.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with open(path, "ab") as file:
            file.write(line.encode("utf-8") + b"\n")
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path | str, error: OSError) -> OutputError:
    """Return the error that says why a file cannot be written, and what to do."""
    if error.errno in _NO_ROOM:
        remedy = "make room there, then run the same command again"
    else:
        remedy = "check the folder and its rights"
    return OutputError(f"{path}: cannot be written ({error.strerror or error}): {remedy}")


def is_leftover(path: Path) -> bool:
    """Return whether a file is what a killed process left of a file it was writing, or of its hold on a folder."""
    return path.name == LOCK_NAME or _PARTIAL.fullmatch(path.name) is not None


def remove_leftovers(folder: Path, *, held: bool = False) -> None:
    """Remove the half-written files that killed processes left in a folder.

    Args:
        folder: looked through, but not the folders beneath it; may be missing.
        held: nobody else writes there now, see `sole_process`. Otherwise only files of processes that are no more go.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _PARTIAL.fullmatch(path.name)
        if match and (held or not _is_alive(int(match[1]))) and path.is_file():
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def sole_process(folder: Path | str) -> Iterator[None]:
    """Be the only process that works in a folder; the system lets go of it when the process ends, however it does.

    Raises:
        InputError: another process works there.
        OutputError: the folder cannot be written to.
    """
    folder = Path(folder)
    existed = folder.is_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        with hold(folder / LOCK_NAME, what=str(folder)):
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    (folder / LOCK_NAME).unlink()
    finally:
        if not existed:
            with contextlib.suppress(OSError):
                folder.rmdir()  # which fails where something has been written


@contextlib.contextmanager
def hold(path: Path, *, what: str) -> Iterator[IO[bytes]]:
    """Open a file, made where it is missing, that no other process holds, for reading and appending, unbuffered.

    Args:
        path: the file. Another handle on it, closed in this process, would end the hold.
        what: what messages call that which is held.

    Raises:
        InputError: another process holds it.
        OutputError: it cannot be opened.
    """
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "a+b", buffering=0)  # noqa: SIM115 (closed below)
        except OSError as error:
            raise cannot_write(path, error) from error
        with file:
            _lock(file, what)
            # Its holder may have ended, and removed it, after it was opened here.
            if _is_same(file, path):
                yield file
                return


def _lock(file: IO[bytes], what: str) -> None:
    if fcntl is None:
        return
    try:
        # Not flock: a forked reader of training data would inherit that, and keep it when its parent is killed.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some network file systems have no locks; to work there all the same is better than not at all.
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise InputError(
                f"{what}: another process is at work there; expected to be the only one: wait for its end, or choose "
                "another place"
            ) from error


def _is_same(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _bring_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_alive(process_id: int) -> bool:
    if os.name == "nt":
        return True  # there, asking would end it
    if process_id == os.getpid():
        return False  # a number used again: this process is not writing now
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

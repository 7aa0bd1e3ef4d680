"""Audio a command is given: files, folders, a list of files, or audio on stdin."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sertool.core.errors import InputError

STDIN = "-"


@dataclass(frozen=True)
class Input:
    """One audio file to work on.

    Attributes:
        path: where its bytes lie.
        name: what the user calls it: the path, or `stdin`.
        folder: the folder it was found in; None where it was named itself.
    """

    path: Path
    name: str
    folder: Path | None = None

    @property
    def below(self) -> Path:
        """Its path beneath the folder it was found in; its file name where it was named itself."""
        return Path(self.path.name) if self.folder is None else self.path.relative_to(self.folder)

    def rename(self, message: str) -> str:
        """Return a message with the user's name for this file in place of its path."""
        return message.replace(str(self.path), self.name)


@contextlib.contextmanager
def gather(arguments: Sequence[str], list_file: str | None = None, *, skip_suffix: str = "") -> Iterator[list[Input]]:
    """Find the audio files meant by the arguments of a command, in order; audio on stdin is kept until the end.

    Args:
        arguments: files, folders (searched all the way down, by suffix), or `-` for audio on stdin.
        list_file: a text file with one file or folder a line, or `-` for such a list on stdin.
        skip_suffix: files found in folders are left out where their stem ends so: a command's own earlier outputs.

    Raises:
        InputError: there are no arguments, a folder holds no audio, or stdin is empty or wanted twice.
    """
    if [*arguments, list_file].count(STDIN) > 1:
        raise InputError("stdin is wanted twice; expected one - at most: put the audio or the list in a file")
    named = [*arguments, *(_read_list(list_file) if list_file else [])]
    if not named:
        raise InputError(
            "no input was named; expected audio files, folders, or - for audio on stdin: name at least one"
        )
    with contextlib.ExitStack() as stack:
        inputs: list[Input] = []
        for name in named:
            if name == STDIN:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sertool-")))
                inputs.append(Input(path=_spool(folder / "stdin"), name="stdin"))
            elif Path(name).is_dir():
                inputs += _search(Path(name), skip_suffix)
            else:
                inputs.append(Input(path=Path(name), name=name))
        if len(inputs) == 1 and not inputs[0].path.exists():
            # Of several, the others are worked on first; a single one ends the call before a model is loaded.
            raise InputError(f"{inputs[0].name}: no such file; expected audio: check the spelling and the folder")
        yield inputs


def _search(folder: Path, skip_suffix: str) -> list[Input]:
    from sertool.core.audio.files import SUFFIXES, find_audio

    found = [path for path in find_audio(folder) if not (skip_suffix and path.stem.endswith(skip_suffix))]
    if not found:
        raise InputError(
            f"{folder}: holds no audio; expected files ending in {', '.join(sorted(SUFFIXES))}: name another folder"
        )
    return [Input(path=path, name=str(path), folder=folder) for path in found]


def _read_list(list_file: str) -> list[str]:
    name = "stdin" if list_file == STDIN else list_file
    try:
        data = sys.stdin.buffer.read() if list_file == STDIN else Path(list_file).read_bytes()
    except FileNotFoundError as error:
        raise InputError(
            f"{name}: no such file; expected a list of audio files, one a line: check the spelling"
        ) from error
    if b"\0" in data:
        raise InputError(
            f"{name}: is not text; expected a list of audio files, one a line (audio itself on stdin is named -)"
        )
    lines = [line for line in os.fsdecode(data).splitlines() if line.strip()]
    if not lines:
        raise InputError(f"{name}: is empty; expected a list of audio files, one a line")
    if STDIN in lines:
        raise InputError(f"{name}: lists -; expected files and folders: name - on the command line")
    return lines


def _spool(path: Path) -> Path:
    """Copy stdin to a file: audio formats need seeking, which a pipe cannot."""
    if sys.stdin.isatty():
        raise InputError("stdin is a terminal; expected audio: pipe some in (cat noisy.wav | sertool …) or name a file")
    with open(path, "wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    if path.stat().st_size == 0:
        raise InputError("stdin is empty; expected audio: see whether the program before the pipe failed")
    return path

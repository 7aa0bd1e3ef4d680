"""`sertool enhance --watch`: every audio file that appears in a folder is enhanced as it comes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sertool.cli import console
from sertool.cli.inputs import STDIN, Input
from sertool.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sertool.cli.enhance import Job

IF_INTERRUPTED = "what is written is whole; the same command goes on with files that come after its start"


def watch(
    folder: Path,
    *,
    plan: "Callable[[Input], Job]",
    work: "Callable[[Job], dict[str, Any]]",
    is_own: "Callable[[Path], bool]",
    overwrite: bool,
    as_json: bool,
) -> None:
    """Enhance every audio file that appears in a folder, until Ctrl-C; a file that cannot be enhanced costs one line.

    Args:
        folder: to watch.
        plan: says where an input's output goes.
        work: enhances, and returns what was done, `output` among it.
        is_own: whether a file's name is that of an output.
        overwrite: replace outputs that exist. One that was written since the start is replaced anyway where its own
            input came again, and never by another input. What has come is never replaced.
        as_json: print what was done as JSON; else the output's path.

    Raises:
        InputError: the folder is gone.
        OutputError: an output cannot be written: none of those to come could.
    """
    from sertool.core.watching import arrivals

    console.if_interrupted(IF_INTERRUPTED)
    console.note(f"watching {folder}: audio that appears there is enhanced; Ctrl-C ends it")
    came: set[Path] = set()
    made_of: dict[Path, Path] = {}  # the input of each output
    for path in arrivals(folder):
        if is_own(path) or path.resolve() in made_of:
            continue
        came.add(path.resolve())
        job = plan(Input(path=path, name=str(path), folder=folder))
        target = job.target.resolve()
        try:
            if target in came:
                raise InputError(f"{path}: its output {job.target} is an input itself: name another folder with -o")
            if made_of.get(target, path) != path:
                raise InputError(f"{path}: its output {job.target} is that of {made_of[target]}: rename one of the two")
            if job.target.exists() and target not in made_of and not overwrite:
                raise InputError(f"{path}: its output {job.target} exists already: move that, or say --overwrite")
            record = work(job)
        except InputError as error:
            console.note(f"failed: {error}")
            continue
        made_of[target] = path
        console.json_line(record) if as_json else console.result(record["output"])


def expect_place(folder: Path, output: str | None) -> None:
    """Raise InputError where there is no folder to watch, or outputs would go nowhere, to one file, or over inputs."""
    from sertool.core.watching import expect_folder

    expect_folder(folder)
    if output is None:
        return
    if output == STDIN:
        raise InputError("many files cannot go to stdout; expected a folder for what comes: name one with -o")
    if Path(output).is_file() or (Path(output).suffix.lower() in (".wav", ".flac") and not Path(output).is_dir()):
        raise InputError(f"{output}: is one file; expected a folder for what comes: name one with -o")
    if Path(output).resolve() == folder.resolve():
        raise InputError(
            f"{output}: is the folder that is watched, so outputs would replace inputs; expected another: leave -o out "
            "for outputs beside their inputs, or name another folder"
        )

"""`sertool enhance`: noisy files in, enhanced files out."""

import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sertool.cli import console
from sertool.cli.inputs import STDIN, Input, gather
from sertool.core.errors import InputError

if TYPE_CHECKING:
    from sertool.core.models.inference import Recognizer

MARK = ".enhanced"
"""What an output's name has before its suffix when it is written beside its input."""


@dataclass(frozen=True)
class Job:
    """One file to enhance: what is read, and where the result goes."""

    source: Input
    target: Path
    dry: float


def enhance(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="IN", help="Audio files, folders, or - for audio on stdin.", show_default=False),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            show_default=False,
            help="A file (.wav, .flac), a folder, or - (WAV on stdout). Default: noisy.enhanced.wav beside noisy.wav.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="RUN", show_default=False, help="A run. Default: the newest finished run at hand."),
    ] = None,
    list_file: Annotated[
        str | None,
        typer.Option(
            "--list", metavar="FILE", show_default=False, help="Also the files listed here, one a line; - is stdin."
        ),
    ] = None,
    dry: Annotated[
        float, typer.Option(metavar="SHARE", min=0.0, max=1.0, help="0 to 1: share of the original to mix back in.")
    ] = 0.0,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Processes to work in, for many files.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One line of JSON a file instead of its path.")] = False,
) -> None:
    """Take the noise out of speech; rate, channels, length and level stay.

    The model hears 16 kHz audio, so nothing above 8 kHz comes back. Prints the path of each file written.
    """
    with gather(inputs or [], list_file, skip_suffix=MARK) as sources:
        if output == STDIN or (output is None and any(source.name == "stdin" for source in sources)):
            _to_stdout(sources, model=model, device=device, dry=dry, as_json=json)
            return
        jobs = _plan(sources, output, dry=dry, overwrite=overwrite)
        _work(jobs, model=model, device=device, workers=workers, as_json=json)


def _plan(sources: list[Input], output: str | None, *, dry: float, overwrite: bool) -> list[Job]:
    """Pair each input with its output, and refuse what would lose a file before anything is read."""
    several = len(sources) > 1 or any(source.folder for source in sources)
    into_folder = output is not None and (several or output.endswith("/") or Path(output).is_dir())
    if into_folder and Path(output).is_file():
        raise InputError(f"{output}: is a file; expected a folder for the outputs of several inputs: name one with -o")
    jobs = []
    for source in sources:
        suffix = ".flac" if source.below.suffix.lower() == ".flac" else ".wav"
        if output is None:
            target = source.path.with_name(source.path.stem + MARK + suffix)
        elif into_folder:
            target = (Path(output) / source.below).with_suffix(suffix)
        else:
            target = Path(output)
        jobs.append(Job(source=source, target=target, dry=dry))
    _refuse_losses(jobs, overwrite=overwrite)
    return jobs


def _refuse_losses(jobs: list[Job], *, overwrite: bool) -> None:
    counts = Counter(job.target.resolve() for job in jobs)
    sources = {job.source.path.resolve() for job in jobs}
    for job in jobs:
        target = job.target
        if target.suffix.lower() not in (".wav", ".flac"):
            raise InputError(
                f"{target}: cannot tell the format; expected a name in .wav or .flac, or a folder (end it with /)"
            )
        if counts[target.resolve()] > 1:
            names = [other.source.name for other in jobs if other.target.resolve() == target.resolve()]
            raise InputError(f"{names[0]} and {names[1]} would both be written to {target}: enhance them in two calls")
        if target.resolve() in sources:
            raise InputError(
                f"{target}: is an input itself; expected another place for its output: choose another with -o"
            )
        if target.exists() and not overwrite:
            raise InputError(f"{target}: exists already: move it, choose another place with -o, or say --overwrite")


def _work(jobs: list[Job], *, model: str | None, device: str, workers: int, as_json: bool) -> None:
    from sertool.core.engine import map_tasks
    from sertool.core.models.inference import find_run, load

    setup_args = (str(model or find_run(enhances=True)), device)
    failures = []
    with console.progress(len(jobs), "enhancing") as advance:
        for outcome in map_tasks(enhance_file, jobs, workers=workers, setup=load, setup_args=setup_args):
            advance()
            if outcome.error is None:
                console.json_line(outcome.value) if as_json else console.result(outcome.value["output"])
            elif len(jobs) == 1:
                raise outcome.error
            else:
                failures.append(str(outcome.error))
    if failures:
        console.list_failures(failures, total=len(jobs))
        raise typer.Exit(console.SOME_FAILED)


def _to_stdout(sources: list[Input], *, model: str | None, device: str, dry: float, as_json: bool) -> None:
    """Enhance one file and write it to stdout as WAV, by way of a temporary file: a WAV's header needs seeking."""
    if len(sources) > 1:
        raise InputError(f"{len(sources)} inputs cannot all go to stdout; expected one: name a folder with -o")
    if as_json:
        raise InputError("--json and audio on stdout exclude each other: name a file with -o, or leave --json out")
    if sys.stdout.isatty():
        raise InputError("stdout is a terminal; expected a file or a pipe for the audio: name a file with -o")
    from sertool.core.models.inference import find_run, load

    with tempfile.TemporaryDirectory(prefix="sertool-") as folder:
        job = Job(source=sources[0], target=Path(folder) / "enhanced.wav", dry=dry)
        enhance_file(job, load(model or find_run(enhances=True), device))
        with open(job.target, "rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def enhance_file(job: Job, recognizer: "Recognizer") -> dict[str, Any]:
    """Enhance one file and write the result; return what was done, as one line of JSON tells it.

    Raises:
        AudioError: the file cannot be used as audio; the message calls it what the user does.
    """
    from sertool.core.audio.files import read_audio_native, write_audio
    from sertool.core.errors import AudioError

    try:
        samples, rate = read_audio_native(job.source.path)
    except AudioError as error:
        raise AudioError(job.source.rename(str(error))) from error
    enhanced = recognizer.enhance(samples, rate, dry=job.dry)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    write_audio(job.target, enhanced, rate)
    return {
        "file": job.source.name,
        "output": str(job.target),
        "rate": rate,
        "channels": samples.shape[1],
        "duration_s": round(len(samples) / rate, 6),
        "model": recognizer.model_id,
    }

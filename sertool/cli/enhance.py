"""`sertool enhance`: noisy files in, enhanced files out; or what a folder or a microphone brings, as it comes."""

import contextlib
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sertool.cli import console
from sertool.cli.inputs import STDIN, Input, gather
from sertool.cli.options import Device, Inputs, ListFile, Model, Overwrite
from sertool.cli.outputs import refuse_losses
from sertool.cli.processes import AutoWorkers, workers_for
from sertool.core.errors import InputError, OutputError
from sertool.core.models.upper_band import UpperBand

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
    upper_band: UpperBand


def enhance(
    inputs: Inputs = None,
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
    model: Model = None,
    list_file: ListFile = None,
    dry: Annotated[
        float, typer.Option(metavar="SHARE", min=0.0, max=1.0, help="0 to 1: share of the original to mix back in.")
    ] = 0.0,
    upper_band: Annotated[
        UpperBand,
        typer.Option(
            metavar="drop|follow",
            help="Above 8 kHz: drop for nothing; follow for the original, turned down as the mask does 4 to 8 kHz.",
        ),
    ] = UpperBand.DROP,
    device: Device = "auto",
    workers: AutoWorkers = None,
    overwrite: Overwrite = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out inputs whose output is there: go on with many files.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One line of JSON a file instead of its path.")] = False,
    watch: Annotated[
        Path | None,
        typer.Option("--watch", metavar="FOLDER", help="Enhance every audio file that appears there, until Ctrl-C."),
    ] = None,
    microphone: Annotated[
        bool, typer.Option("--microphone", help="Hear the microphone enhanced as you speak, until Ctrl-C.")
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(
            metavar="N", min=0.1, max=86_400.0, show_default=False, help="With --microphone: end after so many seconds."
        ),
    ] = None,
) -> None:
    """Take the noise out of speech; rate, channels, length and level stay.

    Files may be hours long: memory stays the same, and the result is that of one pass over the whole. A WAV beyond
    4 GiB is written as RF64, its 64-bit form.

    The model hears 16 kHz audio. Above 8 kHz nothing is added: with --upper-band drop nothing comes back, with follow
    the original, times the gain the mask gives 4 to 8 kHz at that moment, never more than 1.

    With --watch the outputs lie in OUT or beside their inputs; files that are there at the start are left alone. With
    --microphone the model must be causal; put headphones on, or it hears itself. -o FILE keeps what was heard.

    Prints the path of each file written.
    """
    if watch is not None or microphone or seconds is not None:
        _expect_live(watch, microphone, seconds, [*(inputs or []), *([list_file] if list_file else [])])
        if (workers or 1) > 1 or skip_existing:
            what = "--skip-existing" if skip_existing else "--workers"
            raise InputError(f"{what} is for files that are there already; expected none of it live: leave it out")
    if watch is not None:
        _watch(watch, output, model=model, device=device, how=(dry, upper_band), overwrite=overwrite, as_json=json)
        return
    if microphone:
        from sertool.cli.microphone import listen

        if dry or upper_band is not UpperBand.DROP or json:
            raise InputError("--dry, --upper-band and --json are for files; expected none of them live: leave them out")
        listen(output, model=model, device=device, seconds=seconds, overwrite=overwrite)
        return
    with gather(inputs or [], list_file, skip_suffix=MARK) as sources:
        if output == STDIN or (output is None and STDIN in (inputs or [])):
            _to_stdout(sources, model=model, device=device, how=(dry, upper_band), as_json=json)
            return
        if overwrite and skip_existing:
            raise InputError("--overwrite and --skip-existing exclude each other: leave one out")
        sources = _without_outputs(sources, output)
        jobs = _plan(sources, output, how=(dry, upper_band), overwrite=overwrite or skip_existing)
        if skip_existing:
            missing = [job for job in jobs if not job.target.exists()]
            console.note(f"{len(jobs) - len(missing)} of {len(jobs)} outputs are there already")
            jobs = missing
        if len(jobs) > 1:
            console.if_interrupted("what is written is whole; run it again with --skip-existing to go on")
        _work(jobs, model=model, device=device, workers=workers, as_json=json)


def _without_outputs(sources: list[Input], output: str | None) -> list[Input]:
    """Leave out earlier outputs: what lies in the folder of outputs where that is beneath a folder of inputs."""
    if output is None:
        return sources
    place = Path(output).resolve()
    around = {folder for folder in {source.folder for source in sources} if _is_beneath(place, folder)}
    left = [
        source for source in sources if source.folder not in around or not source.path.resolve().is_relative_to(place)
    ]
    if sources and not left:
        raise InputError(f"{sources[0].folder}: holds no audio but the outputs in {output}; expected some: add inputs")
    return left


def _is_beneath(place: Path, folder: Path | None) -> bool:
    return folder is not None and folder.resolve() in place.parents


def _plan(sources: list[Input], output: str | None, *, how: tuple[float, UpperBand], overwrite: bool) -> list[Job]:
    """Pair each input with its output, and refuse what would lose a file before anything is read."""
    several = len(sources) > 1 or any(source.folder for source in sources)
    into_folder = output is not None and (several or output.endswith("/") or Path(output).is_dir())
    if into_folder and Path(output).is_file():
        raise InputError(f"{output}: is a file; expected a folder for the outputs of several inputs: name one with -o")
    one_file = output is not None and not into_folder
    jobs = [Job(source, Path(output) if one_file else _target_of(source, output), *how) for source in sources]
    for job in jobs:
        if job.target.suffix.lower() not in (".wav", ".flac"):
            raise InputError(
                f"{job.target}: cannot tell the format; expected a name in .wav or .flac, or a folder (end it with /)"
            )
    ways_out = "--overwrite or --skip-existing"
    refuse_losses([job.target for job in jobs], overwrite=overwrite, inputs=sources, ways_out=ways_out)
    return jobs


def _target_of(source: Input, folder: str | None) -> Path:
    """Return where an input's output goes: into a folder of outputs, or beside the input."""
    suffix = ".flac" if source.below.suffix.lower() == ".flac" else ".wav"
    if folder is None:
        return source.path.with_name(source.path.stem + MARK + suffix)
    return (Path(folder) / source.below).with_suffix(suffix)


def _expect_live(watch: Path | None, microphone: bool, seconds: float | None, inputs: list[str]) -> None:
    """Raise InputError where what is enhanced as it comes is named together with anything else."""
    if seconds is not None and not microphone:
        raise InputError("--seconds without --microphone; expected both: add --microphone")
    if watch is not None and microphone:
        raise InputError("--watch and --microphone exclude each other: enhance with one of them at a time")
    if inputs:
        live = "--microphone" if microphone else "--watch"
        raise InputError(
            f"{inputs[0]} beside {live}; expected no other input: enhance the files in a call of their own"
        )


def _watch(
    folder: Path,
    output: str | None,
    *,
    model: str | None,
    device: str,
    how: tuple[float, UpperBand],
    overwrite: bool,
    as_json: bool,
) -> None:
    from sertool.cli.watch import expect_place, watch

    expect_place(folder, output)
    from sertool.core.models.inference import load
    from sertool.core.models.locate import find_model

    recognizer = load(model or find_model(enhances=True), device)
    if not recognizer.model.config.enhances:
        raise InputError(
            f"{recognizer.folder}: this model was not trained to enhance speech: name a run that was, with --model"
        )
    watch(
        folder,
        plan=lambda source: Job(source, _target_of(source, output), *how),
        work=lambda job: enhance_file(job, recognizer),
        is_own=lambda path: path.stem.endswith(MARK),
        overwrite=overwrite,
        as_json=as_json,
    )


def _work(jobs: list[Job], *, model: str | None, device: str, workers: int | None, as_json: bool) -> None:
    from sertool.core.engine import map_tasks
    from sertool.core.models.locate import find_model

    setup_args = (str(model or find_model(enhances=True)), device)
    failures = []
    workers = workers_for([job.source for job in jobs], workers, device)
    outcomes = map_tasks(enhance_file, jobs, workers=workers, setup=load_model, setup_args=setup_args)
    with contextlib.closing(outcomes), console.progress(len(jobs), "enhancing") as advance:
        for outcome in outcomes:
            advance()
            if outcome.error is None:
                console.json_line(outcome.value) if as_json else console.result(outcome.value["output"])
            elif len(jobs) == 1 or isinstance(outcome.error, OutputError):
                raise outcome.error  # a full disk fails every file that is still to come
            else:
                failures.append(str(outcome.error))
    if failures:
        console.list_failures(failures, total=len(jobs))
        raise typer.Exit(console.SOME_FAILED)


def _to_stdout(
    sources: list[Input], *, model: str | None, device: str, how: tuple[float, UpperBand], as_json: bool
) -> None:
    """Enhance one file and write it to stdout as WAV, by way of a temporary file: a WAV's header needs seeking."""
    if len(sources) > 1:
        raise InputError(f"{len(sources)} inputs cannot all go to stdout; expected one: name a folder with -o")
    if as_json:
        raise InputError("--json and audio on stdout exclude each other: name a file with -o, or leave --json out")
    if sys.stdout.isatty():
        raise InputError("stdout is a terminal; expected a file or a pipe for the audio: name a file with -o")
    from sertool.core.models.inference import load
    from sertool.core.models.locate import find_model

    with tempfile.TemporaryDirectory(prefix="sertool-") as folder:
        job = Job(sources[0], Path(folder) / "enhanced.wav", *how)
        enhance_file(job, load(model or find_model(enhances=True), device))
        with open(job.target, "rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def load_model(model: str, device: str) -> "Recognizer":
    """Return a model: what each process does first, torch being imported there alone where there are several."""
    from sertool.core.models.inference import load

    return load(model, device)


def enhance_file(job: Job, recognizer: "Recognizer") -> dict[str, Any]:
    """Enhance one file and write the result; return what was done, as one line of JSON tells it.

    Raises:
        AudioError: the file cannot be used as audio; the message calls it what the user does.
    """
    from sertool.core.errors import AudioError

    try:
        info = recognizer.enhance_file(job.source.path, job.target, dry=job.dry, upper_band=job.upper_band)
    except AudioError as error:
        raise AudioError(job.source.rename(str(error))) from error
    return {
        "file": job.source.name,
        "output": str(job.target),
        "rate": info.rate,
        "channels": info.channels,
        "duration_s": round(info.duration_s, 6),
        "upper_band": str(job.upper_band),
        "model": recognizer.model_id,
    }

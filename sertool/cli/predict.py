"""`sertool predict`: which emotion is heard in each file, or in each window of it."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sertool.cli import console
from sertool.cli.inputs import STDIN, Input, gather
from sertool.cli.options import Device, Inputs, ListFile, Model, Overwrite
from sertool.cli.outputs import refuse_losses
from sertool.cli.prediction_lines import Format, Record, header_lines, prediction_lines, print_table, record_of
from sertool.cli.processes import AutoWorkers, workers_for
from sertool.core.errors import AudioError, InputError
from sertool.core.writing import whole_file

if TYPE_CHECKING:
    from sertool.core.models.config import SharedConfig
    from sertool.core.models.recognizer import Recognizer, TimedPrediction

SUFFIXES = {".jsonl": Format.JSON, ".json": Format.JSON, ".csv": Format.CSV, ".txt": Format.AUDACITY}
"""Which format an output's suffix stands for; the first of a format is its suffix in a folder of outputs."""

Write = Callable[[str], None]


@dataclass(frozen=True)
class Windows:
    """Length of the windows, and from one to the next, in seconds."""

    window_s: float
    hop_s: float


@dataclass(frozen=True)
class Telling:
    """What is told of each file: every window of it, or the whole; as lines of a format, or as records for a table."""

    form: Format
    windows: Windows | None

    @property
    def with_times(self) -> bool:
        """Whether it is told when."""
        return self.windows is not None


@dataclass(frozen=True)
class Listener:
    """A model, and what is to be told of what it hears."""

    recognizer: "Recognizer"
    telling: Telling

    @classmethod
    def load(cls, model: str, device: str, categories: list[str] | None, telling: Telling) -> "Listener":
        """Return a listener: what each process does first. Where there are several, torch is imported in them alone."""
        from sertool.core.environment import keep_freed_memory
        from sertool.core.models.inference import load

        keep_freed_memory()
        return cls(load(model, device, categories=categories), telling)

    def tell(self, source: Input) -> Iterator[str] | Iterator[Record]:
        """Yield what is heard in a file, as it is heard; raises what `timeline` does."""
        timeline, with_times = self.timeline(source), self.telling.with_times
        if self.telling.form is Format.TABLE:
            return (record_of(source.name, timed, with_times=with_times) for timed in timeline)
        return prediction_lines(self.telling.form, source.name, timeline, with_times=with_times)

    def timeline(self, source: Input) -> Iterator["TimedPrediction"]:
        """Yield what is heard in a file; as a whole it is a timeline of one.

        Raises:
            AudioError: the file cannot be used as audio; the message calls it what the user does.
        """
        from sertool.core.audio.blocks import FileSource
        from sertool.core.models.recognizer import TimedPrediction

        try:
            audio = FileSource(source.path)
            if (windows := self.telling.windows) is None:
                yield TimedPrediction(0.0, audio.announced / audio.rate, self.recognizer.predict(audio))
            else:
                yield from self.recognizer.predict_windows(audio, window_s=windows.window_s, hop_s=windows.hop_s)
        except AudioError as error:
            raise AudioError(source.rename(str(error))) from error


Told = Iterator[tuple[Input, Iterable[Any]]]
"""What is told of each file; going through it raises the AudioError of a file that cannot be used."""


def predict(
    inputs: Inputs = None,
    window: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", show_default=False, help="Make a timeline: hear windows this long."),
    ] = None,
    hop: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", show_default="1", help="From one window's start to the next one's."),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            show_default="by the suffix of --output, or table",
            help="table, json (a line each), csv, or audacity (a label track).",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            show_default="stdout",
            help="A file (.jsonl, .csv, .txt), a folder (end it with /) for a file an input, or - for stdout.",
        ),
    ] = None,
    model: Model = None,
    category: Annotated[
        list[str] | None,
        typer.Option("--category", show_default="all", help="Choose among these categories alone; repeatable."),
    ] = None,
    list_file: ListFile = None,
    device: Device = "auto",
    workers: AutoWorkers = None,
    overwrite: Overwrite = False,
) -> None:
    """Say which emotion is heard in speech, and how surely.

    With --window a recording of any length becomes a timeline, in constant memory. Windows begin every --hop seconds;
    the last one ends with the file, so all are equally long. A file shorter than a window is one window.

    A label track joins neighbouring windows of one label into a stretch, named for the label and the mean of its
    probability; one label gives way to the next half way between the centres of their windows.
    """
    console.if_interrupted("run the same command again")
    output = None if output == STDIN else output
    form = _format(Format.JSON if json else form, output)
    windows = _windows(window, hop, form)
    with gather(inputs or [], list_file) as sources:
        targets = _targets(sources, output, form, overwrite=overwrite)
        from sertool.core.models.locate import find_model, model_folder

        folder = model_folder(model or find_model())
        config = _expect_labels(folder, form)
        shares = [name for name in config.categories if category is None or name in category]
        telling = Telling(form, windows)
        how = (str(folder), device, category, telling)
        with _told(sources, how, workers_for(sources, workers, device)) as told:
            if form is Format.TABLE:
                failures = _to_table(told, len(sources))
            else:
                header = header_lines(form, shares, config.attributes, with_times=telling.with_times)
                failures = _to_lines(told, sources, targets, header)
        if failures:
            console.list_failures(failures, total=len(sources))
            raise typer.Exit(console.SOME_FAILED)


def _expect_labels(folder: Path, form: Format) -> "SharedConfig":
    """Return a model's configuration; raise InputError where it has no categories for a label track."""
    from sertool.core.models.config_file import read_config

    config = read_config(folder)
    if form is Format.AUDACITY and not config.categories:
        raise InputError(f"{folder}: has no categories; a label track needs some: choose --format csv")
    return config


@contextlib.contextmanager
def _told(sources: list[Input], how: tuple[str, str, list[str] | None, Telling], workers: int) -> Iterator[Told]:
    """Give what is told of each file, in order; in this process a file is heard as that is gone through."""
    if workers == 1:
        listener = Listener.load(*how)
        yield ((source, listener.tell(source)) for source in sources)
        return
    from sertool.core.engine import map_tasks

    outcomes = map_tasks(tell_all, sources, workers=workers, setup=Listener.load, setup_args=how)
    with contextlib.closing(outcomes):
        # A model that cannot be loaded is known before a line is written.
        known = chain([next(outcomes)], outcomes)
        yield ((one.item, one.value if one.error is None else _failing(one.error)) for one in known)


def tell_all(source: Input, listener: Listener) -> list[str] | list[Record]:
    """Return all that is told of a file."""
    return list(listener.tell(source))


def _failing(error: Exception) -> Iterator[Any]:
    raise error
    yield


def _format(form: Format | None, output: str | None) -> Format:
    """Return the format that was asked for, or that the output's suffix stands for."""
    if form is Format.TABLE and output is not None:
        raise InputError("a table is for the terminal; expected --format json, csv or audacity with --output")
    if form is not None or output is None:
        return form or Format.TABLE
    suffix = Path(output).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{output}: cannot tell the format; expected .jsonl, .csv or .txt: name one with --format")
    return SUFFIXES[suffix]


def _windows(window: float | None, hop: float | None, form: Format) -> Windows | None:
    if window is None and hop is not None:
        raise InputError("--hop without --window; expected both for a timeline: add --window 3")
    if window is None and form is Format.AUDACITY:
        raise InputError("a label track without --window; expected a timeline: add --window 3")
    return None if window is None else Windows(window, 1.0 if hop is None else hop)


def _targets(sources: list[Input], output: str | None, form: Format, *, overwrite: bool) -> list[Path]:
    """Return where the lines go: nowhere (stdout), to one file for all inputs, or to one file each in a folder."""
    if output is None:
        if form is Format.AUDACITY and len(sources) > 1:
            raise InputError(f"{len(sources)} inputs and one label track; expected a folder: name one with -o, as OUT/")
        return []
    if output.endswith("/") or Path(output).is_dir():
        suffix = next(suffix for suffix, stands_for in SUFFIXES.items() if stands_for is form)
        targets = [Path(output) / source.below.with_suffix(suffix) for source in sources]
    elif form is Format.AUDACITY and len(sources) > 1:
        raise InputError(f"{output}: {len(sources)} inputs and one label track; expected a folder: end it with /")
    else:
        targets = [Path(output)]
    refuse_losses(targets, overwrite=overwrite, inputs=sources)
    return targets


def _to_table(told: Told, total: int) -> list[str]:
    records: list[Record] = []
    failures = _each(told, lambda source, rows: records.extend(rows), total)
    if records:
        print_table(records)
    return failures


def _to_lines(told: Told, sources: list[Input], targets: list[Path], header: list[str]) -> list[str]:
    if len(targets) == len(sources):
        own = dict(zip(sources, targets, strict=True))

        def write_own(source: Input, lines: Iterable[str]) -> None:
            with _line_file(own[source]) as write:
                _write_each(write, chain(header, lines))
            console.result(own[source])

        return _each(told, write_own, len(sources))
    with _line_file(targets[0]) if targets else contextlib.nullcontext(console.result) as write:
        _write_each(write, header)
        # All of a file or nothing: one that proves damaged near its end leaves no lines.
        failures = _each(told, lambda source, lines: _write_each(write, list(lines)), len(sources))
    if targets:
        console.result(targets[0])
    return failures


def _write_each(write: Write, lines: Iterable[str]) -> None:
    for line in lines:
        write(line)


@contextlib.contextmanager
def _line_file(path: Path) -> Iterator[Write]:
    """Give what appends a line to a file that appears when all lines are written; a name's bytes stay as they are."""
    with whole_file(path) as partial, open(partial, "wb") as file:
        yield lambda line: file.write(os.fsencode(line) + b"\n")


def _each(told: Told, work: Callable[[Input, Iterable[Any]], None], total: int) -> list[str]:
    """Do something with what is told of each file; return why it failed for some; of a single one it is raised."""
    failures = []
    with console.progress(total, "listening") as advance:
        for source, rows in told:
            try:
                work(source, rows)
            except AudioError as error:
                if total == 1:
                    raise
                failures.append(str(error))
            advance()
    return failures

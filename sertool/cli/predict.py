"""`sertool predict`: which emotion is heard in each file, or in each window of it."""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sertool.cli import console
from sertool.cli.inputs import Input, gather
from sertool.cli.options import Device, Inputs, ListFile, Model, Overwrite
from sertool.cli.prediction_lines import Format, Record, header_lines, prediction_lines, print_table, record_of
from sertool.core.errors import AudioError, InputError
from sertool.core.writing import whole_file

if TYPE_CHECKING:
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
class Listener:
    """A model, and how files are listened to: window by window, or as a whole."""

    recognizer: "Recognizer"
    windows: Windows | None

    def timeline(self, source: Input) -> Iterator["TimedPrediction"]:
        """Yield what is heard in a file; as a whole it is a timeline of one.

        Raises:
            AudioError: the file cannot be used as audio; the message calls it what the user does.
        """
        from sertool.core.audio.blocks import FileSource
        from sertool.core.models.recognizer import TimedPrediction

        try:
            audio = FileSource(source.path)
            if self.windows is None:
                yield TimedPrediction(0.0, audio.announced / audio.rate, self.recognizer.predict(audio))
            else:
                window_s, hop_s = self.windows.window_s, self.windows.hop_s
                yield from self.recognizer.predict_windows(audio, window_s=window_s, hop_s=hop_s)
        except AudioError as error:
            raise AudioError(source.rename(str(error))) from error


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
            help="A file (.jsonl, .csv, .txt), or a folder (end it with /) for a file an input.",
        ),
    ] = None,
    model: Model = None,
    list_file: ListFile = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Say which emotion is heard in speech, and how surely.

    With --window a recording of any length becomes a timeline, in constant memory. Windows begin every --hop seconds;
    the last one ends with the file, so all are equally long. A file shorter than a window is one window.

    A label track joins neighbouring windows of one label into a stretch, named for the label and the mean of its
    probability; one label gives way to the next half way between the centres of their windows.
    """
    console.if_interrupted("run the same command again")
    form = _format(Format.JSON if json else form, output)
    windows = _windows(window, hop, form)
    with gather(inputs or [], list_file) as sources:
        targets = _targets(sources, output, form, overwrite=overwrite)
        from sertool.core.models.inference import load

        listener = Listener(load(model, device), windows)
        if form is Format.AUDACITY and not listener.recognizer.model.config.categories:
            raise InputError(
                f"{listener.recognizer.folder}: has no categories; a label track needs some: choose --format csv"
            )
        failures = _to_table(listener, sources) if form is Format.TABLE else _to_lines(listener, sources, form, targets)
        if failures:
            console.list_failures(failures, total=len(sources))
            raise typer.Exit(console.SOME_FAILED)


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
    counts, read = Counter(targets), {source.path.resolve() for source in sources}
    for target in targets:
        if target.resolve() in read:
            raise InputError(f"{target}: is an input itself; expected another place: choose another with -o")
        if counts[target] > 1:
            raise InputError(f"{target}: two inputs would be written there: predict them in two calls")
        if target.exists() and not overwrite:
            raise InputError(f"{target}: exists already: move it, choose another place with -o, or say --overwrite")
    return targets


def _to_table(listener: Listener, sources: list[Input]) -> list[str]:
    records: list[Record] = []

    def keep(source: Input) -> None:
        records.extend(
            record_of(source.name, timed, with_times=listener.windows is not None)
            for timed in listener.timeline(source)
        )

    failures = _each(sources, keep)
    if records:
        print_table(records)
    return failures


def _to_lines(listener: Listener, sources: list[Input], form: Format, targets: list[Path]) -> list[str]:
    with_times = listener.windows is not None
    header = header_lines(form, listener.recognizer.model.config, with_times=with_times)

    def lines(source: Input) -> Iterator[str]:
        return prediction_lines(form, source.name, listener.timeline(source), with_times=with_times)

    if len(targets) == len(sources):
        own = dict(zip(sources, targets, strict=True))

        def write_own(source: Input) -> None:
            with _line_file(own[source]) as write:
                _write_each(write, chain(header, lines(source)))
            console.result(own[source])

        return _each(sources, write_own)
    with _line_file(targets[0]) if targets else contextlib.nullcontext(console.result) as write:
        _write_each(write, header)
        # All of a file or nothing: one that proves damaged near its end leaves no lines.
        failures = _each(sources, lambda source: _write_each(write, list(lines(source))))
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


def _each(sources: list[Input], work: Callable[[Input], None]) -> list[str]:
    """Do something with each file, and return why it failed for some; of a single one the error is raised."""
    failures = []
    with console.progress(len(sources), "listening") as advance:
        for source in sources:
            try:
                work(source)
            except AudioError as error:
                if len(sources) == 1:
                    raise
                failures.append(str(error))
            advance()
    return failures

"""`sertool extract`: what the model knows of each frame or utterance, as a table or arrays."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sertool.cli import console
from sertool.cli.inputs import Input, gather
from sertool.cli.options import Device, ListFile, Model, Overwrite, Workers
from sertool.cli.outputs import refuse_losses
from sertool.core.errors import AudioError, InputError, OutputError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from sertool.core.models.recognizer import Recognizer

MANIFEST_SUFFIXES = (".csv", ".tsv", ".parquet")


class Pool(StrEnum):
    """What becomes of an utterance's frames."""

    MEAN = "mean"
    FRAMES = "frames"


class Head(StrEnum):
    """Whose layer sum, where the heads have one each."""

    EMOTION = "emotion"
    ENHANCEMENT = "enhancement"


@dataclass(frozen=True)
class Job:
    """One utterance: what is read, and which features."""

    source: Input
    layer: int | None
    pool: Pool
    head: Head


Utterance = tuple[Input, "pa.Table"]
"""A file, and its row of the table: its name, and what a manifest says of it."""

Add = Callable[[Utterance, "np.ndarray"], None]


def extract(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IN", show_default=False, help="Audio files, folders, - for audio on stdin; or one manifest."
        ),
    ] = None,
    layer: Annotated[
        str, typer.Option(metavar="sum|N", help="The layer sum, or a hidden state: 0 to L, or -1 for the last.")
    ] = "sum",
    head: Annotated[
        Head, typer.Option("--sum", metavar="emotion|enhancement", help="Whose layer sum, where each head has its own.")
    ] = Head.EMOTION,
    pool: Annotated[
        Pool, typer.Option(metavar="mean|frames", help="An utterance's mean over frames, or the frames, 50 a second.")
    ] = Pool.MEAN,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A .parquet; a .npy of all means, with a .csv of names; or a folder (end it with /): a .npy a file.",
        ),
    ] = "features.parquet",
    model: Model = None,
    list_file: ListFile = None,
    device: Device = "auto",
    workers: Workers = 1,
    overwrite: Overwrite = False,
) -> None:
    """Write the model's features of speech: one row an utterance, or one a frame.

    A table has file_name and a column a dimension, f0000 on; with frames also frame and time_s, the frame's centre. The
    columns of a manifest (speaker, emotion, split …) are carried over. Files may be hours long.

    Prints the path of each file written.
    """
    console.if_interrupted("run the same command again, with --overwrite where something is written")
    number = _layer(layer)
    target = _Target.of(output, pool)
    with _utterances(inputs or [], list_file) as rows:
        target.check(rows, overwrite=overwrite)
        from sertool.core.engine import map_tasks
        from sertool.core.models.inference import load

        recognizer = load(model, device)
        recognizer.expect_features(layer=number, head=str(head))
        jobs = (Job(source, number, pool, head) for source, _ in rows)
        setup, setup_args = (load, (str(recognizer.folder), device)) if workers > 1 else (lambda: recognizer, ())
        failures = []
        outcomes = map_tasks(
            extract_file, jobs, workers=workers, describe=_name, setup=setup, setup_args=setup_args
        )
        with (
            closing(outcomes),
            target.open(rows) as add,
            console.progress(len(rows), "listening") as advance,
        ):
            for outcome in outcomes:
                advance()
                if outcome.error is None:
                    add(rows[outcome.index], outcome.value)
                elif len(rows) == 1 or isinstance(outcome.error, OutputError):
                    raise outcome.error
                else:
                    failures.append(str(outcome.error))
            if len(failures) == len(rows):
                console.list_failures(failures, total=len(rows))
                raise typer.Exit(console.SOME_FAILED)
        if target.is_one_file:
            console.result(target.path)
    if failures:
        console.list_failures(failures, total=len(rows))
        raise typer.Exit(console.SOME_FAILED)


def extract_file(job: Job, recognizer: "Recognizer") -> "np.ndarray":
    """Return the features of one file.

    Raises:
        AudioError: the file cannot be used as audio; the message calls it what the user does.
    """
    from sertool.core.audio.blocks import FileSource

    try:
        return recognizer.embed(
            FileSource(job.source.path), layer=job.layer, pool=job.pool is Pool.MEAN, head=str(job.head)
        )
    except AudioError as error:
        raise AudioError(job.source.rename(str(error))) from error


@dataclass(frozen=True)
class _Target:
    """Where features go: a table, an array, or a folder of arrays."""

    path: Path
    kind: str
    pool: Pool

    @classmethod
    def of(cls, output: str, pool: Pool) -> "_Target":
        path = Path(output)
        kind = "folder" if output.endswith("/") or path.is_dir() else path.suffix.lower()
        if kind not in ("folder", ".parquet", ".npy"):
            raise InputError(
                f"{output}: cannot tell the format; expected a name in .parquet or .npy, or a folder (end it with /)"
            )
        if kind == ".npy" and pool is Pool.FRAMES:
            raise InputError(
                f"{output}: one array cannot hold the frames of several files; expected a .parquet, or a folder "
                "(end it with /)"
            )
        return cls(path, kind, pool)

    @property
    def is_one_file(self) -> bool:
        return self.kind != "folder"

    def check(self, rows: list[Utterance], *, overwrite: bool) -> None:
        """Refuse what would lose a file before anything is read."""
        files = [self._of(source) for source, _ in rows] if not self.is_one_file else [self.path]
        files += [self.path.with_suffix(".csv")] if self.kind == ".npy" else []
        refuse_losses(files, overwrite=overwrite, inputs=[source for source, _ in rows])

    @contextmanager
    def open(self, rows: list[Utterance]) -> Iterator[Add]:
        """Give what adds an utterance."""
        from sertool.core.models.feature_files import check_carried, feature_array, feature_table, write_array

        check_carried(rows[0][1].column_names)
        if self.is_one_file:
            frames = self.pool is Pool.FRAMES
            one_file = feature_table(self.path, frames=frames) if self.kind == ".parquet" else feature_array(self.path)
            with one_file as add_row:
                yield lambda utterance, features: add_row(utterance[1], features)
            return

        def add(utterance: Utterance, features: "np.ndarray") -> None:
            path = self._of(utterance[0])
            write_array(path, features)
            console.result(path)

        yield add

    def _of(self, source: Input) -> Path:
        return (self.path / source.below).with_suffix(".npy")


def _layer(layer: str) -> int | None:
    if layer == "sum":
        return None
    try:
        return int(layer)
    except ValueError as error:
        raise InputError(f"layer is '{layer}'; expected sum, or a number such as 0 or -1: choose one") from error


@contextmanager
def _utterances(inputs: list[str], list_file: str | None) -> Iterator[list[Utterance]]:
    """Give the files named, or those of the one manifest named."""
    import pyarrow as pa

    manifests = [name for name in inputs if Path(name).suffix.lower() in MANIFEST_SUFFIXES]
    if manifests:
        if len(inputs) > 1 or list_file:
            raise InputError(f"{manifests[0]}: a manifest among other inputs; expected it alone: extract in two calls")
        from sertool.core.corpus.manifest import Manifest

        manifest = Manifest.read(manifests[0])
        columns = ["file_name", *(name for name in manifest.table.columns if name != "file_name")]
        table = pa.Table.from_pandas(manifest.table[columns], preserve_index=False).replace_schema_metadata(None)
        yield [
            (_row_input(path, manifest.folder), table.slice(index, 1)) for index, path in enumerate(manifest.paths())
        ]
        return
    with gather(inputs, list_file) as sources:
        yield [(source, pa.table({"file_name": [source.name]})) for source in sources]


def _row_input(path: Path, folder: Path) -> Input:
    return Input(path=path, name=str(path), folder=folder if path.is_relative_to(folder) else path.parent.parent)


def _name(job: Job) -> str:
    return job.source.name

"""`sertool corpus`: make a manifest of a corpus, merge several, or check one."""

import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sertool.cli.corpus_build import (
    DEFAULT_OUTPUT,
    ArousalByIntensity,
    Copy,
    DeriveAttributes,
    DevSpeakers,
    Fold,
    Folder,
    Folds,
    Map,
    Output,
    Overwrite,
    Seed,
    TestSpeakers,
    build_manifest,
    split_choice,
    write_manifest,
)
from sertool.cli.corpus_check import check
from sertool.cli.corpus_merge import merge
from sertool.core.corpus.readers import READERS

app = typer.Typer(
    no_args_is_help=True,
    help="Make a manifest (a table of utterances) of a corpus, split by speaker; merge some, or check one.",
)


class Labels(StrEnum):
    """Which labels of CREMA-D are the manifest's emotions."""

    intended = "intended"
    perceived = "perceived"


class Channel(StrEnum):
    """What raters of CREMA-D were given."""

    voice = "voice"
    face = "face"
    multimodal = "multimodal"


class Classes(StrEnum):
    """Which classes of IEMOCAP are used."""

    four = "4"
    all = "all"


class Crossing(StrEnum):
    """What to do with speakers in two published splits."""

    error = "error"
    leave_out = "leave-out"


OPTIONS: dict[str, dict[str, tuple[Any, Any]]] = {
    "crema-d": {
        "labels": (
            Annotated[Labels, typer.Option(help="What the actor was to show, or what most raters took it for.")],
            Labels.intended,
        ),
        "channel": (
            Annotated[
                Channel | None,
                typer.Option(help="Whose votes: raters who heard, saw, or did both.", show_default="voice, if any"),
            ],
            None,
        ),
    },
    "msp-podcast": {
        "crossing": (
            Annotated[
                Crossing,
                typer.Option(
                    help="Speakers in two published splits: stop, or keep each in one (tests first) and leave out the "
                    "other clips."
                ),
            ],
            Crossing.error,
        )
    },
    "iemocap": {
        "classes": (
            Annotated[
                Classes,
                typer.Option(help="anger, happiness (with excitement), sadness and neutral; or every class."),
            ],
            Classes.four,
        )
    },
}
"""What a corpus lets one choose: keywords of its `read`, with their type and default."""


def _reader_command(name: str) -> Callable[..., None]:
    def command(
        folder: Folder,
        output: Output = DEFAULT_OUTPUT,
        folds: Folds = None,
        fold: Fold = None,
        test_speakers: TestSpeakers = "",
        dev_speakers: DevSpeakers = "",
        map_: Map = None,
        derive_attributes: DeriveAttributes = False,
        arousal_by_intensity: ArousalByIntensity = False,
        seed: Seed = 0,
        copy: Copy = False,
        overwrite: Overwrite = False,
        **own: Any,
    ) -> None:
        from sertool.core.corpus.categories import parse_map
        from sertool.core.corpus.derived_attributes import derivation
        from sertool.core.corpus.manifest import check_writable
        from sertool.core.corpus.readers import reader

        check_writable(output)
        mapping = parse_map(map_ or [])
        choice = split_choice(folds, fold, seed, test_speakers, dev_speakers)
        derive = derivation(by_category=derive_attributes, by_intensity=arousal_by_intensity)
        module = reader(name)
        rows = module.read(folder, **{key: None if value is None else str(value) for key, value in own.items()})
        built = build_manifest(
            rows, output, protocol=module.PROTOCOL, choice=choice, mapping=mapping, corpus=name, derive=derive
        )
        write_manifest(built, folder, output, copy=copy, overwrite=overwrite)

    return _with_options(command, OPTIONS.get(name, {}))


def _with_options(command: Callable[..., None], options: dict[str, tuple[Any, Any]]) -> Callable[..., None]:
    """Return a command whose `**own` is spelt out, right behind its argument, for Typer to read."""
    signature = inspect.signature(command)
    first, *others = (one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD)
    named = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=kind)
        for name, (kind, default) in options.items()
    ]
    command.__signature__ = signature.replace(parameters=[first, *named, *others])
    command.__annotations__ = {one.name: one.annotation for one in command.__signature__.parameters.values()}
    return command


for _name, _help in READERS.items():
    _example = f"Example: [bold]sertool corpus {_name} {_name}/ -o {_name}.csv[/bold]"
    app.command(_name, help=f"Make a manifest of {_help}", epilog=_example)(_reader_command(_name))


@app.command(
    epilog="Example: [bold]sertool corpus folder speech/ --column emotion=label --folds 5 -o speech.csv[/bold]"
)
def folder(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of speech, or a table of it.", show_default=False)
    ],
    output: Output = DEFAULT_OUTPUT,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=THEIRS",
            help="Take a column from the table's own, as emotion=label. Repeatable.",
            show_default=False,
        ),
    ] = None,
    speaker_pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="One group that finds the speaker in a file's name, as '^(\\d+)-'.",
            show_default=False,
        ),
    ] = None,
    folds: Folds = None,
    fold: Fold = None,
    test_speakers: TestSpeakers = "",
    dev_speakers: DevSpeakers = "",
    map_: Map = None,
    derive_attributes: DeriveAttributes = False,
    arousal_by_intensity: ArousalByIntensity = False,
    seed: Seed = 0,
    copy: Copy = False,
    overwrite: Overwrite = False,
) -> None:
    """Make a manifest of any folder: with a table, a folder a class, or just audio files.

    A table is metadata.csv, .tsv, .parquet or .jsonl in the folder (Hugging Face audiofolder), or itself given as DIR.
    """
    from sertool.core.corpus import folder as any_folder
    from sertool.core.corpus.categories import parse_map
    from sertool.core.corpus.derived_attributes import derivation
    from sertool.core.corpus.manifest import check_writable

    check_writable(output)
    mapping = parse_map(map_ or [])
    choice = split_choice(folds, fold, seed, test_speakers, dev_speakers)
    derive = derivation(by_category=derive_attributes, by_intensity=arousal_by_intensity)
    columns = dict(_named_column(entry) for entry in column or [])
    rows = any_folder.read(folder, columns=columns, speaker_pattern=speaker_pattern, own_words=mapping)
    built = build_manifest(
        rows, output, protocol=any_folder.PROTOCOL, choice=choice, mapping=mapping, corpus=None, derive=derive
    )
    write_manifest(built, folder if folder.is_dir() else folder.parent, output, copy=copy, overwrite=overwrite)


app.command("merge", epilog="Example: [bold]sertool corpus merge crema-d.csv iemocap.csv -o merged.csv[/bold]")(merge)
app.command("check", epilog="Example: [bold]sertool corpus check metadata.csv[/bold]")(check)


def _named_column(entry: str) -> tuple[str, str]:
    name, equals, theirs = entry.partition("=")
    if not (name and equals and theirs):
        raise typer.BadParameter(f"'{entry}': expected NAME=THEIRS, such as emotion=label", param_hint="--column")
    return name, theirs

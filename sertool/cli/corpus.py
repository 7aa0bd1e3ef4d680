"""`sertool corpus`: make a manifest of a corpus, or check one."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sertool.cli import console
from sertool.core.corpus.readers import READERS

if TYPE_CHECKING:
    import pandas as pd

    from sertool.core.corpus.build import Built
    from sertool.core.corpus.check import Report
    from sertool.core.corpus.manifest import Manifest
    from sertool.core.corpus.splits import Protocol, SplitChoice

app = typer.Typer(
    no_args_is_help=True, help="Make a manifest (a table of utterances) of a corpus, split by speaker, or check one."
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The corpus's folder.", show_default=False)]
Output = Annotated[Path, typer.Option("--output", "-o", help="The manifest to write: .csv or .parquet.")]
Folds = Annotated[
    int | None, typer.Option(help="Deal the speakers to this many folds, each sex evenly.", show_default=False)
]
Fold = Annotated[
    int | None,
    typer.Option(help="The fold to test on, from 0; the next one is dev, the others train.", show_default=False),
]
TestSpeakers = Annotated[
    str, typer.Option(metavar="A,B", help="Test on these speakers instead of a fold.", show_default=False)
]
DevSpeakers = Annotated[str, typer.Option(metavar="C,D", help="Choose models on these speakers.", show_default=False)]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="WORD=CATEGORY",
        help="Change a category; WORD= leaves it unlabelled. Repeatable.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(help="Of the deal to folds; published folds do not depend on it.")]
Copy = Annotated[bool, typer.Option("--copy", help="Copy the audio beside the manifest, so that both can be moved.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another manifest of that name.")]
DEFAULT_OUTPUT = Path("metadata.csv")


def _reader_command(name: str) -> Callable[..., None]:
    def command(
        folder: Folder,
        output: Output = DEFAULT_OUTPUT,
        folds: Folds = None,
        fold: Fold = None,
        test_speakers: TestSpeakers = "",
        dev_speakers: DevSpeakers = "",
        map_: Map = None,
        seed: Seed = 0,
        copy: Copy = False,
        overwrite: Overwrite = False,
    ) -> None:
        from sertool.core.corpus.categories import parse_map
        from sertool.core.corpus.manifest import check_writable
        from sertool.core.corpus.readers import reader

        check_writable(output)
        mapping = parse_map(map_ or [])
        choice = _choice(folds, fold, seed, test_speakers, dev_speakers)
        module = reader(name)
        built = _build(
            module.read(folder), output, protocol=module.PROTOCOL, choice=choice, mapping=mapping, corpus=name
        )
        _finish(built, folder, output, copy=copy, overwrite=overwrite)

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
    seed: Seed = 0,
    copy: Copy = False,
    overwrite: Overwrite = False,
) -> None:
    """Make a manifest of any folder: with a table (CSV, TSV, Parquet), a folder a class, or just audio files.

    A table is metadata.csv, .tsv or .parquet in the folder (Hugging Face audiofolder), or is itself given as DIR.
    """
    from sertool.core.corpus import folder as any_folder
    from sertool.core.corpus.categories import parse_map
    from sertool.core.corpus.manifest import check_writable

    check_writable(output)
    mapping = parse_map(map_ or [])
    choice = _choice(folds, fold, seed, test_speakers, dev_speakers)
    columns = dict(_named_column(entry) for entry in column or [])
    rows = any_folder.read(folder, columns=columns, speaker_pattern=speaker_pattern, own_words=mapping)
    built = _build(rows, output, protocol=any_folder.PROTOCOL, choice=choice, mapping=mapping, corpus=None)
    _finish(built, folder if folder.is_dir() else folder.parent, output, copy=copy, overwrite=overwrite)


@app.command(epilog="Example: [bold]sertool corpus check metadata.csv[/bold]")
def check(
    manifest: Annotated[Path, typer.Argument(metavar="METADATA", help="The manifest to check.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes to decode in.", show_default="one a core")
    ] = None,
) -> None:
    """Say how much speech of what is there, and list clips and speakers that are wrong.

    Exit code 2: a speaker is in two splits; 1: some clips cannot be read; 0: neither.
    """
    from sertool.core.corpus.check import check as check_corpus
    from sertool.core.corpus.manifest import Manifest
    from sertool.core.corpus.splits import check_disjoint
    from sertool.core.engine import default_workers

    table = Manifest.read(manifest)
    with console.progress(len(table), "reading clips") as advance:
        report = check_corpus(
            table, workers=default_workers() if workers is None else workers, on_done=lambda outcome: advance()
        )
    if json:
        console.json_line(report.record())
    else:
        _show(report)
    if report.unreadable:
        console.list_failures(list(report.unreadable.values()), total=report.utterances)
    check_disjoint(table)
    if report.unreadable:
        raise typer.Exit(console.SOME_FAILED)


def _choice(folds: int | None, fold: int | None, seed: int, test_speakers: str, dev_speakers: str) -> "SplitChoice":
    from sertool.core.corpus.splits import SplitChoice

    test, dev = (
        tuple(name.strip() for name in names.split(",") if name.strip()) for names in (test_speakers, dev_speakers)
    )
    return SplitChoice(folds=folds, fold=fold, seed=seed, test=test, dev=dev)


def _named_column(entry: str) -> tuple[str, str]:
    name, equals, theirs = entry.partition("=")
    if not (name and equals and theirs):
        raise typer.BadParameter(f"'{entry}': expected NAME=THEIRS, such as emotion=label", param_hint="--column")
    return name, theirs


def _build(
    rows: "pd.DataFrame",
    output: Path,
    *,
    protocol: "Protocol",
    choice: "SplitChoice",
    mapping: dict[str, str | None],
    corpus: str | None,
) -> "Built":
    from sertool.core.corpus.build import build

    built = build(rows, output, protocol=protocol, choice=choice, mapping=mapping, corpus=corpus)
    for reason, count in built.skipped.items():
        console.warn(f"{count} clips left out: {reason}")
    for word in built.unused:
        console.warn(f"--map {word}: no clip is labelled '{word}'")
    return built


def _finish(built: "Built", folder: Path, output: Path, *, copy: bool, overwrite: bool) -> None:
    """Write the manifest, and the audio where asked, and say what is there now."""
    from sertool.core.corpus.build import copy_file, is_there, plan_copies

    manifest, copies = plan_copies(built.manifest, folder, output.parent) if copy else (built.manifest, [])
    there = not overwrite and is_there(manifest, output)
    with console.progress(len(copies), "copying") as advance:
        for source, target in copies:
            copy_file(source, target)
            advance()
    if not there:
        manifest.write(output)
    console.note(f"{'the same manifest was there already: ' if there else ''}{_in_words(manifest)}")
    _advise(built)
    console.result(output.absolute())


def _in_words(manifest: "Manifest") -> str:
    from sertool.core.corpus.splits import in_order

    table = manifest.table
    words = [_counted(len(table), "utterance", "utterances")]
    if "speaker" in table:
        words.append(_counted(table["speaker"].nunique(), "speaker", "speakers"))
    if "emotion" in table:
        words.append(_counted(table["emotion"].nunique(), "category", "categories"))
    if manifest.has("split"):
        counts = table["split"].value_counts().to_dict()
        words.append("; ".join(f"{split} {counts[split]}" for split in in_order(counts)))
    return ", ".join(words)


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _advise(built: "Built") -> None:
    """Say what the manifest lacks that training or evaluation will ask for."""
    manifest = built.manifest
    if not manifest.has("emotion"):
        console.note(
            "no emotions, which is enough to pre-train and to enhance; labels come from folders named for classes, "
            "or from --column emotion=NAME"
        )
    if manifest.has("speaker") and built.unknown_speakers:
        console.warn(f"{built.unknown_speakers} utterances by unknown speakers: no fold tests on them")
    if not manifest.has("speaker"):
        console.note("no speakers: --speaker-pattern or --column speaker=NAME tells who speaks")
    if not manifest.has("split"):
        console.note("no splits: --folds 5, or --test-speakers and --dev-speakers, make them")
        return
    for split in ("train", "dev", "test"):
        if not (manifest.table["split"] == split).any():
            console.warn(f"no utterance is in split '{split}'")
    unsplit = int(manifest.table["split"].isna().sum())
    if unsplit:
        console.warn(f"{unsplit} utterances are in no split")


def _show(report: "Report") -> None:
    """Print a report for people."""
    by_split = ", ".join(f"{split} {hours:.2f}" for split, hours in report.hours_by_split.items())
    console.table(
        ("corpus", ""),
        [
            ("utterances", str(report.utterances)),
            ("hours", f"{report.hours:.2f} ({by_split})"),
            ("rates", ", ".join(f"{count} at {rate} Hz" for rate, count in report.rates.items())),
            ("channels", ", ".join(f"{count} with {number}" for number, count in report.channels.items())),
            ("by unknown speakers", str(report.unknown_speakers)),
        ],
    )
    for title, counts in (("utterances", report.categories), ("speakers", report.speakers)):
        if counts:
            words = list(next(iter(counts.values())))
            console.table((title, *words), [(split, *(row[word] for word in words)) for split, row in counts.items()])
    faults = _faults(report)
    if faults:
        console.table(("fault", "where", "what"), faults)
    else:
        console.result("no faults found")


def _faults(report: "Report") -> list[tuple[str, str, str]]:
    faults = [("unreadable", name, reason.split(": ", 1)[-1]) for name, reason in report.unreadable.items()]
    for name, peak in report.silent.items():
        faults.append(("silent", name, "digital silence" if peak is None else f"peak {peak:.0f} dBFS"))
    faults += [("clipped", name, f"{share:.2%} of samples at full scale") for name, share in report.clipped.items()]
    faults += [("identical files", *_group(report, group)) for group in report.identical]
    faults += [("same samples", *_group(report, group)) for group in report.same_samples]
    return faults + [
        ("speaker in two splits", speaker, ", ".join(splits)) for speaker, splits in report.crossing.items()
    ]


def _group(report: "Report", group: list[str]) -> tuple[str, str]:
    return group[0], f"{', '.join(group[1:])}{' (in another split)' if group in report.crossing_audio else ''}"

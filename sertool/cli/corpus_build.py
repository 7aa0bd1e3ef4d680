"""What the commands that make a manifest share: their options, the splitting and writing, and what is said of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sertool.cli import console

if TYPE_CHECKING:
    import pandas as pd

    from sertool.core.corpus.build import Built
    from sertool.core.corpus.derived_attributes import Derived
    from sertool.core.corpus.manifest import Manifest
    from sertool.core.corpus.splits import Protocol, SplitChoice

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
DeriveAttributes = Annotated[
    bool,
    typer.Option(
        "--derive-attributes",
        help="Derive arousal, dominance and valence from the category by published norms (Russell & Mehrabian 1977). "
        "They are constant within a category: a CCC against them is really a score of categories.",
    ),
]
ArousalByIntensity = Annotated[
    bool,
    typer.Option(
        "--arousal-by-intensity",
        help="With --derive-attributes: strong speech is more aroused than the norm, normal speech less, by 0.15 on "
        "its scale from -1 to 1 (a number of ours). Needs intensities, as RAVDESS has.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another manifest of that name.")]
DEFAULT_OUTPUT = Path("metadata.csv")


def split_choice(
    folds: int | None, fold: int | None, seed: int, test_speakers: str, dev_speakers: str
) -> "SplitChoice":
    """Return what the options say of the split; speakers are named with commas between them."""
    from sertool.core.corpus.splits import SplitChoice

    test, dev = (
        tuple(name.strip() for name in names.split(",") if name.strip()) for names in (test_speakers, dev_speakers)
    )
    return SplitChoice(folds=folds, fold=fold, seed=seed, test=test, dev=dev)


def build_manifest(
    rows: "pd.DataFrame",
    output: Path,
    *,
    protocol: "Protocol",
    choice: "SplitChoice",
    mapping: dict[str, str | None],
    corpus: str | None,
    derive: "Callable[[Manifest], Derived] | None",
) -> "Built":
    """Return the manifest of a reader's rows, after saying what was left out, found by the reader and derived."""
    from sertool.core.corpus.build import build
    from sertool.core.corpus.derived_attributes import are_derived

    built = build(rows, output, protocol=protocol, choice=choice, mapping=mapping, corpus=corpus)
    if derive is not None:
        derived = derive(built.manifest)
        built = replace(built, manifest=derived.manifest, notes=[*built.notes, *derived.notes])
    elif mapping and are_derived(built.manifest):
        console.warn("the attributes were derived before --map: give --derive-attributes to derive them anew")
    for reason, count in built.skipped.items():
        console.warn(f"{counted(count, 'clip', 'clips')} left out: {reason}")
    for remark in built.notes:
        console.note(remark)
    for word in built.unused:
        console.warn(f"--map {word}: no clip is labelled '{word}'")
    return built


def write_manifest(built: "Built", folder: Path, output: Path, *, copy: bool, overwrite: bool) -> None:
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
    console.note(f"{'the same manifest was there already: ' if there else ''}{in_words(manifest)}")
    _advise(built)
    console.result(output.absolute())


def in_words(manifest: "Manifest") -> str:
    """Return in one line how many utterances, speakers and categories there are, and how they are split."""
    from sertool.core.corpus.splits import in_order

    table = manifest.table
    words = [counted(len(table), "utterance", "utterances")]
    if "speaker" in table:
        # Two corpora may number their speakers alike.
        people = table[[name for name in ("corpus", "speaker") if name in table]].dropna(subset="speaker")
        words.append(counted(len(people.drop_duplicates()), "speaker", "speakers"))
    if "emotion" in table:
        words.append(counted(table["emotion"].nunique(), "category", "categories"))
    if manifest.has("split"):
        counts = table["split"].value_counts().to_dict()
        words.append("; ".join(f"{split} {counts[split]}" for split in in_order(counts)))
    return ", ".join(words)


def counted(count: int, one: str, many: str) -> str:
    """Return a count with the word for it."""
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
        meaning = "whose splits cannot be told apart" if built.published_split else "no fold tests on them"
        console.warn(f"{counted(built.unknown_speakers, 'utterance', 'utterances')} by unknown speakers: {meaning}")
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

"""`sertool corpus merge`: several manifests as one, and what was lost on the way."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sertool.cli import console
from sertool.cli.corpus_build import Overwrite, counted, in_words

if TYPE_CHECKING:
    from sertool.core.corpus.merge import Merged


class Shared(StrEnum):
    """Which categories of several corpora are kept."""

    shared = "shared"
    all = "all"


def merge(
    manifests: Annotated[
        list[Path], typer.Argument(metavar="METADATA...", help="Two manifests or more.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The manifest to write: .csv or .parquet.", show_default=False)
    ],
    categories: Annotated[
        Shared, typer.Option(help="Keep the categories that all corpora have, or every category.")
    ] = Shared.shared,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object: what was kept and dropped.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Join manifests into one, on the categories they share; say what is dropped.

    An utterance without a category is kept if annotators gave a shared category a vote.
    A speaker is known by corpus and name; without a column 'corpus', the corpus is the file's name.
    """
    from sertool.core.corpus.build import is_there
    from sertool.core.corpus.manifest import check_writable
    from sertool.core.corpus.merge import merge as merge_manifests

    check_writable(output)
    merged = merge_manifests(manifests, output, categories=str(categories))
    there = not overwrite and is_there(merged.manifest, output)
    if not there:
        merged.manifest.write(output)
    _tell_losses(merged)
    console.note(f"{'the same manifest was there already: ' if there else ''}{in_words(merged.manifest)}")
    if json:
        console.json_line({"manifest": str(output.absolute()), **merged.record()})
    else:
        console.result(output.absolute())


def _tell_losses(merged: "Merged") -> None:
    """Say what a merger left out of each manifest, and where it has gaps."""
    for part in merged.parts:
        if part.dropped:
            lost = ", ".join(f"{word} {count}" for word, count in part.dropped.items())
            console.warn(
                f"{part.name} ({', '.join(part.corpora)}): "
                f"{counted(sum(part.dropped.values()), 'utterance', 'utterances')} left out: {lost}"
            )
        if part.lacks:
            more = f" and {len(part.lacks) - 8} more" if len(part.lacks) > 8 else ""
            console.note(f"{part.name} ({', '.join(part.corpora)}): empty in {', '.join(part.lacks[:8])}{more}")
    if merged.dropped_votes:
        console.warn(f"columns left out: {', '.join(merged.dropped_votes)}")
    if merged.as_text:
        console.note(f"not of one kind in all manifests, now text: {', '.join(merged.as_text)}")
    console.note(f"categories: {', '.join(merged.categories) or 'none'}")
    _tell_attributes(merged)


def _tell_attributes(merged: "Merged") -> None:
    """Say where the attributes come from, if any are derived; that they are not all of one kind is no error."""
    from sertool.core.corpus.derived_attributes import label, sources_in_words

    kind = label(merged.attribute_sources)
    listed = sources_in_words(merged.attribute_sources)
    if kind == "partly derived":
        console.warn(
            f"rated and derived attributes are merged ({listed}): a CCC over both mixes ratings and categories"
        )
    elif kind:
        console.note(f"attributes: {listed}")

"""`sertool corpus check`: how much speech of what a manifest holds, and what is wrong with it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sertool.cli import console

if TYPE_CHECKING:
    from sertool.core.corpus.check import Report


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

    console.if_interrupted("nothing is kept of a check: run the same command again")
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
    if report.attribute_sources:
        console.table(("attributes", "utterances"), list(report.attribute_sources.items()))
    if report.votes:
        counts = [f"{count:.10g}" for count in report.votes.values()]
        console.table(("votes", *report.votes), [(f"for {report.voted} utterances", *counts)])
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

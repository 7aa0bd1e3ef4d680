"""`sertool rooms`: simulated rooms, as impulse responses that `--rir` takes."""

from pathlib import Path
from typing import Annotated

import typer

from sertool.cli import console
from sertool.core.errors import InputError


def rooms(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write the rooms and metadata.csv to.")],
    count: Annotated[int, typer.Option("--count", min=1, help="Rooms to simulate.")] = 100,
    rt60: Annotated[
        str, typer.Option("--rt60", help="Reverberation times in seconds, LOW:HIGH, drawn from for every room.")
    ] = "0.2:0.8",
    seed: Annotated[int, typer.Option("--seed", help="Seed of every draw.")] = 0,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes to use.", show_default="one a core")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew, deleting what an earlier run made there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON instead of the folder's path.")] = False,
) -> None:
    """Simulate rooms for mix-noise, evaluate and train: boxes with one microphone, a talker and two sources of noise.

    Sizes, reverberation times and places are drawn; the same for the same seed, whatever the number of workers. The
    table metadata.csv says what was asked for and what was measured. Needs pip install 'sertool\\[rooms]'.

    Interrupted and run again, it makes only what is missing. Prints the folder's path, for --rir.
    """
    from sertool.core.corpus.rooms import RoomRequest, make_rooms, open_rooms
    from sertool.core.engine import default_workers

    plan = open_rooms(RoomRequest(count, _range(rt60), seed), output, overwrite=overwrite)
    made = len(plan.pending)
    if plan.finished:
        console.note(f"{plan.folder}: these rooms are made already; nothing to do")
    with console.progress(made, "simulating") as advance:
        table = make_rooms(plan, workers=workers or default_workers(), on_done=lambda: advance(1))
    if as_json:
        told = {"folder": str(plan.folder), "table": str(table), "rooms": count, "made": made, "kept": count - made}
        console.json_line(told)
    else:
        console.result(plan.folder)


def _range(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    try:
        return float(low), float(high if colon else low)
    except ValueError as error:
        raise InputError(
            f"--rt60 {text}: is no range of seconds; expected LOW:HIGH such as 0.2:0.8: write it like that"
        ) from error

"""How many processes a command works in where nobody says: as many as are sooner done than one."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sertool.cli.inputs import Input

WORTH_A_PROCESS = 4_000_000
"""Bytes of audio that make a process worth its start (ours): minutes of speech, which a compact model goes through in
a second or two, about as long as a process takes to begin."""

MOST_UNASKED = 4
"""Processes at most where nobody asked for more (ours): each has the model in memory."""

_ACCELERATORS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")

AutoWorkers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        show_default="one a core, at most 4, where there is much to do",
        help="Processes to work in, for many files.",
    ),
]


def workers_for(inputs: Sequence[Input], asked: int | None, device: str) -> int:
    """Return how many processes to work in.

    Args:
        inputs: to work on.
        asked: what the user said; None for what is soonest done.
        device: as the user named it. Where there may be another than the processor, one process has it to itself.
    """
    if asked is not None:
        return asked
    if device != "cpu" and (device != "auto" or _may_have_accelerator()):
        return 1
    from sertool.core.engine import default_workers

    size = sum(source.path.stat().st_size for source in inputs if source.path.is_file())
    return max(1, min(default_workers(), MOST_UNASKED, len(inputs), size // WORTH_A_PROCESS))


def _may_have_accelerator() -> bool:
    # Asking torch would be certain, and take longer than some files' work.
    return not sys.platform.startswith("linux") or any(Path(name).exists() for name in _ACCELERATORS)

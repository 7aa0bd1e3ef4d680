"""Options that several commands share, word for word."""

from typing import Annotated

import typer

Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="IN", help="Audio files, folders, or - for audio on stdin.", show_default=False),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        show_default=False,
        help="A run. Default: the newest finished run at hand, or else `shipped`, where the package holds one.",
    ),
]
ListFile = Annotated[
    str | None,
    typer.Option(
        "--list", metavar="FILE", show_default=False, help="Also the files listed here, one a line; - is stdin."
    ),
]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")]
Workers = Annotated[int, typer.Option(metavar="N", min=1, help="Processes to work in, for many files.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]

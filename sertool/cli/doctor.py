"""`sertool doctor`: what is installed, which device will be used, what is missing or mismatched, and the remedy."""

from dataclasses import asdict
from typing import Annotated

import typer

from sertool.cli import console


def doctor(
    json: Annotated[bool, typer.Option("--json", help="One line of JSON a check instead of a table.")] = False,
) -> None:
    """Look at this installation: versions, device, memory, a tiny model at work; say what is wrong and the remedy.

    Exit code 0 when all is well, 1 when something is missing or does not fit.
    """
    from sertool.core.environment import Check, examine, guard

    def check_model() -> Check:
        from sertool.core.models.inference import check_model

        check_model()
        return Check("tiny model", "enhances half a second and hears its emotion")

    checks = [*examine(), guard("tiny model", check_model)]
    wrong = [check for check in checks if not check.ok]
    if json:
        for check in checks:
            console.json_line(asdict(check))
    else:
        console.table(
            ["", "check", "found"], [["ok" if check.ok else "!!", check.name, check.found] for check in checks]
        )
        for check in wrong:
            console.result(f"remedy for {check.name}: {check.remedy}")
    if wrong:
        raise typer.Exit(console.SOME_FAILED)
    console.note("all is well")

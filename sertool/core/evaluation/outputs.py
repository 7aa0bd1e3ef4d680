"""What an evaluation leaves: the document as JSON, tables as CSV and LaTeX, and the report."""

from pathlib import Path

from sertool.core.errors import InputError
from sertool.core.evaluation.by_snr import Evaluation
from sertool.core.evaluation.listen_again import listen_again
from sertool.core.evaluation.report.page import write_report
from sertool.core.evaluation.results import Results
from sertool.core.evaluation.tables import as_csv, as_latex
from sertool.core.writing import write_text

TABLES = {".csv": as_csv, ".tex": as_latex}


def check_suffix(path: Path) -> None:
    """Make sure that a file's name says what is to be written into it.

    Raises:
        InputError: it does not.
    """
    if path.suffix.lower() not in (".json", *TABLES):
        raise InputError(
            f"{path}: results are written as .json, .csv or .tex; expected one of these at the end: choose another name"
        )


def write_output(path: Path, results: Results, command: list[str]) -> None:
    """Write results as the file's name says, whole or not at all.

    Raises:
        InputError: as `check_suffix`.
        OutputError: the file cannot be written.
    """
    check_suffix(path)
    if path.suffix.lower() == ".json":
        results.write_json(path, command=command)
    else:
        write_text(path, TABLES[path.suffix.lower()](results.document(command=command)))


def write_page(path: Path, results: Results, command: list[str], evaluation: Evaluation | None) -> None:
    """Write the report, with a few utterances to listen to where an evaluation heard any.

    Raises:
        OutputError: the file cannot be written.
    """
    examples, chosen_by = ([], "") if evaluation is None else listen_again(evaluation, results)
    write_report(path, results.document(command=command), examples, chosen_by=chosen_by)

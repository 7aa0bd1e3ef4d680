"""What a folder of mixtures will hold, and how far it has come: resolved inputs, names, and a journal of what is done.

`mix.json` holds the inputs and every name that may be written; `mix.jsonl` gains one line an utterance once its files
lie there under their final names. A mixture is the same whenever it is made, so going on means making what is missing.
"""

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from sertool.core.corpus.mixture_request import AudioFormat, MixtureRequest, differences
from sertool.core.corpus.snr import SnrChoice, snr_text
from sertool.core.corpus.tables import NUMBER_COLUMNS
from sertool.core.errors import InputError
from sertool.core.writing import append_line, remove_leftovers, sole_process, write_text

MADE_BY = "sertool mix-noise"
FILES = ("file_name", "clean_file")
"""The files of a mixture."""

PLAN_NAME, JOURNAL_NAME, MANIFEST_NAME = "mix.json", "mix.jsonl", "metadata.csv"


@dataclass(frozen=True)
class MixturePlan:
    """A folder of mixtures, opened for making what it lacks.

    Attributes:
        folder: where everything is written.
        request: what was asked for.
        sources: the file of every utterance, absolute.
        names: its POSIX path within each subfolder, without a suffix.
        done: what is there already: for every finished row of the manifest its mixtures, as the journal tells them.
    """

    folder: Path
    request: MixtureRequest
    sources: tuple[Path, ...]
    names: tuple[str, ...]
    done: dict[int, list[dict[str, Any]]]

    @property
    def pending(self) -> list[int]:
        """Rows of the manifest whose mixtures are still to be made."""
        return [row for row in range(len(self.names)) if row not in self.done]

    @property
    def manifest_path(self) -> Path:
        """Where the noisy manifest is written when all else is done."""
        return self.folder / MANIFEST_NAME

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return not self.pending and self.manifest_path.is_file()

    def record(self, row: int, mixtures: list[dict[str, Any]]) -> None:
        """Note in the journal that the mixtures of a row lie there whole."""
        self.done[row] = mixtures
        append_line(self.folder / JOURNAL_NAME, _journal_line(row, mixtures))

    def refresh(self) -> None:
        """Note what another process has made since the plan was opened.

        Raises:
            InputError: it has started anew with other inputs.
        """
        earlier = _read_earlier(self.folder)
        if earlier is None or earlier["inputs"] != self.request.inputs():
            raise InputError(f"{self.folder}: another process has begun other mixtures there: choose another folder")
        self.done.update(_read_done(self.folder, self.request, self.names))

    def tidy(self) -> None:
        """Remove what killed processes left half-written."""
        folders = {(self.folder / part / name).parent for part in _folders(self.request.snr_db) for name in self.names}
        for folder in (self.folder, *folders):
            remove_leftovers(folder, held=True)


def open_plan(request: MixtureRequest, folder: Path | str, *, overwrite: bool = False) -> MixturePlan:
    """Open a folder for the mixtures asked for: a new one, or one begun with the same inputs.

    Args:
        request: what to make.
        folder: where; new, empty, or left by an earlier run.
        overwrite: start anew where an earlier run had other inputs or was finished. Only files that run planned are
            deleted.

    Raises:
        InputError: the folder holds other files, or mixtures of other inputs and is not to be overwritten; or another
            process is at work there.
    """
    folder = Path(os.path.abspath(folder))
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder to write mixtures to: name another")
    with sole_process(folder):
        return _open(request, folder, overwrite=overwrite)


def _open(request: MixtureRequest, folder: Path, *, overwrite: bool) -> MixturePlan:
    earlier = _read_earlier(folder)
    sources = tuple(request.manifest.paths())
    _check_apart(folder, request, sources)
    inputs = request.inputs()
    if earlier is not None and overwrite:
        _delete(folder, earlier)
        earlier = None
    if earlier is not None and earlier["inputs"] != inputs:
        told = "; ".join(differences(earlier["inputs"], inputs))
        raise InputError(
            f"{folder}: holds mixtures of other inputs ({told}); expected the same ones to go on: "
            "choose another folder, or start anew with --overwrite"
        )
    names = tuple(_names(sources, request.manifest.folder))
    if earlier is None:
        # The names are stored so that starting anew deletes these files and no others.
        plan = {"made_by": MADE_BY, "inputs": inputs, "folders": _folders(request.snr_db), "names": names}
        write_text(folder / PLAN_NAME, json.dumps(plan, indent=1))
    done = _read_done(folder, request, names)
    # Written anew, so that a line cut short is gone and the next one starts on a line of its own.
    write_text(folder / JOURNAL_NAME, "".join(f"{_journal_line(row, done[row])}\n" for row in done))
    return MixturePlan(folder=folder, request=request, sources=sources, names=names, done=done)


def noisy_folder(snr_db: float | None, choice: SnrChoice) -> str:
    """Return the subfolder for mixtures at a fixed SNR, or (None) at SNRs drawn from the range chosen."""
    if snr_db is None:
        return f"snr_{snr_text(choice.span[0])}to{snr_text(choice.span[1])}dB"
    return f"snr_{snr_text(snr_db)}dB"


def clean_folder(noisy: str, gain_db: float) -> str:
    """Return the subfolder for the speech in a mixture: shared by all SNRs where it was not scaled."""
    return "clean" if gain_db == 0.0 else f"clean_{noisy}"


def fixed_snrs(choice: SnrChoice) -> tuple[float | None, ...]:
    """Return the SNR of each of an utterance's mixtures, in dB; None stands for one drawn from the range."""
    return choice.values if choice.span is None else (None,)


def _folders(choice: SnrChoice) -> list[str]:
    noisy = [noisy_folder(snr_db, choice) for snr_db in fixed_snrs(choice)]
    return ["clean", *noisy, *(f"clean_{name}" for name in noisy)]


def _names(sources: tuple[Path, ...], folder: Path) -> Iterator[str]:
    """Yield a name for every file: its path from the manifest's folder, or else from the folder all files share."""
    if not all(source.is_relative_to(folder) for source in sources):
        folder = Path(os.path.commonpath([source.parent for source in sources]))
    taken: set[str] = set()
    for source in sources:
        name = stem = PurePosixPath(source.relative_to(folder).as_posix()).with_suffix("").as_posix()
        number = 1
        # a.wav and a.flac would be one file, and so would A.wav on some disks.
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        yield name


def _read_earlier(folder: Path) -> dict[str, Any] | None:
    """Return the plan an earlier run left, or None where the folder is new or empty."""
    path = folder / PLAN_NAME
    if not path.is_file():
        if folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise InputError(
                f"{folder}: holds files that {MADE_BY} did not make; expected a new or empty folder: choose another"
            )
        return None
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: is not JSON ({error}); expected a plan of {MADE_BY}: choose another folder"
        ) from error
    if not _is_ours(plan):
        raise InputError(f"{path}: is not a plan of {MADE_BY}; expected one: choose another folder")
    return plan


def _is_ours(plan: Any) -> bool:
    """Return whether this is a plan as we write it, naming nothing outside its folder: --overwrite deletes by it."""
    if not isinstance(plan, dict) or plan.get("made_by") != MADE_BY or not isinstance(plan.get("inputs"), dict):
        return False
    if not all(isinstance(plan.get(part), list) for part in ("folders", "names")):
        return False
    names = [*plan["folders"], *plan["names"]]
    return all(map(_is_beneath, names)) and str(plan["inputs"].get("format")) in get_args(AudioFormat)


def _is_beneath(name: Any) -> bool:
    """Return whether this is the path of something beneath the folder it is told in."""
    if not isinstance(name, str) or "\0" in name:
        return False
    path = PurePosixPath(name)
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts


def _check_apart(folder: Path, request: MixtureRequest, sources: tuple[Path, ...]) -> None:
    """Make sure that nothing that is read lies where is written, and where --overwrite deletes."""
    folder = folder.resolve()
    inputs = [*sources, *(path.resolve() for path in request.audio_files())]
    if request.manifest.path is not None:
        inputs.append(request.manifest.path.resolve())
    inside = next((path for path in inputs if path.is_relative_to(folder)), None)
    if inside is not None:
        raise InputError(
            f"{folder}: holds {inside.relative_to(folder)}, which is to be read; expected a folder apart from the "
            "speech and the noise: choose another"
        )


def _journal_line(row: int, mixtures: list[dict[str, Any]]) -> str:
    return json.dumps({"row": row, "mixtures": mixtures})


def _read_done(folder: Path, request: MixtureRequest, names: Sequence[str]) -> dict[int, list[dict[str, Any]]]:
    """Return the rows the journal tells of whose files still lie there.

    A line that was cut short when the run was killed, or says what no run of ours says, is passed over: its row is made
    again.
    """
    done = {}
    count, folders = len(fixed_snrs(request.snr_db)), _folders(request.snr_db)
    journal = folder / JOURNAL_NAME
    lines = journal.read_text(encoding="utf-8", errors="replace").splitlines() if journal.is_file() else []
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        row, mixtures = (entry.get("row"), entry.get("mixtures")) if isinstance(entry, dict) else (None, None)
        if type(row) is not int or not 0 <= row < len(names) or not isinstance(mixtures, list):
            continue
        planned = {f"{part}/{names[row]}.{request.audio_format}" for part in folders}
        whole = all(_is_mixture(mixture, planned) for mixture in mixtures) and len(mixtures) == count
        if whole and all((folder / mixture[column]).is_file() for mixture in mixtures for column in FILES):
            done[row] = mixtures
    return done


def _is_mixture(mixture: Any, planned: set[str]) -> bool:
    """Return whether this tells of a mixture as we write it, in files that were planned for it."""
    if not isinstance(mixture, dict) or not all(mixture.get(column) in planned for column in FILES):
        return False
    numbers = {name: value for name, value in mixture.items() if name in NUMBER_COLUMNS}
    words = [value for name, value in mixture.items() if name not in NUMBER_COLUMNS and value is not None]
    measured = [value for name, value in numbers.items() if value is not None or name in ("snr_db", "gain_db")]
    return (
        {"snr_db", "gain_db"} <= numbers.keys()
        and all(type(value) in (int, float) and abs(value) < math.inf for value in measured)
        and all(isinstance(value, str) for value in words)
    )


def _delete(folder: Path, plan: dict[str, Any]) -> None:
    """Delete what an earlier run made or may have made, and the folders left empty by it; the plan itself last."""
    suffix = f".{plan['inputs']['format']}"
    for path in {(folder / part / name).parent for part in plan["folders"] for name in plan["names"]}:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(
                f"{path}: leads out of {folder} by a link; expected a folder in it (nothing was deleted): remove it"
            )
    # First, so that a removal cut short leaves no manifest of files that are gone.
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    touched = set()
    for subfolder in plan["folders"]:
        for name in plan["names"]:
            path = folder / subfolder / f"{name}{suffix}"
            path.unlink(missing_ok=True)
            touched.update(parent for parent in path.parents if parent.is_relative_to(folder / subfolder))
    for parent in sorted(touched, key=lambda path: len(path.parts), reverse=True):
        if parent.is_dir():
            remove_leftovers(parent, held=True)
            if not any(parent.iterdir()):
                parent.rmdir()
    remove_leftovers(folder, held=True)
    for name in (JOURNAL_NAME, PLAN_NAME):
        (folder / name).unlink(missing_ok=True)

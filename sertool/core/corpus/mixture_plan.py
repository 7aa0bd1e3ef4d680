"""What a folder of mixtures will hold, and how far it has come: resolved inputs, names, and a journal of what is done.

`mix.json` holds the inputs and every name that may be written; `mix.jsonl` gains one line an utterance once its files
lie there under their final names. A mixture is the same whenever it is made, so going on means making what is missing.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.noise import NoiseSet
from sertool.core.corpus.snr import SnrChoice, snr_text
from sertool.core.errors import InputError

MADE_BY = "sertool mix-noise"
VERSION = 1
"""Raised when the same inputs would no longer give the same mixtures."""

AudioFormat = Literal["flac", "wav"]
"""24-bit FLAC, or 32-bit float WAV."""

PLAN_NAME, JOURNAL_NAME, MANIFEST_NAME = "mix.json", "mix.jsonl", "metadata.csv"


@dataclass(frozen=True)
class MixtureRequest:
    """Which mixtures to write: every utterance at every fixed SNR, or once at an SNR drawn from a range.

    Attributes:
        manifest: the speech.
        noise_set: the noise.
        snr_db: the SNRs.
        seed: of every draw.
        audio_format: of the files written.
    """

    manifest: Manifest
    noise_set: NoiseSet
    snr_db: SnrChoice
    seed: int = 0
    audio_format: AudioFormat = "flac"

    def inputs(self) -> dict[str, Any]:
        """Return what decides the mixtures, in words and digests."""
        manifest = json.dumps([str(self.manifest.folder), self.manifest.table.to_csv(index=False)])
        return {
            "manifest": hashlib.sha256(manifest.encode(errors="surrogateescape")).hexdigest(),
            "noise": self.noise_set.digest,
            "snr": str(self.snr_db),
            "seed": self.seed,
            "format": self.audio_format,
            "version": VERSION,
        }


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
        with open(self.folder / JOURNAL_NAME, "a", encoding="utf-8") as journal:
            journal.write(_journal_line(row, mixtures))


def open_plan(request: MixtureRequest, folder: Path | str, *, overwrite: bool = False) -> MixturePlan:
    """Open a folder for the mixtures asked for: a new one, or one begun with the same inputs.

    Args:
        request: what to make.
        folder: where; new, empty, or left by an earlier run.
        overwrite: start anew where an earlier run had other inputs or was finished. Only files that run planned are
            deleted.

    Raises:
        InputError: the folder holds other files, or mixtures of other inputs and is not to be overwritten.
    """
    folder = Path(os.path.abspath(folder))
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder to write mixtures to: name another")
    earlier = _read_earlier(folder)
    sources = tuple(request.manifest.paths())
    _check_apart(folder, request, sources)
    inputs = request.inputs()
    if earlier is not None and overwrite:
        _delete(folder, earlier)
        earlier = None
    if earlier is not None and earlier["inputs"] != inputs:
        differences = "; ".join(_differences(earlier["inputs"], inputs))
        raise InputError(
            f"{folder}: holds mixtures of other inputs ({differences}); expected the same ones to go on: "
            "choose another folder, or start anew with --overwrite"
        )
    names = tuple(_names(sources, request.manifest.folder))
    if earlier is None:
        folder.mkdir(parents=True, exist_ok=True)
        # The names are stored so that starting anew deletes these files and no others.
        plan = {"made_by": MADE_BY, "inputs": inputs, "folders": _folders(request.snr_db), "names": names}
        _write_whole(folder / PLAN_NAME, json.dumps(plan, indent=1))
    done = _read_done(folder)
    # Written anew, so that a line cut short is gone and the next one starts on a line of its own.
    _write_whole(folder / JOURNAL_NAME, "".join(_journal_line(row, done[row]) for row in done))
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
    except ValueError as error:
        raise InputError(
            f"{path}: is not JSON ({error}); expected a plan of {MADE_BY}: choose another folder"
        ) from error
    if not _is_ours(plan):
        raise InputError(f"{path}: is not a plan of {MADE_BY}; expected one: choose another folder")
    return plan


def _is_ours(plan: Any) -> bool:
    """Return whether this is a plan as we write it, naming nothing outside its folder: --overwrite deletes by it."""
    if (
        not isinstance(plan, dict)
        or plan.get("made_by") != MADE_BY
        or not {"inputs", "folders", "names"} <= plan.keys()
    ):
        return False
    names = [PurePosixPath(str(name)) for name in (*plan["folders"], *plan["names"])]
    beneath = all(not name.is_absolute() and ".." not in name.parts for name in names)
    return beneath and plan["inputs"].get("format") in get_args(AudioFormat)


def _check_apart(folder: Path, request: MixtureRequest, sources: tuple[Path, ...]) -> None:
    """Make sure that nothing that is read lies where is written, and where --overwrite deletes."""
    folder = folder.resolve()
    inputs = [*sources, *(file.path.resolve() for file in request.noise_set.files)]
    if request.manifest.path is not None:
        inputs.append(request.manifest.path.resolve())
    inside = next((path for path in inputs if path.is_relative_to(folder)), None)
    if inside is not None:
        raise InputError(
            f"{folder}: holds {inside.relative_to(folder)}, which is to be read; expected a folder apart from the "
            "speech and the noise: choose another"
        )


def _differences(earlier: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for name in now:
        if earlier.get(name) != now[name]:
            digest = name in ("manifest", "noise")
            yield f"another {name}" if digest else f"{name} {earlier.get(name)}, now {now[name]}"


def _journal_line(row: int, mixtures: list[dict[str, Any]]) -> str:
    return json.dumps({"row": row, "mixtures": mixtures}) + "\n"


def _read_done(folder: Path) -> dict[int, list[dict[str, Any]]]:
    """Return the rows the journal tells of whose files still lie there."""
    done = {}
    journal = folder / JOURNAL_NAME
    lines = journal.read_text(encoding="utf-8").splitlines() if journal.is_file() else []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # a line cut short when the run was killed: its row is made again
        files = [folder / mixture[column] for mixture in entry["mixtures"] for column in ("file_name", "clean_file")]
        if all(file.is_file() for file in files):
            done[entry["row"]] = entry["mixtures"]
    return done


def _delete(folder: Path, plan: dict[str, Any]) -> None:
    """Delete what an earlier run made or may have made, and the folders left empty by it; the plan itself last."""
    suffix = f".{plan['inputs']['format']}"
    touched = set()
    for subfolder in plan["folders"]:
        for name in plan["names"]:
            path = folder / subfolder / f"{name}{suffix}"
            path.unlink(missing_ok=True)
            touched.update(parent for parent in path.parents if parent.is_relative_to(folder / subfolder))
    for parent in sorted(touched, key=lambda path: len(path.parts), reverse=True):
        if parent.is_dir():
            for partial in parent.glob(f".*.partial-*{suffix}"):
                partial.unlink()
            if not any(parent.iterdir()):
                parent.rmdir()
    for name in (MANIFEST_NAME, JOURNAL_NAME, PLAN_NAME):
        (folder / name).unlink(missing_ok=True)


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)

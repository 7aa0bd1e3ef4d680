"""Mixtures on disk: every utterance of a manifest with noise, in parallel, and a manifest of what was made."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sertool.core.audio.files import SAMPLE_RATE, audio_digest, read_audio, write_audio
from sertool.core.corpus.manifest import Manifest, utterance_key
from sertool.core.corpus.mixing import Mixer, Mixture, SilentNoiseError
from sertool.core.corpus.mixture_plan import (
    MixturePlan,
    MixtureRequest,
    clean_folder,
    fixed_snrs,
    noisy_folder,
    open_plan,
)
from sertool.core.engine import map_tasks
from sertool.core.errors import InputError, OutputError
from sertool.core.writing import sole_process

__all__ = ["Failure", "MixturePlan", "MixtureReport", "MixtureRequest", "make_mixtures", "open_plan"]


@dataclass(frozen=True)
class Failure:
    """An utterance that could not be mixed, and why."""

    path: Path
    message: str


@dataclass(frozen=True)
class MixtureReport:
    """What became of a plan.

    Attributes:
        manifest_path: the noisy manifest; None where not a single utterance could be mixed.
        made: utterances mixed now.
        kept: utterances mixed by an earlier run.
        mixtures: mixtures in the manifest.
        failures: utterances that could not be mixed.
    """

    manifest_path: Path | None
    made: int
    kept: int
    mixtures: int
    failures: tuple[Failure, ...]


def make_mixtures(plan: MixturePlan, *, workers: int = 1, on_done: Callable[[], None] | None = None) -> MixtureReport:
    """Make the mixtures a folder still lacks, then its `metadata.csv`.

    Noisy speech goes to `snr_<SNR>dB/`, the speech in it to `clean/`, or to `clean_snr_<SNR>dB/` where both had to be
    scaled. The same bytes come out whatever the number of workers and however often the making was interrupted.

    Args:
        plan: from `open_plan`.
        workers: processes.
        on_done: called whenever an utterance is done with.

    Raises:
        SilentNoiseError: nothing in the noise set is audible.
        OutputError: a file cannot be written, as on a full disk; what is made already stays and is not made again.
        InputError: another process is at work in the folder.
    """
    with sole_process(plan.folder):
        plan.refresh()
        return _make(plan, workers=workers, on_done=on_done)


def _make(plan: MixturePlan, *, workers: int, on_done: Callable[[], None] | None) -> MixtureReport:
    already, kept = plan.finished, len(plan.done)
    request = plan.request
    rows = plan.pending
    outcomes = map_tasks(
        _mix_utterance,
        ((plan.sources[row], plan.names[row]) for row in rows),
        workers=workers,
        describe=lambda task: str(task[0]),
        on_done=None if on_done is None else lambda _: on_done(),
        setup=_Bench,
        setup_args=(request.mixer(), plan.folder, request.audio_format),
    )
    failures = []
    with contextlib.closing(outcomes):
        for row, outcome in zip(rows, outcomes, strict=True):
            if isinstance(outcome.error, SilentNoiseError | OutputError):
                raise outcome.error
            if outcome.error is not None:
                failures.append(Failure(path=plan.sources[row], message=str(outcome.error)))
            else:
                plan.record(row, outcome.value)
    # Not sooner: the workers of a process that has just been killed may take a moment to end.
    plan.tidy()
    if plan.done and not already:
        _noisy_manifest(plan).write(plan.manifest_path)
    return MixtureReport(
        manifest_path=plan.manifest_path if plan.done else None,
        made=len(plan.done) - kept,
        kept=kept,
        mixtures=sum(len(mixtures) for mixtures in plan.done.values()),
        failures=tuple(failures),
    )


class _Bench:
    """What a process needs to mix utterances: made once, used for all of them."""

    def __init__(self, mixer: Mixer, folder: Path, audio_format: str):
        self.mixer = mixer
        self.folder = folder
        self.suffix = f".{audio_format}"

    def write(self, subfolder: str, name: str, samples) -> str:
        """Write samples (S,) to a subfolder and return the file's path within the folder."""
        file_name = f"{subfolder}/{name}{self.suffix}"
        path = self.folder / file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_audio(path, samples, SAMPLE_RATE)
        return file_name


def _mix_utterance(task: tuple[Path, str], bench: _Bench) -> list[dict[str, Any]]:
    """Write the mixtures of one utterance and return the columns each adds to its row."""
    source, name = task
    try:
        return list(_mixtures_of(source, name, bench))
    except SilentNoiseError:
        raise
    except InputError as error:
        message = str(error)
        raise InputError(message if message.startswith(str(source)) else f"{source}: {message}") from error


def _mixtures_of(source: Path, name: str, bench: _Bench) -> Iterator[dict[str, Any]]:
    clean, digest = read_audio(source), audio_digest(source)
    key = utterance_key(source)
    for snr_db in fixed_snrs(bench.mixer.snr_db):
        mixture = bench.mixer.mix(clean, key, snr_db=snr_db)
        noisy = noisy_folder(snr_db, bench.mixer.snr_db)
        yield {
            "file_name": bench.write(noisy, name, mixture.noisy),
            "clean_file": bench.write(clean_folder(noisy, mixture.gain_db), name, mixture.clean),
            # Of the speech as it was: resampled or scaled, clean_file no longer shows what it comes from.
            "clean_digest": digest,
            "noise_file": _text(mixture.noise_file),
            "noise_kind": mixture.kind,
            "snr_db": mixture.snr_db,
            "speech_level": bench.mixer.level,
            "noise_offset_s": mixture.noise_offset_s,
            "gain_db": mixture.gain_db,
            **_babble_and_room(mixture, bench.mixer),
        }


def _babble_and_room(mixture: Mixture, mixer: Mixer) -> dict[str, Any]:
    """Return the columns only mixtures with babble or in rooms have; null in rows that have neither."""
    columns: dict[str, Any] = {}
    if mixer.babble is not None:
        files = [str(path) for path in mixture.babble_files]
        columns["babble_files"] = json.dumps(files) if files else None
        columns["babble_offsets_s"] = json.dumps(mixture.babble_offsets_s) if files else None
    if mixer.reverberation is not None:
        columns["rir_file"] = _text(mixture.rir_file)
        columns["noise_rir_file"] = _text(mixture.noise_rir_file)
        columns["clean_reference"] = mixer.reverberation.reference if mixture.rir_file else None
    return columns


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _noisy_manifest(plan: MixturePlan) -> Manifest:
    """Return the rows of the speech's manifest, once a mixture, with the columns mixing adds."""
    rows = [row for row in sorted(plan.done) for _ in plan.done[row]]
    # A journal of an earlier version says nothing of the level, which was that of the whole utterance then.
    added = pd.DataFrame([{"speech_level": "utterance", **one} for row in sorted(plan.done) for one in plan.done[row]])
    # Seen from the new folder first: other columns with paths, which stay, must still lead to their files.
    table = plan.request.manifest.rebased(plan.folder).table.iloc[rows].reset_index(drop=True)
    return Manifest.from_table(table.assign(**{name: added[name] for name in added}), plan.folder)

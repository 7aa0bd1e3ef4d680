"""Mixtures on disk: every utterance of a manifest with noise, in parallel, and a manifest of what was made."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sertool.core.audio.files import SAMPLE_RATE, audio_digest, read_audio, write_audio
from sertool.core.corpus.manifest import Manifest, utterance_key
from sertool.core.corpus.mixing import Mixer, SilentNoiseError
from sertool.core.corpus.mixture_plan import (
    MixturePlan,
    MixtureRequest,
    clean_folder,
    fixed_snrs,
    noisy_folder,
    open_plan,
)
from sertool.core.engine import map_tasks
from sertool.core.errors import InputError

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
    scaled. The same bytes come out whatever the number of workers and however often the making was interrupted (float
    WAV files, whose header holds a date, have the same samples).

    Args:
        plan: from `open_plan`.
        workers: processes.
        on_done: called whenever an utterance is done with.

    Raises:
        SilentNoiseError: nothing in the noise set is audible.
        InputError: the manifest cannot be written.
    """
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
        setup_args=(request.noise_set, request.snr_db, request.seed, plan.folder, request.audio_format),
    )
    failures = []
    with contextlib.closing(outcomes):
        for row, outcome in zip(rows, outcomes, strict=True):
            if isinstance(outcome.error, SilentNoiseError):
                raise outcome.error
            if outcome.error is not None:
                failures.append(Failure(path=plan.sources[row], message=str(outcome.error)))
            else:
                plan.record(row, outcome.value)
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

    def __init__(self, noise_set, snr_db, seed: int, folder: Path, audio_format: str):
        self.mixer = Mixer(noise_set, snr_db, seed)
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
            "noise_file": str(mixture.noise_file),
            "noise_kind": mixture.kind,
            "snr_db": mixture.snr_db,
            "noise_offset_s": mixture.noise_offset_s,
            "gain_db": mixture.gain_db,
        }


def _noisy_manifest(plan: MixturePlan) -> Manifest:
    """Return the rows of the speech's manifest, once a mixture, with the columns mixing adds."""
    rows = [row for row in sorted(plan.done) for _ in plan.done[row]]
    added = pd.DataFrame([mixture for row in sorted(plan.done) for mixture in plan.done[row]])
    # Seen from the new folder first: other columns with paths, which stay, must still lead to their files.
    table = plan.request.manifest.rebased(plan.folder).table.iloc[rows].reset_index(drop=True)
    return Manifest.from_table(table.assign(**{name: added[name] for name in added}), plan.folder)

"""`sertool mix-noise`: speech and noise at stated SNRs, as files and a manifest."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sertool.cli import console
from sertool.cli.mixing_options import (
    Babble,
    BabbleSplit,
    CleanReference,
    LevelChoice,
    Rir,
    SpeechLevel,
    Talkers,
    read_babble,
    read_rooms,
)
from sertool.core.errors import InputError


class AudioFormat(StrEnum):
    """Formats mixtures are written in."""

    FLAC = "flac"
    WAV = "wav"


class NoisePart(StrEnum):
    """Recordings of a noise set to take."""

    ALL = "all"
    TRAIN = "train"
    DEV = "dev"


def mix_noise(
    manifest: Annotated[Path, typer.Argument(help="Manifest of clean speech (CSV or Parquet).")],
    snr: Annotated[
        list[str],
        typer.Option("--snr", help="SNR in dB, repeatable; or a range LOW:HIGH to draw one from for every utterance."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write the mixtures and metadata.csv to.")],
    noise: Annotated[
        Path | None,
        typer.Option("--noise", help="Folder of noise, one subfolder a kind, or a manifest with a column 'kind'."),
    ] = None,
    babble: Babble = None,
    babble_split: BabbleSplit = None,
    talkers: Talkers = None,
    speech_level: SpeechLevel = LevelChoice.UTTERANCE,
    rir: Rir = None,
    clean_reference: CleanReference = None,
    split: Annotated[str | None, typer.Option("--split", help="Mix only this split of the manifest.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Take only this kind of noise; repeatable.")] = None,
    part: Annotated[
        NoisePart,
        typer.Option("--part", help="Noise to take, and babble without split: 'dev' is a fifth, 'train' the rest."),
    ] = NoisePart.ALL,
    disjoint_from: Annotated[
        Path | None,
        typer.Option("--disjoint-from", help="Other noise (folder or manifest) that must share no kind or recording."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of every draw.")] = 0,
    audio_format: Annotated[
        AudioFormat, typer.Option("--format", help="24-bit FLAC or 32-bit float WAV.")
    ] = AudioFormat.FLAC,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes to use.", show_default="one a core")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew, deleting what an earlier mix-noise made there.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON instead of the manifest's path.")
    ] = False,
) -> None:
    """Mix speech with noise: the same mixtures for the same seed, whatever the order or number of workers.

    With --babble, others talk at once; the speaker of an utterance that is listed there never babbles around it. With
    --rir, speech and noise sound from different places of the same room: the SNR is that of the reverberant speech, and
    clean_file is its direct sound (or early part), aligned with it.

    Interrupted and run again, it makes only what is missing. Prints the path of the noisy manifest.
    """
    from sertool.core.corpus.manifest import Manifest
    from sertool.core.corpus.mixing import parse_snr
    from sertool.core.corpus.mixtures import MixtureRequest, make_mixtures, open_plan
    from sertool.core.corpus.noise import NoiseSet, check_disjoint
    from sertool.core.engine import default_workers

    if noise is None:
        if babble is None:
            raise InputError("there is nothing to mix with; expected noise or babble: name --noise, --babble or both")
        if kind or disjoint_from is not None:
            raise InputError("--kind and --disjoint-from are about recordings of noise: name them with --noise")
    if overwrite:
        console.if_interrupted("run the same command again, without --overwrite, to go on")
    choice = parse_snr(snr)
    speech = Manifest.read(manifest)
    if split is not None:
        speech = speech.split(split)
    request = MixtureRequest(
        speech,
        None if noise is None else NoiseSet.read(noise, part=part.value, kinds=kind or None),
        choice,
        seed=seed,
        audio_format=audio_format.value,
        level=speech_level.value,
        babble=read_babble(babble, split=babble_split, talkers=talkers, part=part.value),
        reverberation=read_rooms(rir, clean_reference),
    )
    if disjoint_from is not None:
        check_disjoint(request.noise_set, NoiseSet.read(disjoint_from))
    plan = open_plan(request, output, overwrite=overwrite)
    if plan.finished:
        console.note(f"{plan.folder}: these mixtures are made already; nothing to do")
    with console.progress(len(plan.pending), "mixing") as advance:
        report = make_mixtures(plan, workers=workers or default_workers(), on_done=lambda: advance(1))
    _print(report, as_json)
    if report.failures:
        console.list_failures([failure.message for failure in report.failures], total=len(plan.names))
        raise typer.Exit(console.SOME_FAILED)


def _print(report, as_json: bool) -> None:
    if as_json:
        console.json_line(
            {
                "manifest": None if report.manifest_path is None else str(report.manifest_path),
                "mixtures": report.mixtures,
                "utterances_made": report.made,
                "utterances_kept": report.kept,
                "failed": [{"file": str(failure.path), "error": failure.message} for failure in report.failures],
            }
        )
    elif report.manifest_path is not None:
        console.result(report.manifest_path)

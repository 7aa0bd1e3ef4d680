"""One utterance judged: read, mixed at every SNR, recognised, enhanced and scored; one row for each condition."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sertool.core.audio.files import SAMPLE_RATE, read_audio
from sertool.core.corpus.manifest import utterance_key
from sertool.core.corpus.mixing import Draw, Mixer, SilentNoiseError
from sertool.core.errors import AudioError, InputError
from sertool.core.metrics.speech import speech_scores
from sertool.core.models.inference import Recognizer
from sertool.core.randomness import seed_for

NO_REFERENCE = "there is no clean reference"

NOISE_FACTS = ("snr_db", "noise_kind", "noise_file", "noise_offset_s", "gain_db")
"""What results say of the noise in every mixture, under the names a noisy manifest has for it."""

FURTHER_FACTS = ("speech_level", "babble_files", "babble_offsets_s", "rir_file", "noise_rir_file", "clean_reference")
"""What they say too where it was asked for: active speech levels, babble, rooms."""


@dataclass(frozen=True)
class Utterance:
    """One row of a test manifest, as much of it as judging needs.

    Attributes:
        file: what results call it; says nothing of the machine.
        path: its audio.
        facts: columns copied into every row of the results (speaker, labels, and for noisy manifests the SNR).
        is_noisy: whether the audio is noisy already and is judged as it is.
        clean_path: the clean reference of noisy audio, if it has one.
        clean_digest: of the speech a mixture was made from, before it was resampled or scaled, if known.
    """

    file: str
    path: Path
    facts: dict[str, Any] = field(default_factory=dict)
    is_noisy: bool = False
    clean_path: Path | None = None
    clean_digest: str | None = None


@dataclass(frozen=True)
class Judge:
    """What a process needs to judge utterances.

    Attributes:
        recognizer: the model.
        mixer: makes the mixtures; None where only clean speech or noisy audio is judged.
        snrs: SNRs in dB to mix at; None in it stands for clean speech.
        measures: speech measures, see `sertool.core.metrics.speech`; empty for none.
        seed: for measures that draw random numbers.
    """

    recognizer: Recognizer
    mixer: Mixer | None
    snrs: tuple[float | None, ...]
    measures: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Heard:
    """What one condition sounds like: the samples to judge (S,), their clean reference (S,) if any, and whence."""

    samples: np.ndarray
    clean: np.ndarray | None
    facts: dict[str, Any]


def judge_utterance(utterance: Utterance, judge: Judge) -> list[dict[str, Any]]:
    """Return one row for each condition an utterance is heard in.

    Each row holds `file` and the utterance's facts; `duration_s`, of what was heard; `snr_db` (None: clean),
    `noise_kind`, `noise_file`, `noise_offset_s`, `gain_db`, and those of `FURTHER_FACTS` that were asked for;
    `predicted` and `p_<category>`; `predicted_<attribute>`; and for each measure `unprocessed_<measure>`,
    `enhanced_<measure>`, and the same with `_unscored`: why there is no value, else None.

    Raises:
        AudioError: the audio or its clean reference cannot be read.
        InputError: the utterance is silent and cannot be mixed, or the model's output is not finite.
    """
    try:
        return [
            {"file": utterance.file, **utterance.facts, "duration_s": len(heard.samples) / SAMPLE_RATE, **heard.facts}
            | _recognise(heard, judge.recognizer)
            | _measure(heard, utterance, judge)
            for heard in _conditions(utterance, judge)
        ]
    except SilentNoiseError:
        raise
    except AudioError as error:
        raise AudioError(_as_called(str(error), utterance, judge.mixer)) from error
    except InputError as error:
        raise InputError(f"{utterance.file}: {error}") from error


def _conditions(utterance: Utterance, judge: Judge) -> list[Heard]:
    samples = read_audio(utterance.path)
    if utterance.is_noisy:
        return [Heard(samples, _reference(utterance, samples), {})]
    key = utterance_key(utterance.path)
    heard = []
    draw = None
    for snr_db in judge.snrs:
        if snr_db is None:
            heard.append(Heard(samples, samples, dict.fromkeys(NOISE_FACTS) | _further_facts(judge.mixer, None)))
            continue
        # Drawn once: the noise of an utterance is the same at every SNR.
        draw = draw or judge.mixer.draw(len(samples), key, snr_db=snr_db)
        mixture = judge.mixer.apply(samples, dataclasses.replace(draw, snr_db=snr_db))
        facts = {
            "snr_db": snr_db,
            "noise_kind": mixture.kind,
            "noise_file": None if draw.noise is None else judge.mixer.noise_set.files[draw.noise].name,
            "noise_offset_s": mixture.noise_offset_s,
            "gain_db": mixture.gain_db,
        }
        heard.append(Heard(mixture.noisy, mixture.clean, facts | _further_facts(judge.mixer, draw)))
    return heard


def _further_facts(mixer: Mixer | None, draw: Draw | None) -> dict[str, Any]:
    """Return what was asked for besides recordings of noise, by the names files have in their sets; null if clean."""
    if mixer is None:
        return {}
    facts: dict[str, Any] = {}
    if mixer.level != "utterance":
        facts["speech_level"] = mixer.level if draw else None
    if mixer.babble is not None:
        talkers = draw.talkers if draw else ()
        names = [mixer.babble.files[talker.utterance].name for talker in talkers]
        facts["babble_files"] = json.dumps(names) if names else None
        offsets_s = [talker.offset / SAMPLE_RATE for talker in talkers]
        facts["babble_offsets_s"] = json.dumps(offsets_s) if names else None
    if mixer.reverberation is not None:
        responses = mixer.reverberation.rirs.responses
        places = [responses[index].name for index in draw.room] if draw and draw.room else [None, None]
        facts |= {"rir_file": places[0], "noise_rir_file": places[1]}
        facts["clean_reference"] = mixer.reverberation.reference if draw and draw.room else None
    return facts


def _reference(utterance: Utterance, noisy: np.ndarray) -> np.ndarray | None:
    if utterance.clean_path is None:
        return None
    clean = read_audio(utterance.clean_path)
    if clean.shape != noisy.shape:
        raise InputError(
            f"has {len(noisy)} samples at 16 kHz, its clean_file {len(clean)}; expected as many: "
            "name the reference it was mixed from"
        )
    return clean


def _as_called(message: str, utterance: Utterance, mixer: Mixer | None) -> str:
    """Return a message about files in which results' names for them stand in place of their paths."""
    names = {} if mixer is None else _names_in_sets(mixer)
    if utterance.clean_path is not None:
        names[utterance.clean_path] = f"{utterance.file} (its clean_file)"
    names[utterance.path] = utterance.file
    for path, name in names.items():
        message = message.replace(str(path), name)
    return message


def _names_in_sets(mixer: Mixer) -> dict[Path, str]:
    """Return what results call the files a mixer reads."""
    names: dict[Path, str] = {}
    if mixer.reverberation is not None:
        names |= {response.path: f"room {response.name}" for response in mixer.reverberation.rirs.responses}
    if mixer.babble is not None:
        names |= {file.path: f"babble {file.name}" for file in mixer.babble.files}
    if mixer.noise_set is not None:
        names |= {file.path: f"noise {file.name}" for file in mixer.noise_set.files}
    return names


def _recognise(heard: Heard, recognizer: Recognizer) -> dict[str, Any]:
    config = recognizer.model.config
    if not (config.categories or config.attributes):
        return {}
    prediction = recognizer.predict(heard.samples)
    row: dict[str, Any] = {}
    if config.categories:
        row["predicted"] = prediction.label
        row |= {f"p_{name}": value for name, value in prediction.probabilities.items()}
    row |= {f"predicted_{name}": value for name, value in (prediction.attributes or {}).items()}
    if not all(math.isfinite(value) for value in row.values() if isinstance(value, float)):
        raise InputError("the model's prediction is not a number; expected finite weights: train it again")
    return row


def _measure(heard: Heard, utterance: Utterance, judge: Judge) -> dict[str, Any]:
    if not judge.measures:
        return {}
    seed = seed_for("speech measures", judge.seed, utterance_key(utterance.path))
    signals = {
        "unprocessed": heard.samples,
        "enhanced": judge.recognizer.enhance(heard.samples, SAMPLE_RATE),
    }
    row: dict[str, Any] = {}
    for signal, samples in signals.items():
        if heard.clean is None:
            scores = {"reasons": dict.fromkeys(judge.measures, NO_REFERENCE)}
        else:
            scores = speech_scores(heard.clean, samples, SAMPLE_RATE, seed=seed, measures=judge.measures)
        for measure in judge.measures:
            row[f"{signal}_{measure}"] = scores.get(measure)
            row[f"{signal}_{measure}_unscored"] = scores["reasons"].get(measure)
    return row

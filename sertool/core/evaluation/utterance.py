"""An utterance and what is heard of it: by itself, in noise at every SNR, or as a mixture somebody else has made."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sertool.core.audio.files import SAMPLE_RATE, read_audio
from sertool.core.corpus.fixed_mixtures import FixedMixture, mixture_of
from sertool.core.corpus.manifest import utterance_key
from sertool.core.corpus.mixing import Draw, Mixer
from sertool.core.errors import InputError

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
        mixture: how a fixed mixture is made of the audio; None where noise is drawn or there is none.
    """

    file: str
    path: Path
    facts: dict[str, Any] = field(default_factory=dict)
    is_noisy: bool = False
    clean_path: Path | None = None
    clean_digest: str | None = None
    mixture: FixedMixture | None = None


@dataclass(frozen=True)
class Heard:
    """What one condition sounds like: the samples to judge (S,), their clean reference (S,) if any, and whence."""

    samples: np.ndarray
    clean: np.ndarray | None
    facts: dict[str, Any]


def conditions_of(utterance: Utterance, mixer: Mixer | None, snrs: Sequence[float | None]) -> list[Heard]:
    """Return what is heard of an utterance: itself where it is noisy already or a fixed mixture, else at each SNR.

    Args:
        utterance: which.
        mixer: makes the mixtures; None where nothing is mixed.
        snrs: in dB; None in it stands for clean speech.

    Raises:
        AudioError: audio cannot be read.
        InputError: the utterance is silent and cannot be mixed, or its reference is not as long.
    """
    if utterance.mixture is not None:
        return [Heard(*mixture_of(utterance.mixture), {})]
    samples = read_audio(utterance.path)
    if utterance.is_noisy:
        return [Heard(samples, _reference(utterance, samples), {})]
    key = utterance_key(utterance.path)
    heard = []
    draw = None
    for snr_db in snrs:
        if snr_db is None:
            heard.append(Heard(samples, samples, dict.fromkeys(NOISE_FACTS) | _further_facts(mixer, None)))
            continue
        # Drawn once: the noise of an utterance is the same at every SNR.
        draw = draw or mixer.draw(len(samples), key, snr_db=snr_db)
        mixture = mixer.apply(samples, dataclasses.replace(draw, snr_db=snr_db))
        facts = {
            "snr_db": snr_db,
            "noise_kind": mixture.kind,
            "noise_file": None if draw.noise is None else mixer.noise_set.files[draw.noise].name,
            "noise_offset_s": mixture.noise_offset_s,
            "gain_db": mixture.gain_db,
        }
        heard.append(Heard(mixture.noisy, mixture.clean, facts | _further_facts(mixer, draw)))
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


def as_called(message: str, utterance: Utterance, mixer: Mixer | None) -> str:
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

"""Reverberation: speech and noise as they sound in a room, through impulse responses of two places in it."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.signal import oaconvolve

from sertool.core.audio.files import SAMPLE_RATE, find_audio, read_audio_native, resample
from sertool.core.corpus.noise import Part, in_dev_part
from sertool.core.errors import AudioError, InputError

Reference = Literal["dry", "early"]
"""What counts as the clean speech in a reverberant mixture: its direct sound alone, or with the early reflections."""

REFERENCES: tuple[Reference, ...] = ("dry", "early")

ONSET_SHARE = 0.25
"""The direct sound begins at the first sample of a response that reaches this share of its peak: reflections that meet
may be louder than it, but not that much."""

ONSET_S = 0.001
"""It arrives at the largest sample within so long of its beginning, in seconds."""

DIRECT_S = 0.0025
"""What a response holds within so long of the arrival is direct sound, in seconds (Zahorik, JASA 2002)."""

EARLY_S = 0.05
"""What follows the arrival within so long are early reflections, in seconds (ISO 3382-1, C50)."""

SPEECH_PREFIX = "speech"
"""Where files of a room are called so, speech sounds from there and noise from the other places."""


@dataclass(frozen=True)
class Response:
    """One room impulse response.

    Attributes:
        path: where it lies, absolute.
        name: its POSIX path within the set.
        digest: SHA-256 of the samples of its first channel and their rate, in hex.
    """

    path: Path
    name: str
    digest: str

    @property
    def room(self) -> str:
        """The room it belongs to: the folder it lies in, within the set."""
        return self.name.rpartition("/")[0]


@dataclass(frozen=True)
class RirSet:
    """Room impulse responses, sorted by name; each folder is a room, and the files in it are places in that room.

    Attributes:
        responses: the responses; their order is part of what a draw means.
        digest: SHA-256 over names and content.
    """

    responses: tuple[Response, ...]
    digest: str

    @classmethod
    def read(cls, folder: Path | str) -> "RirSet":
        """Read and check a folder of responses: a subfolder a room, or a flat folder, which counts as one room.

        Raises:
            InputError: the folder does not exist or holds no audio, or a room has only one response, or none for
                speech or none for noise.
            AudioError: a response cannot be read, is silent, or is longer than a minute.
        """
        folder = Path(os.path.abspath(folder))
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; expected one of room impulse responses: check the spelling")
        # A hidden folder holds a room that is being written.
        paths = [
            path
            for path in find_audio(folder)
            if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        ]
        if not paths:
            raise InputError(
                f"{folder}: holds no audio; expected room impulse responses, one folder a room: name another folder, "
                "or simulate rooms with 'sertool rooms'"
            )
        return cls.of(
            [Response(path, path.relative_to(folder).as_posix(), _digest(path)) for path in paths], source=str(folder)
        )

    @classmethod
    def of(cls, responses: Sequence[Response], *, source: str = "responses") -> "RirSet":
        """Return the set of these responses, sorted by name.

        Raises:
            InputError: a room has too few of them.
        """
        responses = tuple(sorted(responses, key=lambda response: response.name))
        content = [[response.name, response.digest] for response in responses]
        rirs = cls(responses=responses, digest=hashlib.sha256(json.dumps(content).encode()).hexdigest())
        for room, (speech, noise) in rirs.rooms.items():
            if not speech or not noise or len({*speech, *noise}) < 2:
                named = responses[(speech or noise)[0]].name
                raise InputError(
                    f"{source}: room '{room or '.'}' has no response for {'speech' if not speech else 'noise'} besides "
                    f"{named}; expected two or more a room, as speech and noise sound from different places: add one, "
                    "or remove the room"
                )
        return rirs

    @cached_property
    def rooms(self) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
        """Of every room, in order of appearance: indices of the responses speech may take, and noise may take."""
        members: dict[str, list[int]] = {}
        for index, response in enumerate(self.responses):
            members.setdefault(response.room, []).append(index)
        rooms = {}
        for room, indices in members.items():
            named = [index for index in indices if _is_for_speech(self.responses[index])]
            others = [index for index in indices if not _is_for_speech(self.responses[index])]
            rooms[room] = (tuple(named), tuple(others)) if named else (tuple(indices), tuple(indices))
        return rooms

    def part(self, part: Part) -> "RirSet | None":
        """Return the rooms of a part, by the SHA-1 of their names as for noise; None where there are none."""
        chosen = [
            response
            for response in self.responses
            if part == "all" or (part == "dev") == in_dev_part(response.room.rpartition("/")[2])
        ]
        return RirSet.of(chosen) if chosen else None

    def draw(self, generator: np.random.Generator) -> tuple[int, int]:
        """Draw a room, uniformly, and two different places in it: indices of the responses for speech and noise."""
        rooms = list(self.rooms.values())
        speech, noise = rooms[int(generator.integers(len(rooms)))]
        chosen = speech[int(generator.integers(len(speech)))]
        others = [index for index in noise if index != chosen]
        return chosen, others[int(generator.integers(len(others)))]

    def __len__(self) -> int:
        return len(self.responses)


@dataclass(frozen=True)
class Reverberation:
    """How mixtures are made to sound as in rooms.

    Attributes:
        rirs: the rooms.
        share: of the utterances that are put in a room; the others stay dry.
        reference: what counts as the clean speech.
    """

    rirs: RirSet
    share: float = 1.0
    reference: Reference = "dry"

    def draw(self, generator: np.random.Generator) -> tuple[int, int] | None:
        """Draw the responses for speech and noise, or None for an utterance that stays dry."""
        return self.rirs.draw(generator) if generator.uniform() < self.share else None


@dataclass(frozen=True)
class ImpulseResponse:
    """An impulse response in memory: float64 at 16 kHz, shape (N,), and the sample its direct sound arrives on."""

    samples: np.ndarray
    arrival: int

    @property
    def tail(self) -> int:
        """How many samples after a sound the last of it is heard."""
        return len(self.samples) - 1 - self.arrival

    def part(self, end_s: float | None) -> "ImpulseResponse":
        """Return what lies from just before the arrival to so many seconds after it; None for all that follows."""
        first = max(0, self.arrival - round(DIRECT_S * SAMPLE_RATE))
        last = len(self.samples) if end_s is None else self.arrival + round(end_s * SAMPLE_RATE) + 1
        return ImpulseResponse(self.samples[first:last], self.arrival - first)

    def applied_to(self, sound: np.ndarray) -> np.ndarray:
        """Return a sound (S,) as it is heard in the room, float64, (S,): direct sound without delay, its end cut."""
        heard = oaconvolve(sound.astype(np.float64), self.samples)
        return heard[self.arrival : self.arrival + len(sound)]


@lru_cache(maxsize=32)
def read_response(path: Path, digest: str) -> ImpulseResponse:
    """Read a room impulse response: first channel, resampled to 16 kHz, its direct sound found.

    The direct sound begins at the first sample that reaches a quarter of the peak, and arrives at the largest sample of
    the millisecond after, since resamplers and fractional delays ring before it.

    Args:
        path: the file.
        digest: of its content, so that a file that was replaced is read again.

    Raises:
        AudioError: the file cannot be read, is silent, or is longer than a minute.
    """
    samples, rate = _first_channel(path)
    response = resample(samples, rate, SAMPLE_RATE).astype(np.float64)
    magnitudes = np.abs(response)
    onset = int(np.argmax(magnitudes >= ONSET_SHARE * magnitudes.max()))
    arrival = onset + int(np.argmax(magnitudes[onset : onset + round(ONSET_S * SAMPLE_RATE)]))
    # Without what lies before the direct sound: it would sound ahead of the speech.
    return ImpulseResponse(response, arrival).part(None)


def reverberate_speech(
    speech: np.ndarray, response: ImpulseResponse, reference: Reference
) -> tuple[np.ndarray, np.ndarray]:
    """Return speech as it is heard in a room, and what counts as the clean speech in it.

    Both are scaled together so that the reverberant speech has the energy of the speech given.

    Args:
        speech: at 16 kHz, shape (S,).
        response: from the place of the talker.
        reference: "dry" for the direct sound alone (2.5 ms to either side of its arrival), "early" for it and the
            reflections of the 50 ms after.

    Returns:
        Reverberant speech and clean reference, float64, shape (S,), both aligned with the speech given.
    """
    reverberant = response.applied_to(speech)
    clean = response.part(DIRECT_S if reference == "dry" else EARLY_S).applied_to(speech)
    energy, heard = (float(np.square(one, dtype=np.float64).sum()) for one in (speech, reverberant))
    gain = np.sqrt(energy / heard) if heard > 0.0 else 1.0
    return reverberant * gain, clean * gain


def _is_for_speech(response: Response) -> bool:
    return response.path.name.casefold().startswith(SPEECH_PREFIX)


def _digest(path: Path) -> str:
    """Return the digest of a response, and refuse one that is of no use before anything is mixed with it."""
    samples, rate = _first_channel(path)
    return hashlib.sha256(str(rate).encode() + b" " + samples.astype("<f4").tobytes()).hexdigest()


def _first_channel(path: Path) -> tuple[np.ndarray, int]:
    samples, rate = read_audio_native(path)
    if len(samples) > 60 * rate:
        raise AudioError(
            f"{path}: lasts {len(samples) / rate:.0f} s; expected a room impulse response of a minute at most: "
            "remove what is not one"
        )
    if np.abs(samples[:, 0]).max() < 1e-6:
        raise AudioError(f"{path}: is silent in its first channel; expected a room impulse response: remove it")
    return np.ascontiguousarray(samples[:, 0]), rate

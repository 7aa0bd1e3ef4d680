"""Babble: noise made of several people talking at once, each mixture's from utterances of its own."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sertool.core.audio.speech_level import speech_level
from sertool.core.corpus.manifest import Manifest, utterance_key
from sertool.core.corpus.noise import Part, file_digest, in_part, names_within
from sertool.core.corpus.noise_stretch import Recording, is_audible, loop_samples, noise_stretch, read_recording
from sertool.core.errors import InputError

BABBLE = "babble"
"""The kind of noise babble is."""

TALKERS = 6
"""Talkers in babble unless asked otherwise."""

TALKER_DB = -26.0
"""Active level (ITU-T P.56) every talker is brought to before they are summed, in dB re full scale."""


class Talker(NamedTuple):
    """One talker in the babble of a mixture: index of the utterance in the set, sample at 16 kHz it begins on."""

    utterance: int
    offset: int


@dataclass(frozen=True)
class BabbleFile:
    """One utterance babble may be made of.

    Attributes:
        path: where it lies, absolute.
        name: its POSIX path within the set, so that a set is the same set wherever it lies.
        speaker: who talks; None where nobody knows, and the utterance counts as a speaker of its own.
        digest: SHA-256 of the file's bytes, in hex.
    """

    path: Path
    name: str
    speaker: str | None
    digest: str


@dataclass(frozen=True)
class BabbleSet:
    """Utterances babble is made of, sorted by name.

    Attributes:
        files: the utterances; their order is part of what a draw means.
        talkers: voices in each babble.
        digest: SHA-256 over the talkers, the names, who speaks, and the content.
    """

    files: tuple[BabbleFile, ...]
    talkers: int
    digest: str

    @classmethod
    def read(
        cls, source: Path | str, *, talkers: int = TALKERS, split: str | None = None, part: Part = "all"
    ) -> "BabbleSet":
        """Read a set from a manifest of clean speech, hashing every utterance once.

        Args:
            source: a manifest (CSV, Parquet); the column `speaker` tells voices apart.
            talkers: voices in each babble, at least 2.
            split: the split of the manifest to take; None takes every row.
            part: "dev" takes the utterances whose file name's SHA-1 is 0 mod 5, "train" the others, as for noise.

        Raises:
            InputError: the manifest cannot be read, a file is missing, or there are too few talkers.
        """
        manifest = Manifest.read(source)
        if split is not None:
            manifest = manifest.split(split)
        return cls.of(list_files(manifest, part), talkers=talkers, source=str(source))

    @classmethod
    def of(cls, files: Sequence[BabbleFile], *, talkers: int = TALKERS, source: str = "babble") -> "BabbleSet":
        """Return the set of these utterances, sorted by name.

        Raises:
            InputError: there are fewer speakers than talkers, or fewer than two talkers are asked for.
        """
        if talkers < 2:
            raise InputError(f"babble of {talkers} talkers; expected two or more, as one is no babble: ask for more")
        files = tuple(sorted(files, key=lambda file: (file.name, file.digest)))
        content = [talkers, [[file.name, file.speaker, file.digest] for file in files]]
        babble = cls(files=files, talkers=talkers, digest=hashlib.sha256(json.dumps(content).encode()).hexdigest())
        if len(babble.by_speaker) < talkers:
            raise InputError(
                f"{source}: holds speech of {len(babble.by_speaker)} talkers; expected {talkers} or more for the "
                "babble: take fewer talkers, or more speech"
            )
        return babble

    @cached_property
    def by_speaker(self) -> tuple[tuple[int, ...], ...]:
        """Indices into `files` of every speaker's utterances; unknown speakers are one utterance each."""
        indices: dict[tuple[str, str | int], list[int]] = {}
        for index, file in enumerate(self.files):
            speaker = ("unknown", index) if file.speaker is None else ("known", file.speaker)
            indices.setdefault(speaker, []).append(index)
        return tuple(tuple(members) for members in indices.values())

    @cached_property
    def _speaker_of_key(self) -> dict[str, int]:
        """Index into `by_speaker` of who speaks in an utterance, by its key."""
        return {
            utterance_key(self.files[index].path): number
            for number, members in enumerate(self.by_speaker)
            for index in members
        }

    def draw(self, generator: np.random.Generator, num_samples: int, *, key: str) -> tuple[Talker, ...] | None:
        """Draw the talkers for one mixture: speakers first, uniformly and each once, then an utterance, then an offset.

        Whoever speaks in the utterance that is mixed does not babble around it, where that utterance is in the set too.
        Silent utterances are passed over for the next speaker.

        Args:
            generator: to draw from.
            num_samples: length of the mixture at 16 kHz.
            key: of the utterance that is mixed, see `utterance_key`.

        Returns:
            The talkers, or None where all of them pause at once and nothing is heard.

        Raises:
            InputError: too few talkers are left.
            AudioError: an utterance cannot be read.
        """
        own = self._speaker_of_key.get(key)
        chosen: list[Talker] = []
        for number in generator.permutation(len(self.by_speaker)):
            if number == own:
                continue
            members = self.by_speaker[number]
            index = members[int(generator.integers(len(members)))]
            file = self.files[index]
            offset = int(generator.integers(loop_samples(len(read_recording(file.path, file.digest).samples))))
            if _active_level_db(file.path, file.digest) is not None:
                chosen.append(Talker(index, offset))
            if len(chosen) == self.talkers:
                break
        else:
            raise InputError(
                f"babble of {self.talkers} talkers found only {len(chosen)} who can be heard, apart from the speaker "
                "of this utterance; expected more: take fewer talkers, or more speech"
            )
        babble = self.stretch(chosen, num_samples)
        loud = Recording(samples=babble, power=self.talkers * 10.0 ** (TALKER_DB / 10.0))
        return tuple(chosen) if is_audible(babble, loud) else None

    def stretch(self, talkers: Sequence[Talker], num_samples: int, *, lead: int = 0) -> np.ndarray:
        """Return the babble of some talkers: each brought to the same active level, looped where too short, summed.

        Args:
            talkers: from `draw`.
            num_samples: length of the mixture at 16 kHz, S.
            lead: samples wanted of what was heard before it.

        Returns:
            Babble, float64, shape (lead + S,).
        """
        babble = np.zeros(lead + num_samples)
        for talker in talkers:
            file = self.files[talker.utterance]
            samples = read_recording(file.path, file.digest).samples
            offset = (talker.offset - lead) % loop_samples(len(samples))
            gain_db = TALKER_DB - _active_level_db(file.path, file.digest)
            babble += noise_stretch(samples, offset, lead + num_samples).astype(np.float64) * 10.0 ** (gain_db / 20.0)
        return babble

    def __len__(self) -> int:
        return len(self.files)


def list_files(manifest: Manifest, part: Part = "all") -> list[BabbleFile]:
    """Return the utterances of a manifest that belong to a part of it.

    Raises:
        InputError: a file is missing, or the manifest is noisy.
    """
    if manifest.has("clean_file"):
        raise InputError(f"{manifest.name}: is noisy already; expected clean speech for babble: name that manifest")
    paths = manifest.paths()
    names = names_within(paths, manifest.folder)
    return [
        BabbleFile(Path(os.path.abspath(path)), name, None if pd.isna(speaker) else str(speaker), file_digest(path))
        for path, name, speaker in zip(paths, names, manifest.speakers(), strict=True)
        if in_part(path.name, part)
    ]


@lru_cache(maxsize=65_536)
def _active_level_db(path: Path, digest: str) -> float | None:
    """Return the active level of an utterance in dB re full scale, or None where nobody speaks in it."""
    samples = read_recording(path, digest).samples
    try:
        return speech_level(samples).active_db
    except InputError:
        return None

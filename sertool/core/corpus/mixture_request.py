"""What mixtures are asked for: speech, noise, babble, rooms, SNRs, and by what all of it is known again."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sertool.core.corpus.babble import BabbleSet
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixing import Level, Mixer, check_kinds
from sertool.core.corpus.noise import NoiseSet
from sertool.core.corpus.reverberation import Reverberation
from sertool.core.corpus.snr import SnrChoice

VERSION = 1
"""Raised when the same inputs would no longer give the same mixtures."""

DIGESTS = ("manifest", "noise", "babble", "rooms")
"""Inputs told by a digest, which says nothing to a reader."""

UNSAID = {"speech level": "utterance"}
"""What holds where a plan does not name an input."""

AudioFormat = Literal["flac", "wav"]
"""24-bit FLAC, or 32-bit float WAV."""


@dataclass(frozen=True)
class MixtureRequest:
    """Which mixtures to write: every utterance at every fixed SNR, or once at an SNR drawn from a range.

    Attributes:
        manifest: the speech.
        noise_set: recordings of noise; None where babble is the only noise.
        snr_db: the SNRs.
        seed: of every draw.
        audio_format: of the files written.
        level: what an SNR takes for the level of the speech.
        babble: speech to make babble of; None for no babble.
        reverberation: rooms for speech and noise; None for none.
    """

    manifest: Manifest
    noise_set: NoiseSet | None
    snr_db: SnrChoice
    seed: int = 0
    audio_format: AudioFormat = "flac"
    level: Level = "utterance"
    babble: BabbleSet | None = None
    reverberation: Reverberation | None = None

    def __post_init__(self):
        check_kinds(self.noise_set, self.babble)

    def mixer(self) -> Mixer:
        """Return what mixes the utterances."""
        return Mixer(self.noise_set, self.snr_db, self.seed, self.level, self.babble, self.reverberation)

    def inputs(self) -> dict[str, Any]:
        """Return what decides the mixtures, in words and digests."""
        manifest = json.dumps([str(self.manifest.folder), self.manifest.table.to_csv(index=False)])
        inputs = {
            "manifest": hashlib.sha256(manifest.encode(errors="surrogateescape")).hexdigest(),
            "noise": None if self.noise_set is None else self.noise_set.digest,
            "snr": str(self.snr_db),
            "seed": self.seed,
            "format": self.audio_format,
            "version": VERSION,
        }
        # What is not asked for is not named: plans of earlier versions, which knew none of it, are gone on with.
        if self.level != "utterance":
            inputs["speech level"] = self.level
        if self.babble is not None:
            inputs["babble"] = self.babble.digest
        if self.reverberation is not None:
            rooms = self.reverberation
            inputs |= {"rooms": rooms.rirs.digest, "rooms share": rooms.share, "clean reference": rooms.reference}
        return inputs

    def audio_files(self) -> list[Path]:
        """Return every file mixing reads besides the speech."""
        files = [] if self.noise_set is None else [file.path for file in self.noise_set.files]
        if self.babble is not None:
            files += [file.path for file in self.babble.files]
        if self.reverberation is not None:
            files += [response.path for response in self.reverberation.rirs.responses]
        return files


def differences(earlier: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Yield what differs between the inputs of two requests, in words."""
    for name in {**now, **earlier}:
        if earlier.get(name) != now.get(name):
            if name not in DIGESTS:
                yield f"{name} {earlier.get(name, UNSAID.get(name))}, now {now.get(name, UNSAID.get(name))}"
            elif now.get(name) is None:
                yield f"with {name}, now without"
            else:
                yield f"another {name}" if earlier.get(name) is not None else f"without {name}, now with it"

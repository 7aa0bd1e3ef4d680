"""What is drawn for a mixture: which recording or talkers, where in them, in which room, at which SNR.

Random numbers come from `numpy.random.default_rng` seeded with the SHA-256 of the JSON list
`[purpose, seed, epoch, key, digest]`: nothing depends on order, worker count or engine. The digest is that of the noise
set, of noise set and babble together, or for rooms of the impulse responses: so an utterance has the same noise in a
room as outside.
"""

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from sertool.core.corpus.babble import BABBLE, BabbleSet, Talker
from sertool.core.corpus.noise import NoiseSet
from sertool.core.corpus.noise_stretch import is_audible, loop_samples, noise_stretch, read_recording
from sertool.core.errors import InputError

MOST_DRAWS = 200
"""Draws after which a noise set counts as silent."""


class SilentNoiseError(InputError):
    """A noise set in which nothing audible was found."""


@dataclass(frozen=True)
class Draw:
    """What was drawn for one mixture; with the noise set and the speech it is all that is needed to make it again.

    Attributes:
        noise: index of the recording in the noise set's files; None where the noise is babble.
        offset: sample of the recording, at 16 kHz, on which the noise begins.
        snr_db: SNR in dB.
        talkers: of babble; empty for a recording.
        room: indices of the impulse responses for speech and noise; None outside a room.
    """

    noise: int | None
    offset: int
    snr_db: float
    talkers: tuple[Talker, ...] = ()
    room: tuple[int, int] | None = None

    def __post_init__(self):
        # A draw read back from JSON has lists.
        object.__setattr__(self, "talkers", tuple(Talker(*talker) for talker in self.talkers))
        object.__setattr__(self, "room", None if self.room is None else tuple(self.room))


def check_kinds(noise_set: NoiseSet | None, babble: BabbleSet | None) -> None:
    """Make sure that there is noise to draw from, and that each kind has a name of its own.

    Raises:
        InputError: there is none, or recordings are of a kind called babble beside babble of talkers.
    """
    if noise_set is None and babble is None:
        raise InputError("there is neither noise nor babble to mix with; expected one: name recordings or speech")
    if noise_set is not None and babble is not None and BABBLE in map(str.casefold, noise_set.kinds):
        raise InputError(
            f"the noise holds recordings of the kind '{BABBLE}', and babble of talkers was asked for too; expected one "
            "of them, or tables by kind would mix them up: choose other kinds, or leave the babble out"
        )


def noise_digest(noise_set: NoiseSet | None, babble: BabbleSet | None) -> str:
    """Return the digest of all there is to draw noise from: that of the noise set where there is no babble."""
    if babble is None:
        return noise_set.digest
    digests = [None if noise_set is None else noise_set.digest, babble.digest]
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def draw_noise(noise_set: NoiseSet, num_samples: int, *, key: str, epoch: int = 0, seed: int = 0) -> tuple[int, int]:
    """Draw a recording, and where in it the noise for an utterance begins.

    The kind is drawn first and then a recording of that kind, both uniformly, so that a kind of many recordings is not
    heard more often than one of few; then the offset, uniformly over the loop. A stretch that is silent is given up
    for the next draw from the same stream. The SNR has no part in it.

    Args:
        noise_set: the recordings to draw from.
        num_samples: length of the utterance at 16 kHz.
        key: what the utterance is called.
        epoch: pass over the data.
        seed: of the draws.

    Returns:
        Index of the recording in the set's files; offset in samples at 16 kHz.

    Raises:
        SilentNoiseError: nothing audible was found.
        AudioError: a recording cannot be read.
        ValueError: the utterance holds no samples.
    """
    index, offset, _ = draw_source(noise_set, None, num_samples, key=key, epoch=epoch, seed=seed)
    return index, offset


def draw_source(
    noise_set: NoiseSet | None, babble: BabbleSet | None, num_samples: int, *, key: str, epoch: int, seed: int
) -> tuple[int | None, int, tuple[Talker, ...]]:
    """Draw a recording and an offset, or the talkers of babble, which is the last kind; see `draw_noise`."""
    if num_samples < 1:
        raise ValueError(f"an utterance of {num_samples} samples has no noise: leave it out")
    generator = draw_generator("noise", seed, epoch, key, noise_digest(noise_set, babble))
    kinds: list[tuple[int, ...] | None] = [] if noise_set is None else list(noise_set.by_kind.values())
    kinds += [None] if babble is not None else []
    for _ in range(MOST_DRAWS):
        members = kinds[int(generator.integers(len(kinds)))]
        if members is None:
            talkers = babble.draw(generator, num_samples, key=key)
            if talkers is not None:
                return None, 0, talkers
            continue
        index = members[int(generator.integers(len(members)))]
        recording = read_recording(noise_set.files[index].path, noise_set.files[index].digest)
        offset = int(generator.integers(loop_samples(len(recording.samples))))
        if is_audible(noise_stretch(recording.samples, offset, num_samples), recording):
            return index, offset, ()
    held = sum(len(one) for one in (noise_set, babble) if one is not None)
    raise SilentNoiseError(
        f"nothing audible in the noise set: {MOST_DRAWS} stretches of its {held} recordings were all silent; "
        "expected recordings of noise: remove the silent ones"
    )


def draw_generator(purpose: str, seed: int, epoch: int, key: str, digest: str) -> np.random.Generator:
    """Return the random numbers of one purpose for one utterance in one pass."""
    fields = json.dumps([purpose, int(seed), int(epoch), key, digest])
    return np.random.default_rng(int.from_bytes(hashlib.sha256(fields.encode()).digest(), "big"))

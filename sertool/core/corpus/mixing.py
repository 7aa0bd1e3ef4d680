"""Mixtures of speech and noise at a stated SNR, as a pure function of seed, epoch, key, SNR and noise set.

What is drawn (which recording, where in it, at which SNR) is kept apart from how it is applied, so that a draw can be
stored and replayed. Random numbers come from `numpy.random.default_rng` seeded with the SHA-256 of the JSON list
`[purpose, seed, epoch, key, digest of the noise set]`: nothing depends on order, worker count or engine.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.corpus.noise import NoiseSet
from sertool.core.corpus.noise_stretch import is_audible, loop_samples, noise_stretch, read_recording
from sertool.core.corpus.snr import SNR_LIMIT_DB, SnrChoice, parse_snr
from sertool.core.errors import InputError

__all__ = [
    "Draw",
    "Mixer",
    "Mixture",
    "SilentNoiseError",
    "SnrChoice",
    "add_noise",
    "draw_noise",
    "measure_snr",
    "parse_snr",
]

MOST_DRAWS = 200
"""Draws after which a noise set counts as silent."""

# Just below 1, so that a scaled mixture is not clipped by 24-bit integers, whose largest value is 1 - 2**-23.
_CEILING = 1.0 - 2.0**-20
# Half a step of 24-bit audio: speech whose peak lies below is silent for every file format we write.
_SILENT_PEAK = 2.0**-24


class SilentNoiseError(InputError):
    """A noise set in which nothing audible was found."""


@dataclass(frozen=True)
class Draw:
    """What was drawn for one mixture; with the noise set and the speech it is all that is needed to make it again.

    Attributes:
        noise: index of the recording in the noise set's files.
        offset: sample of the recording, at 16 kHz, on which the noise begins.
        snr_db: SNR in dB.
    """

    noise: int
    offset: int
    snr_db: float


@dataclass(frozen=True)
class Mixture:
    """Noisy speech, and where it came from.

    Attributes:
        noisy: the mixture, float32, shape (S,), within [-1, 1].
        clean: the speech in it, float32, shape (S,), scaled as it is in the mixture.
        noise_file: path of the recording of noise.
        kind: its kind.
        snr_db: SNR in dB over the whole utterance.
        noise_offset_s: where in the recording the noise begins, in seconds.
        gain_db: gain that kept the mixture from clipping, in dB; 0 where none was needed.
    """

    noisy: np.ndarray
    clean: np.ndarray
    noise_file: Path
    kind: str
    snr_db: float
    noise_offset_s: float
    gain_db: float


@dataclass(frozen=True)
class Mixer:
    """Mixes utterances with noise from one set; can be sent to other processes.

    Attributes:
        noise_set: where the noise comes from.
        snr_db: the SNRs to draw from where a call names none.
        seed: of every draw.
    """

    noise_set: NoiseSet
    snr_db: SnrChoice
    seed: int = 0

    def mix(self, clean: np.ndarray, key: str, *, epoch: int = 0, snr_db: float | None = None) -> Mixture:
        """Return speech mixed with the noise that belongs to it.

        Args:
            clean: speech at 16 kHz, shape (S,).
            key: what the utterance is called, see `sertool.core.corpus.manifest.utterance_key`.
            epoch: pass over the data; 0 for what is written to disk.
            snr_db: SNR in dB; None draws it. The noise is the same at every SNR.

        Raises:
            InputError: the speech is silent.
            SilentNoiseError: nothing in the noise set is audible.
            AudioError: a recording of noise cannot be read.
        """
        return self.apply(clean, self.draw(len(clean), key, epoch=epoch, snr_db=snr_db))

    def draw(self, num_samples: int, key: str, *, epoch: int = 0, snr_db: float | None = None) -> Draw:
        """Draw what `mix` would apply to an utterance of so many samples at 16 kHz."""
        noise, offset = draw_noise(self.noise_set, num_samples, key=key, epoch=epoch, seed=self.seed)
        if snr_db is None:
            snr_db = self.snr_db.draw(_generator("snr", self.seed, epoch, key, self.noise_set.digest))
        return Draw(noise=noise, offset=offset, snr_db=float(snr_db))

    def apply(self, clean: np.ndarray, draw: Draw) -> Mixture:
        """Return the mixture of speech, shape (S,), that a draw stands for."""
        file = self.noise_set.files[draw.noise]
        noise = noise_stretch(read_recording(file.path, file.digest).samples, draw.offset, len(clean))
        noisy, scaled, gain_db = add_noise(clean, noise, snr_db=draw.snr_db)
        return Mixture(
            noisy=noisy,
            clean=scaled,
            noise_file=file.path,
            kind=file.kind,
            snr_db=draw.snr_db,
            noise_offset_s=draw.offset / SAMPLE_RATE,
            gain_db=gain_db,
        )


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
    if num_samples < 1:
        raise ValueError(f"an utterance of {num_samples} samples has no noise: leave it out")
    generator = _generator("noise", seed, epoch, key, noise_set.digest)
    kinds = list(noise_set.by_kind.values())
    for _ in range(MOST_DRAWS):
        members = kinds[int(generator.integers(len(kinds)))]
        index = members[int(generator.integers(len(members)))]
        recording = read_recording(noise_set.files[index].path, noise_set.files[index].digest)
        offset = int(generator.integers(loop_samples(len(recording.samples))))
        if is_audible(noise_stretch(recording.samples, offset, num_samples), recording):
            return index, offset
    raise SilentNoiseError(
        f"nothing audible in the noise set: {MOST_DRAWS} stretches of its {len(noise_set)} recordings were all silent; "
        "expected recordings of noise: remove the silent ones"
    )


def add_noise(clean: np.ndarray, noise: np.ndarray, *, snr_db: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Add noise to speech at an SNR over the whole utterance: 10 log10(sum of clean² / sum of noise²).

    The power is reckoned in float64, and the SNR is that of the float32 samples returned, to 0.01 dB. Where the mixture
    or the speech would leave [-1, 1], both are scaled together.

    Args:
        clean: speech, shape (S,).
        noise: noise at any level, shape (S,).
        snr_db: SNR in dB.

    Returns:
        The mixture and the speech in it, float32, shape (S,); the gain given to both, in dB (0 where none was needed).

    Raises:
        InputError: the speech is silent, so that no noise has the SNR.
        ValueError: the shapes differ, are not (S,), the noise is all zeros, or the SNR is beyond what float32 can hold.
    """
    if clean.ndim != 1 or clean.shape != noise.shape:
        raise ValueError(f"speech {clean.shape} and noise {noise.shape} must share one shape (S,): cut the noise first")
    if not abs(snr_db) <= SNR_LIMIT_DB:
        raise ValueError(f"SNR {snr_db} dB is outside ±{SNR_LIMIT_DB:g} dB: float32 samples cannot hold it")
    speech = clean.astype(np.float64)
    if np.abs(speech).max(initial=0.0) < _SILENT_PEAK:
        raise InputError("the speech is silent, so no noise gives it an SNR; expected audible speech: leave it out")
    noise = noise.astype(np.float64)
    noise_energy = energy(noise)
    if noise_energy == 0.0:
        raise ValueError("the noise is all zeros: draw it with draw_noise, which passes silence over")
    scaled_noise = noise * math.sqrt(energy(speech) / (noise_energy * 10.0 ** (snr_db / 10.0)))
    noisy = speech + scaled_noise
    peak = max(float(np.abs(noisy).max()), float(np.abs(speech).max()))
    gain = _CEILING / peak if peak > 1.0 else 1.0
    return (noisy * gain).astype(np.float32), (speech * gain).astype(np.float32), 20.0 * math.log10(gain)


def measure_snr(noisy: np.ndarray, clean: np.ndarray) -> float:
    """Return the SNR, in dB over the whole utterance, of a mixture (S,) against the speech in it (S,)."""
    speech = clean.astype(np.float64)
    noise = noisy.astype(np.float64) - speech
    return 10.0 * math.log10(energy(speech) / energy(noise))


def energy(samples: np.ndarray) -> float:
    """Return the sum of squares of float64 samples (S,).

    NumPy's own summation rather than a BLAS product, whose result depends on how many threads share it: mixtures are to
    be the same to the last bit in every process.
    """
    return float(np.square(samples).sum())


def _generator(purpose: str, seed: int, epoch: int, key: str, digest: str) -> np.random.Generator:
    fields = json.dumps([purpose, int(seed), int(epoch), key, digest])
    return np.random.default_rng(int.from_bytes(hashlib.sha256(fields.encode()).digest(), "big"))

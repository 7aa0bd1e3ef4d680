"""Mixtures of speech and noise at a stated SNR, as a pure function of seed, epoch, key, SNR and noise set.

What is drawn (see `sertool.core.corpus.draws`) is kept apart from how it is applied, so that a draw can be stored and
replayed: nothing depends on order, worker count or engine.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.audio.speech_level import speech_level
from sertool.core.corpus.babble import BABBLE, BabbleSet
from sertool.core.corpus.draws import (
    Draw,
    SilentNoiseError,
    check_kinds,
    draw_generator,
    draw_noise,
    draw_source,
    noise_digest,
)
from sertool.core.corpus.noise import NoiseSet
from sertool.core.corpus.noise_stretch import loop_samples, noise_stretch, read_recording
from sertool.core.corpus.reverberation import Reverberation, read_response, reverberate_speech
from sertool.core.corpus.snr import SNR_LIMIT_DB, SnrChoice, parse_snr
from sertool.core.errors import InputError

__all__ = [
    "Draw",
    "Level",
    "Mixer",
    "Mixture",
    "SilentNoiseError",
    "SnrChoice",
    "add_noise",
    "check_kinds",
    "draw_noise",
    "measure_snr",
    "parse_snr",
]

Level = Literal["utterance", "active"]
"""What an SNR takes for the level of the speech: its mean power over the utterance, or while somebody speaks (P.56)."""

LEVELS: tuple[Level, ...] = ("utterance", "active")

# Just below 1, so that a scaled mixture is not clipped by 24-bit integers, whose largest value is 1 - 2**-23.
_CEILING = 1.0 - 2.0**-20
# Half a step of 24-bit audio: speech whose peak lies below is silent for every file format we write.
_SILENT_PEAK = 2.0**-24


@dataclass(frozen=True)
class Mixture:
    """Noisy speech, and where it came from.

    Attributes:
        noisy: the mixture, float32, shape (S,), within [-1, 1].
        speech: the speech in it, float32, shape (S,), scaled as it is in the mixture: `noisy` minus this is the noise.
        clean: the clean reference, float32, shape (S,), scaled with them: the speech itself, or in a room its direct
            sound or early part, aligned with it.
        noise_file: path of the recording of noise; None where the noise is babble.
        kind: its kind.
        snr_db: SNR in dB over the whole utterance, of the speech as it is in the mixture.
        noise_offset_s: where in the recording the noise begins, in seconds; None where the noise is babble.
        gain_db: gain that kept the mixture from clipping, in dB; 0 where none was needed.
        babble_files: paths of the talkers' utterances; empty for a recording.
        babble_offsets_s: where in them the babble begins, in seconds.
        rir_file: path of the impulse response speech went through; None outside a room.
        noise_rir_file: that of the noise.
    """

    noisy: np.ndarray
    speech: np.ndarray
    clean: np.ndarray
    noise_file: Path | None
    kind: str
    snr_db: float
    noise_offset_s: float | None
    gain_db: float
    babble_files: tuple[Path, ...] = ()
    babble_offsets_s: tuple[float, ...] = ()
    rir_file: Path | None = None
    noise_rir_file: Path | None = None


@dataclass(frozen=True)
class Mixer:
    """Mixes utterances with noise from one set; can be sent to other processes.

    Attributes:
        noise_set: recordings of noise; None where babble is the only noise.
        snr_db: the SNRs to draw from where a call names none.
        seed: of every draw.
        level: what an SNR takes for the level of the speech; that of the noise is its mean power over the utterance.
        babble: speech to make babble of, one more kind of noise beside the recordings; None for no babble.
        reverberation: rooms for speech and noise; None for none.
    """

    noise_set: NoiseSet | None
    snr_db: SnrChoice
    seed: int = 0
    level: Level = "utterance"
    babble: BabbleSet | None = None
    reverberation: Reverberation | None = None

    def __post_init__(self):
        check_kinds(self.noise_set, self.babble)

    @property
    def digest(self) -> str:
        """Digest of all noise there is to draw from; that of the noise set where there is no babble."""
        return noise_digest(self.noise_set, self.babble)

    def mix(self, clean: np.ndarray, key: str, *, epoch: int = 0, snr_db: float | None = None) -> Mixture:
        """Return speech mixed with the noise that belongs to it.

        Args:
            clean: speech at 16 kHz, shape (S,).
            key: what the utterance is called, see `sertool.core.corpus.manifest.utterance_key`.
            epoch: pass over the data; 0 for what is written to disk.
            snr_db: SNR in dB; None draws it. The noise is the same at every SNR.

        Raises:
            InputError: the speech is silent, or too few talkers are left for its babble.
            SilentNoiseError: nothing in the noise set is audible.
            AudioError: a recording of noise or an impulse response cannot be read.
        """
        return self.apply(clean, self.draw(len(clean), key, epoch=epoch, snr_db=snr_db))

    def draw(self, num_samples: int, key: str, *, epoch: int = 0, snr_db: float | None = None) -> Draw:
        """Draw what `mix` would apply to an utterance of so many samples at 16 kHz."""
        noise, offset, talkers = draw_source(
            self.noise_set, self.babble, num_samples, key=key, epoch=epoch, seed=self.seed
        )
        if snr_db is None:
            snr_db = self.snr_db.draw(draw_generator("snr", self.seed, epoch, key, self.digest))
        room = None
        if self.reverberation is not None:
            digest = self.reverberation.rirs.digest
            room = self.reverberation.draw(draw_generator("room", self.seed, epoch, key, digest))
        return Draw(noise=noise, offset=offset, snr_db=float(snr_db), talkers=talkers, room=room)

    def apply(self, clean: np.ndarray, draw: Draw) -> Mixture:
        """Return the mixture of speech, shape (S,), that a draw stands for."""
        if draw.room is None:
            speech, reference, noise, places = clean, None, self._noise(draw, len(clean)), (None, None)
        else:
            speech, reference, noise, places = self._in_room(clean, draw)
        peak = 0.0 if reference is None else float(np.abs(reference).max(initial=0.0))
        noisy, scaled, gain_db = add_noise(speech, noise, snr_db=draw.snr_db, level=self.level, peak=peak)
        file = None if draw.noise is None else self.noise_set.files[draw.noise]
        return Mixture(
            noisy=noisy,
            speech=scaled,
            clean=scaled if reference is None else (reference * 10.0 ** (gain_db / 20.0)).astype(np.float32),
            noise_file=file.path if file else None,
            kind=file.kind if file else BABBLE,
            snr_db=draw.snr_db,
            noise_offset_s=draw.offset / SAMPLE_RATE if file else None,
            gain_db=gain_db,
            babble_files=tuple(self.babble.files[talker.utterance].path for talker in draw.talkers),
            babble_offsets_s=tuple(talker.offset / SAMPLE_RATE for talker in draw.talkers),
            rir_file=places[0],
            noise_rir_file=places[1],
        )

    def _noise(self, draw: Draw, num_samples: int, *, lead: int = 0) -> np.ndarray:
        """Return the noise drawn for so many samples, and `lead` samples of what was heard before, (lead + S,)."""
        if draw.noise is None:
            return self.babble.stretch(draw.talkers, num_samples, lead=lead)
        file = self.noise_set.files[draw.noise]
        samples = read_recording(file.path, file.digest).samples
        return noise_stretch(samples, (draw.offset - lead) % loop_samples(len(samples)), lead + num_samples)

    def _in_room(
        self, clean: np.ndarray, draw: Draw
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[Path, Path]]:
        """Return reverberant speech, its clean reference and reverberant noise, (S,) each, and the responses' paths.

        The noise was there before the speech: its reverberation does not begin with the utterance.
        """
        responses = [self.reverberation.rirs.responses[index] for index in draw.room]
        for_speech, for_noise = (read_response(response.path, response.digest) for response in responses)
        speech, reference = reverberate_speech(clean, for_speech, self.reverberation.reference)
        lead = for_noise.tail
        noise = for_noise.applied_to(self._noise(draw, len(clean), lead=lead))[lead:]
        return speech, reference, noise, (responses[0].path, responses[1].path)


def add_noise(
    clean: np.ndarray, noise: np.ndarray, *, snr_db: float, level: Level = "utterance", peak: float = 0.0
) -> tuple[np.ndarray, np.ndarray, float]:
    """Add noise to speech at an SNR over the whole utterance: 10 log10(mean of clean² / mean of noise²).

    At the level "active", the mean of clean² is that of the time somebody speaks, as ITU-T P.56 defines it; the noise
    is measured over the whole utterance. The power is reckoned in float64, and the SNR is that of the float32 samples
    returned, to 0.01 dB. Where the mixture or the speech would leave [-1, 1], both are scaled together.

    Args:
        clean: speech, shape (S,).
        noise: noise at any level, shape (S,).
        snr_db: SNR in dB.
        level: what counts as the level of the speech.
        peak: largest magnitude of anything else that is to be scaled along, and must stay within [-1, 1] too.

    Returns:
        The mixture and the speech in it, float32, shape (S,); the gain given to both, in dB (0 where none was needed).

    Raises:
        InputError: the speech is silent, or never active, so that no noise has the SNR.
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
    scaled_noise = noise * math.sqrt(_speech_energy(speech, level) / (noise_energy * 10.0 ** (snr_db / 10.0)))
    noisy = speech + scaled_noise
    peak = max(float(np.abs(noisy).max()), float(np.abs(speech).max()), peak)
    gain = _CEILING / peak if peak > 1.0 else 1.0
    return (noisy * gain).astype(np.float32), (speech * gain).astype(np.float32), 20.0 * math.log10(gain)


def measure_snr(noisy: np.ndarray, clean: np.ndarray, *, level: Level = "utterance") -> float:
    """Return the SNR, in dB over the whole utterance, of a mixture (S,) against the speech in it (S,).

    Args:
        noisy: the mixture.
        clean: the speech in it, in a room with all its reverberation.
        level: what counts as the level of the speech; see `add_noise`.
    """
    speech = clean.astype(np.float64)
    noise = noisy.astype(np.float64) - speech
    return 10.0 * math.log10(_speech_energy(speech, level) / energy(noise))


def _speech_energy(speech: np.ndarray, level: Level) -> float:
    """Return the energy speech (S,) would have if it were at its level throughout."""
    if level == "utterance":
        return energy(speech)
    return len(speech) * 10.0 ** (speech_level(speech).active_db / 10.0)


def energy(samples: np.ndarray) -> float:
    """Return the sum of squares of float64 samples (S,).

    NumPy's own summation rather than a BLAS product, whose result depends on how many threads share it: mixtures are to
    be the same to the last bit in every process.
    """
    return float(np.square(samples).sum())

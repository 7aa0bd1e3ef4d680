"""Stress tests: what a model still hears when speech comes through noise, rooms, codecs, faults, or not at all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import soundfile

from sertool.core.audio.codecs import missing_codecs, offered_codecs, through_codec, through_telephone
from sertool.core.audio.degradations import (
    clipped,
    loudest_part,
    reverberated,
    silence,
    white_noise,
    with_gain,
    with_packet_loss,
)
from sertool.core.corpus.babble import BABBLE, BabbleSet
from sertool.core.corpus.mixing import Level, Mixer, SnrChoice
from sertool.core.corpus.noise import NoiseSet
from sertool.core.corpus.reverberation import RirSet, read_response, reverberate_speech
from sertool.core.corpus.snr import snr_text
from sertool.core.errors import InputError
from sertool.core.evaluation.system import Listener
from sertool.core.randomness import generator_for
from sertool.core.training.stress_limits import WITHOUT_EMOTION, named

UNSTRESSED = "none"
"""What the prediction on the utterance as it is goes under."""

SNRS_DB = (10.0, 0.0)
"""SNRs of every kind of noise unless asked otherwise."""

RT60_S = (0.3, 0.6, 1.0)
"""Reverberation times: a furnished room, an office, a hall."""

GAINS_DB = (20.0, -20.0, -40.0)
"""Louder and softer, in dB; nothing is clipped."""

OVER_DB = (6.0, 12.0, 20.0)
"""How far the peak of a clipped recording lies over full scale, in dB."""

LOSSES = (0.05, 0.1, 0.2)
"""Shares of packets lost independently of each other; the largest is also lost in bursts."""

BURST_PACKETS = 5.0
"""Mean length of a burst, in packets: 100 ms."""

CLIP_S = (0.5, 1.0, 2.0)
"""Seconds that are left of a short clip."""

FAINT_DB = -80.0
"""Level of the noise of a recorder nobody speaks into, in dB re full scale."""


@dataclass(frozen=True)
class Stressor:
    """One stress test at one level; can be sent to other processes.

    Attributes:
        stress: the test, one of `STRESSES`.
        level: its level; "" where it has one only.
        degrade: samples at 16 kHz, float32, (S,) → what is heard instead, float32, (S,), or fewer of a short clip.
        needs: what it is to be given besides, by name: the `key` of the utterance, a `generator` of its own.
    """

    stress: str
    level: str
    degrade: Callable[..., np.ndarray]
    needs: tuple[Literal["key", "generator"], ...] = ()

    @property
    def name(self) -> str:
        """Test and level, as limits name them."""
        return named(self.stress, self.level)

    @property
    def has_emotion(self) -> bool:
        """Whether somebody still speaks."""
        return self.stress not in WITHOUT_EMOTION


@dataclass(frozen=True)
class Stress:
    """What every utterance goes through; can be sent to other processes.

    Attributes:
        stressors: the tests, in the order they are told.
        seed: of all that is drawn.
        left_out: tests that cannot be run here, each with the reason.
        identity: all that decides what is heard, as JSON values without a path of the machine, for results and caches.
    """

    stressors: tuple[Stressor, ...]
    seed: int
    left_out: dict[str, str]
    identity: dict[str, Any]

    def heard(self, samples: np.ndarray, key: str, stressor: Stressor) -> np.ndarray:
        """Return what is heard of an utterance under a stressor: a pure function of the seed, the key and both.

        Args:
            samples: speech at 16 kHz, float32, (S,).
            key: what the utterance is called, see `sertool.core.corpus.manifest.utterance_key`.
            stressor: one of `stressors`.

        Returns:
            Samples, float32: (S,), or fewer of a short clip.

        Raises:
            InputError: the speech is silent, so that no noise has an SNR.
            SilentNoiseError: no recording of the kind is audible.
            AudioError: a recording or an impulse response cannot be read.
        """
        given = {"key": key, "generator": generator_for("stress", self.seed, key, stressor.name)}
        return stressor.degrade(samples, **{name: given[name] for name in stressor.needs})


def make_stress(
    *,
    noise: NoiseSet | None = None,
    snrs: Sequence[float] = SNRS_DB,
    rirs: RirSet | None = None,
    seed: int = 0,
    babble: BabbleSet | None = None,
    level: Level = "utterance",
) -> Stress:
    """Return all stress tests there is material for.

    Args:
        noise: recordings, each kind of which is a test at every SNR; one is also heard alone.
        snrs: SNRs in dB.
        rirs: measured or simulated rooms, heard beside the statistical ones.
        seed: of all that is drawn. The noise of an utterance is, kind by kind, the same at every SNR.
        babble: speech to make babble of, one more kind of noise.
        level: what an SNR takes for the level of the speech.
    """
    snr = SnrChoice(tuple(snrs))
    mixers = {} if noise is None else {kind: Mixer(_only(noise, kind), snr, seed, level) for kind in noise.kinds}
    if babble is not None:
        mixers[BABBLE] = Mixer(None, snr, seed, level, babble)
    stressors = [
        Stressor("noise", f"{kind} {snr_text(snr_db)} dB", partial(_in_noise, mixer=mixer, snr_db=snr_db), ("key",))
        for kind, mixer in mixers.items()
        for snr_db in sorted(snr.values, reverse=True)
    ]
    stressors += _in_rooms(rirs)
    left_out = {named("codec", name): "this libsndfile lacks the codec" for name in missing_codecs()}
    if named("codec", "mu-law") in left_out:
        left_out["telephone band"] = "this libsndfile lacks mu-law"
    else:
        stressors.append(Stressor("telephone band", "", through_telephone))
    stressors += [Stressor("codec", codec.name, partial(through_codec, codec=codec)) for codec in offered_codecs()]
    stressors += _faults()
    if mixers:
        alone = partial(_noise_alone, mixer=Mixer(noise, snr, seed, level, babble))
        stressors.append(Stressor("noise only", "recorded", alone, ("key",)))
    else:
        left_out |= dict.fromkeys(("noise", named("noise only", "recorded")), "no noise was named")
    stressors.append(Stressor("noise only", "white", white_noise, ("generator",)))
    identity = {
        "seed": seed,
        "tests": [one.name for one in stressors],
        "speech_level": level,
        **{name: one and one.digest for name, one in (("noise", noise), ("babble", babble), ("rirs", rirs))},
        "libsndfile": soundfile.__libsndfile_version__,
    }
    return Stress(tuple(stressors), seed, left_out, identity)


def stress_rows(samples: np.ndarray, key: str, listener: Listener, stress: Stress) -> list[dict[str, Any]]:
    """Return what a system hears in an utterance as it is, and under every stressor.

    Args:
        samples: speech at 16 kHz, float32, (S,).
        key: what the utterance is called.
        listener: the system.
        stress: the tests.

    Returns:
        A row each, that of the utterance as it is first: `stress` ("none" in it), `level`, `predicted`, `p_<category>`,
        and `abstained`: whether it found no speech that could have an emotion, see `speech_presence`.

    Raises:
        InputError: the model recognises no categories; and as `Stress.heard`.
    """
    recognizer = listener.recognizer
    if not recognizer.model.config.categories:
        raise InputError(
            f"{recognizer.folder}: this model recognises no categories, so stress changes none; expected one that "
            "does: name another with --model, or leave --stress out"
        )
    rows = [{"stress": UNSTRESSED, "level": ""} | _answer(samples, listener)]
    for stressor in stress.stressors:
        heard = stress.heard(samples, key, stressor)
        rows.append({"stress": stressor.stress, "level": stressor.level} | _answer(heard, listener))
    return rows


def _answer(samples: np.ndarray, listener: Listener) -> dict[str, Any]:
    prediction, enhanced = listener.hear(samples, enhance=listener.enhances)
    shares = {f"p_{name}": value for name, value in prediction.probabilities.items()}
    no_speech = listener.speech_lacks(samples, enhanced) is not None
    return {"predicted": prediction.label} | shares | {"abstained": no_speech}


def _in_rooms(rirs: RirSet | None) -> list[Stressor]:
    stressors = [
        Stressor("reverberation", f"RT60 {rt60_s:g} s", partial(reverberated, rt60_s=rt60_s), ("generator",))
        for rt60_s in RT60_S
    ]
    if rirs is not None:
        stressors.append(Stressor("reverberation", "rooms", partial(_in_room, rirs=rirs), ("generator",)))
    return stressors


def _faults() -> list[Stressor]:
    """Return what needs nothing but the speech, or not even that."""
    losses = [(f"{share:.0%}", {"share": share}) for share in LOSSES]
    losses.append((f"{LOSSES[-1]:.0%} in bursts", {"share": LOSSES[-1], "burst": BURST_PACKETS}))
    faint = partial(white_noise, level_db=FAINT_DB)
    return [
        *(Stressor("gain", f"{gain_db:+g} dB", partial(with_gain, gain_db=gain_db)) for gain_db in GAINS_DB),
        *(Stressor("clipping", f"{over_db:g} dB over", partial(clipped, over_db=over_db)) for over_db in OVER_DB),
        *(Stressor("packet loss", level, partial(with_packet_loss, **loss), ("generator",)) for level, loss in losses),
        *(Stressor("short clip", f"{seconds:g} s", partial(loudest_part, seconds=seconds)) for seconds in CLIP_S),
        Stressor("silence only", "digital", silence),
        Stressor("silence only", f"{FAINT_DB:g} dBFS", faint, ("generator",)),
    ]


def _only(noise: NoiseSet, kind: str) -> NoiseSet:
    return NoiseSet.of(noise.files[index] for index in noise.by_kind[kind])


def _in_noise(samples: np.ndarray, key: str, *, mixer: Mixer, snr_db: float) -> np.ndarray:
    return mixer.mix(samples, key, snr_db=snr_db).noisy


def _noise_alone(samples: np.ndarray, key: str, *, mixer: Mixer) -> np.ndarray:
    """Return the noise of the mixture at 0 dB, at the level it would have beside the speech as it is."""
    mixture = mixer.mix(samples, key, snr_db=0.0)
    return with_gain(mixture.noisy - mixture.speech, -mixture.gain_db)


def _in_room(samples: np.ndarray, generator: np.random.Generator, *, rirs: RirSet) -> np.ndarray:
    response = rirs.responses[rirs.draw(generator)[0]]
    return reverberate_speech(samples, read_response(response.path, response.digest), "dry")[0].astype(np.float32)

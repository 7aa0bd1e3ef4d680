"""How to evaluate: at which SNRs, in which noise, what is measured, and what is let pass."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sertool.core.corpus.babble import BabbleSet
from sertool.core.corpus.fixed_mixtures import FixedMixtures
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixing import Level, Mixer, SnrChoice, check_kinds
from sertool.core.corpus.noise import NoiseSet
from sertool.core.corpus.reverberation import Reverberation
from sertool.core.errors import InputError
from sertool.core.evaluation.enhancer import Enhancer
from sertool.core.evaluation.stress import Stress
from sertool.core.metrics.dnsmos import Dnsmos
from sertool.core.metrics.speech import MEASURES


@dataclass(frozen=True)
class Protocol:
    """How to evaluate.

    Attributes:
        snr: SNRs to mix at, and whether clean speech is heard; None for a manifest that is noisy already.
        noise: recordings to mix with; None where there are none.
        split: the split to evaluate; None takes every utterance.
        seed: of the draws of noise.
        measures: speech measures, taken where the model enhances; empty for none.
        on_unknown: what an utterance of a category the model does not know means: left out and counted, or an error.
        closed_set: let the model choose among the categories alone that the manifest has, whatever else it knows.
        allow_seen: go on, and say so, where the model learned from test utterances.
        unseen_noise: make sure that the test noise shares nothing with the noise of training.
        by_kind: also score each kind of noise by itself.
        speech_level: what an SNR takes for the level of the speech.
        babble: speech to make babble of, one more kind of noise; None for no babble.
        reverberation: rooms the mixtures sound in, speech and noise; clean speech stays as it is. None for none.
        device: where the model computes; the same numbers are promised for "cpu".
        enhancer: what speech goes through before the model hears it, in place of the model's own enhancement.
        dnsmos: networks that score speech without a reference, beside the measures.
        mixtures: mixtures made elsewhere, judged in place of the manifest's utterances.
        stress: stress tests each clean utterance goes through besides.
        cache: folder of the cache of scores; None for none.
    """

    snr: SnrChoice | None = None
    noise: NoiseSet | None = None
    split: str | None = "test"
    seed: int = 0
    measures: tuple[str, ...] = MEASURES
    on_unknown: Literal["exclude", "error"] = "exclude"
    closed_set: bool = False
    allow_seen: bool = False
    unseen_noise: bool = False
    by_kind: bool = False
    speech_level: Level = "utterance"
    babble: BabbleSet | None = None
    reverberation: Reverberation | None = None
    device: str = "cpu"
    enhancer: Enhancer | None = None
    dnsmos: Dnsmos | None = None
    mixtures: FixedMixtures | None = None
    stress: Stress | None = None
    cache: Path | None = None

    @property
    def all_measures(self) -> tuple[str, ...]:
        """Measures against the clean reference, and without."""
        return tuple(self.measures) + (self.dnsmos.measures if self.dnsmos else ())

    @property
    def has_noise(self) -> bool:
        """Whether there is anything to mix with."""
        return self.noise is not None or self.babble is not None

    def mixer(self) -> Mixer | None:
        """Return what mixes the utterances; None where nothing is mixed."""
        if not self.has_noise:
            return None
        return Mixer(self.noise, self.snr, self.seed, self.speech_level, self.babble, self.reverberation)

    @property
    def conditions(self) -> tuple[float | None, ...]:
        """What is heard of each utterance: None for clean speech, then SNRs from the highest to the lowest."""
        if self.snr is None:
            return ()
        clean: tuple[float | None, ...] = (None,) if self.snr.clean else ()
        return clean + tuple(sorted(self.snr.values, reverse=True))


def is_noisy(manifest: Manifest) -> bool:
    """Return whether a manifest lists mixtures, as `sertool mix-noise` writes it, rather than clean speech."""
    return manifest.has("clean_file") and manifest.has("snr_db")


def check_noise(protocol: Protocol, manifest: Manifest | None) -> None:
    """Make sure that SNRs and noise fit each other and the manifest, if there is one.

    Raises:
        InputError: they do not.
    """
    snr = protocol.snr
    if protocol.mixtures is not None:
        if snr is not None or protocol.has_noise or protocol.reverberation is not None:
            raise InputError("fixed mixtures have their noise and SNRs: leave --noise, --babble, --rir and --snr out")
        if protocol.stress is not None or protocol.unseen_noise:
            raise InputError("--stress and --unseen-noise are about a clean manifest: leave them out with --mixtures")
        return
    if is_noisy(manifest):
        found = f"{manifest.name}: is noisy already (it has clean_file and snr_db)"
        if snr is not None or protocol.has_noise or protocol.reverberation is not None:
            raise InputError(f"{found}: leave --noise, --babble, --rir and --snr out, or give the clean manifest")
        if protocol.speech_level != "utterance":
            raise InputError(f"{found}, at a speech level its column speech_level tells: leave --speech-level out")
        if protocol.unseen_noise:
            raise InputError(f"{found}, so its noise cannot be compared with that of training: give the clean manifest")
        if protocol.stress is not None:
            raise InputError(f"{found}, but stress tests begin with clean speech: give the clean manifest")
        return
    if snr is None:
        raise InputError("no SNR was given; expected at least one in dB, or 'clean': write for example --snr 0")
    if snr.span is not None:
        raise InputError(f"SNR {snr} is a range; expected fixed SNRs, which conditions are: write for example --snr 0")
    if snr.values and not protocol.has_noise:
        raise InputError(f"SNR {snr} needs noise; expected a folder of it: name it with --noise, or say --snr clean")
    if protocol.unseen_noise and not protocol.has_noise:
        raise InputError("there is no noise to compare with that of training: name it with --noise and --snr")
    if protocol.reverberation is not None and not snr.values:
        raise InputError(
            "there are rooms but nothing is mixed, and clean speech stays as it is: name --noise and an --snr, or "
            "leave --rir out"
        )
    if protocol.has_noise:
        check_kinds(protocol.noise, protocol.babble)

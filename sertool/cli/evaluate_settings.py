"""From the options of `sertool evaluate` to what is evaluated and how."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sertool.core.errors import InputError

if TYPE_CHECKING:
    from sertool.core.corpus.manifest import Manifest
    from sertool.core.evaluation.protocol import Protocol
    from sertool.core.training.stress_limits import StressLimits


def read_corpus(
    manifest: Path | None, noise: Path | None, babble: Path | None, mixtures: Path | None
) -> "tuple[Manifest | None, Path | None]":
    """Return the manifest named and the noise named; without a manifest the sample corpus, and its noise if need be.

    Fixed mixtures need no manifest: without one nobody says what their emotions are.
    """
    from sertool.core.corpus.manifest import Manifest

    if manifest is not None:
        return Manifest.read(manifest), noise
    if mixtures is not None:
        return None, noise
    from sertool.core.corpus.sample import sample_manifest, sample_noise

    return Manifest.read(sample_manifest()), noise or (sample_noise("unseen") if babble is None else None)


def read_protocol(
    corpus: "Manifest | None",
    noise: Path | None,
    *,
    kinds: list[str] | None,
    snrs: list[str] | None,
    mixtures: Path | None,
    enhancer: str | None,
    enhancer_time_limit: float,
    dnsmos: Path | None,
    device: str,
    **settings: Any,
) -> "Protocol":
    """Return the protocol the options ask for, all it names read and checked; clean and 0 dB where nothing is said."""
    from sertool.core.corpus.fixed_mixtures import read_fixed_mixtures
    from sertool.core.corpus.mixing import parse_snr
    from sertool.core.corpus.noise import NoiseSet
    from sertool.core.evaluation.enhancer import read_enhancer
    from sertool.core.evaluation.protocol import Protocol, is_noisy
    from sertool.core.metrics.dnsmos import Dnsmos

    if kinds and noise is None:
        raise InputError("--kind chooses among noises, but there are none: name them with --noise")
    choice = None
    if snrs:
        choice = parse_snr(snrs, allow_clean=True)
    elif corpus is not None and mixtures is None and not is_noisy(corpus):
        mixes = noise is not None or settings["babble"] is not None
        choice = parse_snr(["clean", "0"] if mixes else ["clean"], allow_clean=True)
    return Protocol(
        snr=choice,
        # The sample corpus has noise at hand, which only an SNR calls for.
        noise=None if noise is None else NoiseSet.read(noise, kinds=kinds or None),
        mixtures=None if mixtures is None else read_fixed_mixtures(mixtures),
        enhancer=None if enhancer is None else read_enhancer(enhancer, device, time_limit_s=enhancer_time_limit),
        dnsmos=None if dnsmos is None else Dnsmos.read(dnsmos),
        device=device,
        **settings,
    )


def measures_of(*, speech: bool, dnsmos: Path | None) -> tuple[str, ...]:
    """Return the speech measures to take."""
    from sertool.core.metrics.speech import MEASURES

    if dnsmos is not None and not speech:
        raise InputError("--dnsmos and --no-speech-metrics exclude each other: leave one out")
    return MEASURES if speech else ()


def with_stress(
    protocol: "Protocol", model: str | None, recipe: Path | None, *, rir: Path | None
) -> "tuple[Protocol, StressLimits]":
    """Return the protocol with stress tests in its noise, and the limits of the recipe named or of the run's own."""
    from sertool.core.corpus.reverberation import RirSet
    from sertool.core.evaluation.leaks import run_of
    from sertool.core.evaluation.stress import make_stress
    from sertool.core.evaluation.stress_scores import check_limits
    from sertool.core.models.inference import load
    from sertool.core.training.recipe import read_recipe

    tests = make_stress(
        noise=protocol.noise,
        rirs=None if rir is None else RirSet.read(rir),
        seed=protocol.seed,
        babble=protocol.babble,
        level=protocol.speech_level,
    )
    recognizer = load(model, "cpu")
    if not recognizer.model.config.categories:
        raise InputError(
            f"{recognizer.folder}: this model recognises no categories, so stress changes none; expected one that "
            "does: name another with --model, or leave --stress out"
        )
    run = run_of(recognizer)
    limits = (read_recipe(recipe) if recipe is not None or run is None else run.recipe).stress
    check_limits(limits, tests, abstains=True)
    return dataclasses.replace(protocol, stress=tests), limits

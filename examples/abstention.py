"""Measure how well a model tells that nobody speaks: the rule it abstains by, and scores the rule was chosen from.

    python examples/abstention.py METADATA.csv NOISE RUN -o RESULTS.json [--every 3]

METADATA.csv is a manifest with splits by speaker, NOISE holds seen/ and unseen/, RUN has an emotion and an enhancement
head. The rule's threshold was chosen on the dev speakers in the dev part of the seen noises; the test speakers in
unseen noises say what it is worth elsewhere.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from sertool.core.audio.files import SAMPLE_RATE, read_audio
from sertool.core.audio.speech_level import speech_level
from sertool.core.corpus.manifest import Manifest, utterance_key
from sertool.core.corpus.mixing import Mixer
from sertool.core.corpus.noise import NoiseSet
from sertool.core.corpus.snr import SnrChoice, snr_text
from sertool.core.environment import installed_versions
from sertool.core.errors import InputError
from sertool.core.metrics.selective import abstention_scores
from sertool.core.models.abstention import speech_presence
from sertool.core.models.inference import load
from sertool.core.models.recognizer import Recognizer
from sertool.core.randomness import generator_for
from sertool.core.writing import write_text

PARTS = {"dev": ("seen", "dev"), "test": ("unseen", "all")}
"""Split of the manifest: folder and part of the noise."""

SNRS_DB = (10.0, 0.0, -5.0)
SPEECH = ("clean", *(f"{snr_text(snr)} dB" for snr in SNRS_DB))
NO_ACTIVE_LEVEL_DB = -100.0
"""Taken for the active level where P.56 finds nothing active."""


def main() -> None:
    """Measure both splits, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("metadata", type=Path)
    parser.add_argument("noise", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--every", type=int, default=3, help="take every such utterance of a split")
    options = parser.parse_args()
    recognizer, manifest = load(options.run, "cpu"), Manifest.read(options.metadata, require=("split",))
    splits = {}
    for split, (folder, part) in PARTS.items():
        noise = NoiseSet.read(options.noise / folder, part=part)
        chosen = manifest.where((manifest.table["split"] == split).to_numpy(bool))
        splits[split] = judge(recognizer, chosen.paths()[:: options.every], noise)
    words = [
        options.metadata.name,
        options.noise.name,
        options.run.name,
        "-o",
        f"examples/results/{options.output.name}",
    ]
    document = {
        "command": ["python", "examples/abstention.py", *words, "--every", str(options.every)],
        "versions": installed_versions(["sertool", "torch", "numpy", "scipy"]),
        "seed": 0,
        "data": "dev: dev speakers in the dev part of seen noises; test: test speakers in unseen noises; of either "
        f"split one utterance in {options.every}",
        "model": recognizer.model_id,
        "threshold_db": recognizer.model.config.speech_kept_db,
        "splits": splits,
    }
    write_text(options.output, json.dumps(document, indent=1) + "\n")


def judge(recognizer: Recognizer, paths: list[Path], noise: NoiseSet) -> dict[str, Any]:
    """Return what the rule and every other score say of utterances, of noise alone and of near-silence."""
    mixer = Mixer(noise, SnrChoice(SNRS_DB))
    heard: dict[str, list[dict[str, Any]]] = {name: [] for name in (*SPEECH, "noise only", "room tone", "near-silence")}
    for path in paths:
        clean, key = read_audio(path), utterance_key(path)
        heard["clean"].append(listen(recognizer, clean))
        for snr_db in SNRS_DB:
            mixture = mixer.mix(clean, key, snr_db=snr_db)
            heard[f"{snr_text(snr_db)} dB"].append(listen(recognizer, mixture.noisy))
        heard["noise only"].append(listen(recognizer, mixture.noisy - mixture.speech) | {"kind": mixture.kind})
        heard["room tone"].append(listen(recognizer, room_tone(clean)))
    heard["near-silence"] = [listen(recognizer, samples) for samples in near_silence()]
    kinds = sorted({one["kind"] for one in heard["noise only"]})
    by_kind = {kind: [one for one in heard["noise only"] if one["kind"] == kind] for kind in kinds}
    speech = [one for name in SPEECH for one in heard[name]]
    return {
        "utterances": len(paths),
        "noise_recordings": len(noise),
        "refused": {name: refused(found) for name, found in heard.items()},
        "noise_only_refused_by_kind": {kind: refused(found) for kind, found in by_kind.items()},
        "noise_only_against_speech": {name: separation(name, speech, heard["noise only"]) for name in SCORES},
        "noise_only_against_speech_at_-5_dB": {
            name: separation(name, heard["-5 dB"], heard["noise only"]) for name in SCORES
        },
    }


SCORES = ("kept_half_second_db", "kept_db", "kept_active_db", "activity", "top_probability", "negative_entropy")
"""The rule's score; the share of all energy kept; the active level (P.56) of the enhanced signal re that of the noisy
one; the share of time the noisy one is active; and two of the emotion head."""


def listen(recognizer: Recognizer, samples: np.ndarray) -> dict[str, Any]:
    """Return every score of a recording, more meaning more likely speech, and why the rule would abstain."""
    samples = samples.astype(np.float32)
    enhanced = recognizer.enhance(samples, 16_000)
    presence = speech_presence(samples, enhanced, threshold_db=recognizer.model.config.speech_kept_db)
    shares = np.array(list(recognizer.predict(samples, 16_000).probabilities.values()))
    energy = np.square(samples, dtype=np.float64).sum()
    kept = np.square(enhanced, dtype=np.float64).sum() / energy if energy else 0.0
    active_db, activity = active(samples)
    return {
        "reason": presence.reason,
        "kept_half_second_db": presence.score,
        "kept_db": 10.0 * np.log10(max(kept, 1e-10)),
        "kept_active_db": active(enhanced)[0] - active_db,
        "activity": activity,
        "top_probability": shares.max(),
        "negative_entropy": float(shares @ np.log(np.maximum(shares, 1e-12))),
    }


def active(samples: np.ndarray) -> tuple[float, float]:
    """Return active level in dB and activity (P.56) of a recording, the lowest where nothing in it is active."""
    try:
        level = speech_level(samples)
    except InputError:
        return NO_ACTIVE_LEVEL_DB, 0.0
    return level.active_db, level.activity


def room_tone(clean: np.ndarray, *, seconds: float = 3.0) -> np.ndarray:
    """Return the quietest half second of a clean recording, again and again."""
    size = SAMPLE_RATE // 2
    energy = np.concatenate([[0.0], np.cumsum(np.square(clean, dtype=np.float64))])
    start = int(np.argmin(energy[size:] - energy[:-size]))
    return np.resize(clean[start : start + size], round(seconds * SAMPLE_RATE))


def near_silence(*, seconds: float = 3.0) -> list[np.ndarray]:
    """Return digital silence, the dither of 16-bit audio, a constant offset, and hiss at -60 to -90 dB."""
    generator, size = generator_for("near-silence"), round(seconds * SAMPLE_RATE)
    dither = np.round(generator.triangular(-1.0, 0.0, 1.0, size)) / 2**15
    hiss = [10 ** (level_db / 20) * generator.standard_normal(size) for level_db in (-60, -70, -80, -90)]
    return [np.zeros(size), dither, np.full(size, 0.01), *hiss]


def refused(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how many recordings there are, and at which share of them the rule abstains."""
    return {"n": len(found), "share": float(np.mean([one["reason"] is not None for one in found]))}


def separation(name: str, speech: list[dict[str, Any]], noise: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how well one score tells speech from noise."""
    return abstention_scores([one[name] for one in speech], [one[name] for one in noise])


if __name__ == "__main__":
    main()

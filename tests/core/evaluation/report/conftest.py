"""A document with every part there can be, as `sertool evaluate` would leave it, and utterances to listen to."""

import copy

import numpy as np
import pytest

from sertool.core.evaluation.report.listening import Listening
from sertool.core.metrics.calibration import calibration
from sertool.core.metrics.emotion import category_scores
from sertool.core.metrics.selective import selective_accuracy

CATEGORIES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "calm")
SNRS = (None, 20.0, 10.0, 5.0, 0.0, -5.0)
SPEAKERS = tuple(f"{number:02d}" for number in range(1, 25))
RATE = 16_000

# What each measure is in clean-ish speech, what 5 dB of noise costs, and what enhancement gives back.
MEASURES = {
    "pesq_wb": (2.6, 0.28, 0.35),
    "stoi": (0.94, 0.05, 0.02),
    "estoi": (0.86, 0.11, 0.04),
    "si_sdr": (20.0, 5.0, 4.5),
    "segmental_snr": (12.0, 3.6, 3.1),
    "csig": (4.2, 0.45, 0.4),
    "cbak": (3.1, 0.34, 0.45),
    "covl": (3.4, 0.4, 0.4),
}


def condition_name(snr_db: float | None) -> str:
    return "clean" if snr_db is None else f"{snr_db:g} dB"


def _heard(snr_db: float | None, rng: np.random.Generator, truth: np.ndarray) -> np.ndarray:
    """Return probabilities (N, C) that know less of the truth the more noise there is."""
    knowledge = 2.6 if snr_db is None else 0.9 + 0.065 * (snr_db + 5)
    logits = rng.standard_normal((len(truth), len(CATEGORIES)))
    logits[np.arange(len(truth)), truth] += knowledge
    shares = np.exp(1.4 * logits)
    return shares / shares.sum(axis=1, keepdims=True)


def _emotion(snr_db: float | None, truth: np.ndarray, shares: np.ndarray) -> dict:
    names = np.array(CATEGORIES)
    predicted = names[shares.argmax(1)]
    scores = category_scores(names[truth], predicted, CATEGORIES)
    record = {"condition": condition_name(snr_db), "snr_db": snr_db, "noise_kind": None, "n": len(truth)}
    record |= {"n_labelled": scores.pop("n"), **scores}
    spread = {name: [record[name] - 0.042, record[name] + 0.04] for name in ("f1_macro", "ua")}
    record["intervals"] = {"speakers": len(SPEAKERS), "level": 0.95, **spread, "reason": None}
    record["calibration"] = calibration(names[truth], shares, CATEGORIES)
    record["selective"] = selective_accuracy(predicted == names[truth], shares.max(1))
    record["ccc"] = {
        "arousal": 0.71 - 0.03 * (20 - (20 if snr_db is None else snr_db)) / 5,
        "dominance": 0.5,
        "valence": None,
    }
    record["ccc_n"] = {"arousal": len(truth), "dominance": len(truth), "valence": 0}
    record["attributes"] = "derived from the category"
    quarters = [record["f1_macro"] + step for step in (-0.08, -0.01, 0.02, 0.05)]
    record["by_duration"] = [
        {"range_s": [1.0 + place, 1.9 + place], "n": 360, "f1_macro": score, "ua": score}
        for place, score in enumerate(quarters)
    ]
    return record


def _speech(snr_db: float | None) -> dict:
    summary = {}
    for name, (best, cost, gain) in MEASURES.items():
        before = best - cost * (20 - (snr_db if snr_db is not None else 24)) / 5
        unscored = {"the reference is silent": 2} if name == "pesq_wb" else {}
        summary[name] = {
            "unprocessed": {"mean": before, "n": 1440 - len(unscored) * 2, "unscored": unscored},
            "enhanced": {"mean": before + gain, "n": 1440, "unscored": {}},
            "difference": {"mean": gain, "n": 1438},
        }
    if snr_db is None:
        same = "an estimate equal to its reference has no SI-SDR"
        summary["si_sdr"]["unprocessed"] = {"mean": None, "n": 0, "unscored": {same: 1440}}
        summary["si_sdr"]["difference"] = {"mean": None, "n": 0}
    return summary


def _comparison(conditions: list[dict]) -> dict:
    records = []
    for record in conditions:
        snr = record["snr_db"]
        difference = 0.012 if snr is None else 0.06 - 0.002 * snr
        records.append(
            {
                "condition": record["condition"],
                "snr_db": snr,
                "n": record["n"],
                "speakers": 24,
                "ours": record["f1_macro"],
                "theirs": record["f1_macro"] - difference,
                "difference": difference,
                "difference_ua": difference + 0.004,
                "interval": [difference - 0.025, difference + 0.024],
                "p": 0.0004 if difference > 0.03 else 0.31,
                "p_holm": 0.0021 if difference > 0.03 else 0.62,
                "exact": False,
                "draws": 99_999,
                "effect_size": {
                    "points": 100 * difference,
                    "cohens_dz": 14 * difference,
                    "share_better": 0.79,
                    "share_worse": 0.2,
                },
                "mcnemar": {"only_ours": 210, "only_theirs": 150, "p": 0.002, "cohens_g": 0.08, "odds_ratio": 1.4},
                "subset_t_test": None,
                "verdict": "better" if difference > 0.03 else "cannot tell",
                "reason": None,
            }
        )
    return {
        "baseline": "cascade-seed0",
        "statistic": "f1_macro",
        "alpha": 0.05,
        "verdict": "joint is better than cascade-seed0 at 10, 5, 0 and -5 dB; in clean speech and at 20 dB nobody can "
        "tell.",
        "conditions": records,
    }


def _stress() -> dict:
    tests = [
        *((("noise", f"{kind} {snr} dB"), cost) for kind, cost in (("rain", 0.05), ("siren", 0.09)) for snr in (10, 0)),
        *((("reverberation", f"RT60 {rt60} s"), cost) for rt60, cost in ((0.3, 0.02), (0.6, 0.08), (1, 0.17))),
        (("telephone band", ""), 0.11),
        *((("codec", name), cost) for name, cost in (("MP3 32 kb/s", 0.004), ("Opus 16 kb/s", -0.003))),
        *((("gain", name), 0.0) for name in ("+20 dB", "-40 dB")),
        *((("clipping", name), cost) for name, cost in (("6 dB over", 0.03), ("20 dB over", 0.26))),
        (("packet loss", "20% in bursts"), 0.06),
        (("short clip", "0.5 s"), 0.21),
    ]
    records = []
    for (stress, level), cost in tests:
        women, men = {"ua_change": -cost - 0.02, "unchanged": 0.8}, {"ua_change": -cost + 0.02, "unchanged": 0.84}
        worst = {"speaker": "07", "n": 60, "ua_change": -cost - 0.1, "unchanged": 0.7}
        records.append(
            {"stress": stress, "level": level, "n": 1440, "ua": 0.5 - cost, "ua_change": -cost, "f1_macro": 0.48 - cost}
            | {"f1_change": -cost, "unchanged": 1 - 2.5 * abs(cost), "reason": None, "abstained": 0.01}
            | {"by_gender": [{"gender": "female", "n": 720, "speakers": 12, **women}]}
            | {"by_speaker": [worst], "worst_speaker": worst}
        )
        records[-1]["by_gender"].append({"gender": "male", "n": 720, "speakers": 12, **men})
    for stress, level in (("silence only", "digital"), ("noise only", "white")):
        empty = dict.fromkeys(("ua", "ua_change", "f1_macro", "f1_change", "unchanged", "worst_speaker"))
        records.append(
            {"stress": stress, "level": level, "n": 1440, **empty, "by_gender": [], "by_speaker": []}
            | {"reason": "nobody speaks", "most_predicted": {"calm": 0.97, "neutral": 0.03}, "confidence": 0.44}
            | {"abstained": 0.9}
        )
    return {
        "reference": {"n": 1440, "ua": 0.5, "f1_macro": 0.48},
        "conditions": records,
        "left_out": {"codec: GSM 06.10": "this libsndfile lacks the codec"},
        "missed": ["clipping: 20 dB over: UA falls by 26.0 points, at most 20 were allowed"],
    }


def _by_speaker(rng: np.random.Generator) -> list[dict]:
    talent = {name: rng.normal(0, 0.06) for name in SPEAKERS}
    return [
        {
            "condition": condition_name(snr_db),
            "snr_db": snr_db,
            "speaker": name,
            "gender": ("male", "female")[place % 2],
            "n": 60,
            "ua": float(np.clip(level + talent[name] + rng.normal(0, 0.02), 0, 1)),
            "f1_micro": 0.4,
        }
        for snr_db, level in zip(SNRS, (0.52, 0.5, 0.47, 0.43, 0.39, 0.31), strict=True)
        for place, name in enumerate(SPEAKERS)
    ]


def _by_gender() -> list[dict]:
    return [
        {"condition": condition_name(snr), "snr_db": snr, "gender": gender, "n": 720, "speakers": 12}
        | {"f1_macro": 0.5 + aside, "ua": 0.51 + aside}
        for snr in SNRS
        for gender, aside in (("female", 0.03), ("male", -0.03))
    ]


def _by_kind(conditions: list[dict]) -> list[dict]:
    shared = ("condition", "snr_db", "f1_micro", "per_class", "confusion", "ccc", "ccc_n", "speech")
    return [
        {name: record[name] for name in shared}
        | {"noise_kind": kind, "n": 720, "n_labelled": 720}
        | {score: record[score] + aside for score in ("f1_macro", "ua")}
        for record in conditions[1:]
        for kind, aside in (("rain", 0.02), ("siren", -0.02))
    ]


def full_document() -> dict:
    """Return a document of a joint model with a baseline, stress tests, and everything else."""
    rng = np.random.default_rng(0)
    truth = np.arange(1440) % len(CATEGORIES)
    heard = {snr_db: _heard(snr_db, rng, truth) for snr_db in SNRS}
    conditions = [_emotion(snr_db, truth, heard[snr_db]) | {"speech": _speech(snr_db)} for snr_db in SNRS]
    for record, snr_db in zip(conditions[1:], SNRS[1:], strict=True):
        same = float(np.mean(heard[snr_db].argmax(1) == heard[None].argmax(1)))
        record["agreement"] = {"n": len(truth), "share": same, "kappa": (same - 0.13) / 0.87}
    return {
        "format": "sertool-evaluation-2",
        "command": ["sertool", "evaluate", "ravdess.csv", "--model", "joint seed 0", "--noise", "unseen", "--snr", "0"],
        "seed": 0,
        "split": "test",
        "device": "cpu",
        "versions": {"python": "3.11.7", "sertool": "0.1.0", "torch": "2.11.0"},
        "system": {"kind": "run", "name": "joint"},
        "data": {
            "manifest": "ravdess.csv",
            "utterances": 1440,
            "speakers": 24,
            "hours": 1.478,
            "categories": dict.fromkeys(CATEGORIES, 180),
            "genders": {"female": 12, "male": 12},
            "utterances_of_unknown_speakers": 0,
            "excluded": {"boredom": 3},
            "absent_categories": [],
            "splits": {
                "train": {"utterances": 4800, "speakers": 60, "hours": 5.1},
                "test": {"utterances": 1440, "speakers": 24, "hours": None},
            },
        },
        "noise": {
            "kinds": ["rain", "siren"],
            "recordings": 205,
            "digest": "2d5153312d2687c4a49d9abeadec20c343a4df97b781b051382cdf4a81ecf551",
            "checked_against_training": True,
            "speech_level": "utterance",
        },
        "model": {
            "id": "32a5163746ab",
            "name": "joint",
            "categories": list(CATEGORIES),
            "attributes": ["arousal", "dominance", "valence"],
            "enhances": True,
            "parameters": 2_830_680,
            "recipe": {
                "seed": 0,
                "tasks": ["emotion", "enhancement"],
                "schedule": "cascade",
                "encoder": {"name": "denoise", "adapt": "full"},
                "optimisation": {"epochs": 12},
            },
        },
        "seen_utterances": 0,
        "failures": ["03-01-01.wav: cannot be read as audio"],
        "notes": ["Not scored by category, because the model does not know theirs: boredom 3."],
        "conditions": conditions,
        "by_kind": _by_kind(conditions),
        "by_speaker": _by_speaker(rng),
        "by_gender": _by_gender(),
        "comparison": _comparison(conditions),
        "stored": {
            "systems": {"DCCRN": {"0 dB": {"pesq_wb": {"mean": 1.9, "n": 40}, "stoi": {"mean": None, "n": 0}}}},
            "largest_deviation": {"pesq_wb": 0.0003},
        },
        "stress": _stress(),
    }


def _voice(seed: int, seconds: float) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = np.cumsum(2 * np.pi * (120 + 40 * np.sin(2 * np.pi * 1.3 * time + seed)) / RATE)
    voiced = sum(np.sin(k * pitch) / k for k in range(1, 20))
    return (0.08 * voiced * np.clip(np.sin(2 * np.pi * 2.5 * time), 0, 1)).astype(np.float32)


def make_examples(seconds: float = 2.0) -> list[Listening]:
    """Return the best, the median and the worst of three buzzes in noise."""
    made = []
    for seed, place in enumerate(("best", "median", "worst")):
        clean = _voice(seed, seconds)
        noise = 0.05 * np.random.default_rng(seed).standard_normal(len(clean)).astype(np.float32)
        made.append(
            Listening(
                file=f"speaker/0{seed}.wav",
                condition="0 dB",
                place=place,
                label="anger",
                predicted="anger" if seed < 2 else "fear",
                confidence=0.8 - 0.2 * seed,
                clean=clean,
                noisy=clean + noise,
                enhanced=clean + 0.2 * noise,
                figures={"SI-SDR before, dB": -0.1, "SI-SDR after, dB": 9.2 - 4 * seed},
            )
        )
    return made


@pytest.fixture(scope="session")
def shared_document() -> dict:
    """The full document, for tests that do not change it."""
    return full_document()


@pytest.fixture
def document(shared_document) -> dict:
    """The full document, the test's own to change."""
    return copy.deepcopy(shared_document)


@pytest.fixture(scope="session")
def examples() -> list[Listening]:
    """Three utterances to listen to."""
    return make_examples(0.6)

"""Speech scores of one pair and of many: published values, what cannot be scored, and what a pair owes to its batch."""

import csv
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core.audio.files import read_audio
from sertool.core.metrics import speech
from sertool.core.metrics.composite import composite
from sertool.core.metrics.log_likelihood_ratio import log_likelihood_ratio
from sertool.core.metrics.segmental_snr import segmental_snr
from sertool.core.metrics.speech import score_pairs, speech_scores
from sertool.core.metrics.weighted_spectral_slope import weighted_spectral_slope

RATE = 16_000

ARITHMETIC = ("stoi", "estoi", "si_sdr", "segmental_snr")


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """A buzz of changing pitch and level, which PESQ takes for speech; float32 (S,)."""
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = 2 * np.pi * np.cumsum(150 + 40 * np.sin(2 * np.pi * 1.3 * time)) / RATE
    buzz = sum(np.sin(k * pitch) / k for k in range(1, 12)) * np.abs(np.sin(2 * np.pi * 2 * time))
    return (0.2 * buzz + 0.002 * np.random.default_rng(seed).standard_normal(len(time))).astype(np.float32)


def with_noise(clean: np.ndarray, level: float = 0.05, seed: int = 1) -> np.ndarray:
    """The signal with white noise added."""
    return (clean + level * np.random.default_rng(seed).standard_normal(len(clean))).astype(np.float32)


def without_reasons(scores: dict) -> dict:
    return {name: value for name, value in scores.items() if name != "reasons"}


def unscored_by_pesq(reason: str) -> dict[str, str]:
    """The reasons where PESQ has no value: the composite measures have none either."""
    return dict.fromkeys(("pesq_wb", "csig", "cbak", "covl"), reason)


BROKEN = [
    (np.zeros(0), np.zeros(0)),
    (np.zeros(RATE), voice(1.0)),
    (voice(1.0), np.ones(RATE)),
    (voice(1.0), np.where(np.arange(RATE) == 9, np.nan, voice(1.0))),
    (voice(0.03), with_noise(voice(0.03))),
    (np.arange(3.0), np.array([1.0, 0.0, 2.0])),
]
"""Pairs that some measure or none can score."""


def test_published_values_of_fixed_mixtures(shared_data):
    with open(shared_data / "reference" / "mixtures.csv", newline="") as file:
        rows = list(csv.DictReader(file))[::16]
    for row in rows:
        clean, noise = read_audio(shared_data / row["clip"]), read_audio(shared_data / row["noise"])
        noise = np.resize(np.roll(noise, -int(row["noise_offset_samples"])), len(clean))
        clean, noise = float(row["gain"]) * clean, float(row["gain"]) * float(row["noise_gain"]) * noise
        scores = speech_scores(clean, clean + noise)
        assert scores["pesq_wb"] == pytest.approx(float(row["unprocessed_pesq"]), abs=0.002)
        assert scores["stoi"] == pytest.approx(float(row["unprocessed_stoi"]), abs=0.0002)
        assert scores["si_sdr"] == pytest.approx(float(row["unprocessed_sisdr"]), abs=0.01)
        assert scores["reasons"] == {}


def test_more_noise_scores_lower_on_every_measure():
    clean = voice(2.0)
    little, much = (speech_scores(clean, with_noise(clean, level)) for level in (0.01, 0.1))
    for name in speech.MEASURES:
        assert little[name] > much[name]


@pytest.mark.parametrize(
    ("clean", "estimate", "reasons"),
    [
        (np.zeros(RATE), voice(1.0), dict.fromkeys(speech.MEASURES, speech.SILENT_CLEAN)),
        (np.full(RATE, 0.1, np.float32), voice(1.0), dict.fromkeys(speech.MEASURES, speech.SILENT_CLEAN)),
        (voice(1.0), np.zeros(RATE), dict.fromkeys(speech.MEASURES, speech.SILENT_ESTIMATE)),
        (voice(1.0), np.full(RATE, np.nan), dict.fromkeys(speech.MEASURES, speech.NOT_FINITE)),
        (np.zeros(0), np.zeros(0), dict.fromkeys(speech.MEASURES, speech.NO_SAMPLES)),
        (voice(0.2), with_noise(voice(0.2)), unscored_by_pesq(speech.PESQ_SHORT) | {"stoi": speech.STOI_SHORT}),
        (
            voice(0.01),
            with_noise(voice(0.01)),
            unscored_by_pesq(speech.PESQ_SHORT) | {"stoi": speech.STOI_SHORT, "segmental_snr": speech.FRAMES_SHORT},
        ),
        (voice(0.3), with_noise(voice(0.3)), {"stoi": speech.STOI_SHORT}),
        (voice(1.0), 0.7 * voice(1.0), {"si_sdr": speech.IDENTICAL}),
        (voice(20.1), with_noise(voice(20.1)), unscored_by_pesq(speech.PESQ_LONG)),
    ],
    ids=[
        "silent-reference",
        "constant-reference",
        "silent-estimate",
        "nan-estimate",
        "empty",
        "0.2s",
        "0.01s",
        "0.3s",
        "identical-up-to-scale",
        "long",
    ],
)
def test_what_cannot_be_scored_is_none_with_a_reason(clean, estimate, reasons):
    scores = speech_scores(clean, estimate)
    if "stoi" in reasons:
        reasons = reasons | {"estoi": reasons["stoi"]}
    assert scores["reasons"] == reasons
    for name in speech.MEASURES:
        assert (scores[name] is None) == (name in reasons)


def test_a_click_between_long_pauses_has_no_utterance_for_pesq_and_too_little_speech_for_stoi():
    clean = np.zeros(3 * RATE, np.float32)
    clean[RATE : RATE + 2000] = voice(2000 / RATE)
    scores = speech_scores(clean, with_noise(clean, 0.001))
    expected = unscored_by_pesq(speech.PESQ_NO_SPEECH) | dict.fromkeys(("stoi", "estoi"), speech.STOI_SHORT)
    assert scores["reasons"] == expected
    assert scores["si_sdr"] is not None


def test_no_warning_leaves_and_the_filters_stay():
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        speech_scores(voice(0.3), with_noise(voice(0.3)))
    assert caught == []
    assert warnings.filters == before


def test_pairs_of_all_kinds_together_are_scored_as_one_by_one(awkward_pairs):
    pairs = [*awkward_pairs.values(), *BROKEN]
    together = score_pairs(*zip(*pairs, strict=True), measures=ARITHMETIC)
    for pair, found in zip(pairs, together, strict=True):
        alone = speech_scores(*pair, measures=ARITHMETIC)
        assert found["reasons"] == alone["reasons"]
        assert without_reasons(found) == pytest.approx(without_reasons(alone), abs=1e-9)
    assert [list(found["reasons"].values())[:1] for found in together[len(awkward_pairs) :]] == [
        [speech.NO_SAMPLES],
        [speech.SILENT_CLEAN],
        [speech.SILENT_ESTIMATE],
        [speech.NOT_FINITE],
        [speech.STOI_SHORT],
        [speech.STOI_SHORT],
    ]


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 20_000), min_size=1, max_size=5),
    levels=st.lists(st.sampled_from([0.0, 1e-5, 0.1, 3.0]), min_size=5, max_size=5),
    holes=st.booleans(),
    order=st.randoms(use_true_random=False),
)
def test_a_pair_s_scores_do_not_depend_on_its_batch(lengths, levels, holes, order):
    pairs = []
    for length, level in zip(lengths, levels, strict=False):
        clean = voice(length / RATE).astype(np.float64)
        clean[length // 3 : length // 2] *= not holes
        pairs.append((level * clean, level * with_noise(clean)))
    shuffled = list(range(len(pairs)))
    order.shuffle(shuffled)
    found = score_pairs(*zip(*(pairs[number] for number in shuffled), strict=True), measures=ARITHMETIC)
    for number, together in zip(shuffled, found, strict=True):
        [alone] = score_pairs(*zip(pairs[number], strict=True), measures=ARITHMETIC)
        assert together["reasons"] == alone["reasons"]
        assert without_reasons(together) == pytest.approx(without_reasons(alone), abs=1e-6)


def test_small_batches_score_the_same(awkward_pairs, monkeypatch):
    pairs = list(awkward_pairs.values())[:4]
    expected = score_pairs(*zip(*pairs, strict=True), measures=ARITHMETIC)
    monkeypatch.setitem(speech.BATCH_SAMPLES, "cpu", 48_000)
    found = score_pairs(*zip(*pairs, strict=True), measures=ARITHMETIC)
    for ours, before in zip(found, expected, strict=True):
        assert without_reasons(ours) == pytest.approx(without_reasons(before), abs=1e-9)


def test_pesq_is_computed_once_for_itself_and_the_composite_measures(monkeypatch):
    clean = voice(1.0)
    noisy = with_noise(clean)
    calls = []
    monkeypatch.setattr(speech, "pesq_wb", lambda *pair: calls.append(pair) or 2.5)
    scores = speech_scores(clean, noisy, measures=("covl", "pesq_wb", "cbak"))
    assert len(calls) == 1 and list(scores) == ["covl", "pesq_wb", "cbak", "reasons"]
    one = [torch.from_numpy(samples.astype(np.float64))[None] for samples in (clean, noisy)] + [torch.tensor([RATE])]
    llr, wss, snr = log_likelihood_ratio(*one), weighted_spectral_slope(*one), segmental_snr(*one)
    expected = composite(2.5, llr.item(), wss.item(), snr.item())
    assert scores["covl"] == pytest.approx(expected["covl"]) and scores["cbak"] == pytest.approx(expected["cbak"])
    assert speech_scores(clean, noisy, measures=("csig",))["csig"] == pytest.approx(expected["csig"])


def test_a_composite_measure_has_the_reason_of_its_part():
    clean = voice(0.2)
    scores = speech_scores(clean, with_noise(clean), measures=("segmental_snr", "csig"))
    assert scores["reasons"] == {"csig": speech.PESQ_SHORT}
    clean = voice(0.03)
    scores = speech_scores(clean, with_noise(clean), measures=("segmental_snr", "csig"))
    assert scores["reasons"] == {"csig": speech.PESQ_SHORT, "segmental_snr": speech.FRAMES_SHORT}


def test_no_random_numbers_are_drawn():
    clean = voice(1.0)
    state = np.random.get_state()[1].copy(), torch.random.get_rng_state()
    first = speech_scores(clean, with_noise(clean), measures=ARITHMETIC)
    assert first == speech_scores(clean, with_noise(clean), seed=5, measures=ARITHMETIC)
    assert np.array_equal(np.random.get_state()[1], state[0]) and torch.equal(torch.random.get_rng_state(), state[1])


@pytest.mark.gpu
def test_a_gpu_scores_what_the_cpu_does(awkward_pairs):
    pairs = [*awkward_pairs.values(), *BROKEN]
    expected = score_pairs(*zip(*pairs, strict=True), measures=(*ARITHMETIC, "csig"))
    found = score_pairs(*zip(*pairs, strict=True), measures=(*ARITHMETIC, "csig"), device="cuda")
    for ours, before in zip(found, expected, strict=True):
        assert ours["reasons"] == before["reasons"]
        assert without_reasons(ours) == pytest.approx(without_reasons(before), abs=1e-6)


def test_misuse_is_an_error():
    clean = voice(0.5)
    with pytest.raises(ValueError, match="16000"):
        speech_scores(clean, clean, rate=8000)
    with pytest.raises(ValueError, match="shape"):
        speech_scores(clean, clean[:-1])
    with pytest.raises(ValueError, match="not finite"):
        speech_scores(np.full(RATE, np.inf), np.zeros(RATE))
    with pytest.raises(ValueError, match="unknown measures"):
        speech_scores(clean, clean, measures=("mos",))
    with pytest.raises(ValueError, match="1 references but 2 signals"):
        score_pairs([clean], [clean, clean])
    assert score_pairs([], []) == []
    assert score_pairs([clean], [clean], measures=()) == [{"reasons": {}}]


def test_nothing_is_drawn_from_the_global_generator():
    generator = np.random.default_rng(0)
    clean = generator.standard_normal(16_000)
    np.random.seed(3)
    expected = np.random.standard_normal(3)
    np.random.seed(3)
    speech.speech_scores(clean, clean + generator.standard_normal(16_000), measures=("estoi", "stoi", "csig"))
    assert np.array_equal(np.random.standard_normal(3), expected)

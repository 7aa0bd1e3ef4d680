"""Intervals over speakers: against draws by hand with scikit-learn, Student's interval, and the share they promise."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn import metrics

from sertool.core.metrics import bootstrap
from sertool.core.metrics.bootstrap import difference_intervals, speaker_intervals
from sertool.core.metrics.speaker_confusions import speaker_confusions

CLASSES = ("anger", "happiness", "neutral", "sadness")


def outcomes(speakers, *, seed=0, utterances=12, right=0.6, spread=0.15):
    """Labels, predictions and names of speakers of different ease."""
    generator = np.random.default_rng(seed)
    names = np.repeat([f"s{k:02d}" for k in range(speakers)], utterances)
    ease = np.repeat(np.clip(generator.normal(right, spread, speakers), 0, 1), utterances)
    labels = np.resize(CLASSES, len(names))
    guesses = np.where(generator.random(len(names)) < ease, labels, np.roll(CLASSES, 1)[generator.integers(0, 4)])
    return labels, guesses, names


def percentiles(speakers):
    """Percentiles the interval ends at, by the formula of Hesterberg (2015)."""
    t = scipy.stats.t.ppf(0.025, speakers - 1)
    tail = 100 * scipy.stats.norm.cdf(np.sqrt(speakers / (speakers - 1)) * t)
    return tail, 100 - tail


def test_the_interval_is_that_of_speakers_drawn_by_hand():
    labels, guesses, names = outcomes(9)
    generator, rows = np.random.default_rng(1), [np.flatnonzero(names == name) for name in np.unique(names)]
    drawn = []
    for _ in range(500):
        chosen = np.concatenate([rows[k] for k in generator.integers(0, 9, 9)])
        true, predicted = labels[chosen], guesses[chosen]
        confusion = metrics.confusion_matrix(true, predicted, labels=CLASSES)
        f1 = 2 * np.diag(confusion) / np.maximum(confusion.sum(0) + confusion.sum(1), 1)
        drawn.append((f1.mean(), (np.diag(confusion) / confusion.sum(1)).mean()))
    found = speaker_intervals(labels, guesses, names, CLASSES)
    by_hand = np.percentile(drawn, percentiles(9), axis=0)
    for interval, expected in zip((found["f1_macro"], found["ua"]), by_hand.T, strict=True):
        width = expected[1] - expected[0]
        assert interval == pytest.approx(expected, abs=0.2 * width)
    assert (found["speakers"], found["unknown"], found["level"], found["reason"]) == (9, 0, 0.95, None)
    assert found["f1_macro"] != found["ua"]


def test_for_a_mean_over_speakers_it_is_near_students_interval():
    """UA, each speaker with as many of each class: the mean of the speakers' accuracies."""
    labels, guesses, names = outcomes(10, seed=2, utterances=40)
    shares = pd.Series(labels == guesses).groupby(names).mean()
    expected = scipy.stats.t.interval(0.95, 9, shares.mean(), scipy.stats.sem(shares))
    found = speaker_intervals(labels, guesses, names, CLASSES)["ua"]
    assert found == pytest.approx(expected, abs=0.12 * (expected[1] - expected[0]))


def test_the_interval_holds_the_true_value_as_often_as_it_says():
    """The plain percentile interval would hold it 89 times in 100 with eight speakers."""
    held = []
    for trial in range(200):
        generator = np.random.default_rng(trial)
        labels = np.tile(CLASSES, 8 * 4)
        names = np.repeat(np.arange(8).astype(str), 16)
        ease = np.repeat(np.clip(generator.normal(0.6, 0.12, 8), 0.2, 1.0), 16)
        guesses = np.where(generator.random(len(labels)) < ease, labels, np.roll(labels, 1))
        low, high = speaker_intervals(labels, guesses, names, CLASSES, draws=500)["ua"]
        held.append(low <= 0.6 <= high)
    assert scipy.stats.binomtest(sum(held), 200, 0.95).pvalue > 0.001
    assert sum(held) > 0.91 * 200


@pytest.mark.parametrize(
    ("speakers", "unknown", "enough"), [(7, 0, False), (8, 0, True), (0, 96, False), (7, 9, False)]
)
def test_below_eight_known_speakers_there_is_no_interval_but_a_reason(speakers, unknown, enough):
    labels, guesses, names = outcomes(max(speakers, 8))
    names = [name if int(name[1:]) < speakers else None for name in names][: 12 * speakers + unknown]
    found = speaker_intervals(labels[: len(names)], guesses[: len(names)], names, CLASSES)
    assert (found["speakers"], found["unknown"]) == (speakers, unknown)
    if enough:
        assert found["reason"] is None and found["f1_macro"] is not None
    else:
        assert (found["f1_macro"], found["ua"]) == (None, None)
        assert f"{speakers} test speakers" in found["reason"]
        assert not unknown or f"{unknown} utterances of unknown speakers" in found["reason"]


def test_utterances_of_unknown_speakers_are_drawn_one_by_one():
    """All of one speaker, known, they move together; unknown, they even out: the interval is shorter."""
    names = np.repeat([f"s{k:02d}" for k in range(16)], 12)
    labels = np.resize(CLASSES, len(names))
    # Of the first eight every other block of four is recognised; of the others, one speaker in two.
    right = [int(name[1:]) % 2 if name >= "s08" else place // 4 % 2 for place, name in enumerate(names)]
    guesses = np.where(right, labels, np.roll(labels, 1))
    known = speaker_intervals(labels, guesses, names, CLASSES)["ua"]
    some = [name if name < "s08" else None for name in names]
    found = speaker_intervals(labels, guesses, some, CLASSES)
    assert (found["speakers"], found["unknown"]) == (8, 96)
    assert found["ua"][1] - found["ua"][0] < 0.6 * (known[1] - known[0])


def test_the_order_of_utterances_and_what_speakers_are_called_do_not_matter():
    labels, guesses, names = outcomes(8)
    order = np.random.default_rng(4).permutation(len(labels))
    found = speaker_intervals(labels, guesses, names, CLASSES)
    assert speaker_intervals(labels[order], guesses[order], names[order], CLASSES) == found
    renamed = [f"t{99 - int(name[1:])}" for name in names]
    assert speaker_intervals(labels, guesses, renamed, CLASSES) == found
    assert speaker_intervals(labels, guesses, names, CLASSES, seed=1) != found


def test_blocks_do_not_change_the_interval(monkeypatch):
    labels, guesses, names = outcomes(8)
    whole = speaker_intervals(labels, guesses, names, CLASSES)
    monkeypatch.setattr(bootstrap, "_BLOCK", 500)
    assert speaker_intervals(labels, guesses, names, CLASSES) == whole


def test_a_difference_that_all_speakers_share_has_a_short_interval():
    """Both systems meet the same speakers: what these have in common falls out of the difference."""
    labels, guesses, names = outcomes(10, seed=5, spread=0.3)
    better = guesses.copy()
    missed = [np.flatnonzero((names == name) & (labels != guesses))[:1] for name in np.unique(names)]
    better[np.concatenate(missed)] = labels[np.concatenate(missed)]
    pair = [speaker_confusions(labels, [each], names, CLASSES) for each in (better, guesses)]
    apart = difference_intervals(*pair)
    alone = speaker_intervals(labels, guesses, names, CLASSES)
    for score in ("f1_macro", "ua"):
        low, high = apart[score]
        assert 0 < low < high and high - low < 0.5 * (alone[score][1] - alone[score][0])
    assert difference_intervals(pair[0], pair[0]) == {"f1_macro": [0.0, 0.0], "ua": [0.0, 0.0]}


def test_the_difference_of_several_trainings_is_the_mean_of_theirs():
    labels, guesses, names = outcomes(9, seed=6)
    other = np.roll(guesses, 3)
    ours = speaker_confusions(labels, [guesses, other], names, CLASSES)
    theirs = speaker_confusions(labels, [other, guesses], names, CLASSES)
    for interval in difference_intervals(ours, theirs).values():
        assert interval == pytest.approx([0.0, 0.0], abs=1e-12)


def test_below_eight_speakers_a_difference_has_no_interval():
    labels, guesses, names = outcomes(7)
    found = speaker_confusions(labels, [guesses], names, CLASSES)
    assert difference_intervals(found, found) == {"f1_macro": None, "ua": None}

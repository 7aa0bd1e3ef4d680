"""Confusions by speaker: their sums score as all utterances together do, by scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from sertool.core.metrics.speaker_confusions import class_counts, f1_macro, speaker_confusions, ua

CLASSES = ("anger", "happiness", "neutral", "sadness")
category = st.sampled_from(CLASSES)
utterances = st.lists(
    st.tuples(category, category, st.sampled_from(("a", "b", "c", None, float("nan"), pd.NA))), min_size=1, max_size=40
)


@settings(max_examples=40, deadline=None)
@given(utterances)
def test_pooled_scores_are_those_of_scikit_learn(rows):
    true, predicted, speakers = map(list, zip(*rows, strict=True))
    pooled = class_counts(speaker_confusions(true, [predicted], speakers, CLASSES).confusions).sum(0)[0]
    expected = metrics.f1_score(true, predicted, labels=CLASSES, average="macro", zero_division=0)
    assert f1_macro(pooled) == pytest.approx(expected, abs=1e-12)
    recalls = metrics.recall_score(true, predicted, labels=sorted(set(true)), average=None, zero_division=0)
    assert ua(pooled) == pytest.approx(np.mean(recalls), abs=1e-12)


def test_each_speaker_has_the_confusion_matrix_of_scikit_learn_for_each_training():
    generator = np.random.default_rng(0)
    true, first, second = (generator.choice(CLASSES, 60).tolist() for _ in range(3))
    speakers = generator.choice(["10", "9", "b"], 60).tolist()
    counted = speaker_confusions(true, [first, second], speakers, CLASSES)
    assert (counted.confusions.shape, counted.speakers, counted.unknown) == ((3, 2, 4, 4), 3, 0)
    for cluster, speaker in enumerate(["10", "9", "b"]):
        for training, predicted in enumerate([first, second]):
            rows = [(t, p) for t, p, s in zip(true, predicted, speakers, strict=True) if s == speaker]
            expected = metrics.confusion_matrix(*zip(*rows, strict=True), labels=CLASSES)
            np.testing.assert_array_equal(counted.confusions[cluster, training], expected)


def test_an_utterance_of_an_unknown_speaker_is_a_cluster_of_its_own():
    counted = speaker_confusions(["anger"] * 5, [["anger"] * 5], ["a", None, "a", float("nan"), pd.NA], CLASSES)
    assert (counted.speakers, counted.unknown) == (1, 3)
    assert counted.confusions.sum((1, 2, 3)).tolist() == [2, 1, 1, 1]


@pytest.mark.parametrize(
    ("known", "unknown", "words"),
    [
        (8, 0, None),
        (8, 50, None),
        (7, 0, "7 test speakers: at least 8"),
        (1, 0, "1 test speaker:"),
        (0, 50, "0 test speakers, and 50 utterances of unknown speakers: at least 8 known"),
    ],
)
def test_eight_known_speakers_are_enough(known, unknown, words):
    speakers = [f"s{k}" for k in range(known)] + [None] * unknown
    labels = ["anger"] * len(speakers)
    found = speaker_confusions(labels, [labels], speakers, CLASSES).too_few()
    assert found is None if words is None else words in found


def test_no_utterances_are_no_speakers():
    counted = speaker_confusions([], [[]], [], CLASSES)
    assert counted.confusions.shape == (0, 1, 4, 4)
    assert counted.too_few().startswith("0 test speakers")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((["anger"], [["anger", "anger"]], ["a"], CLASSES), "lengths"),
        ((["anger"], [], ["a"], CLASSES), "lengths"),
        ((["anger"], [["anger"]], [], CLASSES), "lengths"),
        ((["anger"], [["joy"]], ["a"], CLASSES), "joy"),
        ((["joy"], [["anger"]], ["a"], CLASSES), "joy"),
        ((["anger"], [["anger"]], ["a"], ["anger", "anger"]), "twice"),
    ],
)
def test_bad_lists_are_errors(arguments, words):
    with pytest.raises(ValueError, match=words):
        speaker_confusions(*arguments)

"""What gives a target away: shortcuts planted and found, and the numbers against scikit-learn's."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers, permutations
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from sertool.core.pretext.shortcuts import NAMES, Covariates, balance, shortcuts, told, worth_a_warning

CLASSES = ("low", "high")
SENTENCES = ("Kids are talking by the door.", "Dogs are sitting by the door.")


def covariates(count: int, seed: int, **given: object) -> Covariates:
    """Utterances at random levels and durations, of two sentences and two corpora by turns."""
    generator = np.random.default_rng(seed)
    columns: dict = {
        "level_db": generator.normal(-25.0, 6.0, count),
        "duration_s": generator.uniform(1.0, 5.0, count),
        "sentence": [SENTENCES[number % 2] for number in range(count)],
        "corpus": [("ravdess", "emodb")[number // 2 % 2] for number in range(count)],
    }
    return Covariates(**columns | given)


def by_chance(count: int, seed: int, num_classes: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, num_classes, count)


@pytest.fixture(scope="module")
def split() -> tuple[Covariates, Covariates]:
    return covariates(400, 0), covariates(300, 1)


def test_a_target_that_is_loudness_is_found(split):
    labels = [(part.level_db > -25.0).astype(np.int64) for part in split]
    found = shortcuts(*split, *labels, num_classes=2)
    assert found["level"]["ua"] > 0.97 and found["level"]["accuracy"] > 0.97
    for other in ("duration", "sentence", "corpus"):
        assert abs(found[other]["ua"] - 0.5) < 0.12
    assert worth_a_warning(found) == f"level alone predicts it with a UA of {found['level']['ua']:.0%} (chance: 50%)"


def test_a_relation_that_does_not_go_one_way_is_found(split):
    # The shortest and the longest are of one class, those between them of the other: their means are the same.
    labels = [(abs(part.duration_s - 3.0) > 1.0).astype(np.int64) for part in split]
    found = shortcuts(*split, *labels, num_classes=2)
    assert found["duration"]["ua"] > 0.95
    assert worth_a_warning(found).startswith("duration alone")


def test_independent_labels_are_near_the_majority(split):
    found = shortcuts(*split, by_chance(400, 2), by_chance(300, 3), num_classes=2)
    for name in NAMES:
        assert found[name]["accuracy"] < found["majority"]["accuracy"] + 0.08
        assert abs(found[name]["ua"] - 0.5) < 0.12
    assert worth_a_warning(found) is None


@pytest.mark.parametrize(("count", "most"), [(60, 0.78), (400, 0.65)])
def test_labels_without_a_rule_are_not_learned_by_heart(count, most):
    train, labels = covariates(count, 4), by_chance(count, 5)
    found = shortcuts(train, train, labels, labels, num_classes=2)
    assert 0.5 < found["level"]["accuracy"] < most


def test_three_utterances_make_no_rule():
    train = covariates(400, 4)
    labels = np.zeros(400, dtype=np.int64)
    labels[np.argsort(train.level_db)[200:203]] = 1
    assert shortcuts(train, train, labels, labels, num_classes=2)["level"]["ua"] == 0.5


@pytest.mark.parametrize("name", ["sentence", "corpus"])
def test_the_class_most_frequent_there_is_taken(split, name):
    values = [np.array(getattr(part, name)) for part in split]
    first = min(values[0])
    generator = np.random.default_rng(6)
    labels = [np.where(generator.random(len(each)) < 0.1, 2, each == first).astype(np.int64) for each in values]
    found = shortcuts(*split, *labels, num_classes=3)
    expected = (values[1] == first).astype(np.int64)
    assert found[name]["accuracy"] == pytest.approx(accuracy_score(labels[1], expected))
    assert found[name]["ua"] == pytest.approx(balanced_accuracy_score(labels[1], expected))
    assert found[name]["n_train"] == 400 and found[name]["n_dev"] == 300


def test_ties_go_to_what_is_more_frequent_in_all_and_then_to_the_lower_class():
    sentence = ["tied", "tied", "tied", "tied", "often", "often", "level", "level"]
    train = covariates(8, 7, sentence=sentence)
    labels = np.array([1, 2, 1, 2, 2, 2, 0, 1])  # of all: class 2 four times, 1 three times, 0 once
    cases = {"tied": 2, "often": 2, "level": 1, "never heard": 2}
    dev = covariates(5, 8, sentence=[*cases, "tied"])
    right = shortcuts(train, dev, labels, np.array([*cases.values(), 0]), num_classes=3)["sentence"]
    assert right["accuracy"] == pytest.approx(4 / 5)
    even = covariates(4, 7, sentence=["a", "a", "b", "b"])
    dev = covariates(3, 8, sentence=["a", "b", "c"])
    lower = shortcuts(even, dev, np.array([2, 1, 1, 2]), np.array([1, 1, 2]), num_classes=3)["sentence"]
    assert lower["accuracy"] == pytest.approx(2 / 3) and lower["ua"] == pytest.approx(1 / 2)


@settings(max_examples=20)
@given(integers(2, 6), integers(0, 2**31))
def test_the_majority_is_that_of_a_dummy_and_all_numbers_are_shares(num_classes, seed):
    train, dev = covariates(30, seed), covariates(25, seed + 1)
    labels = by_chance(30, seed + 2, num_classes), by_chance(25, seed + 3, num_classes)
    found = shortcuts(train, dev, *labels, num_classes=num_classes)
    dummy = DummyClassifier(strategy="most_frequent").fit(labels[1][:, None], labels[1]).predict(labels[1][:, None])
    assert found["majority"]["accuracy"] == pytest.approx(accuracy_score(labels[1], dummy))
    with warnings.catch_warnings(action="ignore"):
        assert found["majority"]["ua"] == pytest.approx(balanced_accuracy_score(labels[1], dummy))
    for name in NAMES:
        assert 0.0 <= found[name]["accuracy"] <= 1.0 and 0.0 <= found[name]["ua"] <= 1.0


@settings(max_examples=15)
@given(order=permutations(range(60)), gain_db=integers(-40, 40))
def test_neither_the_order_of_utterances_nor_a_gain_has_a_say(order, gain_db):
    train, dev = covariates(60, 9), covariates(40, 10)
    labels, dev_labels = (train.level_db + train.duration_s > -22).astype(np.int64), by_chance(40, 11)
    part = _part(train, np.array(order))
    shuffled = Covariates(part.level_db + gain_db, 10.0 * part.duration_s, part.sentence, part.corpus)
    moved = Covariates(dev.level_db + gain_db, 10.0 * dev.duration_s, dev.sentence, dev.corpus)
    expected = shortcuts(train, dev, labels, dev_labels, num_classes=2)
    assert shortcuts(shuffled, moved, labels[order], dev_labels, num_classes=2) == expected


def test_utterances_without_label_level_or_sentence_are_left_out(split):
    train, dev = split
    level = train.level_db.copy()
    level[:7] = -np.inf
    level[7:10] = np.nan
    dev_level = dev.level_db.copy()
    dev_level[-5:] = -np.inf
    sentence = [None, float("nan"), *dev.sentence[2:]]  # a table's missing text comes as either
    labels = (train.level_db > -25.0).astype(np.int64)
    labels[380:] = -1
    dev_labels = (dev.level_db > -25.0).astype(np.int64)
    dev_labels[100:110] = -1
    silent = Covariates(level, train.duration_s, train.sentence, train.corpus)
    dev_silent = Covariates(dev_level, dev.duration_s, sentence, dev.corpus)
    found = shortcuts(silent, dev_silent, labels, dev_labels, num_classes=2)
    assert [(found[name]["n_train"], found[name]["n_dev"]) for name in NAMES] == [
        (370, 285),
        (380, 290),
        (380, 288),
        (380, 290),
    ]
    assert found["majority"]["n_dev"] == 290
    assert found["level"]["ua"] > 0.97
    kept, dev_kept = np.arange(10, 380), np.r_[0:100, 110:295]
    alone = shortcuts(_part(train, kept), _part(dev, dev_kept), labels[kept], dev_labels[dev_kept], num_classes=2)
    assert alone["level"] == found["level"]


def _part(whole: Covariates, rows: np.ndarray) -> Covariates:
    sentence, corpus = ([each[row] for row in rows] for each in (whole.sentence, whole.corpus))
    return Covariates(whole.level_db[rows], whole.duration_s[rows], sentence, corpus)


def test_what_cannot_be_told_says_why():
    count = 40
    train = covariates(count, 12, level_db=np.full(count, -20.0), sentence=[None] * count, corpus=["emodb"] * count)
    dev = covariates(count, 13)
    found = shortcuts(train, dev, by_chance(count, 14), by_chance(count, 15), num_classes=2)
    assert found["level"] == {"why": "the same level throughout the train split"}
    assert found["corpus"] == {"why": "the same corpus throughout the train split"}
    assert found["sentence"] == {"why": "no labelled utterance of the train split has a sentence"}
    assert "ua" in found["duration"]


def test_sentences_that_training_lacks_are_said():
    train, dev = covariates(40, 16), covariates(40, 17, sentence=["Das will sie am Mittwoch abgeben."] * 40)
    labels = by_chance(40, 18), by_chance(40, 19)
    found = shortcuts(train, dev, *labels, num_classes=2)
    assert found["sentence"] == {"why": "no sentence of the dev split occurs in the train split"}
    unknown = shortcuts(train, covariates(40, 17, sentence=[None] * 40), *labels, num_classes=2)
    assert unknown["sentence"] == {"why": "no labelled utterance of the dev split has a sentence"}


@pytest.mark.parametrize("count", [0, 30])
def test_without_a_labelled_dev_utterance_nothing_is_told(count):
    dev = covariates(count, 20)
    found = shortcuts(covariates(40, 21), dev, by_chance(40, 22), np.full(count, -1), num_classes=2)
    assert all("why" in each for each in found.values()) and set(found) == {*NAMES, "majority"}
    assert told("energy", CLASSES, found) == (
        "energy: what gives it away cannot be told (no utterance of the dev split has a label)"
    )
    assert worth_a_warning(found) is None


def test_one_class_in_dev_and_too_few_to_learn_from_are_said():
    found = shortcuts(covariates(40, 23), covariates(9, 24), by_chance(40, 25), np.ones(9, int), num_classes=2)
    assert found["level"] == {"why": "the dev utterances with a level are of one class"}
    assert found["majority"]["ua"] == 1.0 and worth_a_warning(found) is None
    few = shortcuts(covariates(9, 23), covariates(40, 24), by_chance(9, 25), by_chance(40, 26), num_classes=2)
    assert few["level"] == {"why": "9 labelled training utterances; at least 10"}


@pytest.mark.parametrize(
    ("labels", "dev_labels", "message"),
    [
        (np.zeros(39, int), np.zeros(30, int), "labels for"),
        (np.zeros(40, int), np.full(30, 2), "label 2 is none of the 2 classes"),
        (np.full(40, -2), np.zeros(30, int), "label -2"),
    ],
)
def test_labels_that_do_not_fit_are_errors(labels, dev_labels, message):
    with pytest.raises(ValueError, match=message):
        shortcuts(covariates(40, 0), covariates(30, 1), labels, dev_labels, num_classes=2)


def test_covariates_of_different_length_are_an_error():
    with pytest.raises(ValueError, match="not equally long"):
        covariates(40, 0, corpus=["emodb"]).columns()


def test_classes_are_counted_by_name():
    assert balance(np.array([1, -1, 0, 1, -1, 1]), CLASSES) == {"low": 1, "high": 3, "none": 2}
    assert balance(np.array([], dtype=np.int64), CLASSES) == {"low": 0, "high": 0, "none": 0}
    with pytest.raises(ValueError, match="label 2"):
        balance(np.array([0, 2]), CLASSES)


def found_with(**ua: float) -> dict:
    numbers = {name: {"accuracy": value, "ua": value, "n_train": 9, "n_dev": 9} for name, value in ua.items()}
    why = {name: {"why": "nobody knows"} for name in NAMES if name not in ua}
    return numbers | why | {"majority": {"class": 1, "accuracy": 0.51, "ua": 0.5, "n_dev": 9}}


def test_the_line_for_a_terminal():
    assert told("energy", CLASSES, found_with(level=0.61, duration=0.55, sentence=0.5, corpus=0.5)) == (
        "energy: level alone predicts 61%, duration 55%, sentence 50%, corpus 50% of the dev split "
        "(most frequent class: high, 51%)"
    )
    assert told("energy", CLASSES, found_with(duration=0.55, corpus=0.5)) == (
        "energy: duration alone predicts 55%, corpus 50% of the dev split (most frequent class: high, 51%); "
        "level not told (nobody knows); sentence not told (nobody knows)"
    )
    assert told("energy", CLASSES, found_with()).startswith("energy: most frequent class: high, 51%; level not told")


def test_a_warning_begins_halfway_from_chance_to_certainty():
    assert worth_a_warning(found_with(level=0.75, corpus=0.7)) is None
    assert (
        worth_a_warning(found_with(level=0.77, corpus=0.83))
        == "corpus alone predicts it with a UA of 83% (chance: 50%)"
    )
    assert worth_a_warning(found_with()) is None
    of_five = found_with(level=0.61) | {"majority": {"class": 1, "accuracy": 0.3, "ua": 0.2, "n_dev": 9}}
    assert worth_a_warning(of_five) == "level alone predicts it with a UA of 61% (chance: 20%)"

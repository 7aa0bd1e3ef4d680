"""The sign-flip test against every exchange by hand with scikit-learn, scipy's test, and its own promise."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from sertool.core.metrics import sign_flip
from sertool.core.metrics.sign_flip import sign_flip_test

CLASSES = 4


def outcomes(speakers, trainings=1, *, seed=0, utterances=6, right=(0.6, 0.4)):
    """Labels (S, N) and two systems' predictions (2, R, S, N)."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, (speakers, utterances))
    shape = (2, trainings, speakers, utterances)
    hit = generator.random(shape) < np.array(right)[:, None, None, None]
    return labels, np.where(hit, labels, generator.integers(0, CLASSES, shape))


def confusions(labels, predicted):
    """Confusions (S, R, C, C) of one system's predictions (R, S, N), by scikit-learn."""
    return np.array(
        [
            [metrics.confusion_matrix(true, guesses, labels=range(CLASSES)) for guesses in by_training]
            for true, by_training in zip(labels, predicted.swapaxes(0, 1), strict=True)
        ]
    )


def f1_difference(labels, ours, theirs):
    def f1(predicted):
        return metrics.f1_score(
            labels.ravel(), predicted.ravel(), labels=range(CLASSES), average="macro", zero_division=0
        )

    return np.mean([f1(mine) - f1(other) for mine, other in zip(ours, theirs, strict=True)])


def ua_difference(labels, ours, theirs):
    def recall(predicted):
        return metrics.recall_score(labels.ravel(), predicted.ravel(), average="macro", labels=np.unique(labels))

    return np.mean([recall(mine) - recall(other) for mine, other in zip(ours, theirs, strict=True)])


def by_hand(statistic, labels, ours, theirs):
    """Return the difference and p of all 2^S exchanges."""
    found, hits = statistic(labels, ours, theirs), 0
    for exchange in itertools.product([False, True], repeat=len(labels)):
        swap = np.array(exchange)[:, None]
        hits += abs(statistic(labels, np.where(swap, theirs, ours), np.where(swap, ours, theirs))) >= abs(found) - 1e-9
    return found, hits / 2 ** len(labels)


@pytest.mark.parametrize(("trainings", "seed"), [(1, 0), (2, 1)])
def test_p_is_the_share_of_all_exchanges(trainings, seed):
    labels, (ours, theirs) = outcomes(5, trainings, seed=seed)
    found = sign_flip_test(confusions(labels, ours), confusions(labels, theirs))
    assert (found["exact"], found["draws"]) == (True, 32)
    assert (found["difference"], found["p"]) == pytest.approx(by_hand(f1_difference, labels, ours, theirs))
    assert (found["difference_ua"], found["p_ua"]) == pytest.approx(by_hand(ua_difference, labels, ours, theirs))


def test_where_the_score_is_a_mean_over_speakers_p_is_that_of_scipy():
    """UA of equally many utterances of each class: the mean over speakers of their accuracy."""
    generator = np.random.default_rng(3)
    labels = np.tile(np.arange(CLASSES), (9, 3))
    predicted = [np.where(generator.random(labels.shape) < right, labels, (labels + 1) % 4) for right in (0.7, 0.5)]
    found = sign_flip_test(*(confusions(labels, guesses[None]) for guesses in predicted))
    shares = [(guesses == labels).mean(1) for guesses in predicted]
    expected = scipy.stats.permutation_test(
        shares, lambda x, y: round(np.mean(x - y), 12), permutation_type="samples", n_resamples=np.inf
    )
    assert found["p_ua"] == pytest.approx(expected.pvalue)


def test_a_drawn_p_comes_near_the_exact_one(monkeypatch):
    labels, (ours, theirs) = outcomes(12, seed=4, utterances=20, right=(0.65, 0.5))
    exact = sign_flip_test(confusions(labels, ours), confusions(labels, theirs))
    monkeypatch.setattr(sign_flip, "EXACT_CLUSTERS", 11)
    drawn = sign_flip_test(confusions(labels, ours), confusions(labels, theirs), draws=20_000)
    assert (exact["exact"], drawn["exact"], drawn["draws"]) == (True, False, 20_000)
    assert 0.02 < exact["p"] < 0.9
    # Four standard errors of a share over 20,000 draws.
    assert drawn["p"] == pytest.approx(exact["p"], abs=4 * np.sqrt(exact["p"] * (1 - exact["p"]) / 20_000))


def test_a_drawn_p_is_never_zero():
    labels, (ours, theirs) = outcomes(30, right=(1.0, 0.0))
    found = sign_flip_test(confusions(labels, ours), confusions(labels, theirs), draws=999)
    assert (found["p"], found["p_ua"]) == (0.001, 0.001)


@pytest.mark.parametrize("most_exact", [16, 3])
def test_blocks_do_not_change_p(monkeypatch, most_exact):
    monkeypatch.setattr(sign_flip, "EXACT_CLUSTERS", most_exact)
    labels, (ours, theirs) = outcomes(9, seed=5)
    pair = confusions(labels, ours), confusions(labels, theirs)
    whole = sign_flip_test(*pair, draws=99)
    monkeypatch.setattr(sign_flip, "_BLOCK", 1024)
    assert sign_flip_test(*pair, draws=99) == whole


def test_equal_systems_and_speakers_that_do_not_differ():
    labels, (ours, theirs) = outcomes(7)
    same = sign_flip_test(confusions(labels, ours), confusions(labels, ours))
    assert (same["difference"], same["p"], same["exact"], same["draws"]) == (0.0, 1.0, True, 1)
    # Speakers of whom both say the same are exchanged in vain: p as without their exchange, their counts pooled all
    # the same.
    theirs[:, 2:5] = ours[:, 2:5]
    found = sign_flip_test(confusions(labels, ours), confusions(labels, theirs))
    assert found["draws"] == 16
    assert found["p"] == pytest.approx(by_hand(f1_difference, labels, ours, theirs)[1])


@settings(max_examples=25, deadline=None)
@given(
    speakers=st.integers(1, 10),
    trainings=st.integers(1, 2),
    seed=st.integers(0, 10**6),
    exact=st.booleans(),
    data=st.data(),
)
def test_neither_the_order_of_speakers_nor_who_is_called_ours_matters(speakers, trainings, seed, exact, data):
    labels, (ours, theirs) = outcomes(speakers, trainings, seed=seed, utterances=4)
    order = data.draw(st.permutations(range(speakers)))
    mine, other = confusions(labels, ours), confusions(labels, theirs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sign_flip, "EXACT_CLUSTERS", 16 if exact else 0)
        found = sign_flip_test(mine, other, draws=99)
        assert 0 < found["p"] <= 1 and 0 < found["p_ua"] <= 1
        assert sign_flip_test(mine[order], other[order], draws=99) == found
        exchanged = sign_flip_test(other, mine, draws=99)
    signs = {"difference": -1, "difference_ua": -1}
    assert exchanged == {key: value * signs[key] if key in signs else value for key, value in found.items()}


def test_systems_that_are_exchangeable_are_called_different_one_time_in_twenty():
    """Nine correlated speakers, of whom some are easier for one system: p < .05 in at most 5 % and about that."""
    generator = np.random.default_rng(6)
    hits = 0
    for _ in range(400):
        labels = generator.integers(0, CLASSES, (9, 12))
        effects = np.clip(generator.normal(0, 0.15, (9, 1)), -0.3, 0.3)
        luck = generator.random(labels.shape)
        guesses = [np.where(luck < 0.5 + sign * effects, labels, (labels + 1) % 4) for sign in (1, -1)]
        hits += sign_flip_test(*(counted(labels, each) for each in guesses))["p"] < 0.05
    assert scipy.stats.binomtest(hits, 400, 0.05).pvalue > 0.001


def counted(labels, predicted):
    found = np.zeros((len(labels), 1, CLASSES, CLASSES), dtype=int)
    np.add.at(found, (np.arange(len(labels))[:, None], 0, labels, predicted), 1)
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_a_drawn_p_depends_on_the_seed_alone(seed):
    labels, (ours, theirs) = outcomes(20, seed=7, right=(0.55, 0.5))
    pair = confusions(labels, ours), confusions(labels, theirs)
    assert sign_flip_test(*pair, seed=seed, draws=99) == sign_flip_test(*pair, seed=seed, draws=99)
    assert sign_flip_test(*pair, seed=seed)["p"] != sign_flip_test(*pair, seed=seed + 1)["p"]


def test_other_labels_are_an_error():
    labels, (ours, theirs) = outcomes(8)
    mine, other = confusions(labels, ours), confusions(labels, theirs)
    with pytest.raises(ValueError, match="shapes"):
        sign_flip_test(mine, other[:7])
    with pytest.raises(ValueError, match="same labels"):
        sign_flip_test(mine, other[::-1])

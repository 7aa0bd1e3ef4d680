"""Folds by speaker, and heads that never hear whom they judge."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import lists, permutations, sampled_from
from sklearn.model_selection import GroupKFold

from sertool.core.curriculum import out_of_fold
from sertool.core.curriculum.out_of_fold import speaker_folds, train_folded, train_in_sample
from sertool.core.curriculum.target import Target
from sertool.core.errors import InputError

SPEAKERS = ["03", "08", "09", "10", "11", "12", None]


def some_speakers(size: int):
    return lists(sampled_from(SPEAKERS), min_size=size, max_size=size).filter(lambda found: len({*found} - {None}) > 1)


@settings(max_examples=40)
@given(some_speakers(25), permutations(range(25)))
def test_a_speaker_is_in_one_fold_whatever_the_order_of_rows(speakers, order):
    folds = speaker_folds(speakers)
    for speaker in set(speakers):
        assert len({fold for fold, other in zip(folds, speakers, strict=True) if other == speaker}) == 1
    assert set(folds) == set(range(min(5, len(set(speakers)))))
    assert (speaker_folds([speakers[row] for row in order]) == folds[order]).all()


@settings(max_examples=40)
@given(some_speakers(25))
def test_folds_are_as_large_as_those_of_scikit_learn(speakers):
    groups = np.array([speaker or "nobody" for speaker in speakers])
    ours = sorted(np.bincount(speaker_folds(speakers)))
    splits = GroupKFold(len(ours)).split(groups, groups=groups)
    assert ours == sorted(len(held) for _, held in splits)


@pytest.mark.parametrize(
    ("speakers", "told"),
    [(["03", "03", None], "only one speaker is known"), ([None, None], "no speaker is known")],
)
def test_one_speaker_cannot_be_judged_by_others(speakers, told):
    with pytest.raises(InputError, match=f"{told}; expected two or more.*--predictions in-sample"):
        speaker_folds(speakers)


def test_nobody_is_judged_by_a_head_that_heard_them(monkeypatch):
    """A vector holds the number of its speaker: each head tells of whom it learned."""
    heard = []

    class Head:
        def __init__(self, vectors):
            self.speakers = set(vectors[:, 0].tolist())

        def outputs(self, vectors):
            assert not self.speakers & set(vectors[:, 0].tolist())
            heard.append(self.speakers)
            return vectors[:, :1] * 10

    def learn(vectors, target, *, seed):
        assert target.codes.tolist() == vectors[:, 1].tolist()
        return Head(vectors)

    monkeypatch.setattr(out_of_fold, "train_on", learn)
    speakers = [str(number % 7) for number in range(40)]
    vectors = np.array([[number % 7, number % 3] for number in range(40)], dtype=np.float32)
    target = Target("emotion", "emotion", ("a", "b", "c"), np.arange(40) % 3)
    done: list[int] = []
    heads = train_folded(vectors, target, speaker_folds(speakers), seed=0, done=lambda: done.append(1))
    assert len(done) == 5
    judged = heads.judge(vectors, lambda head, own: head.outputs(own))
    assert judged.tolist() == (vectors[:, :1] * 10).tolist() and len(heard) == 5


def test_a_head_that_judges_what_it_learned_is_the_better_for_it():
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((60, 40)).astype(np.float32)  # of which nothing can be learned, but by heart
    target = Target("emotion", "emotion", ("a", "b"), generator.integers(0, 2, 60))
    folds = speaker_folds([str(number % 2) for number in range(60)])
    right = []
    for heads in (train_in_sample(vectors, target, seed=0), train_folded(vectors, target, folds, seed=0)):
        outputs = heads.judge(vectors, lambda head, own: head.outputs(own))
        right.append((target.predicted_codes(outputs) == target.codes).mean())
    assert right[0] > 0.85 and right[1] < 0.7

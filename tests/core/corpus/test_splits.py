"""Splits: no speaker in two of them, both sexes in every fold, published protocols to the letter."""

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.splits import (
    Protocol,
    SplitChoice,
    assign,
    by_name,
    check_disjoint,
    choose,
    crossing,
    deal,
    kept_in_one_split,
    split_column,
)
from sertool.core.errors import InputError

people = st.dictionaries(
    st.text("abcdef0123", min_size=1, max_size=4), st.sampled_from(["female", "male", None]), min_size=3, max_size=40
)


@given(gender=people, data=st.data())
def test_a_deal_is_even_in_all_and_within_each_sex(gender, data):
    folds = data.draw(st.integers(3, len(gender)))
    fold_of = deal(gender, gender, folds=folds, seed=data.draw(st.integers(0, 99)))
    assert fold_of.keys() == gender.keys()
    for sex in (*set(gender.values()), "all"):
        sizes = Counter({fold: 0 for fold in range(folds)})
        sizes.update(fold for name, fold in fold_of.items() if sex in ("all", gender[name]))
        assert max(sizes.values()) - min(sizes.values()) <= 1


@given(gender=people, seed=st.integers(0, 99), data=st.data())
def test_each_speaker_is_tested_once_chosen_on_once_and_trained_on_otherwise(gender, seed, data):
    folds = data.draw(st.integers(3, len(gender)))
    rounds = [assign(gender, gender, folds=folds, fold=fold, seed=seed) for fold in range(folds)]
    for name in gender:
        assert Counter(split_of[name] for split_of in rounds) == {"test": 1, "dev": 1, **({"train": folds - 2})}
    for fold in range(folds):
        tested_next = {name for name, split in rounds[(fold + 1) % folds].items() if split == "test"}
        assert {name for name, split in rounds[fold].items() if split == "dev"} == tested_next


@given(gender=people, order=st.randoms())
def test_a_deal_depends_on_the_seed_alone_and_not_on_the_order(gender, order):
    names = list(gender) * 2
    order.shuffle(names)
    assert deal(names, gender, folds=3, seed=7) == deal(gender, gender, folds=3, seed=7)


def test_another_seed_deals_otherwise():
    names = [f"{i:02}" for i in range(30)]
    assert deal(names, {}, folds=5, seed=0) != deal(names, {}, folds=5, seed=1)


@pytest.mark.parametrize(
    ("folds", "fold", "found"),
    [
        (2, 0, "--folds 2: expected at least 3"),
        (5, 0, "4 known speakers"),
        (4, 4, "expected 0 to 3"),
        (4, -1, "0 to 3"),
    ],
)
def test_folds_that_cannot_be_are_refused(folds, fold, found):
    with pytest.raises(InputError, match=found):
        assign("abcd", {}, folds=folds, fold=fold)


def test_speakers_by_name():
    assert by_name("abcd", test=["a"], dev=["c"]) == {"a": "test", "b": "train", "c": "dev", "d": "train"}


@pytest.mark.parametrize(
    ("test", "dev", "found"),
    [
        (["x"], [], "no utterance is by speaker 'x'; speakers found: a, b, c"),
        (["a"], ["a"], "for test and for dev"),
        (["a", "b"], ["c"], "at least one to train on"),
    ],
)
def test_names_that_cannot_be_are_refused(test, dev, found):
    with pytest.raises(InputError, match=found):
        by_name("abc", test=test, dev=dev)


PUBLISHED = Protocol(folds=4, fold_of=lambda name: int(name) % 4, test=("1",), dev=("2",))
SPEAKERS = [str(number) for number in range(8)]


def speakers_tested(choice, protocol=PUBLISHED):
    return {name for name, split in choose(SPEAKERS, {}, choice, protocol).items() if split == "test"}


def test_the_published_split_is_the_default_and_published_folds_are_used_at_their_number():
    assert speakers_tested(SplitChoice()) == {"1"}
    assert speakers_tested(SplitChoice(fold=3)) == speakers_tested(SplitChoice(folds=4, fold=3)) == {"3", "7"}
    assert speakers_tested(SplitChoice(seed=5, folds=4)) == {"0", "4"}
    assert speakers_tested(SplitChoice(), Protocol(folds=4, fold_of=PUBLISHED.fold_of)) == {"0", "4"}


def test_any_other_number_of_folds_is_dealt():
    assert len(speakers_tested(SplitChoice(folds=8))) == 1 and len(speakers_tested(SplitChoice(folds=3))) == 3


def test_speakers_named_come_before_the_protocol():
    assert speakers_tested(SplitChoice(test=("5", "6"))) == {"5", "6"}


def test_where_nobody_says_how_there_is_no_split():
    assert choose(SPEAKERS, {}, SplitChoice(), Protocol()) is None
    with pytest.raises(InputError, match="add --folds"):
        choose(SPEAKERS, {}, SplitChoice(fold=1), Protocol())


def test_a_corpus_in_part_keeps_the_published_speakers_that_are_there():
    assert choose(["1", "5"], {}, SplitChoice(), PUBLISHED) == {"1": "test", "5": "train"}
    with pytest.raises(InputError, match="all of the published test or dev split"):
        choose(["1", "2"], {}, SplitChoice(), PUBLISHED)


def test_folds_and_names_exclude_each_other():
    with pytest.raises(InputError, match="one way to split"):
        SplitChoice(folds=3, test=("a",))


def test_an_unknown_speaker_is_trained_on_only():
    column = split_column(pd.Series(["a", None, "b"]), {"a": "test", "b": "dev"})
    assert column.tolist() == ["test", "train", "dev"]


def manifest(tmp_path, rows, columns=("speaker", "split")):
    table = pd.DataFrame(rows, columns=list(columns))
    return Manifest.from_table(table.assign(file_name=[f"{i}.wav" for i in range(len(rows))]), tmp_path)


def test_a_speaker_in_two_splits_is_named(tmp_path):
    leaky = manifest(
        tmp_path, [("a", "train"), ("b", "train"), ("b", "test"), ("b", "test"), (None, "train"), (None, "test")]
    )
    assert crossing(leaky) == {"b": ("test", "train")}
    with pytest.raises(InputError, match="speaker 'b' is in test and train"):
        check_disjoint(leaky)


def test_unknown_speakers_and_utterances_in_no_split_are_no_leak(tmp_path):
    check_disjoint(manifest(tmp_path, [("a", "train"), ("a", None), (None, "train"), (None, "test")]))
    check_disjoint(manifest(tmp_path, [("a",), ("a",)], columns=("speaker",)))


def test_speakers_of_two_corpora_may_be_numbered_alike(tmp_path):
    columns = ("corpus", "speaker", "split")
    check_disjoint(manifest(tmp_path, [("x", "03", "train"), ("y", "03", "test")], columns))
    leaky = manifest(tmp_path, [("x", "03", "train"), ("y", "03", "test"), ("y", "03", "dev")], columns)
    assert crossing(leaky) == {"03 of y": ("dev", "test")}


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["train", "dev", "test"])), min_size=1, max_size=12))
def test_crossing_is_what_it_says(tmp_path_factory, rows):
    expected = {name for name, _ in rows if len({split for other, split in rows if other == name}) > 1}
    assert set(crossing(manifest(tmp_path_factory.getbasetemp(), rows))) == expected


@given(
    st.lists(
        st.tuples(st.sampled_from([*"abc", None]), st.sampled_from(["train", "dev", "test", "test2", None])), min_size=1
    )
)
def test_what_is_kept_in_one_split_crosses_none_and_costs_no_test(tmp_path_factory, rows):
    table = pd.DataFrame(rows, columns=["speaker", "split"])
    kept = kept_in_one_split(table["speaker"], table["split"])
    left = [row for row, keep in zip(rows, kept, strict=True) if keep]
    assert not left or not crossing(manifest(tmp_path_factory.getbasetemp(), left))
    for row, keep in zip(rows, kept, strict=True):
        speaker, split = row
        if speaker is None or split in (None, "test"):
            assert keep
        elif not keep:
            assert any(name == speaker and other not in (None, split) for name, other in left)

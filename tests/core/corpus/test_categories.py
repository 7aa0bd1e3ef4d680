"""Categories: corpora's words mapped to one vocabulary, and nothing unknown ever taken for class 0."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.corpus.categories import (
    CATEGORIES,
    SYNONYMS,
    canonical,
    map_categories,
    map_votes,
    parse_map,
    select_categories,
    unused_words,
)
from sertool.core.corpus.manifest import Manifest
from sertool.core.errors import InputError


def test_the_vocabulary_holds_the_words_every_document_uses():
    assert {
        "anger",
        "disgust",
        "fear",
        "happiness",
        "sadness",
        "surprise",
        "neutral",
        "calm",
        "boredom",
        "contempt",
    } <= set(CATEGORIES)


@pytest.mark.parametrize(
    ("word", "category"),
    [
        *[
            ("angry", "anger"),
            ("Happy", "happiness"),
            (" sad ", "sadness"),
            ("fearful", "fear"),
            ("disgusted", "disgust"),
        ],
        *[("surprised", "surprise"), ("bored", "boredom"), ("excited", "excitement"), ("frustrated", "frustration")],
    ],
)
def test_words_of_corpora_are_understood(word, category):
    assert canonical(word) == category


def test_no_word_means_two_categories():
    words = [word for category, others in SYNONYMS.items() for word in (category, *others)]
    assert len(words) == len(set(words))


def test_null_stays_null():
    mapped = map_categories(pd.Series(["angry", None, "NEUTRAL"]))
    assert mapped[0] == "anger" and pd.isna(mapped[1]) and mapped[2] == "neutral"


@pytest.mark.parametrize(
    ("entries", "mapped"),
    [
        ([], ["excitement", "happiness"]),
        (["excited=happiness"], ["happiness", "happiness"]),
        (["excitement=happy"], ["happiness", "happiness"]),
        (["happy=surprise"], ["excitement", "surprise"]),
        (["excited=thrill", "thrill=thrill"], ["thrill", "happiness"]),
    ],
)
def test_a_map_changes_the_word_and_the_category_it_means(entries, mapped):
    assert map_categories(pd.Series(["excited", "happy"]), parse_map(entries)).tolist() == mapped


def test_a_word_mapped_to_nothing_is_unlabelled():
    assert map_categories(pd.Series(["xxx", "sad"]), parse_map(["xxx="])).isna().tolist() == [True, False]


def test_an_unknown_word_is_an_error_that_suggests_the_nearest_and_the_map():
    with pytest.raises(InputError, match=r"'angr' \(nearest: anger\).*--map angr=angr"):
        map_categories(pd.Series(["angr", "sad"]))
    assert map_categories(pd.Series(["angr"]), parse_map(["angr=angr"])).tolist() == ["angr"]


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        (["excited"], "expected WORD=CATEGORY"),
        (["=anger"], "expected WORD=CATEGORY"),
        (["x=anger", "x=fear"], "mapped to 'anger' already"),
        (["x=hapiness"], "'hapiness' is no category .nearest: happiness."),
    ],
)
def test_a_faulty_map_is_refused(entries, found):
    with pytest.raises(InputError, match=found):
        parse_map(entries)


def test_words_of_a_map_that_nobody_uses_are_told():
    assert unused_words(pd.Series(["happy", None]), parse_map(["calm=neutral", "joy=surprise"])) == ["calm"]


@given(st.text(max_size=12).filter(lambda word: word.strip() and canonical(word) is None))
def test_no_stray_word_becomes_a_category(word):
    with pytest.raises(InputError):
        map_categories(pd.Series([word], dtype="string"))


def labelled(tmp_path, *labels):
    table = pd.DataFrame({"file_name": [f"{i}.wav" for i in range(len(labels))], "emotion": labels})
    return Manifest.from_table(table, tmp_path)


def test_what_a_model_does_not_know_is_excluded_and_counted(tmp_path):
    kept, excluded = select_categories(
        labelled(tmp_path, "anger", "calm", None, "fear", "calm"), ["anger", "fear"], on_unknown="exclude"
    )
    assert kept.table["file_name"].tolist() == ["0.wav", "3.wav"]
    assert excluded == {"calm": 2, "unlabelled": 1}


def test_or_is_an_error(tmp_path):
    with pytest.raises(
        InputError, match=r"1 utterances are labelled 'angry' .nearest: anger.; the model knows anger, fear"
    ):
        select_categories(labelled(tmp_path, "anger", "angry"), ["anger", "fear"], on_unknown="error")
    kept, excluded = select_categories(labelled(tmp_path, "anger", None), ["anger"], on_unknown="error")
    assert len(kept) == 1 and excluded == {"unlabelled": 1}


def test_nothing_left_is_an_error(tmp_path):
    with pytest.raises(InputError, match="labels found: calm; expected some of anger"):
        select_categories(labelled(tmp_path, "calm"), ["anger"], on_unknown="exclude")


@pytest.fixture
def votes():
    columns = {"votes_excited": [1.0, None], "code": ["x", "y"], "votes_happy": [2.0, None], "votes_other": [1.0, None]}
    return pd.DataFrame(columns)


def test_votes_are_called_for_canonical_categories_and_added_up_where_mapped(votes):
    table = map_votes(votes)
    assert table.columns.tolist() == ["votes_excitement", "code", "votes_happiness", "votes_other"]
    table = map_votes(votes, parse_map(["excited=happiness"]))
    assert table.columns.tolist() == ["votes_happiness", "code", "votes_other"]
    assert table["votes_happiness"][0] == 3 and pd.isna(table["votes_happiness"][1])


def test_votes_for_a_word_that_is_no_category_any_more_are_dropped(votes):
    table = map_votes(votes, parse_map(["excited=", "other="]))
    assert table.columns.tolist() == ["code", "votes_happiness"]


def test_votes_that_need_no_change_are_left_alone():
    table = pd.DataFrame({"votes_anger": [1], "votes_other": [2], "emotion": ["anger"]})
    assert map_votes(table) is table

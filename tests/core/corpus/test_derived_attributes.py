"""Derived attributes: the published numbers, never beside rated ones, and never without saying what they are."""

from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core.corpus import emodb, nemo, ravdess
from sertool.core.corpus.build import build
from sertool.core.corpus.categories import CATEGORIES, canonical
from sertool.core.corpus.derived_attributes import (
    DERIVED,
    MOVED,
    NORMS,
    are_derived,
    attribute_sources,
    caveat,
    derivation,
    derive_attributes,
    derive_with_intensity,
    joint_sources,
    label,
    sources_in_words,
)
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.splits import SplitChoice
from sertool.core.errors import InputError

PUBLISHED = """
angry -.51 .59 .25
happy .81 .51 .46
sad -.63 -.27 -.33
fearful -.64 .60 -.43
disgusted -.60 .35 .11
surprised .40 .67 -.13
bored -.65 -.62 -.33
relaxed .68 -.46 .06
"""
"""Pleasure, arousal, dominance of emotion words (Russell & Mehrabian 1977)."""


def manifest(**columns):
    count = len(next(iter(columns.values())))
    return Manifest.from_table(pd.DataFrame({"file_name": [f"{i}.wav" for i in range(count)], **columns}), "/speech")


@pytest.mark.parametrize("line", PUBLISHED.strip().splitlines())
def test_each_word_has_its_published_numbers_on_the_scale_of_attributes(line):
    word, *numbers = line.split()
    pleasure, arousal, dominance = (4 + 3 * Decimal(number) for number in numbers)
    category = "calm" if word == "relaxed" else canonical(word)
    row = derive_attributes(manifest(emotion=[category])).manifest.table.iloc[0]
    # As written: 2.47 and not 2.4699999999999998, which is what a manifest would hold for ever after.
    assert [str(row[name]) for name in ("arousal", "dominance", "valence")] == [
        str(float(number)) for number in (arousal, dominance, pleasure)
    ]


def test_neutral_is_the_middle_of_the_scale():
    row = derive_attributes(manifest(emotion=["neutral"])).manifest.table.iloc[0]
    assert (row["arousal"], row["dominance"], row["valence"]) == (4.0, 4.0, 4.0)


@settings(max_examples=40)
@given(words=st.lists(st.sampled_from([*CATEGORIES, "boasting", None]), min_size=1))
def test_all_utterances_of_a_category_get_the_same_and_those_without_a_norm_nothing(words):
    if not set(words) & set(NORMS):
        with pytest.raises(InputError, match="no category has a norm"):
            derive_attributes(manifest(emotion=pd.Series(words, dtype="string")))
        return
    derived = derive_attributes(manifest(emotion=words))
    table = derived.manifest.table
    for column in ("arousal", "dominance", "valence", "attributes_source"):
        assert table[column].notna().tolist() == [word in NORMS for word in words]
        assert (table.groupby("emotion")[column].nunique(dropna=False) == 1).all()
    strangers = [word or "unlabelled" for word in words if word not in NORMS]
    assert derived.without_norm == {word: strangers.count(word) for word in set(strangers)}
    assert table["emotion"].astype(object).where(table["emotion"].notna(), None).tolist() == words


def test_categories_without_a_norm_are_named_and_counted():
    derived = derive_attributes(manifest(emotion=["contempt", "anger", "frustration", "contempt", None]))
    assert derived.notes == [
        "1 utterances have attributes derived from the category (Russell & Mehrabian 1977), all of a category the same",
        "no norm for these categories, attributes left empty: contempt 2, frustration 1, unlabelled 1",
    ]


@pytest.mark.parametrize("name", ["arousal", "dominance", "valence"])
def test_rated_attributes_are_never_mixed_with_derived_ones(name):
    with pytest.raises(InputError, match=rf"^1 utterances have attributes of .* \({name}\); expected none, .*: leave"):
        derive_attributes(manifest(emotion=["anger", "sadness"], **{name: [None, 3.0]}))


def test_columns_of_attributes_without_a_value_are_no_ratings():
    empty = pd.Series([None, None], dtype="string")
    table = derive_attributes(manifest(emotion=["anger", "sadness"], arousal=empty, valence=empty)).manifest.table
    assert table["arousal"].tolist() == [5.77, 3.19] and table["valence"].notna().all()
    assert table.columns.tolist().count("arousal") == 1


def test_derived_attributes_are_derived_anew():
    speech = manifest(emotion=["anger", "calm", "calm"], intensity=["strong", "normal", "normal"])
    moved = derive_with_intensity(speech).manifest
    again = derive_with_intensity(moved).manifest
    pd.testing.assert_frame_equal(moved.table, again.table)
    back = derive_attributes(again).manifest
    pd.testing.assert_frame_equal(back.table, derive_attributes(speech).manifest.table)


def test_without_categories_there_is_nothing_to_derive_from():
    with pytest.raises(InputError, match="no column 'emotion'"):
        derive_attributes(manifest(speaker=["1"]))
    with pytest.raises(InputError, match=r"found: excitement 1; expected some of anger, .*: map the categories"):
        derive_attributes(manifest(emotion=["excitement"]))


def test_intensity_moves_arousal_alone_and_neutral_stays():
    words = ["anger", "anger", "neutral", "calm", "anger", "contempt"]
    speech = manifest(emotion=words, intensity=["strong", "Normal ", "normal", "strong", None, "strong"])
    derived = derive_with_intensity(speech)
    table, plain = derived.manifest.table, derive_attributes(speech).manifest.table
    # 4 + 3 (.59 ± .15), 4 + 3 · 0, 4 + 3 (-.46 + .15), 4 + 3 · .59
    assert table["arousal"].tolist()[:5] == [6.22, 5.32, 4.0, 3.07, 5.77]
    assert table["attributes_source"].tolist()[:5] == [MOVED, MOVED, DERIVED, MOVED, DERIVED]
    assert table[["arousal", "attributes_source"]].iloc[5].isna().all()
    pd.testing.assert_frame_equal(table[["dominance", "valence"]], plain[["dominance", "valence"]])
    assert any("up or down by 0.15 of the norm's scale: 3" in note for note in derived.notes)
    assert any("intensity not known, arousal left at the norm: 1" in note for note in derived.notes)


def test_moved_arousal_is_held_within_the_scale(monkeypatch):
    monkeypatch.setitem(NORMS, "anger", (-0.51, 0.95, 0.25))
    monkeypatch.setitem(NORMS, "boredom", (-0.65, -0.95, -0.33))
    speech = manifest(emotion=["anger", "boredom"], intensity=["strong", "normal"])
    assert derive_with_intensity(speech).manifest.table["arousal"].tolist() == [7.0, 1.0]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, "tells no intensity .*; expected a column 'intensity' .*: leave --arousal-by-intensity out"),
        ({"intensity": [None, None]}, "tells no intensity"),
        ({"intensity": ["strong", "loud"]}, r"^1.wav: its intensity is 'loud'; expected normal or strong: correct"),
    ],
)
def test_an_intensity_that_is_not_there_moves_nothing(columns, words):
    with pytest.raises(InputError, match=words):
        derive_with_intensity(manifest(emotion=["anger", "anger"], **columns))


def test_intensity_without_derived_attributes_is_a_mistake():
    assert derivation(by_category=False, by_intensity=False) is None
    assert derivation(by_category=True, by_intensity=False) is derive_attributes
    assert derivation(by_category=True, by_intensity=True) is derive_with_intensity
    with pytest.raises(InputError, match=r"says nothing without --derive-attributes; .*: add"):
        derivation(by_category=False, by_intensity=True)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_what_they_are_survives_a_file(tmp_path, suffix):
    speech = derive_attributes(manifest(emotion=["contempt", "anger"])).manifest
    speech.write(tmp_path / f"m{suffix}")
    read = Manifest.read(tmp_path / f"m{suffix}")
    assert are_derived(read) and read.table["attributes_source"][1] == DERIVED
    assert attribute_sources(read.table) == {DERIVED: 1}
    assert not are_derived(read.where(read.table["emotion"] == "contempt"))


def test_sources_are_counted_over_the_rows_that_have_the_attributes_asked_for():
    table = pd.DataFrame(
        {
            "arousal": [1.0, None, 3.0, 4.0, None],
            "valence": [None, None, 3.0, 4.0, 5.0],
            "attributes_source": [None, DERIVED, MOVED, DERIVED, None],
        }
    )
    assert attribute_sources(table) == {"rated": 2, DERIVED: 1, MOVED: 1}
    assert list(attribute_sources(table)) == ["rated", DERIVED, MOVED]
    assert attribute_sources(table, ["arousal"]) == {"rated": 1, DERIVED: 1, MOVED: 1}
    assert attribute_sources(table, ["dominance"]) == {} == attribute_sources(table, [])
    assert attribute_sources(table.drop(columns="attributes_source")) == {"rated": 4}


def test_sources_of_several_manifests_are_added_up():
    both = [manifest(arousal=[2.0, 3.0], attributes_source=[DERIVED, None]), manifest(arousal=[2.0, None])]
    assert list(joint_sources(both).items()) == [("rated", 2), (DERIVED, 1)]
    assert joint_sources(both, ["valence"]) == {}


@pytest.mark.parametrize(
    ("sources", "words", "beside"),
    [
        ({}, None, ""),
        ({"rated": 3}, "rated", ""),
        ({DERIVED: 3}, DERIVED, "derived"),
        ({DERIVED: 3, MOVED: 1}, f"{DERIVED}: 3; {MOVED}: 1", "derived"),
        ({"rated": 2, DERIVED: 3}, f"rated: 2; {DERIVED}: 3", "partly derived"),
        ({"Derived from elsewhere": 1}, "Derived from elsewhere", "derived"),
        ({"x" * 300: 1}, "x" * 200, ""),
        ({f"{i}": 1 for i in range(7)}, "0: 1; 1: 1; 2: 1; 3: 1; 4: 1; and 2 more", ""),
    ],
)
def test_sources_in_a_few_words(sources, words, beside):
    assert (sources_in_words(sources), label(sources)) == (words, beside)


def test_scores_on_them_come_with_a_caveat():
    assert caveat({}) is None and caveat({"rated": 3}) is None
    end = ", so that a CCC against them is really a score of categories."
    same = "the same for all utterances of a category"
    assert caveat({DERIVED: 3}) == f"The attributes are {DERIVED}: {same}{end}"
    assert caveat({MOVED: 3}) == f"The attributes are {MOVED}: {same} and intensity{end}"
    both = f"{DERIVED}: 3; {MOVED}: 1"
    assert caveat({DERIVED: 3, MOVED: 1}) == f"The attributes are derived ({both}): {same} and intensity{end}"
    partly = f"rated: 2; {DERIVED}: 3"
    assert caveat({"rated": 2, DERIVED: 3}) == f"Some attributes are derived ({partly}): those are {same}{end}"


def test_an_empty_source_is_none_and_other_columns_become_text():
    speech = manifest(arousal=[2.0, 3.0], attributes_source=["", DERIVED])
    assert attribute_sources(speech.table) == {"rated": 1, DERIVED: 1}
    assert manifest(attributes_source=[1977]).table["attributes_source"].tolist() == ["1977"]


@pytest.mark.parametrize("row", [0, 2])
def test_one_derived_row_is_enough(row):
    sources = [None, None, None]
    assert not are_derived(manifest(emotion=["anger"] * 3))
    assert not are_derived(manifest(attributes_source=["annotators", None, None]))
    sources[row] = DERIVED
    assert are_derived(manifest(attributes_source=sources))


@pytest.mark.parametrize(
    ("corpus", "counts"), [(ravdess, {4.0: 96, 5.53: 192}), (emodb, {4.0: 79, 2.14: 81}), (nemo, {5.77: None})]
)
def test_real_corpora_have_a_norm_for_every_category(shared_data, tmp_path, corpus, counts):
    name = corpus.__name__.rpartition(".")[2]
    rows = corpus.read(shared_data / name)
    built = build(rows, tmp_path / "m.csv", protocol=corpus.PROTOCOL, choice=SplitChoice())
    derived = derive_attributes(built.manifest)
    table = derived.manifest.table
    assert derived.without_norm == {} and table["arousal"].notna().all()
    assert table.groupby("arousal")["emotion"].nunique().max() == 1
    for arousal, count in counts.items():
        found = int((table["arousal"] == arousal).sum())
        assert found == count if count else found > 0

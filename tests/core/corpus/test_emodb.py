"""EmoDB: what its names and its listeners say, and its splits."""

import pandas as pd
import pytest

from sertool.core.corpus import emodb
from sertool.core.corpus.splits import SplitChoice, choose
from sertool.core.errors import InputError

RATINGS = "Nr.\tSatz\terkannt\tnatürlich\n1  \t03a01Fa.wav\t90,00     \t75,50     \n2\t16b10Wb.wav\t100,00\t5,00\n"


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "wav").mkdir()
    for name in ("03a01Fa.wav", "16b10Wb.flac", "08a02N.wav", "readme.wav"):
        (tmp_path / "wav" / name).touch()
    return tmp_path


def test_a_name_says_all(corpus):
    rows = emodb.read(corpus).set_index("speaker")
    assert rows.loc[["03", "08", "16"], "emotion"].tolist() == ["happiness", "neutral", "anger"]
    assert rows.loc[["03", "08", "16"], "gender"].tolist() == ["male", "female", "female"]
    assert rows.loc["16", "text_code"] == "b10" and rows.loc["03", "text"].startswith("Der Lappen")
    assert rows["skipped"].notna().sum() == 1 and "recognition_percent" not in rows


@pytest.mark.parametrize("start", ["", "wav"])
def test_ratings_beside_the_clips_or_above_them_are_percent(corpus, start):
    (corpus / "erkennung.txt").write_text(RATINGS, encoding="latin-1")
    rows = emodb.read(corpus / start).set_index("speaker")
    assert rows.loc["03", ["recognition_percent", "naturalness_percent"]].tolist() == [90.0, 75.5]
    assert rows.loc["16", "recognition_percent"] == 100.0 and pd.isna(rows.loc["08", "recognition_percent"])


def test_ratings_that_are_none_are_refused(corpus):
    (corpus / "erkennung.txt").write_text("Nr.\tSatz\n1\t03a01Fa.wav\tgut\n")
    with pytest.raises(InputError, match=r"found '1\t03a01Fa\.wav\tgut'"):
        emodb.read(corpus)


def test_the_default_split_and_one_speaker_left_out():
    split_of = choose(emodb.GENDERS, {}, SplitChoice(), emodb.PROTOCOL)
    assert {name: split for name, split in split_of.items() if split != "train"} == {
        **{"03": "test", "08": "test"},
        **{"09": "dev", "10": "dev"},
    }
    split_of = choose(emodb.GENDERS, {}, SplitChoice(folds=10, fold=9), emodb.PROTOCOL)
    assert {name for name, split in split_of.items() if split == "test"} == {"16"}
    assert {name for name, split in split_of.items() if split == "dev"} == {"03"}


def test_the_real_corpus(shared_data):
    rows = emodb.read(shared_data / "emodb")
    assert len(rows) == 535 and rows["skipped"].isna().all() and rows["speaker"].nunique() == 10
    assert rows["emotion"].value_counts().to_dict() == {
        **{"anger": 127, "boredom": 81, "disgust": 46, "fear": 69},
        **{"happiness": 71, "neutral": 79, "sadness": 62},
    }
    assert rows["text"].notna().all() and rows["recognition_percent"].between(0, 100).all()

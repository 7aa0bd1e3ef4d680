"""RAVDESS: what its names say, what is left out, and its six folds."""

import pandas as pd
import pytest

from sertool.core.corpus import ravdess
from sertool.core.corpus.splits import SplitChoice, choose
from sertool.core.errors import InputError


def corpus(folder, *names):
    for name in names:
        path = folder / f"Actor_{name[-2:]}" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_a_name_says_all(tmp_path):
    row = ravdess.read(corpus(tmp_path, "03-01-06-02-02-01-12")).iloc[0]
    assert row["speaker"] == "12" and row["emotion"] == "fearful" and row["gender"] == "female"
    assert row["intensity"] == "strong" and row["text"] == "Dogs are sitting by the door."
    assert (row["statement"], row["repetition"]) == ("02", "01")
    assert row["path"] == str(tmp_path / "Actor_12" / "03-01-06-02-02-01-12.wav")


def test_song_videos_and_other_files_are_left_out_and_say_why(tmp_path):
    names = ["03-01-05-01-01-01-01", "03-02-05-01-01-01-01", "01-01-05-01-01-01-01", "02-01-05-01-01-01-01"]
    rows = ravdess.read(corpus(tmp_path, *names, "03-01-09-01-01-01-01", "03-01-05-01-01-01-25"))
    reasons = rows.set_index(rows["path"].str[-24:-4])["skipped"]
    assert pd.isna(reasons[names[0]]) and reasons[names[1]] == "song"
    assert reasons[names[2]] == reasons[names[3]] == "from a video"
    assert (reasons[["03-01-09-01-01-01-01", "03-01-05-01-01-01-25"]] == "not named as RAVDESS names its clips").all()


def test_another_corpus_is_not_taken_for_this_one(tmp_path):
    with pytest.raises(InputError, match=r"no clip can be used .1 not named as RAVDESS"):
        ravdess.read(corpus(tmp_path, "03a01Fa"))


def test_an_archive_that_holds_the_corpus_twice_is_refused(tmp_path):
    corpus(tmp_path, "03-01-05-01-01-01-01")
    corpus(tmp_path / "audio_speech_actors_01-24", "03-01-05-01-01-01-01")
    with pytest.raises(InputError, match="twice"):
        ravdess.read(tmp_path)


@pytest.mark.parametrize("fold", range(6))
def test_folds_are_the_published_ones(fold):
    actors = [f"{actor:02}" for actor in range(1, 25)]
    split_of = choose(actors, {}, SplitChoice(folds=6, fold=fold, seed=fold), ravdess.PROTOCOL)
    for actor in range(1, 25):
        number = ((actor - 1) // 2) % 6
        expected = "test" if number == fold else "dev" if number == (fold + 1) % 6 else "train"
        assert split_of[f"{actor:02}"] == expected


def test_fold_0_is_the_default():
    split_of = choose([f"{actor:02}" for actor in range(1, 25)], {}, SplitChoice(), ravdess.PROTOCOL)
    assert sorted(name for name, split in split_of.items() if split == "test") == ["01", "02", "13", "14"]


def test_the_real_corpus(shared_data):
    rows = ravdess.read(shared_data / "ravdess")
    assert len(rows) == 1440 and rows["skipped"].isna().all() and rows["speaker"].nunique() == 24
    assert rows["emotion"].value_counts().to_dict() == {
        **dict.fromkeys(("calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"), 192),
        "neutral": 96,
    }
    assert (rows.groupby("gender")["speaker"].nunique() == 12).all()

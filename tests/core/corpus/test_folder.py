"""Any folder of speech: tables, audiofolder, a folder a class, bare files."""

import pandas as pd
import pytest

from sertool.core.corpus import folder
from sertool.core.errors import InputError


@pytest.fixture
def place(tmp_path):
    def put(*names, **texts):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        for name, text in texts.items():
            (tmp_path / name.replace("__", "/")).with_suffix(".csv").write_text(text)
        return tmp_path

    return put


def by_name(rows):
    return rows.set_index(rows["path"].map(lambda path: path.rsplit("/", 1)[-1], na_action="ignore"))


def test_a_table_in_the_folder_and_the_table_itself_are_the_same(place):
    base = place("a/x.wav", "a/y.opus", metadata="file_name,speaker,emotion\na/x.wav,03,angry\na/y.wav,unknown,sad\n")
    rows = by_name(folder.read(base))
    assert rows.loc["x.wav", "speaker"] == "03" and pd.isna(rows.loc["y.opus", "speaker"])
    assert rows["emotion"].tolist() == ["angry", "sad"] and "split" not in rows
    pd.testing.assert_frame_equal(folder.read(base / "metadata.csv"), folder.read(base))


def test_columns_are_taken_from_the_tables_own(place):
    base = place("x.wav", metadata="path,label,emotion\nx.wav,angry,old\n")
    rows = folder.read(base, columns={"file_name": "path", "emotion": "label"})
    assert rows["emotion"].tolist() == ["angry"]
    with pytest.raises(InputError, match="no column 'lable', but 'path', 'label', 'emotion'"):
        folder.read(base, columns={"emotion": "lable"})


def test_a_row_without_its_audio_is_left_out(place):
    rows = folder.read(place("x.wav", metadata="file_name\nx.wav\ny.wav\n"))
    assert rows["skipped"].isna().tolist() == [True, False]
    with pytest.raises(InputError, match="1 listed, without audio"):
        folder.read(place(metadata="file_name\ny.wav\n"))


def test_splits_and_genders_come_in_our_words(place):
    text = "file_name,split,gender\na.wav,validation,F\nb.wav,Test,man\nc.wav,test2,\n"
    rows = folder.read(place("a.wav", "b.wav", "c.wav", metadata=text))
    assert rows["split"].tolist() == ["dev", "test", "test2"]
    assert rows["gender"].tolist()[:2] == ["female", "male"] and pd.isna(rows["gender"][2])


def test_a_table_in_each_split_folder(place):
    base = place("train/a.wav", "validation/b.wav", train__metadata="file_name,emotion\na.wav,sad\n")
    place(validation__metadata="file_name,emotion\nb.wav,calm\n")
    rows = by_name(folder.read(base))
    assert rows["split"].to_dict() == {"a.wav": "train", "b.wav": "dev"} and rows.loc["b.wav", "emotion"] == "calm"


def test_splits_are_read_from_the_first_folder_of_listed_files(place):
    rows = folder.read(place("train/a.wav", "test/b.wav", metadata="file_name\ntrain/a.wav\ntest/b.wav\n"))
    assert rows["split"].tolist() == ["train", "test"]


def test_a_folder_a_class_within_a_folder_a_split(place):
    rows = by_name(folder.read(place("train/angry/a.wav", "test/sad/b.wav", "test/c.wav")))
    assert rows["split"].to_dict() == {"a.wav": "train", "b.wav": "test", "c.wav": "test"}
    assert rows.loc[["a.wav", "b.wav"], "emotion"].tolist() == ["angry", "sad"] and pd.isna(
        rows.loc["c.wav", "emotion"]
    )


def test_folders_that_name_no_category_are_no_labels_unless_the_user_says_so(place):
    base = place("train-clean-100/a.wav", "test-other/b.wav")
    assert "emotion" not in folder.read(base) and "split" not in folder.read(base)
    assert folder.read(base, own_words=["test-other"])["emotion"].tolist() == ["test-other", "train-clean-100"]


def test_speakers_from_file_names(place):
    base = place("x/103-1240-0000.flac", "x/noname.flac")
    rows = by_name(folder.read(base, speaker_pattern=r"^(\d+)-"))
    assert rows.loc["103-1240-0000.flac", "speaker"] == "103" and pd.isna(rows.loc["noname.flac", "speaker"])
    assert "speaker" not in folder.read(base)


@pytest.mark.parametrize(
    ("pattern", "found"), [("(", "no regular expression"), (r"\d+", "0 groups"), ("(a)(b)", "2 groups")]
)
def test_a_faulty_pattern_is_refused(place, pattern, found):
    with pytest.raises(InputError, match=found):
        folder.read(place("a.wav"), speaker_pattern=pattern)


def test_other_paths_of_a_table_still_point_where_they_did(place):
    rows = folder.read(place("x.wav", metadata="file_name,clean_file\nx.wav,clean/x.wav\n"))
    assert rows["clean_file"][0].endswith("/clean/x.wav") and rows["clean_file"][0].startswith("/")


def test_json_lines_say_what_a_csv_says(place):
    base = place("a.wav", "b.wav", other="file_name,speaker,emotion,arousal\na.wav,03,sad,2.5\nb.wav,,,\n")
    lines = ['{"file_name": "a.wav", "speaker": "03", "emotion": "sad", "arousal": 2.5}', '{"file_name": "b.wav"}']
    (base / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    pd.testing.assert_frame_equal(folder.read(base), folder.read(base / "other.csv"))
    pd.testing.assert_frame_equal(folder.read(base / "metadata.jsonl"), folder.read(base))


def test_two_tables_and_none(place):
    base = place("a.wav")
    with pytest.raises(InputError, match="no table to take columns from"):
        folder.read(base, columns={"emotion": "label"})
    (base / "metadata.tsv").write_text("file_name\na.wav\n")
    with pytest.raises(InputError, match="both list the audio"):
        folder.read(place(metadata="file_name\na.wav\n"))


def test_real_folders(shared_data):
    rows = folder.read(shared_data / "librispeech", speaker_pattern=r"^(\d+)-")
    assert len(rows) == 176 and rows["speaker"].notna().all() and "emotion" not in rows
    assert len(folder.read(shared_data / "picovoice")) == 413

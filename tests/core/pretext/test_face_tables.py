"""Tables of clips: read by name; what is wrong with a table is not what is wrong with one of its rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openface_files import write_openface

from sertool.core.errors import InputError
from sertool.core.pretext.face_error import FaceError
from sertool.core.pretext.face_tables import clip_name, read_face_table

CLIPS = ("s1_a", "s1_b", "s2.a", "s2.b")


def clips(units=(12, 6), seed=0):
    generator = np.random.default_rng(seed)
    columns = {"clip": list(CLIPS)}
    columns |= {f"AU{unit:02d}_r": generator.uniform(0, 5, len(CLIPS)).round(5) for unit in units}
    columns |= {f"AU{unit:02d}_c": generator.uniform(0, 1, len(CLIPS)).round(5) for unit in units}
    return pd.DataFrame(columns)


def written(path, table):
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def refusal(path):
    with pytest.raises(InputError) as caught:
        read_face_table(path)
    message = str(caught.value)
    assert str(path) in message and ": " in message and "\n" not in message and type(caught.value) is InputError
    return message


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_what_was_written_is_read(tmp_path, suffix):
    given_clips = clips()
    table = read_face_table(written(tmp_path / f"t{suffix}", given_clips.assign(AU28_c=0.5, AU01_r=1.0, actor="x")))
    assert table.keys == CLIPS and table.units == (6, 12)  # 28 has no intensity, 1 no presence
    np.testing.assert_array_equal(table.intensity, given_clips[["AU06_r", "AU12_r"]].to_numpy(np.float32))
    np.testing.assert_array_equal(table.presence, given_clips[["AU06_c", "AU12_c"]].to_numpy(np.float32))
    intensity, presence = table.row_of(2)
    np.testing.assert_array_equal(intensity, table.intensity[2])
    np.testing.assert_array_equal(presence, table.presence[2])
    assert intensity.dtype == presence.dtype == np.float32


def test_the_real_table_is_read(shared_data):
    path = shared_data / "ravdess" / "faces" / "au35_by_clip.csv"
    if not path.is_file():
        pytest.skip("no table of RAVDESS's faces")
    table, frame = read_face_table(path), pd.read_csv(path)
    assert len(table.keys) == 1440 and set(table.keys) == set(frame["clip"])
    assert table.units == (1, 2, 4, 5, 6, 7, 9, 12, 15, 20, 23, 26)
    np.testing.assert_array_equal(table.intensity[:, 7], frame["AU12_r"].to_numpy(np.float32))
    np.testing.assert_array_equal(table.presence[:, -1], frame["AU26_c"].to_numpy(np.float32))
    for row in range(1440):
        table.row_of(row)


@settings(max_examples=25)
@given(st.data())
def test_order_blanks_and_byte_order_marks_do_not_matter(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("order")
    plain = clips(units=(1, 2, 26))
    rows, names = data.draw(st.permutations(range(len(plain)))), data.draw(st.permutations(list(plain.columns)))
    text = plain.iloc[rows][names].to_csv(index=False)
    mark, blanks = data.draw(st.booleans()), data.draw(st.booleans())
    (folder / "other.csv").write_text("\ufeff" * mark + (text.replace(",", " , ") if blanks else text))
    first, second = read_face_table(written(folder / "plain.csv", plain)), read_face_table(folder / "other.csv")
    assert second.units == first.units
    for row, key in zip(rows, second.keys, strict=True):
        assert key == first.keys[row]
    for one, other in ((first.intensity, second.intensity), (first.presence, second.presence)):
        np.testing.assert_array_equal(one[list(rows)], other)


@pytest.mark.parametrize("column", ["clip", "file_name", "filename", "name"])
def test_the_key_is_the_file_s_stem(tmp_path, column):
    table = clips().rename(columns={"clip": column})
    table[column] = ["a/s1_a.mp4", "C:\\faces\\s1_b.AVI", " s2.a ", "/x/s2.b.csv"]
    assert read_face_table(written(tmp_path / "t.csv", table)).keys == CLIPS


def test_of_two_columns_that_name_the_clip_the_first_in_the_list_counts(tmp_path):
    table = clips().assign(name="x").iloc[:, ::-1]
    assert read_face_table(written(tmp_path / "t.csv", table)).keys == CLIPS


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a", "a"),
        ("a.b", "a.b"),
        ("a.wav", "a"),
        ("x.y/a.b.MOV", "a.b"),
        ("a.flac.csv", "a.flac"),
        ("", ""),
        ("a/", ""),
    ],
)
def test_only_the_suffix_of_a_known_kind_is_dropped(name, stem):
    assert clip_name(name) == stem


@pytest.mark.parametrize("cell", [np.nan, "word", "inf", "-nan(ind)", ""])
@pytest.mark.parametrize("column", ["AU06_r", "AU12_c"])
def test_a_row_without_a_number_is_the_only_one_refused(tmp_path, column, cell):
    table = clips().astype(object)
    table.loc[1, column] = cell
    read = read_face_table(written(tmp_path / "t.csv", table))
    with pytest.raises(FaceError, match=f"clip 's1_b': '{column}' holds no number; expected one: ") as caught:
        read.row_of(1)
    assert caught.value.reason == "a number is missing" and str(tmp_path / "t.csv") in str(caught.value)
    for row in (0, 2, 3):
        read.row_of(row)
    assert np.isnan(np.concatenate([read.intensity, read.presence])).sum() == 1


@pytest.mark.parametrize(("column", "number"), [("AU06_r", 5.1), ("AU06_r", -0.1), ("AU12_c", 1.1), ("AU12_c", -1)])
def test_a_row_out_of_range_is_the_only_one_refused(tmp_path, column, number):
    table = clips()
    table.loc[3, column] = number
    read = read_face_table(written(tmp_path / "t.csv", table))
    with pytest.raises(FaceError, match=f"clip 's2.b': '{column}' is {number:g}; expected 0 to ") as caught:
        read.row_of(3)
    assert caught.value.reason == "out of range"
    read.row_of(0)


def test_the_ends_of_the_ranges_belong_to_them(tmp_path):
    table = clips().assign(AU06_r=[0, 5, 0, 5], AU06_c=[0, 1, 1, 0])
    assert read_face_table(written(tmp_path / "t.csv", table)).row_of(1)[0][0] == 5


def test_tables_that_are_none(tmp_path):
    path = tmp_path / "t.csv"
    assert "no such file" in refusal(path)
    cases = (
        (clips().drop(columns="clip"), "has no column that names the clips, but 'AU12_r'"),
        (clips()[["clip", "AU06_r", "AU12_c"]], "has no action unit with both columns"),
        (clips().assign(clip=["a", "b", "b.mp4", "c"]), "rows 2 and 3 are both of the clip 'b'"),
        (clips().assign(clip=["a", None, "b", "c"]), "row 2 has no 'clip'"),
        (clips().assign(AU06_c=np.nan), "column 'AU06_c' holds no number"),
        (clips().iloc[:0], "holds no clip"),
        (clips().assign(frame=1), "has a column 'frame': it is an OpenFace file of frames"),
        (clips().assign(timestamp=1), "name the folder that the OpenFace files lie in"),
        (clips().assign(**{" AU06_r": 1.0}), "has two columns 'AU06_r'"),
    )
    for table, words in cases:
        assert words in refusal(written(path, table))


def test_an_openface_file_is_told_from_a_table(tmp_path):
    path = write_openface(tmp_path / "a.csv", intensity={1: [0.0, 1.0]}, presence={1: [0, 1]})
    assert "OpenFace file of frames" in refusal(path)


@pytest.mark.parametrize(("delimiter", "words"), [(";", "';'"), ("\t", "a tab"), ("|", "'|'")])
def test_another_delimiter_is_named(tmp_path, delimiter, words):
    path = tmp_path / "t.csv"
    clips().to_csv(path, index=False, sep=delimiter)
    assert f"separated by {words}; expected ','" in refusal(path)


def test_columns_of_another_type_are_refused(tmp_path):
    table = clips()
    table["AU06_r"] = [[1.0]] * 4
    assert "column 'AU06_r' holds list" in refusal(written(tmp_path / "t.parquet", table))
    table = clips()
    table["clip"] = [["a"], ["b"], ["c"], ["d"]]
    assert "column 'clip' holds list" in refusal(written(tmp_path / "t.parquet", table))

"""Manifests: what is read, what is refused and in which words, and that writing loses nothing."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sertool.core.corpus.manifest import Manifest, utterance_key
from sertool.core.errors import InputError


def written(folder, text, name="metadata.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def small(tmp_path):
    text = "file_name,speaker,split,emotion,arousal,code\na/x.wav,03,train,anger,3.5,01\nb.wav,,dev,,,02\n"
    return Manifest.read(written(tmp_path, text))


def test_what_identifies_stays_text_and_what_measures_becomes_a_number(small):
    assert small.table["speaker"][0] == "03" and small.table["code"].tolist() == ["01", "02"]
    assert small.table["arousal"].dtype == pd.ArrowDtype(pa.float64())
    assert small.table[["speaker", "emotion", "arousal"]].iloc[1].isna().all()


def test_all_columns_stay_in_arrow(small):
    assert all(isinstance(kind, pd.ArrowDtype) for kind in small.table.dtypes)


def test_columns_named_for_a_unit_are_numbers_unless_one_value_is_not(tmp_path):
    manifest = Manifest.read(written(tmp_path, "file_name,snr_db,level_db,who_s\na.wav,5,-3.5,x\nb.wav,nan,1e1,2\n"))
    assert manifest.table["level_db"].tolist() == [-3.5, 10.0]
    assert manifest.table["who_s"].tolist() == ["x", "2"]
    assert manifest.table["snr_db"].isna().tolist() == [False, True]


def test_blanks_around_a_speaker_do_not_make_another_one(tmp_path):
    manifest = Manifest.read(written(tmp_path, 'file_name,speaker\na.wav,03\nb.wav,"03 "\nc.wav,"  "\n'))
    assert manifest.table["speaker"].tolist()[:2] == ["03", "03"] and pd.isna(manifest.table["speaker"][2])


def test_a_byte_order_mark_quoted_commas_and_line_breaks_are_understood(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes(b'\xef\xbb\xbffile_name,text\r\na.wav,"one, two\nthree"\r\n')
    assert Manifest.read(path).table["text"][0] == "one, two\nthree"


def test_a_parquet_file_gives_the_same_and_a_numeric_speaker_becomes_text(tmp_path, small):
    small.write(tmp_path / "m.parquet")
    pd.testing.assert_frame_equal(Manifest.read(tmp_path / "m.parquet").table, small.table)
    pq.write_table(pa.table({"file_name": ["a.wav"], "speaker": [3], "arousal": [4]}), tmp_path / "n.parquet")
    table = Manifest.read(tmp_path / "n.parquet").table
    assert table["speaker"][0] == "3" and table["arousal"][0] == 4.0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "is empty"),
        ("file_name,speaker\n", "holds no utterances"),
        ("file,speaker\na.wav,1\n", "no column 'file_name', but 'file', 'speaker'"),
        ("file_name,speaker\na.wav,1,2\n", "not a UTF-8 text table"),
        ("file_name,file_name\na.wav,b.wav\n", "two columns 'file_name'"),
        ("file_name,speaker\na.wav,1\na.wav,2\n", "'a.wav' is listed more than once"),
        ("file_name,speaker\na.wav,1\n./a.wav,2\n", "'a.wav' is listed more than once"),
        ("file_name,speaker\na.wav,1\n,2\n", "row 2 has no file_name"),
        ("file_name\n../a.wav\n", "row 1: 'file_name' is '../a.wav'"),
        ("file_name\na/../../b.wav\n", "'..'"),
        ("file_name,clean_file\na.wav,../b.wav\n", "'clean_file' is '../b.wav'"),
        ("file_name,arousal\na.wav,3\nb.wav,high\n", "row 2: 'arousal' is 'high'"),
        ("file_name,valence\na.wav,3\nb.wav,0.5\n", "row 2: 'valence' is 0.5; expected 1 to 7"),
        ("file_name,dominance\na.wav,8\n", "'dominance' is 8; expected 1 to 7"),
        ("file_name,votes_anger\na.wav,-1\n", "'votes_anger' is -1; expected at least 0"),
    ],
)
def test_a_faulty_table_is_refused_and_says_why(tmp_path, text, found):
    with pytest.raises(InputError) as error:
        Manifest.read(written(tmp_path, text))
    assert found in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["m.csv", "m.parquet", "m.tsv"])
@pytest.mark.parametrize(
    "content", [b"RIFF\x24\x00\x00\x00WAVEfmt ", bytes(range(256)) * 4, b"PAR1garbagePAR1", b"\x00"]
)
def test_garbage_is_refused_whatever_it_is_called(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError):
        Manifest.read(tmp_path / name)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), name=st.sampled_from(["m.csv", "m.parquet"]))
def test_no_bytes_end_in_anything_but_a_manifest_or_one_line(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    try:
        assert len(Manifest.read(tmp_path / name)) > 0
    except InputError as error:
        assert "\n" not in str(error).strip()


def test_what_is_no_table_file_is_named(tmp_path):
    for path, found in (
        (tmp_path, "is a folder"),
        (tmp_path / "no.csv", "no such file"),
        (written(tmp_path, "x", "m.xlsx"), "'.xlsx'"),
    ):
        with pytest.raises(InputError, match=found):
            Manifest.read(path)


def test_a_missing_column_names_those_found_and_the_way_out(small):
    with pytest.raises(InputError, match=r"no column 'clean_file', but 'file_name', .*mix-noise"):
        small.require("emotion", "clean_file")
    with pytest.raises(InputError, match="no column 'kind'"):
        Manifest.read(small.path, require=["kind"])


def test_has_asks_for_a_value_not_for_a_header(tmp_path):
    manifest = Manifest.read(written(tmp_path, "file_name,speaker,text\na.wav,,x\n"))
    assert manifest.has("text") and not manifest.has("speaker") and not manifest.has("emotion")


def test_a_split_holds_its_rows_and_an_unknown_one_names_those_there_are(small):
    assert small.split("dev").table["file_name"].tolist() == ["b.wav"]
    with pytest.raises(InputError, match="'tset'; splits found: dev, train"):
        small.split("tset")


def test_where_counts_null_as_false_and_numbers_rows_anew(small):
    chosen = small.where(small.table["emotion"].isna() | (small.table["arousal"] > 9))
    assert chosen.table["file_name"].tolist() == ["b.wav"] and chosen.table.index.tolist() == [0]
    assert len(small.where(small.table["emotion"] == "anger")) == 1
    assert len(small.where(np.array([False, False]))) == 0


def test_paths_start_from_the_manifest_unless_absolute(tmp_path):
    manifest = Manifest.read(written(tmp_path, "file_name,clean_file\na/x.wav,\n/far/y.wav,c.wav\n"))
    assert [str(path) for path in manifest.paths()] == [str(tmp_path / "a/x.wav"), "/far/y.wav"]
    assert manifest.path_of(1, "clean_file") == tmp_path / "c.wav"
    with pytest.raises(InputError, match="row 1 has no 'clean_file'"):
        manifest.paths("clean_file")


def test_writing_elsewhere_keeps_what_every_path_points_at(tmp_path, small):
    deeper, above = tmp_path / "a" / "m.csv", tmp_path.parent / f"{tmp_path.name}.csv"
    assert small.write(deeper).table["file_name"].tolist() == ["x.wav", str(tmp_path / "b.wav")]
    assert small.write(above).table["file_name"].tolist() == [f"{tmp_path.name}/a/x.wav", f"{tmp_path.name}/b.wav"]
    for path in (deeper, above):
        assert Manifest.read(path).paths() == small.paths()


def test_writing_twice_gives_the_same_bytes_and_leaves_nothing_else(tmp_path, small):
    (tmp_path / "out").mkdir()
    small.write(tmp_path / "out" / "m.csv")
    first = (tmp_path / "out" / "m.csv").read_bytes()
    Manifest.read(tmp_path / "out" / "m.csv").write(tmp_path / "out" / "m.csv")
    assert (tmp_path / "out" / "m.csv").read_bytes() == first
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["m.csv"]


def test_file_name_comes_first_as_audiofolder_wants_it(tmp_path):
    table = pd.DataFrame({"emotion": ["anger"], "file_name": ["a.wav"]})
    Manifest.from_table(table, tmp_path).write(tmp_path / "metadata.csv")
    assert (tmp_path / "metadata.csv").read_text().splitlines()[0] == "file_name,emotion"


def test_only_tables_are_written(tmp_path, small):
    with pytest.raises(InputError, match=r"cannot write '.txt'"):
        small.write(tmp_path / "m.txt")
    with pytest.raises(InputError, match="is a folder"):
        small.write(tmp_path)


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1, max_size=8)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(words, st.one_of(st.none(), st.floats(1, 7))), min_size=1, max_size=6),
    suffix=st.sampled_from([".csv", ".parquet"]),
)
def test_what_is_written_is_read_again(tmp_path, rows, suffix):
    table = pd.DataFrame(
        {
            "file_name": [f"{index}.wav" for index in range(len(rows))],
            "speaker": [word for word, _ in rows],
            "text": [f'"{word}", {word}' for word, _ in rows],
            "arousal": pd.array([number for _, number in rows], dtype="Float64"),
        }
    )
    manifest = Manifest.from_table(table, tmp_path)
    pd.testing.assert_frame_equal(Manifest.read(manifest.write(tmp_path / f"m{suffix}").path).table, manifest.table)


def test_an_utterance_is_known_by_its_folder_and_name_wherever_its_corpus_lies(tmp_path):
    for corpus in ("here", "there"):
        (tmp_path / corpus / "Actor_01").mkdir(parents=True)
        (tmp_path / corpus / "Actor_01" / "x.wav").touch()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "Actor_01")
    names = [tmp_path / "here/Actor_01/x.wav", tmp_path / "there/Actor_01/../Actor_01/x.wav", tmp_path / "link/x.wav"]
    assert {utterance_key(name) for name in names} == {"Actor_01/x.wav"}


def test_a_large_manifest_is_read_without_an_object_a_row(tmp_path):
    count = 200_000
    table = pa.table({"file_name": [f"{i}.wav" for i in range(count)], "speaker": [str(i % 99) for i in range(count)]})
    pq.write_table(table, tmp_path / "m.parquet")
    before = pa.total_allocated_bytes()
    manifest = Manifest.read(tmp_path / "m.parquet")
    assert len(manifest) == count
    assert all(isinstance(manifest.table[name].array, pd.arrays.ArrowExtensionArray) for name in manifest.table)
    assert pa.total_allocated_bytes() - before < 40 * count


@pytest.mark.parametrize("name", [".", "/", "folder/", "folder/.", "./"])
def test_a_file_name_without_a_name_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"row 2: file_name is '.*'; expected the path of a file"):
        Manifest.read(written(tmp_path, f"file_name\na.wav\n{name}\n"))


@pytest.mark.parametrize("column", ["file_name", "clean_file", "noise_file"])
def test_a_path_no_file_can_have_is_refused(tmp_path, column):
    table = pa.table({"file_name": ["a.wav"], column: ["b\0.wav"]})
    with pytest.raises(InputError, match=f"row 1: '{column}' holds a NUL character"):
        Manifest.from_table(table, tmp_path)

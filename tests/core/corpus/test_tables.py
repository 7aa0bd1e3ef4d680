"""Tables: Arrow columns with the types of a manifest, whatever the file made of them."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sertool.core.corpus.tables import columns_found, read_table, typed
from sertool.core.errors import InputError


def test_every_column_of_a_text_file_is_text_and_an_empty_field_null(tmp_path):
    (tmp_path / "m.tsv").write_text("a\tb\n01\t\n2020-01-01\ttrue\n")
    table = read_table(tmp_path / "m.tsv")
    assert table.to_pydict() == {"a": ["01", "2020-01-01"], "b": [None, "true"]}


def test_a_text_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "m.csv").write_bytes("file_name,text\na.wav,schön\n".encode("latin-1"))
    with pytest.raises(InputError, match="is not a UTF-8 text table"):
        read_table(tmp_path / "m.csv")


def test_a_table_with_semicolons_is_refused_by_that_name(tmp_path):
    (tmp_path / "m.csv").write_text("file_name;arousal\na.wav;3,5\n")
    with pytest.raises(InputError, match="separated by ';'; expected ','"):
        read_table(tmp_path / "m.csv")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_text_comes_in_several_types(kind):
    table = typed(pa.table({"emotion": pa.array(["anger", None], pa.string()).cast(kind)}), "table")
    assert table["emotion"].type == pa.string() and table["emotion"].to_pylist() == ["anger", None]


def test_a_column_of_structures_is_no_text():
    with pytest.raises(InputError, match="column 'speaker' holds list"):
        typed(pa.table({"speaker": [["a"], ["b"]]}), "table")


@pytest.mark.parametrize("missing", ["", "nan", "NaN", "NA", "null", " "])
def test_numbers_have_many_words_for_missing(missing):
    assert typed(pa.table({"arousal": ["4", missing]}), "table")["arousal"].to_pylist() == [4.0, None]


def test_other_columns_keep_their_types():
    table = pa.table({"n": [1, 2], "flag": [True, None], "duration_s": [1, 2]})
    assert typed(table, "table").schema == table.schema


def test_a_long_list_of_columns_is_cut():
    assert columns_found(f"column{i}" for i in range(30)).endswith("'column19' and 10 more")
    assert columns_found([]) == "no columns"


def test_a_few_kilobytes_that_say_one_value_a_million_times_are_refused(tmp_path):
    indices = pa.array(np.zeros(1_000_000, np.int8))
    column = pa.DictionaryArray.from_arrays(indices, pa.array(["a long name for a file, said over and over.wav" * 4]))
    pq.write_table(pa.table({"file_name": column, "emotion": column}), tmp_path / "bomb.parquet")
    assert (tmp_path / "bomb.parquet").stat().st_size < 100_000
    with pytest.raises(InputError, match=r"unpacks to more than 64 MB, from 0\.0; expected"):
        read_table(tmp_path / "bomb.parquet")


def test_what_a_parquet_file_says_of_pandas_is_not_listened_to(tmp_path):
    table = pa.table({"file_name": ["a.wav"], "emotion": pa.array(["anger"]).dictionary_encode()})
    pq.write_table(table.replace_schema_metadata({b"pandas": b"not json"}), tmp_path / "m.parquet")
    read = read_table(tmp_path / "m.parquet")
    assert read.schema.metadata is None
    assert read.to_pydict() == {"file_name": ["a.wav"], "emotion": ["anger"]}


def test_text_in_a_parquet_file_that_is_no_text_is_refused(tmp_path):
    pq.write_table(pa.table({"file_name": ["abcdefgh.wav"]}), tmp_path / "m.parquet", compression="none")
    data = (tmp_path / "m.parquet").read_bytes()
    (tmp_path / "m.parquet").write_bytes(data.replace(b"abcdefgh.wav", b"abcd\xff\xfegh.wav"))
    with pytest.raises(InputError, match="is not a Parquet file"):
        read_table(tmp_path / "m.parquet")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_of_more_columns_than_anybody_has_is_refused(tmp_path, suffix):
    names = [f"c{i}" for i in range(5000)]
    if suffix == "csv":
        (tmp_path / "m.csv").write_text(",".join(names) + "\n" + ",".join(names) + "\n")
    else:
        pq.write_table(pa.table({name: [1] for name in names}), tmp_path / "m.parquet")
    with pytest.raises(InputError, match="has 5000 columns; expected at most 4096"):
        read_table(tmp_path / f"m.{suffix}")


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "m.csv")
    with pytest.raises(InputError, match="is a pipe or a device"):
        read_table(tmp_path / "m.csv")


def test_the_first_value_that_is_no_number_is_named_however_long_the_column(tmp_path):
    column = [str(i) for i in range(100_000)]
    column[77_777] = "loud"
    column[88_888] = "louder"
    with pytest.raises(InputError, match="row 77778: 'snr_db' is 'loud'"):
        typed(pa.table({"snr_db": column}), "table")


@pytest.mark.parametrize("name", ["votes_anger", "snr_db", "arousal"])
@pytest.mark.parametrize("value", ["inf", "-inf", "1e999"])
def test_an_infinite_number_is_refused(name, value):
    with pytest.raises(InputError, match=f"row 2: '{name}' is infinite; expected a number"):
        typed(pa.table({name: ["2", value, None]}), "table")

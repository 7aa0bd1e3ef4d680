"""Tables: Arrow columns with the types of a manifest, whatever the file made of them."""

import pyarrow as pa
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

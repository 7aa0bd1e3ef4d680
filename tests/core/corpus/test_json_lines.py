"""JSON lines as tables: what pandas reads from them, as text, and whatever else only as one line about it."""

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.corpus.json_lines import read_json_lines
from sertool.core.errors import InputError

words = st.text(st.characters(codec="utf-8"), max_size=8)
cells = st.none() | words | st.integers() | st.booleans() | st.floats(allow_nan=False) | st.lists(st.integers())


@given(st.lists(st.dictionaries(words, cells, min_size=1, max_size=4), min_size=1, max_size=6))
def test_every_value_is_there_as_text(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "table.jsonl"
    path.write_text("\n\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    table = read_json_lines(path).to_pylist()
    assert len(table) == len(rows)
    for row, given_ in zip(table, rows, strict=True):
        for name, value in row.items():
            theirs = given_.get(name)
            if theirs is None or theirs == "":
                assert value is None
            else:
                assert value == theirs if isinstance(theirs, str) else json.loads(value) == theirs


def test_pandas_writes_what_is_read(tmp_path):
    table = pd.DataFrame({"file_name": ["a.wav", "b.wav"], "speaker": ["03", None], "text": ["„ja“", "x"]})
    table.to_json(tmp_path / "m.jsonl", orient="records", lines=True)
    read = read_json_lines(tmp_path / "m.jsonl").to_pydict()
    assert read == {"file_name": ["a.wav", "b.wav"], "speaker": ["03", None], "text": ["„ja“", "x"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b'{"a": 1}\n{"a": \n', "line 2: is no JSON"),
        (b"[1, 2]\n", r"line 1: is '\[1, 2\]'; expected an object"),
        (b'{"a": "\xff"}\n', "UTF-8"),
        (b'{"a": "\\ud800"}\n', "line 1: is no JSON"),
        (b"[" * 100_000, "line 1: is no JSON"),
        (json.dumps({str(n): n for n in range(5000)}).encode(), "expected at most 4096"),
    ],
)
def test_what_is_no_table_is_said(tmp_path, text, words):
    (tmp_path / "m.jsonl").write_bytes(text)
    with pytest.raises(InputError, match=words):
        read_json_lines(tmp_path / "m.jsonl")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_json_lines(tmp_path / "m.jsonl")

"""Numbers among words, as Python reads them; and rows beyond one block of the file."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.pretext.face_error import FaceError
from sertool.core.pretext.openface_csv import numbers_or_nan, read_header, read_numbers

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(
    cells=st.lists(FLOATS | st.none() | st.sampled_from(["nan", "inf", "word", "", "1,5", "0x1", "1_0", "--1", "."])),
    blanks=st.sampled_from(["", " ", "  "]),
)
def test_text_is_the_number_that_python_reads_or_none(cells, blanks):
    expected = [cell if isinstance(cell, float) else np.nan for cell in cells]
    texts = [cell if cell is None else f"{blanks}{cell}{blanks}" for cell in cells]
    for kind in (pa.string(), pa.large_string(), pa.binary()):
        column = pa.chunked_array([pa.array(texts, pa.string()).cast(kind)])
        np.testing.assert_array_equal(numbers_or_nan(column), expected)


def test_numbers_stay_and_what_is_none_is_refused():
    numbers = pa.chunked_array([[1.5, None, float("inf")], [float("nan")]])
    np.testing.assert_array_equal(numbers_or_nan(numbers), [1.5, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(numbers_or_nan(pa.chunked_array([[3, None]])), [3, np.nan])
    with pytest.raises(pa.ArrowException):
        numbers_or_nan(pa.chunked_array([[[1.0]]]))


@pytest.mark.parametrize("word", [None, 5, 39_999])
def test_columns_come_in_the_order_asked_for_from_every_block_of_a_file(tmp_path, word):
    values = np.arange(120_000.0).reshape(-1, 3)
    rows = [
        f"{a:.1f},{'word' if index == word else f'{b:.1f}'},{c:.1f},{'filler' * 6}"
        for index, (a, b, c) in enumerate(values)
    ]
    rows.insert(1, "1,2,3")
    rows.insert(30_000, "1,2,3,4,5")
    path = tmp_path / "a.csv"
    path.write_text("\n".join([" a, b,c ,d", *rows]))
    assert path.stat().st_size > 2 * 2**20
    assert read_header(path) == (["a", "b", "c", "d"], 1)
    found, ragged = read_numbers(path, [2, 1], width=4, lines=1)
    if word is not None:
        values[word, 1] = np.nan
    np.testing.assert_array_equal(found, values[:, [2, 1]])
    assert ragged == 2


def test_a_row_without_end_is_no_table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1," + "2" * 3_000_000 + "\n3,4\n")
    with pytest.raises(FaceError, match="is no table of rows") as caught:
        read_numbers(path, [0], width=2, lines=1)
    assert caught.value.reason == "no table"

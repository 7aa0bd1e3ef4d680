"""Features on disk, as pandas and NumPy read them back."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sertool.core.errors import InputError
from sertool.core.models import feature_files
from sertool.core.models.feature_files import check_carried, feature_array, feature_table, write_array


def rows(*names: str) -> list[pa.Table]:
    schema = pa.schema({"file_name": pa.string(), "speaker": pa.string()})
    return [pa.table([[name], [None if name == "b" else "03"]], schema=schema) for name in names]


@pytest.mark.parametrize("held_bytes", [1, 200, 32_000_000])
def test_a_table_of_frames(tmp_path, monkeypatch, held_bytes):
    monkeypatch.setattr(feature_files, "HELD_BYTES", held_bytes)
    features = [np.random.default_rng(count).random((count, 5)).astype(np.float32) for count in (4, 1, 30)]
    with feature_table(tmp_path / "a.parquet", frames=True) as add:
        for row, frames in zip(rows("a", "b", "c"), features, strict=True):
            add(row, frames)
        assert not (tmp_path / "a.parquet").exists()
    read = pd.read_parquet(tmp_path / "a.parquet")
    assert list(read.columns) == ["file_name", "speaker", "frame", "time_s", *(f"f{index:04d}" for index in range(5))]
    np.testing.assert_array_equal(read.filter(regex=r"^f\d{4}$").to_numpy(), np.concatenate(features))
    assert read["file_name"].tolist() == ["a"] * 4 + ["b"] + ["c"] * 30
    assert read["frame"].tolist() == [*range(4), 0, *range(30)]
    np.testing.assert_allclose(read["time_s"], read["frame"] / 50)
    assert read["speaker"].isna().sum() == 1
    groups = pq.ParquetFile(tmp_path / "a.parquet").metadata
    sizes = [groups.row_group(index).num_rows for index in range(groups.num_row_groups)]
    assert max(sizes) == {1: 1, 200: 10, 32_000_000: 35}[held_bytes]  # 20 bytes a frame


def test_a_table_and_an_array_of_means(tmp_path):
    features = np.random.default_rng(0).random((1200, 3)).astype(np.float32)
    names = [f"{index}, ß.wav" for index in range(1200)]
    with feature_table(tmp_path / "a.parquet", frames=False) as add_row, feature_array(tmp_path / "b.npy") as add_mean:
        for row, mean in zip(rows(*names), features, strict=True):
            add_row(row, mean)
            add_mean(row, mean)
    read = pd.read_parquet(tmp_path / "a.parquet")
    np.testing.assert_array_equal(read.filter(regex=r"^f\d{4}$").to_numpy(), features)
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), features)
    listed = pd.read_csv(tmp_path / "b.csv", dtype=str)
    assert listed["file_name"].tolist() == read["file_name"].tolist() == names and set(listed["speaker"]) == {"03"}


def test_what_is_broken_off_leaves_nothing(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        feature_table(tmp_path / "a.parquet", frames=True) as add_row,
        feature_array(tmp_path / "a.npy") as add_mean,
    ):
        add_row(rows("a")[0], np.zeros((2, 3), np.float32))
        add_mean(rows("a")[0], np.zeros(3, np.float32))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_one_array_a_file(tmp_path):
    features = np.random.default_rng(0).random((7, 3)).astype(np.float32)
    write_array(tmp_path / "deep" / "a.npy", features)
    np.testing.assert_array_equal(np.load(tmp_path / "deep" / "a.npy"), features)


@pytest.mark.parametrize("name", ["f0000", "f12345", "frame", "time_s"])
def test_columns_that_would_pass_for_features(name):
    with pytest.raises(InputError, match=f"column '{name}'"):
        check_carried(["file_name", "f1", name])
    check_carried(["file_name", "f1", "frames"])

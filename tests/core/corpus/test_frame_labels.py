"""Labels of frames on disk: what was written is read, in any process, and damage is told."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import integers, lists

from sertool.core.corpus.frame_labels import FrameLabels, write_frame_labels
from sertool.core.errors import InputError

UTTERANCES = [np.array([0, 65_535, 7]), np.array([], dtype=np.int64), np.arange(100, dtype=np.uint16), np.full(9000, 3)]


@pytest.fixture
def path(tmp_path):
    write_frame_labels(tmp_path / "train.npy", iter(UTTERANCES))
    return tmp_path / "train.npy"


# Few, since each file is brought to the disk; of each all is read that can be.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(utterances=lists(lists(integers(0, 65_535), max_size=5), max_size=5))
def test_what_was_written_is_read_with_none_beyond_the_end(tmp_path, utterances):
    write_frame_labels(tmp_path / "any.npy", (np.array(labels, dtype=np.int64) for labels in utterances))
    labels = FrameLabels.open(tmp_path / "any.npy")
    assert len(labels) == len(utterances)
    for index, expected in enumerate(utterances):
        for start, count in product(range(8), range(8)):
            found = labels.of(index, start, count)
            assert found.dtype == np.int64
            assert found.tolist() == (expected + [-1] * 16)[start : start + count]


def test_the_file_is_an_array_of_numpy(path):
    words = np.load(path, allow_pickle=False)
    assert words.dtype == np.uint16
    np.testing.assert_array_equal(words[:9103], np.concatenate(UTTERANCES))
    np.testing.assert_array_equal(words[9103:].view(np.int64), [0, 3, 3, 103, 9103, 4])


def test_workers_map_the_file_themselves(path):
    labels = FrameLabels.open(path)
    expected = [*range(90, 100), -1, -1]
    assert labels.of(2, 90, 12).tolist() == expected
    assert len(pickle.dumps(labels)) < path.stat().st_size // 10
    assert pickle.loads(pickle.dumps(labels)).of(2, 90, 12).tolist() == expected
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(labels.of, 2, 90, 12).result().tolist() == expected


def test_the_labels_are_not_read_into_memory(path):
    labels = FrameLabels.open(path)
    arrays = labels._arrays()
    assert all(isinstance(array.base, np.memmap) or isinstance(array, np.memmap) for array in arrays)


def test_what_is_no_label_is_refused_and_leaves_what_was_there(path):
    before = path.read_bytes()
    for wrong in ([-1], [65_536], [[1]], [0.5]):
        with pytest.raises(ValueError, match="0 to 65535"):
            write_frame_labels(path, [np.array([1]), np.array(wrong)])
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_an_utterance_that_is_not_there_is_refused(path):
    labels = FrameLabels.open(path)
    for index, start, count in ((4, 0, 1), (-1, 0, 1), (0, -1, 1), (0, 0, -1)):
        with pytest.raises(ValueError, match="of 4"):
            labels.of(index, start, count)


def _altered(content: bytes, word: int, number: int) -> bytes:
    """Return the file with one of the eight-byte numbers behind the labels changed, counted from the last."""
    end = len(content) - 8 * word
    return content[:end] + np.int64(number).tobytes() + content[end + 8 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:50],
        lambda content: content[:-3],
        lambda content: b"RIFF" + content[4:],
        lambda content: _altered(content, 1, 5),
        lambda content: _altered(content, 1, -1),
        lambda content: _altered(content, 1, 2**40),
        lambda content: _altered(content, 2, 9102),
        lambda content: _altered(content, 3, 9104),
        lambda content: _altered(content, 5, 9103),
        lambda content: _altered(content, 6, 1),
    ],
)
def test_damage_is_told(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"train\.npy: .*; expected labels of frames: remove it") as raised:
        FrameLabels.open(path)
    assert "\n" not in str(raised.value)


def test_other_arrays_and_missing_files_are_told(tmp_path):
    for name, array in (("table.npy", np.zeros((9, 9), np.uint16)), ("floats.npy", np.zeros(20)), ("o.npy", None)):
        np.save(tmp_path / name, np.array([{}, {}]) if array is None else array)
        with pytest.raises(InputError, match="expected labels of frames"):
            FrameLabels.open(tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        FrameLabels.open(Path(tmp_path / "missing.npy"))

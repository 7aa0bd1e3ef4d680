"""Finding a corpus's audio by its files' names."""

import pytest

from sertool.core.corpus.clips import check_once, existing_audio, find_clips
from sertool.core.errors import InputError


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_audio_is_found_at_any_depth_and_with_any_suffix(tmp_path):
    for name in ("a/b/x.wav", "y.FLAC", "c/z.opus", "c/notes.txt", "c/._z.wav"):
        touch(tmp_path / name)
    assert find_clips(tmp_path)["stem"].tolist() == ["x", "z", "y"]


def test_a_folder_without_audio_a_file_and_nothing_at_all(tmp_path):
    touch(tmp_path / "empty" / "x.txt")
    for path, found in (
        (tmp_path / "empty", "no audio"),
        (tmp_path / "empty/x.txt", "is a file"),
        (tmp_path / "no", "no such"),
    ):
        with pytest.raises(InputError, match=found):
            find_clips(path)


def test_a_corpus_that_lies_there_twice(tmp_path):
    for name in ("a/x.wav", "nested/a/x.wav"):
        touch(tmp_path / name)
    with pytest.raises(InputError, match=r"twice, .*a/x.wav and .*nested/a/x.wav"):
        check_once(find_clips(tmp_path), tmp_path)


def test_a_file_is_found_under_the_suffix_it_has_now(tmp_path):
    for name in ("x.opus", "y.wav", "z.txt"):
        touch(tmp_path / name)
    located = existing_audio([tmp_path / "x.wav", tmp_path / "y.wav", tmp_path / "z.wav", tmp_path / "no" / "x.wav"])
    assert located == [tmp_path / "x.opus", tmp_path / "y.wav", None, None]


def test_a_name_no_table_can_hold(tmp_path):
    try:
        touch(tmp_path / "a\udcff.wav")
    except OSError:
        pytest.skip("this file system holds UTF-8 names only")
    with pytest.raises(InputError, match="no UTF-8"):
        find_clips(tmp_path)

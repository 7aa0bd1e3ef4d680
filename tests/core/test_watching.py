"""A folder that is watched: each file once, when it is complete; time is what the test says."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sertool.core import watching
from sertool.core.errors import InputError


class Clock:
    """Time that passes only while the watch rests; at given seconds something happens in the folder."""

    def __init__(self, end: float) -> None:
        self.now, self.end, self.events = 0.0, end, {}

    def at(self, second: float, event: Callable[[], object]) -> None:
        self.events[second] = event

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for second in sorted(second for second in self.events if second <= self.now):
            self.events.pop(second)()
        if self.now > self.end:
            raise KeyboardInterrupt


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock(end=20.0)
    monkeypatch.setattr(watching, "time", clock)
    return clock


def write(path: Path, size: int, time_s: int = 1) -> None:
    """Write a file of a size, changed at a second of its own: no two writes of a test look alike."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (time_s, time_s))


def seen(folder: Path, clock: Clock, **how) -> list[tuple[str, float]]:
    """Return what a watch until the clock's end yields, and when."""
    found = []
    with pytest.raises(KeyboardInterrupt):
        for path in watching.arrivals(folder, poll_s=0.5, settled_s=2.0, **how):
            found.append((str(path.relative_to(folder)), clock.now))
    return found


def test_a_file_comes_once_when_it_has_been_the_same_for_two_seconds(tmp_path, clock):
    clock.at(1.0, lambda: write(tmp_path / "a.wav", 10))
    assert seen(tmp_path, clock) == [("a.wav", 3.0)]


def test_a_file_that_grows_is_waited_for(tmp_path, clock):
    for second in (1.0, 2.5, 4.0, 5.5):
        clock.at(second, lambda second=second: write(tmp_path / "a.wav", int(10 * second)))
    assert seen(tmp_path, clock) == [("a.wav", 7.5)]


def test_a_file_of_the_same_size_that_is_written_to_is_waited_for(tmp_path, clock):
    for second in (1.0, 2.5):
        clock.at(second, lambda second=second: write(tmp_path / "a.wav", 10, int(10 * second)))
    assert seen(tmp_path, clock) == [("a.wav", 4.5)]


def test_files_there_at_the_start_are_left_alone_until_they_change(tmp_path, clock):
    write(tmp_path / "old.wav", 10)
    write(tmp_path / "changing.wav", 10)
    clock.at(5.0, lambda: write(tmp_path / "changing.wav", 20))
    assert seen(tmp_path, clock) == [("changing.wav", 7.0)]


def test_a_file_taken_for_complete_too_early_comes_again(tmp_path, clock):
    clock.at(1.0, lambda: write(tmp_path / "a.wav", 10))
    clock.at(6.0, lambda: write(tmp_path / "a.wav", 20))
    assert seen(tmp_path, clock) == [("a.wav", 3.0), ("a.wav", 8.0)]


def test_a_file_removed_and_copied_anew_comes_again(tmp_path, clock):
    clock.at(1.0, lambda: write(tmp_path / "a.wav", 10))
    clock.at(5.0, lambda: (tmp_path / "a.wav").unlink())
    clock.at(6.0, lambda: write(tmp_path / "a.wav", 10))
    assert seen(tmp_path, clock) == [("a.wav", 3.0), ("a.wav", 8.0)]


def test_folders_beneath_count_and_empty_hidden_and_other_files_do_not(tmp_path, clock):
    files = {"b/deep.flac": 5, "empty.wav": 0, ".a.partial-1.wav": 5, "notes.txt": 5}
    clock.at(1.0, lambda: [write(tmp_path / name, size) for name, size in files.items()])
    assert [name for name, _ in seen(tmp_path, clock)] == ["b/deep.flac"]


def test_all_that_is_complete_comes_before_the_watch_rests(tmp_path, clock):
    clock.at(1.0, lambda: [write(tmp_path / f"{name}.wav", 10) for name in "cab"])
    assert seen(tmp_path, clock) == [("a.wav", 3.0), ("b.wav", 3.0), ("c.wav", 3.0)]


def test_a_folder_that_is_slow_to_look_through_is_looked_at_less_often(tmp_path, clock, monkeypatch):
    looks = []

    def slow(folder):
        looks.append(clock.now)
        clock.now += 1.0
        return {}

    monkeypatch.setattr(watching, "_states", slow)
    seen(tmp_path, clock)
    assert looks == [0.0, 1.0, 11.0]  # the first is that of the start


@pytest.mark.parametrize(("make", "words"), [(Path.touch, "is a file"), (lambda path: None, "no such folder")])
def test_what_is_no_folder_is_refused(tmp_path, make, words):
    make(tmp_path / "x")
    with pytest.raises(InputError, match=words):
        next(watching.arrivals(tmp_path / "x"))


def test_a_folder_that_vanishes_ends_the_watch(tmp_path, clock):
    (tmp_path / "in").mkdir()
    clock.at(1.0, (tmp_path / "in").rmdir)
    with pytest.raises(InputError, match="no such folder"):
        next(watching.arrivals(tmp_path / "in"))

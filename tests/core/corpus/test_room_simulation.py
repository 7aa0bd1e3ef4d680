"""Simulated rooms: places that keep their distance, decays as long as asked, the same for the same seed."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core.audio.files import write_audio
from sertool.core.audio.reverberation_time import reverberation_time
from sertool.core.corpus.reverberation import read_response
from sertool.core.corpus.room_simulation import (
    APART_M,
    HEIGHTS_M,
    PLACES,
    SIZES_M,
    WALL_M,
    Room,
    draw_room,
    simulate_room,
)
from sertool.core.errors import InputError

RATE = 16_000


@settings(max_examples=60)
@given(index=st.integers(0, 10_000), seed=st.integers(0, 100), low=st.floats(0.1, 1.2), share=st.floats(0, 1))
def test_every_place_keeps_its_distance(index, seed, low, share):
    rt60_s = (low, low + share * (1.2 - low))
    room = draw_room(index, seed=seed, rt60_s=rt60_s)
    assert room == draw_room(index, seed=seed, rt60_s=rt60_s)
    assert rt60_s[0] <= room.rt60_s <= rt60_s[1] and room.sabine_absorption <= 0.95
    assert all(least <= side <= most for side, (least, most) in zip(room.size_m, SIZES_M, strict=True))
    points = [room.microphone_m, *room.sources_m.values()]
    assert list(room.sources_m) == list(PLACES)
    for point in points:
        assert all(WALL_M <= at <= side - WALL_M for at, side in zip(point, room.size_m, strict=True))
        assert HEIGHTS_M[0] <= point[2] <= HEIGHTS_M[1]
    assert all(np.linalg.norm(np.subtract(*pair)) >= APART_M for pair in itertools.combinations(points, 2))


@pytest.mark.parametrize("rt60_s", [(0.0, 0.5), (0.5, 0.2), (0.5, 3.0), (float("nan"), 0.5)])
def test_a_range_that_cannot_be_simulated_is_an_error(rt60_s):
    with pytest.raises(InputError, match=r"cannot be simulated; expected a range within 0.1:1.2"):
        draw_room(0, seed=0, rt60_s=rt60_s)


def test_sabines_formula_is_that_of_pyroomacoustics():
    acoustics = pytest.importorskip("pyroomacoustics")
    room = draw_room(3, seed=0, rt60_s=(0.5, 0.5))
    absorption, _ = acoustics.inverse_sabine(0.5, room.size_m)
    assert room.sabine_absorption == pytest.approx(absorption, rel=0.01)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_decay_is_as_long_as_asked_and_the_direct_sound_as_late(index, tmp_path):
    acoustics = pytest.importorskip("pyroomacoustics")
    room = draw_room(index, seed=0, rt60_s=(0.25, 0.35))
    responses = simulate_room(room)
    times = [reverberation_time(response, RATE) for response in responses.values()]
    assert np.mean(times) == pytest.approx(room.rt60_s, rel=0.1)
    theirs = [acoustics.experimental.measure_rt60(one, fs=RATE, decay_db=20) for one in responses.values()]
    assert times == pytest.approx(theirs, rel=0.1)
    # The direct sound comes as late as sound needs for the way, after the filter's half length of 40 samples.
    for place, response in responses.items():
        path = tmp_path / f"{place}.wav"
        write_audio(path, response, RATE)
        cut = len(response) - len(read_response(path, place).samples)
        assert cut == pytest.approx(room.distance_m(place) / 343.0 * RATE, abs=2)
        assert response.dtype == np.float32


def test_in_a_cube_the_decay_is_eyrings():
    """A room in which sound comes from everywhere alike, so that the formula holds; absorption as Sabine asks."""
    acoustics = pytest.importorskip("pyroomacoustics")
    side = (4.0, 4.0, 4.0)
    sources = dict.fromkeys(PLACES, (1.1, 1.3, 1.2)) | {"noise-1": (2.9, 1.0, 1.7), "noise-2": (1.0, 3.1, 1.0)}
    room = Room(side, 0.35, (2.7, 2.9, 1.5), sources)
    times = [reverberation_time(response, RATE) for response in simulate_room(room).values()]
    box = acoustics.ShoeBox(side, fs=RATE, materials=acoustics.Material(room.sabine_absorption), max_order=0)
    assert np.mean(times) == pytest.approx(box.rt60_theory(formula="sabine"), rel=0.1)
    assert np.mean(times) == pytest.approx(box.rt60_theory(formula="eyring"), rel=0.25)


def test_without_pyroomacoustics_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyroomacoustics", None)
    with pytest.raises(InputError, match=r"pip install 'sertool\[rooms\]'"):
        simulate_room(draw_room(0, seed=0, rt60_s=(0.3, 0.3)))

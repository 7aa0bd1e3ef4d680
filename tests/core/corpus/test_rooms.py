"""Rooms on disk: the same for every number of workers, gone on with, told in a table, and taken by mixing."""

import json

import numpy as np
import pandas as pd
import pytest

from sertool.core.audio.files import read_audio
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.reverberation import RirSet
from sertool.core.corpus.rooms import RoomRequest, make_rooms, open_rooms
from sertool.core.errors import InputError, OutputError

pytest.importorskip("pyroomacoustics")

REQUEST = RoomRequest(count=3, rt60_s=(0.15, 0.2), seed=4)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "rooms"
    make_rooms(open_rooms(REQUEST, folder))
    return folder


def _samples(folder):
    return {path.relative_to(folder).as_posix(): read_audio(path).tobytes() for path in sorted(folder.rglob("*.wav"))}


def test_the_table_tells_what_was_asked_and_what_came_out(made):
    Manifest.read(made / "metadata.csv", require=("room", "place"))
    table = pd.read_csv(made / "metadata.csv")
    assert len(table) == 9 and list(table["place"][:3]) == ["speech", "noise-1", "noise-2"]
    assert table["rt60_asked_s"].between(0.15, 0.2).all() and table["rt60_measured_s"].between(0.1, 0.3).all()
    assert all((made / name).is_file() for name in table["file_name"])
    apart = np.sqrt(sum((table[f"source_{axis}_m"] - table[f"microphone_{axis}_m"]) ** 2 for axis in "xyz"))
    np.testing.assert_allclose(apart, table["distance_m"], atol=1e-3)
    assert not [path for path in made.iterdir() if path.name.startswith(".")]


def test_mixing_takes_the_folder(made):
    rirs = RirSet.read(made)
    assert len(rirs.rooms) == 3
    for speech, noise in rirs.rooms.values():
        assert [rirs.responses[index].path.name for index in speech] == ["speech.wav"]
        assert [rirs.responses[index].path.name for index in noise] == ["noise-1.wav", "noise-2.wav"]


def test_going_on_and_two_workers_give_the_same_rooms(made, tmp_path):
    plan = open_rooms(REQUEST, tmp_path / "rooms")
    assert plan.pending == (0, 1, 2) and not plan.finished
    (plan.folder / "room-001").mkdir()
    for path in (made / "room-001").iterdir():
        (plan.folder / "room-001" / path.name).write_bytes(path.read_bytes())
    (plan.folder / ".room-002.partial-1").mkdir()  # a run that was killed
    plan = open_rooms(REQUEST, tmp_path / "rooms")
    assert plan.pending == (0, 2)
    make_rooms(plan, workers=2)
    assert _samples(plan.folder) == _samples(made)
    assert (plan.folder / "metadata.csv").read_text() == (made / "metadata.csv").read_text()
    assert open_rooms(REQUEST, plan.folder).finished and not list(plan.folder.glob(".*"))


def test_other_inputs_and_other_files_stop(made, tmp_path):
    with pytest.raises(InputError, match=r"rooms of other inputs \(count 3, now 4, seed 4, now 5\)"):
        open_rooms(RoomRequest(count=4, rt60_s=(0.15, 0.2), seed=5), made)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="did not make; expected a new or empty folder"):
        open_rooms(REQUEST, tmp_path)
    with pytest.raises(InputError, match="is a file"):
        open_rooms(REQUEST, tmp_path / "mine.txt")
    for text in ("{", json.dumps({"made_by": "x"}), "[]"):
        (tmp_path / "rooms.json").write_text(text)
        with pytest.raises(InputError, match="is not a plan of sertool rooms"):
            open_rooms(REQUEST, tmp_path)


def test_starting_anew_deletes_what_was_made_and_nothing_else(tmp_path):
    one = RoomRequest(count=1, rt60_s=(0.15, 0.15))
    make_rooms(open_rooms(one, tmp_path / "rooms"))
    (tmp_path / "rooms" / "room-000" / "notes.txt").write_text("mine")
    plan = open_rooms(RoomRequest(count=2, rt60_s=(0.15, 0.15)), tmp_path / "rooms", overwrite=True)
    left = [path.name for path in sorted(plan.folder.rglob("*")) if path.is_file()]
    assert left == ["notes.txt", "rooms.json"]
    assert plan.pending == (0, 1)
    make_rooms(plan)
    assert open_rooms(plan.request, plan.folder).finished and len(RirSet.read(plan.folder)) == 6
    assert (plan.folder / "room-000" / "notes.txt").read_text() == "mine" and not list(plan.folder.glob(".*"))


def test_a_full_disk_leaves_no_half_room_and_is_gone_on_from(made, tmp_path, full_disk):
    plan = open_rooms(REQUEST, tmp_path / "rooms")
    with full_disk(2000), pytest.raises(OutputError, match="cannot be written"):
        make_rooms(plan)
    assert [path.name for path in plan.folder.iterdir()] == ["rooms.json"]
    make_rooms(open_rooms(REQUEST, plan.folder))
    assert _samples(plan.folder) == _samples(made)

"""The plan of a folder of mixtures: going on or not, names without a clash, and deleting nothing but its own."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sertool.core.audio.files import write_audio
from sertool.core.corpus.babble import BabbleSet
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixtures import MixtureRequest, make_mixtures, open_plan
from sertool.core.corpus.noise import NoiseSet
from sertool.core.corpus.reverberation import Reverberation, RirSet
from sertool.core.corpus.snr import parse_snr
from sertool.core.errors import InputError


def _write(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, 0.1 * np.random.default_rng(seed).standard_normal(3000), 16_000)


def _request(folder, names=("a.flac", "b.flac"), **changes):
    for number, name in enumerate(names):
        _write(folder / "corpus" / name, number)
    _write(folder / "noise" / "rain" / "1.flac", 100)
    _write(folder / "noise" / "wind" / "2.flac", 101)
    rows = [f"{name},{number}" for number, name in enumerate(names)]
    (folder / "corpus" / "metadata.csv").write_text("\n".join(["file_name,number", *rows]) + "\n")
    settings = {"snr_db": parse_snr(["0"]), "noise_set": NoiseSet.read(folder / "noise")} | changes
    return MixtureRequest(Manifest.read(folder / "corpus" / "metadata.csv"), **settings)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 2}, "seed 0, now 2"),
        ({"snr_db": parse_snr(["0", "5"])}, "snr 0, now 0, 5"),
        ({"audio_format": "wav"}, "format flac, now wav"),
    ],
)
def test_other_inputs_stop_and_are_named(tmp_path, changes, told):
    open_plan(_request(tmp_path), tmp_path / "out")
    with pytest.raises(InputError) as caught:
        open_plan(_request(tmp_path, **changes), tmp_path / "out")
    assert f"({told}); expected the same" in str(caught.value) and "--overwrite" in str(caught.value)


def test_another_noise_and_another_manifest_are_named(tmp_path):
    open_plan(_request(tmp_path), tmp_path / "out")
    rain = NoiseSet.read(tmp_path / "noise", kinds=["rain"])
    with pytest.raises(InputError, match=r"\(another noise\)"):
        open_plan(_request(tmp_path, noise_set=rain), tmp_path / "out")
    with pytest.raises(InputError, match=r"\(another manifest\)"):
        open_plan(_request(tmp_path, names=("a.flac",)), tmp_path / "out")


def test_levels_babble_and_rooms_are_inputs_too(tmp_path, talkers, room_folder):
    babble, rooms = BabbleSet.read(talkers, talkers=2), Reverberation(RirSet.read(room_folder))
    everything = {"level": "active", "babble": babble, "reverberation": rooms}
    open_plan(_request(tmp_path), tmp_path / "out")
    open_plan(_request(tmp_path, **everything), tmp_path / "more")
    told = {
        "out": (everything, "speech level utterance, now active; without babble, now with it; without rooms, now with"),
        "more": ({}, "with babble, now without; with rooms, now without"),
    }
    for folder, (changes, words) in told.items():
        with pytest.raises(InputError) as caught:
            open_plan(_request(tmp_path, **changes), tmp_path / folder)
        assert words in str(caught.value)
    others = everything | {"babble": BabbleSet.read(talkers, talkers=3)}
    others["reverberation"] = Reverberation(rooms.rirs, reference="early")
    with pytest.raises(InputError, match=r"\(another babble; clean reference dry, now early\)"):
        open_plan(_request(tmp_path, **others), tmp_path / "more")


def test_babble_and_rooms_must_lie_apart_too(tmp_path, talkers, room_folder):
    make_mixtures(open_plan(_request(tmp_path), tmp_path / "out"))
    shutil.copytree(room_folder, tmp_path / "out" / "rooms")
    shutil.copytree(talkers.parent, tmp_path / "out" / "talkers")
    rooms = Reverberation(RirSet.read(tmp_path / "out" / "rooms"))
    babble = BabbleSet.read(tmp_path / "out" / "talkers" / "talkers.csv")
    for changes in ({"reverberation": rooms}, {"babble": babble}):
        with pytest.raises(InputError, match="which is to be read; expected a folder apart"):
            open_plan(_request(tmp_path, **changes), tmp_path / "out", overwrite=True)


def test_starting_anew_deletes_what_was_made_and_nothing_else(tmp_path):
    out = tmp_path / "out"
    make_mixtures(open_plan(_request(tmp_path, names=("s1/a.flac", "s2/b.flac")), out))
    (out / "snr_0dB" / "s1" / "notes.txt").write_text("mine")
    (out / "mine.txt").write_text("mine")
    (out / "snr_0dB" / "s2" / ".b.partial-77.flac").write_text("left by a run that was killed")
    plan = open_plan(_request(tmp_path, snr_db=parse_snr(["5"]), names=("a.flac",)), out, overwrite=True)
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {
        "mine.txt",
        "snr_0dB/s1/notes.txt",
        "mix.json",
        "mix.jsonl",
    }
    assert not (out / "clean").exists() and not (out / "snr_0dB" / "s2").exists()
    assert plan.pending == [0]


def test_files_written_but_not_yet_noted_are_deleted_too(tmp_path):
    out = tmp_path / "out"
    make_mixtures(open_plan(_request(tmp_path), out))
    (out / "mix.jsonl").write_text("")
    open_plan(_request(tmp_path, seed=5), out, overwrite=True)
    assert not list(out.rglob("*.flac"))


def test_a_deletion_cut_short_leaves_no_manifest(tmp_path, monkeypatch):
    out = tmp_path / "out"
    make_mixtures(open_plan(_request(tmp_path), out))
    assert (out / "metadata.csv").is_file()
    other, unlink = _request(tmp_path, seed=5), Path.unlink

    def killed_at_the_first_audio(path, missing_ok=False):
        if path.suffix == ".flac":
            raise KeyboardInterrupt
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", killed_at_the_first_audio)
    with pytest.raises(KeyboardInterrupt):
        open_plan(other, out, overwrite=True)
    monkeypatch.undo()
    assert not (out / "metadata.csv").exists() and list(out.rglob("*.flac"))
    open_plan(other, out, overwrite=True)
    assert not list(out.rglob("*.flac"))


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_refused(tmp_path, overwrite):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="did not make; expected a new or empty folder: choose another"):
        open_plan(_request(tmp_path), tmp_path / "out", overwrite=overwrite)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "mine"


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="is a file; expected a folder"):
        open_plan(_request(tmp_path), tmp_path / "out")


@pytest.mark.parametrize(
    "plan",
    [
        "{",
        "[]",
        '{"made_by": "someone"}',
        '{"made_by": "sertool mix-noise"}',
        json.dumps(
            {"made_by": "sertool mix-noise", "inputs": {"format": "flac"}, "folders": ["x"], "names": ["../../a"]}
        ),
        json.dumps({"made_by": "sertool mix-noise", "inputs": {"format": "flac"}, "folders": ["x"], "names": ["/a"]}),
        json.dumps({"made_by": "sertool mix-noise", "inputs": {"format": "flac"}, "folders": [".."], "names": ["a"]}),
        json.dumps(
            {"made_by": "sertool mix-noise", "inputs": {"format": "/../../a.flac"}, "folders": ["x"], "names": [""]}
        ),
    ],
)
def test_a_plan_that_is_not_ours_deletes_nothing(tmp_path, plan):
    request = _request(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mix.json").write_text(plan)
    (tmp_path / "a.flac").write_text("mine")
    with pytest.raises(InputError, match="expected"):
        open_plan(request, tmp_path / "out", overwrite=True)
    assert (tmp_path / "a.flac").exists()


@pytest.mark.parametrize("read", ["corpus", "noise", ""])
def test_what_is_read_is_never_written_over(tmp_path, read):
    request = _request(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(InputError, match="expected"):
            open_plan(request, tmp_path / read, overwrite=overwrite)
    assert len(list(tmp_path.rglob("*.flac"))) == 4


def test_mixtures_of_mixtures_need_a_folder_of_their_own(tmp_path):
    make_mixtures(open_plan(_request(tmp_path), tmp_path / "out"))
    again = MixtureRequest(
        Manifest.read(tmp_path / "out" / "metadata.csv"), NoiseSet.read(tmp_path / "noise"), parse_snr(["0"])
    )
    with pytest.raises(InputError, match="which is to be read"):
        open_plan(again, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "metadata.csv").exists()


def test_files_whose_names_would_clash_get_names_of_their_own(tmp_path):
    names = ("s/a.flac", "s/a.wav", "s/A.wav", "s/a-2.flac", "t/a.flac")
    plan = open_plan(_request(tmp_path, names=names), tmp_path / "out")
    assert len({name.casefold() for name in plan.names}) == len(names)
    assert (plan.names[0], plan.names[4]) == ("s/a", "t/a")
    assert len(Manifest.read(make_mixtures(plan).manifest_path)) == len(names)


def test_speech_that_lies_elsewhere_is_named_from_the_folder_it_shares(tmp_path):
    request = _request(tmp_path, names=("s/a.flac", "t/b.flac"))
    (tmp_path / "lists").mkdir()
    rows = [str(path) for path in request.manifest.paths()]
    (tmp_path / "lists" / "all.csv").write_text("\n".join(["file_name", *rows]) + "\n")
    listed = MixtureRequest(Manifest.read(tmp_path / "lists" / "all.csv"), request.noise_set, request.snr_db)
    assert open_plan(listed, tmp_path / "out").names == ("s/a", "t/b")

"""Mixtures on disk: what is written where, going on after an interruption, and inputs that fail."""

import json

import numpy as np
import pandas as pd
import pytest

from sertool.core.audio.files import audio_info, read_audio, write_audio
from sertool.core.corpus.babble import BabbleSet
from sertool.core.corpus.manifest import Manifest, utterance_key
from sertool.core.corpus.mixing import Mixer, SilentNoiseError, measure_snr, parse_snr
from sertool.core.corpus.mixtures import MixtureRequest, make_mixtures, open_plan
from sertool.core.corpus.noise import NoiseSet
from sertool.core.corpus.reverberation import Reverberation, RirSet


@pytest.fixture
def corpus(tmp_path):
    """Six utterances at two rates, in folders by speaker, with a column of paths and one of our own."""
    folder = tmp_path / "corpus"
    rows = []
    for number in range(6):
        name = f"speaker{number % 2}/{number}.{'wav' if number == 5 else 'flac'}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        samples = np.random.default_rng(number).standard_normal(9000 + 500 * number) * (0.3 if number == 4 else 0.05)
        write_audio(folder / name, np.clip(samples, -1, 1), 8000 if number == 3 else 16_000)
        rows.append(f"{name},anger,00{number % 2},faces/{number}.csv,{number}")
    (folder / "metadata.csv").write_text("\n".join(["file_name,emotion,speaker,face_file,mine", *rows]) + "\n")
    return Manifest.read(folder / "metadata.csv")


@pytest.fixture
def noise_set(tmp_path):
    for number in range(4):
        path = tmp_path / "noise" / f"kind{number % 2}" / f"{number}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_audio(path, 0.1 * np.random.default_rng(90 + number).standard_normal(6000), 16_000)
    return NoiseSet.read(tmp_path / "noise")


@pytest.fixture
def request_(corpus, noise_set):
    return MixtureRequest(corpus, noise_set, parse_snr(["0", "-5"]), seed=1)


def _bytes(folder, pattern="*"):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob(pattern))
        if path.is_file()
    }


def test_every_utterance_is_mixed_at_every_snr(request_, tmp_path):
    report = make_mixtures(open_plan(request_, tmp_path / "out"))
    noisy = Manifest.read(report.manifest_path, require=("clean_file", "noise_file", "noise_kind"))
    assert (len(noisy), report.mixtures, report.made, report.kept) == (12, 12, 6, 0)
    assert sorted(noisy.table["snr_db"]) == [-5.0] * 6 + [0.0] * 6
    columns = [noisy.paths(), noisy.paths("clean_file"), noisy.paths("noise_file"), noisy.table["snr_db"]]
    for path, clean, noise, snr_db in zip(*columns, strict=True):
        assert measure_snr(read_audio(path), read_audio(clean)) == pytest.approx(snr_db, abs=0.01)
        assert audio_info(path).frames == audio_info(clean).frames and audio_info(path).rate == 16_000
        assert noise.is_file()
    names = noisy.table["file_name"]
    assert not any(name.startswith("/") for name in [*names, *noisy.table["clean_file"]])
    assert set(noisy.table["speaker"]) == {"000", "001"} and set(noisy.table["emotion"]) == {"anger"}


def test_the_files_hold_what_the_mixer_gives_in_epoch_0(request_, corpus, tmp_path):
    make_mixtures(open_plan(request_, tmp_path / "out"))
    mixer = Mixer(request_.noise_set, request_.snr_db, seed=1)
    noisy = Manifest.read(tmp_path / "out" / "metadata.csv")
    for row, source in enumerate(corpus.paths()):
        mixture = mixer.mix(read_audio(source), utterance_key(source), snr_db=-5.0)
        here = noisy.where((noisy.table["mine"] == str(row)) & (noisy.table["snr_db"] == -5.0))
        np.testing.assert_allclose(read_audio(here.path_of(0)), mixture.noisy, atol=2**-22)
        assert here.table["gain_db"].iloc[0] == pytest.approx(mixture.gain_db)
        assert here.table["noise_offset_s"].iloc[0] == mixture.noise_offset_s
        assert here.path_of(0, "noise_file") == mixture.noise_file


def test_scaled_speech_is_kept_apart_from_speech_as_it_was(request_, tmp_path):
    make_mixtures(open_plan(request_, tmp_path / "out"))
    table = Manifest.read(tmp_path / "out" / "metadata.csv").table
    scaled = table["gain_db"] < 0
    assert scaled.any() and not scaled.all()
    assert all(name.startswith("clean/") for name in table["clean_file"][~scaled])
    assert all(name.startswith("clean_snr_") for name in table["clean_file"][scaled])


def test_other_paths_still_lead_to_their_files(request_, corpus, tmp_path):
    make_mixtures(open_plan(request_, tmp_path / "out"))
    noisy = Manifest.read(tmp_path / "out" / "metadata.csv")
    assert set(noisy.paths("face_file")) == set(corpus.paths("face_file"))


def test_two_workers_write_the_same_bytes_as_one(request_, tmp_path):
    for workers in (1, 2):
        make_mixtures(open_plan(request_, tmp_path / f"out{workers}"), workers=workers)
    assert _bytes(tmp_path / "out1") == _bytes(tmp_path / "out2")


def test_a_range_draws_one_snr_for_every_utterance(request_, corpus, noise_set, tmp_path):
    request = MixtureRequest(corpus, noise_set, parse_snr(["-5:15"]), audio_format="wav")
    report = make_mixtures(open_plan(request, tmp_path / "out"))
    noisy = Manifest.read(report.manifest_path)
    assert len(noisy) == 6 and len(set(noisy.table["snr_db"])) == 6
    assert noisy.table["snr_db"].between(-5, 15).all()
    for path, clean, snr_db in zip(noisy.paths(), noisy.paths("clean_file"), noisy.table["snr_db"], strict=True):
        assert path.parent.parent.name == "snr_-5to15dB" and path.suffix == ".wav"
        assert measure_snr(read_audio(path), read_audio(clean)) == pytest.approx(snr_db, abs=0.01)


class _Stop(Exception):
    pass


def test_going_on_makes_what_is_missing_and_gives_the_same_bytes(request_, tmp_path):
    make_mixtures(open_plan(request_, tmp_path / "whole"))
    expected = _bytes(tmp_path / "whole")

    def stop_after(count):
        calls = iter(range(count))

        def on_done():
            if next(calls, None) is None:
                raise _Stop

        return on_done

    with pytest.raises(_Stop):
        make_mixtures(open_plan(request_, tmp_path / "out"), on_done=stop_after(3))
    assert not (tmp_path / "out" / "metadata.csv").exists()
    plan = open_plan(request_, tmp_path / "out")
    assert not plan.finished and plan.pending == [3, 4, 5]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("[012].flac")}
    report = make_mixtures(plan)
    assert (report.made, report.kept) == (3, 3)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert _bytes(tmp_path / "out") == expected


def test_deleted_files_are_made_again(request_, tmp_path):
    make_mixtures(open_plan(request_, tmp_path / "out"))
    expected = _bytes(tmp_path / "out", "*.flac")
    (tmp_path / "out" / "snr_0dB" / "speaker0" / "2.flac").unlink()
    next((tmp_path / "out").glob("clean*/speaker1/3.flac")).unlink()
    plan = open_plan(request_, tmp_path / "out")
    assert plan.pending == [2, 3]
    make_mixtures(plan)
    assert _bytes(tmp_path / "out", "*.flac") == expected


def test_a_journal_cut_short_loses_one_utterance_only(request_, tmp_path):
    make_mixtures(open_plan(request_, tmp_path / "out"))
    expected = _bytes(tmp_path / "out", "*.flac") | {"metadata.csv": (tmp_path / "out" / "metadata.csv").read_bytes()}
    journal = tmp_path / "out" / "mix.jsonl"
    journal.write_text(journal.read_text()[:-40])
    plan = open_plan(request_, tmp_path / "out")
    assert plan.pending == [5]
    make_mixtures(plan)
    assert open_plan(request_, tmp_path / "out").finished
    assert {name: (tmp_path / "out" / name).read_bytes() for name in expected} == expected


def test_finished_mixtures_are_left_alone(request_, tmp_path):
    make_mixtures(open_plan(request_, tmp_path / "out"))
    manifest = tmp_path / "out" / "metadata.csv"
    manifest.write_text(manifest.read_text().replace("anger", "joy"))  # a user's own correction
    plan = open_plan(request_, tmp_path / "out")
    assert plan.finished
    report = make_mixtures(plan)
    assert (report.made, report.kept, report.mixtures) == (0, 6, 12)
    assert "joy" in manifest.read_text()


def test_utterances_that_fail_are_listed_and_the_rest_is_done(corpus, noise_set, tmp_path):
    paths = corpus.paths()
    write_audio(paths[1], np.zeros(4000), 16_000)
    paths[2].write_text("no audio")
    paths[3].unlink()
    request = MixtureRequest(corpus, noise_set, parse_snr(["0"]))
    report = make_mixtures(open_plan(request, tmp_path / "out"), workers=2)
    assert [failure.path for failure in report.failures] == [paths[1], paths[2], paths[3]]
    messages = [failure.message for failure in report.failures]
    for path, message, reason in zip(paths[1:4], messages, ["silent", "cannot be read", "no such file"], strict=True):
        assert message.startswith(f"{path}: ") and reason in message and message.count(str(path)) == 1
    assert len(Manifest.read(report.manifest_path)) == 3
    write_audio(paths[2], np.full(4000, 0.1), 16_000)
    plan = open_plan(request, tmp_path / "out")
    assert not plan.finished
    assert [failure.path for failure in make_mixtures(plan).failures] == [paths[1], paths[3]]
    assert len(Manifest.read(report.manifest_path)) == 4


def test_where_everything_fails_there_is_no_manifest(corpus, noise_set, tmp_path):
    for path in corpus.paths():
        path.write_text("no audio")
    report = make_mixtures(open_plan(MixtureRequest(corpus, noise_set, parse_snr(["0"])), tmp_path / "out"))
    assert report.manifest_path is None and len(report.failures) == 6
    assert not (tmp_path / "out" / "metadata.csv").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_silent_noise_is_one_error_and_not_one_an_utterance(corpus, tmp_path, workers):
    (tmp_path / "silence").mkdir()
    write_audio(tmp_path / "silence" / "a.flac", np.zeros(5000), 16_000)
    request = MixtureRequest(corpus, NoiseSet.read(tmp_path / "silence"), parse_snr(["0"]))
    with pytest.raises(SilentNoiseError, match="nothing audible"):
        make_mixtures(open_plan(request, tmp_path / "out"), workers=workers)


def test_the_manifest_loads_as_a_plain_table(request_, tmp_path):
    make_mixtures(open_plan(request_, tmp_path / "out"))
    table = pd.read_csv(tmp_path / "out" / "metadata.csv")
    assert table.columns[0] == "file_name"
    added = {"clean_file", "clean_digest", "noise_file", "noise_kind", "snr_db", "noise_offset_s", "gain_db"}
    assert added < set(table.columns)
    lines = (tmp_path / "out" / "mix.jsonl").read_text().splitlines()
    assert [json.loads(line)["row"] for line in lines] == list(range(6))


def _lists(column):
    return [json.loads(text) for text in column.dropna()]


@pytest.mark.parametrize("reference", ["dry", "early"])
def test_babble_and_rooms_are_told_in_the_manifest(corpus, noise_set, talkers, room_folder, tmp_path, reference):
    babble, rirs = BabbleSet.read(talkers, talkers=3), RirSet.read(room_folder)
    request = MixtureRequest(
        corpus,
        noise_set,
        parse_snr(["0", "10"]),
        audio_format="wav",
        level="active",
        babble=babble,
        reverberation=Reverberation(rirs, share=0.7, reference=reference),
    )
    report = make_mixtures(open_plan(request, tmp_path / "out"))
    noisy = Manifest.read(report.manifest_path)
    table = noisy.table
    assert set(table["speech_level"]) == {"active"} and report.mixtures == 12
    is_babble = table["noise_kind"] == "babble"
    assert is_babble.any() and not is_babble.all()
    assert (table["noise_file"].isna() == is_babble).all() and (table["babble_files"].notna() == is_babble).all()
    known = {str(file.path) for file in babble.files}
    assert all(len(names) == 3 and set(names) <= known for names in _lists(table["babble_files"]))
    assert all(len(offsets) == 3 for offsets in _lists(table["babble_offsets_s"]))
    in_room = table["rir_file"].notna()
    assert in_room.any() and not in_room.all()
    assert set(table["clean_reference"][in_room]) == {reference} and table["clean_reference"][~in_room].isna().all()
    rows = noisy.where(in_room)
    for speech, noise in zip(rows.paths("rir_file"), rows.paths("noise_rir_file"), strict=True):
        assert speech.is_file() and noise.is_file() and speech.parent == noise.parent and speech != noise
    mixer = request.mixer()
    for row, path in enumerate(noisy.paths()):
        source = corpus.paths()[int(table["mine"][row])]
        mixture = mixer.mix(read_audio(source), utterance_key(source), snr_db=table["snr_db"][row])
        np.testing.assert_array_equal(read_audio(path), mixture.noisy)
        np.testing.assert_array_equal(read_audio(noisy.path_of(row, "clean_file")), mixture.clean)


def test_the_speech_level_is_told_and_is_that_of_the_files(corpus, noise_set, tmp_path):
    for level in ("utterance", "active"):
        request = MixtureRequest(corpus, noise_set, parse_snr(["5"]), level=level)
        noisy = Manifest.read(make_mixtures(open_plan(request, tmp_path / level)).manifest_path)
        assert set(noisy.table["speech_level"]) == {level}
        assert not {"babble_files", "rir_file", "clean_reference"} & {*noisy.table.columns}
        for path, clean in zip(noisy.paths(), noisy.paths("clean_file"), strict=True):
            assert measure_snr(read_audio(path), read_audio(clean), level=level) == pytest.approx(5, abs=0.01)


def test_two_workers_write_the_same_babble_and_rooms(corpus, talkers, room_folder, tmp_path):
    rooms = Reverberation(RirSet.read(room_folder))
    request = MixtureRequest(
        corpus, None, parse_snr(["0"]), babble=BabbleSet.read(talkers, talkers=2), reverberation=rooms
    )
    for workers in (1, 2):
        make_mixtures(open_plan(request, tmp_path / f"out{workers}"), workers=workers)
    assert _bytes(tmp_path / "out1") == _bytes(tmp_path / "out2")


def test_a_journal_of_the_first_version_is_gone_on_with(request_, tmp_path):
    make_mixtures(open_plan(request_, tmp_path / "whole"))
    plan = open_plan(request_, tmp_path / "out")
    assert set(json.loads((plan.folder / "mix.json").read_text())["inputs"]) == {
        *("manifest", "noise", "snr", "seed", "format", "version")
    }
    make_mixtures(plan)
    lines = (plan.folder / "mix.jsonl").read_text().splitlines()
    old = [json.loads(line) for line in lines[:3]]
    for entry in old:
        for mixture in entry["mixtures"]:
            del mixture["speech_level"]
    (plan.folder / "mix.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in old))
    (plan.folder / "metadata.csv").unlink()
    report = make_mixtures(open_plan(request_, tmp_path / "out"))
    assert (report.kept, report.made) == (3, 3)
    assert set(Manifest.read(report.manifest_path).table["speech_level"]) == {"utterance"}

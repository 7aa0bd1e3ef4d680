"""Noise sets: kinds, parts, digests that do not depend on the place, disjointness, and what is no noise set."""

import hashlib
import shutil

import numpy as np
import pytest

from sertool.core.audio.files import write_audio
from sertool.core.corpus.noise import NoiseSet, check_disjoint, in_dev_part
from sertool.core.errors import InputError


def _write(path, seed=0, num_samples=800):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, np.random.default_rng(seed).uniform(-0.5, 0.5, num_samples), 16_000)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "noise"
    for number in range(12):
        _write(folder / ("rain" if number % 3 else "wind") / "deep" / f"{number}.flac", seed=number)
    return folder


def _three_beats(message: str) -> bool:
    found, _, rest = message.partition("; ")
    expected, _, remedy = rest.partition(": ")
    return bool(found) and expected.startswith("expected") and bool(remedy)


def test_the_first_folder_names_the_kind(folder):
    noise = NoiseSet.read(folder)
    assert noise.kinds == ("rain", "wind")
    assert len(noise) == 12
    assert [file.name for file in noise.files] == sorted(file.name for file in noise.files)
    assert all(file.path.is_file() and file.name.startswith(f"{file.kind}/deep/") for file in noise.files)


def test_recordings_at_the_top_are_of_the_folders_kind(tmp_path):
    _write(tmp_path / "babble" / "a.wav")
    assert NoiseSet.read(tmp_path / "babble").kinds == ("babble",)


def test_the_digest_does_not_depend_on_the_place(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "else" / "where")
    assert NoiseSet.read(tmp_path / "else" / "where").digest == NoiseSet.read(folder).digest


def test_the_digest_depends_on_content_names_and_kinds(folder, tmp_path):
    digests = {NoiseSet.read(folder).digest, NoiseSet.read(folder, kinds=["rain"]).digest}
    _write(folder / "rain" / "deep" / "1.flac", seed=99)
    digests.add(NoiseSet.read(folder).digest)
    (folder / "rain" / "deep" / "1.flac").rename(folder / "rain" / "deep" / "1b.flac")
    digests.add(NoiseSet.read(folder).digest)
    assert len(digests) == 4


def test_file_digests_are_those_of_the_bytes(folder):
    noise = NoiseSet.read(folder)
    for name, digest in noise.file_digests().items():
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_train_and_dev_share_out_the_set_by_file_name(folder):
    parts = {part: {file.name for file in NoiseSet.read(folder, part=part).files} for part in ("all", "train", "dev")}
    assert parts["train"] | parts["dev"] == parts["all"]
    assert not parts["train"] & parts["dev"]
    by_hand = {n for n in parts["all"] if int(hashlib.sha1(n.split("/")[-1].encode()).hexdigest(), 16) % 5 == 0}
    assert parts["dev"] == by_hand and by_hand


def test_the_real_set_is_parted_as_its_protocol_says(shared_data):
    noise = NoiseSet.read(shared_data / "noise" / "seen")
    dev = NoiseSet.read(shared_data / "noise" / "seen", part="dev")
    assert (len(noise.kinds), len(noise)) == (7, 235)
    assert len(dev) == sum(in_dev_part(file.path.name) for file in noise.files) > 0
    check_disjoint(noise, NoiseSet.read(shared_data / "noise" / "unseen"))


def test_a_manifest_names_the_same_set_as_its_folder(folder):
    rows = [f"{file.name},{file.kind}" for file in NoiseSet.read(folder).files]
    (folder / "metadata.csv").write_text("\n".join(["file_name,kind", *rows]) + "\n")
    listed = NoiseSet.read(folder / "metadata.csv")
    assert listed.digest == NoiseSet.read(folder).digest
    assert listed.kinds == ("rain", "wind")


def test_a_manifest_may_list_recordings_that_lie_elsewhere(folder, tmp_path):
    files = NoiseSet.read(folder).files
    (tmp_path / "lists").mkdir()
    rows = [f"{file.path},{file.kind}" for file in files]
    (tmp_path / "lists" / "noise.csv").write_text("\n".join(["file_name,kind", *rows]) + "\n")
    assert NoiseSet.read(tmp_path / "lists" / "noise.csv").digest == NoiseSet.read(folder).digest


def test_kinds_can_be_chosen(folder):
    assert NoiseSet.read(folder, kinds=["wind"]).kinds == ("wind",)
    with pytest.raises(InputError, match="no noise of kind snow; it holds rain, wind"):
        NoiseSet.read(folder, kinds=["wind", "snow"])
    with pytest.raises(InputError, match="no kind at all"):
        NoiseSet.read(folder, kinds=[])


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda path: None, "no such noise set"),
        (lambda path: path.mkdir(), "holds no audio"),
        (lambda path: (path / "rain").mkdir(parents=True), "holds no audio"),
        (lambda path: (path.mkdir(), (path / "readme.txt").write_text("rain")), "holds no audio"),
    ],
)
def test_a_folder_without_noise_is_told_in_three_beats(tmp_path, make, found):
    make(tmp_path / "noise")
    with pytest.raises(InputError, match=found) as caught:
        NoiseSet.read(tmp_path / "noise")
    assert _three_beats(str(caught.value))


def test_a_manifest_without_kinds_is_told(folder):
    (folder / "metadata.csv").write_text("file_name,emotion\nrain/deep/1.flac,anger\n")
    with pytest.raises(InputError, match="no column 'kind'"):
        NoiseSet.read(folder / "metadata.csv")
    (folder / "metadata.csv").write_text("file_name,kind\nrain/deep/1.flac,rain\nrain/deep/2.flac,\n")
    with pytest.raises(InputError, match="row 2 has no kind"):
        NoiseSet.read(folder / "metadata.csv")


def test_a_manifest_that_lists_a_missing_file_is_told(folder):
    (folder / "metadata.csv").write_text("file_name,kind\nrain/deep/77.flac,rain\n")
    with pytest.raises(InputError, match=r"77\.flac.*no such"):
        NoiseSet.read(folder / "metadata.csv")


def test_an_empty_part_and_an_unknown_one_are_told(tmp_path):
    name = next(f"{number}.flac" for number in range(100) if not in_dev_part(f"{number}.flac"))
    _write(tmp_path / "rain" / name)
    with pytest.raises(InputError, match=r"none of its 1 recordings belongs to part 'dev'.*one in five"):
        NoiseSet.read(tmp_path, part="dev")
    with pytest.raises(InputError, match="noise part 'test' is unknown"):
        NoiseSet.read(tmp_path, part="test")


def test_disjoint_sets_pass_and_others_are_named(folder, tmp_path):
    _write(tmp_path / "other" / "snow" / "1.flac", seed=50)
    check_disjoint(NoiseSet.read(folder), NoiseSet.read(tmp_path / "other"))
    _write(tmp_path / "other" / "Rain" / "2.flac", seed=51)
    with pytest.raises(InputError, match=r"share 1 kinds \(rain\)"):
        check_disjoint(NoiseSet.read(folder), NoiseSet.read(tmp_path / "other"))


def test_a_recording_under_another_name_is_still_the_same(folder, tmp_path):
    (tmp_path / "other" / "snow").mkdir(parents=True)
    for number in (1, 2, 4, 5, 7):
        shutil.copy(folder / "rain" / "deep" / f"{number}.flac", tmp_path / "other" / "snow" / f"x{number}.flac")
    with pytest.raises(InputError) as caught:
        check_disjoint(NoiseSet.read(folder), NoiseSet.read(tmp_path / "other"))
    assert "5 byte-identical recordings (rain/deep/1.flac = snow/x1.flac" in str(caught.value)
    assert "and 2 more" in str(caught.value) and "kinds (" not in str(caught.value)

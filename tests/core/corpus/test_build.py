"""From rows to a manifest on disk: mapped, split, copied, and never over another's work."""

import pandas as pd
import pytest

from sertool.core.corpus import emodb
from sertool.core.corpus.build import build, copy_file, is_there, plan_copies
from sertool.core.corpus.categories import parse_map
from sertool.core.corpus.manifest import Manifest, utterance_key
from sertool.core.corpus.splits import Protocol, SplitChoice
from sertool.core.errors import InputError


def rows(folder, **columns):
    count = len(next(iter(columns.values())))
    paths = [folder / "corpus" / "deep" / f"{number}.wav" for number in range(count)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    return pd.DataFrame({"path": [str(path) for path in paths], "skipped": None, **columns})


def built(table, folder, **changes):
    settings = {"protocol": Protocol(), "choice": SplitChoice(), **changes}
    return build(table, folder / "metadata.csv", **settings)


def test_categories_are_mapped_and_the_first_columns_are_in_order(tmp_path):
    table = rows(tmp_path, note=["x", "y"], emotion=["angry", None], speaker=["1", "2"])
    result = built(table, tmp_path, corpus="mine", mapping=parse_map(["angry=fear", "calm=neutral"]))
    assert result.manifest.table.columns.tolist() == ["file_name", "corpus", "speaker", "emotion", "note"]
    assert result.manifest.table["emotion"].tolist()[0] == "fear" and result.unused == ["calm"]


def test_clips_left_out_are_counted(tmp_path):
    table = rows(tmp_path, speaker=["1", "2", "3"]).assign(skipped=["song", None, "song"])
    result = built(table, tmp_path)
    assert result.skipped == {"song": 2} and result.manifest.table["speaker"].tolist() == ["2"]


def test_an_unknown_speaker_is_counted_and_trained_on(tmp_path):
    result = built(rows(tmp_path, speaker=["1", None, "2", "3"]), tmp_path, choice=SplitChoice(folds=3))
    assert result.unknown_speakers == 1 and result.manifest.table["split"][1] == "train"
    assert set(result.manifest.table["split"]) == {"train", "dev", "test"}


def test_without_speakers_a_split_cannot_be_asked_for(tmp_path):
    table = rows(tmp_path, emotion=["sad", "sad"])
    assert built(table, tmp_path).unknown_speakers == 2
    with pytest.raises(InputError, match="no speaker is known"):
        built(table, tmp_path, choice=SplitChoice(folds=3))


def test_a_split_that_came_with_the_rows_is_kept_unless_another_is_asked_for(tmp_path):
    table = rows(tmp_path, speaker=["1", "2", "3"], split=["train", "train", "test2"])
    assert built(table, tmp_path).manifest.table["split"].tolist() == ["train", "train", "test2"]
    named = SplitChoice(test=("1",), dev=("2",))
    assert built(table, tmp_path, choice=named).manifest.table["split"].tolist() == ["test", "dev", "train"]


def test_a_split_that_came_with_the_rows_must_not_share_speakers(tmp_path):
    with pytest.raises(InputError, match="speaker '1' is in test and train"):
        built(rows(tmp_path, speaker=["1", "1"], split=["train", "test"]), tmp_path)


def test_paths_are_relative_beneath_the_manifest_and_absolute_elsewhere(tmp_path):
    manifest = built(rows(tmp_path, speaker=["1"]), tmp_path).manifest
    assert manifest.write(tmp_path / "metadata.csv").table["file_name"].tolist() == ["corpus/deep/0.wav"]
    elsewhere = manifest.write(tmp_path / "other" / "metadata.csv")
    assert elsewhere.table["file_name"].tolist() == [str(tmp_path / "corpus/deep/0.wav")]


@pytest.mark.parametrize("source", ["corpus", "corpus/deep", "elsewhere"])
def test_a_copy_is_portable_and_known_by_the_same_name(tmp_path, source):
    manifest = built(rows(tmp_path, speaker=["1", "2"]), tmp_path).manifest
    moved, copies = plan_copies(manifest, tmp_path / source, tmp_path / "out")
    for origin, target in copies:
        copy_file(origin, target)
        copy_file(origin, target)  # the same file there already is no obstacle
    written = moved.write(tmp_path / "out" / "metadata.csv")
    assert written.table["file_name"].tolist() == ["deep/0.wav", "deep/1.wav"]
    (tmp_path / "out").rename(tmp_path / "moved")
    paths = Manifest.read(tmp_path / "moved" / "metadata.csv").paths()
    assert [path.read_text() for path in paths] == ["0.wav", "1.wav"]
    assert [utterance_key(path) for path in paths] == [utterance_key(path) for path in manifest.paths()]


def test_another_file_is_not_copied_over(tmp_path):
    (tmp_path / "a.wav").write_text("a")
    (tmp_path / "b.wav").write_text("b")
    with pytest.raises(InputError, match="differs from"):
        copy_file(tmp_path / "a.wav", tmp_path / "b.wav")
    assert (tmp_path / "b.wav").read_text() == "b"


def test_two_files_of_one_name_cannot_be_copied(tmp_path):
    table = pd.DataFrame({"file_name": ["/x/a/1.wav", "/y/a/1.wav"]})
    with pytest.raises(InputError, match=r"two files would be copied to .*a/1.wav"):
        plan_copies(Manifest.from_table(table, tmp_path), tmp_path, tmp_path / "out")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_same_manifest_is_recognised_and_another_is_told_apart(tmp_path, suffix):
    manifest = built(rows(tmp_path, speaker=["1", "2"], emotion=["sad", "calm"]), tmp_path).manifest
    output = tmp_path / f"m{suffix}"
    assert not is_there(manifest, output)
    manifest.write(output)
    before = output.read_bytes()
    assert is_there(manifest, output)
    table = manifest.table
    for other, found in (
        (table.assign(emotion=["sadness", "fear"]), "'emotion', row 2 has 'calm' instead of 'fear'"),
        (table[:1], "it holds 2 utterances instead of 1"),
        (table.drop(columns="emotion"), "it has the column 'emotion'"),
        (table.assign(age="5"), "it lacks the column 'age'"),
    ):
        with pytest.raises(InputError, match=found):
            is_there(Manifest.from_table(other, tmp_path), output)
    assert output.read_bytes() == before and not list(tmp_path.glob(".m*"))


def test_what_is_no_manifest_is_told_apart_too(tmp_path):
    (tmp_path / "m.csv").write_text("shopping list\n")
    with pytest.raises(InputError, match="it cannot be read as a manifest"):
        is_there(built(rows(tmp_path, speaker=["1"]), tmp_path).manifest, tmp_path / "m.csv")


def test_the_real_emodb(shared_data, tmp_path):
    result = built(emodb.read(shared_data / "emodb"), tmp_path, protocol=emodb.PROTOCOL, corpus="emodb")
    assert result.manifest.table["split"].value_counts().to_dict() == {"train": 347, "test": 107, "dev": 81}
    assert all(path.is_file() for path in result.manifest.paths())
    assert Manifest.read(result.manifest.write(tmp_path / "metadata.csv").path).table["speaker"][0] == "03"


@pytest.mark.parametrize("name", ["passwd", "kmsg", "notes.txt"])
def test_only_audio_is_copied_whatever_a_table_names(tmp_path, name):
    (tmp_path / name).write_text("secret")
    with pytest.raises(InputError, match="is not called like audio"):
        copy_file(tmp_path / name, tmp_path / "copied" / name)
    assert not (tmp_path / "copied").exists()

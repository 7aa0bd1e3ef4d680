"""Merging: on shared categories, speakers known by corpus and name, and everything lost is told."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.merge import merge
from sertool.core.errors import InputError


def written(folder, name, rows, header="file_name,corpus,speaker,split,emotion"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join([header, *rows]) + "\n")
    return folder / name


@pytest.fixture
def two(tmp_path):
    """Two corpora that number their speakers alike: three categories each, two of them shared."""
    first = written(
        tmp_path / "a",
        "a.csv",
        [
            "1.wav,one,01,train,anger,2,1,0",
            "2.wav,one,01,train,calm,0,0,3",
            "3.wav,one,02,test,,1,1,0",
            "4.wav,one,,,,,,3",
        ],
        "file_name,corpus,speaker,split,emotion,votes_anger,votes_sadness,votes_calm",
    )
    second = written(
        tmp_path / "b",
        "b.csv",
        ["1.wav,01,test,anger,5.5,30", "2.wav,02,dev,sadness,2,31", "3.wav,03,train,boredom,3,32", "4.wav,02,dev,,4,"],
        "file_name,speaker,split,emotion,arousal,age",
    )
    return first, second


def test_only_shared_categories_are_kept_and_the_rest_is_counted(two, tmp_path):
    first, second = two
    third = written(tmp_path / "c", "c.csv", ["1.wav,three,x,train,anger", "2.wav,three,y,dev,sadness"])
    text = first.read_text() + "5.wav,one,03,dev,sadness,0,1,0\n"
    first.write_text(text)
    merged = merge([first, second, third], tmp_path / "merged.csv")
    table = merged.manifest.table
    assert merged.categories == ["anger", "sadness"] and set(table["emotion"].dropna()) == {"anger", "sadness"}
    assert [part.dropped for part in merged.parts] == [
        {"calm": 1, "unlabelled": 1},
        {"boredom": 1, "unlabelled": 1},
        {},
    ]
    assert [part.kept for part in merged.parts] == [3, 2, 2] and len(table) == 7
    assert merged.dropped_votes == ["votes_calm"] and "votes_calm" not in table
    assert merged.parts[2].lacks == ["votes_anger", "votes_sadness", "arousal", "age"]


def test_an_unlabelled_utterance_stays_for_its_votes(two, tmp_path):
    first, second = two
    merged = merge([first, second], tmp_path / "merged.csv")
    kept = merged.manifest.table.set_index("file_name")
    assert merged.categories == ["anger"]
    assert pd.isna(kept.loc["a/3.wav", "emotion"]) and kept.loc["a/3.wav", "votes_anger"] == 1
    assert "a/4.wav" not in kept.index and merged.dropped_votes == ["votes_calm", "votes_sadness"]


def test_all_keeps_everything(two, tmp_path):
    merged = merge(two, tmp_path / "merged.csv", categories="all")
    assert len(merged.manifest) == 8 and merged.categories == ["anger", "sadness", "calm", "boredom"]
    assert merged.dropped_votes == [] and all(part.dropped == {} for part in merged.parts)
    assert merged.manifest.table["arousal"].tolist()[4] == 5.5 and pd.isna(merged.manifest.table["arousal"][0])


def test_a_corpus_is_named_for_its_file_and_speakers_for_their_corpus(two, tmp_path):
    table = merge(two, tmp_path / "merged.csv").manifest.table
    assert set(table["corpus"]) == {"one", "b"}
    assert table[table["speaker"] == "01"].groupby("corpus")["split"].first().to_dict() == {"b": "test", "one": "train"}


def test_manifests_called_metadata_are_named_for_their_folders(tmp_path):
    rows = ["1.wav,01,anger"]
    paths = [written(tmp_path / name, "metadata.csv", rows, "file_name,speaker,emotion") for name in ("x", "y")]
    assert merge(paths, tmp_path / "m.csv").manifest.table["corpus"].tolist() == ["x", "y"]
    same = [written(tmp_path / name, "data.csv", rows, "file_name,speaker,emotion") for name in ("x", "y")]
    with pytest.raises(InputError, match="both would be called 'data'"):
        merge(same, tmp_path / "m.csv")


@pytest.mark.parametrize("output", ["merged.csv", "a/merged.csv", "elsewhere/deep/merged.parquet"])
def test_paths_lead_to_the_same_files(two, tmp_path, output):
    for folder in "ab":
        for number in range(1, 5):
            soundfile.write(tmp_path / folder / f"{number}.wav", np.full(16, 0.1), 16_000)
    merged = merge(two, tmp_path / output, categories="all")
    read = Manifest.read(merged.manifest.write(tmp_path / output).path)
    assert read.paths() == [tmp_path / folder / f"{number}.wav" for folder in "ab" for number in range(1, 5)]
    assert all(path.is_file() for path in read.paths())


def test_the_same_twice_is_refused(two, tmp_path):
    first, second = two
    with pytest.raises(InputError, match=r"a.csv: is given twice"):
        merge([first, second, tmp_path / "b" / ".." / "a" / "a.csv"], tmp_path / "m.csv")
    with pytest.raises(InputError, match="1 manifest was given; expected at least two"):
        merge([first], tmp_path / "m.csv")
    copy = first.with_name("copy.csv")
    copy.write_text(first.read_text())
    with pytest.raises(InputError, match=r"speaker '01' of corpus 'one' is in .*a.csv and in .*copy.csv"):
        merge([first, copy], tmp_path / "m.csv")
    copy.write_text(first.read_text().replace(",one,", ",other,"))
    with pytest.raises(InputError, match=r"/a/1.wav: is listed in .*a.csv and in .*copy.csv"):
        merge([first, copy], tmp_path / "m.csv")


def test_two_halves_of_a_corpus_may_be_joined(tmp_path):
    halves = [
        written(tmp_path, f"{n}.csv", [f"{n}.wav,one,0{n},{split},anger"]) for n, split in enumerate(("train", "dev"))
    ]
    assert len(merge(halves, tmp_path / "m.csv").manifest) == 2


def test_a_speaker_in_two_splits_is_an_error_in_the_merged_manifest_too(tmp_path):
    first = written(tmp_path, "a.csv", ["1.wav,one,01,train,anger", "2.wav,one,01,test,anger"])
    second = written(tmp_path, "b.csv", ["3.wav,two,01,train,anger"])
    with pytest.raises(InputError, match="speaker '01 of one' is in test and train"):
        merge([first, second], tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("header", "row", "words"),
    [
        ("file_name,speaker,emotion", "9.wav,7,anger", "has splits and .* has none"),
        ("file_name,speaker,split", "9.wav,7,dev", "has no categories.*--categories all"),
        ("file_name,speaker,split,emotion", "9.wav,7,dev,fear", r"no category is in every manifest .*anger, calm"),
        ("file_name,speaker,split,emotion,clean_file", "9.wav,7,dev,anger,8.wav", "has mixtures .* has none"),
    ],
)
def test_what_does_not_go_together_is_said(two, tmp_path, header, row, words):
    other = written(tmp_path, "c.csv", [row], header)
    with pytest.raises(InputError, match=words):
        merge([two[0], other], tmp_path / "m.csv")


def test_columns_of_two_kinds_become_text_and_others_do_not(tmp_path):
    base = {"file_name": ["1.wav"], "speaker": ["1"], "emotion": ["anger"]}
    pq.write_table(pa.table({**base, "age": [30], "level": pa.array(["x"], pa.large_string())}), tmp_path / "a.parquet")
    pq.write_table(pa.table({**base, "file_name": ["2.wav"], "age": ["old"], "level": ["y"]}), tmp_path / "b.parquet")
    merged = merge([tmp_path / "a.parquet", tmp_path / "b.parquet"], tmp_path / "m.csv")
    assert merged.as_text == ["age"] and merged.manifest.table["age"].tolist() == ["30", "old"]
    assert merged.manifest.table["level"].tolist() == ["x", "y"]


words = st.sampled_from(["anger", "fear", "calm", ""])


@settings(max_examples=40)
@given(st.lists(st.lists(words, min_size=1, max_size=5), min_size=2, max_size=4))
def test_nothing_is_lost_without_a_count(tmp_path_factory, corpora):
    folder = tmp_path_factory.mktemp("merge")
    paths = [
        written(
            folder / str(n),
            f"{n}.csv",
            [f"{row}.wav,{row},{word}" for row, word in enumerate(labels)],
            "file_name,speaker,emotion",
        )
        for n, labels in enumerate(corpora)
    ]
    shared = set.intersection(*map(set, corpora)) - {""}
    if not shared:
        with pytest.raises(InputError, match=r"no categories|no category"):
            merge(paths, folder / "m.csv")
        return
    merged = merge(paths, folder / "m.csv")
    assert set(merged.categories) == shared
    for labels, part in zip(corpora, merged.parts, strict=True):
        assert part.kept == sum(word in shared for word in labels)
        assert part.kept + sum(part.dropped.values()) == len(labels)
    assert len(merged.manifest) == sum(part.kept for part in merged.parts)

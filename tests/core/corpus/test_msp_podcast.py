"""MSP-Podcast: every release's layout of its tables, its own split, and classes that are none."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core.corpus import msp_podcast
from sertool.core.corpus.build import build
from sertool.core.corpus.check import check
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.splits import SplitChoice
from sertool.core.errors import InputError

HEADER = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set"
ROWS = (
    "MSP-PODCAST_0001_0001,A,5.5,2.25,6,11,Male,Train",
    "MSP-PODCAST_0001_0002,X,4,4,4,Unknown,Unknown,Train",
    "MSP-PODCAST_0002_0001,N,4,4.2,4,12,Female,Development",
    "MSP-PODCAST_0003_0001,U,5,5,5,13,Female,Test1",
    "MSP-PODCAST_0004_0001,O,3,3,3,Unknown,Male,Test2",
    "MSP-PODCAST_0005_0001,,,,,14,Male,Test3",
)
BY_COLUMN = """FileName,WorkerID,EmoClass_Major,EmoClass_Second,EmoAct,EmoVal,EmoDom
MSP-PODCAST_0001_0001.wav,WORKER1,Angry,"Angry,Frustrated",5,2,6
MSP-PODCAST_0001_0001.wav,WORKER2,Disgust,Disgust,6,2,6
MSP-PODCAST_0001_0001.wav,WORKER3,Other-fed up; really,Annoyed,6,3,6
MSP-PODCAST_0001_0002.wav,WORKER1,Happy,Happy,4,4,4
"""
IN_ONE = """FileName,EmoDetail
MSP-PODCAST_0001_0001.wav,"WORKER00000001; Angry; Angry,Frustrated; A:5.000000; V:2.000000; D:6.000000;"
MSP-PODCAST_0001_0001.wav,"WORKER00000002; Disgust; Disgust; A:6.000000; V:2.000000; D:6.000000;"
MSP-PODCAST_0001_0001.wav,"WORKER00000003; Other-fed up; really; Annoyed; A:6.000000; V:3.000000; D:6.000000;"
MSP-PODCAST_0001_0002.wav,"WORKER00000001; Happy; Happy; A:4.000000; V:4.000000; D:4.000000;"
"""


def corpus(
    folder,
    rows=ROWS,
    *,
    header=HEADER,
    consensus="Labels/labels_consensus.csv",
    detailed=None,
    audio="Audios",
    wav=True,
):
    for name in {line.split(",")[0] for line in rows}:
        path = folder / audio / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = int("".join(filter(str.isdigit, name)))
        soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, 160), 16_000)
    lines = [line.replace(",", ".wav,", 1) if wav else line for line in rows]
    path = folder / consensus
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n")
    if detailed:
        (path.parent / "labels_detailed.csv").write_text(detailed)
    return folder


def by_clip(rows):
    return rows.set_index(rows["path"].str[-13:-4])


def built(folder, output, choice=None, **options):
    rows = msp_podcast.read(folder, **options)
    return build(rows, output, protocol=msp_podcast.PROTOCOL, choice=choice or SplitChoice(), corpus="msp-podcast")


def test_the_published_split_and_labels_are_kept(tmp_path):
    table = msp_podcast.read(corpus(tmp_path))
    rows = by_clip(table)
    assert rows["split"].tolist() == ["train", "train", "dev", "test", "test2", "test3"]
    assert rows.loc["0001_0001", ["speaker", "emotion", "gender"]].tolist() == ["11", "anger", "male"]
    assert rows.loc["0001_0001", ["arousal", "valence", "dominance"]].astype(float).tolist() == [5.5, 2.25, 6]
    assert rows.loc["0003_0001", "emotion"] == "surprise"
    unknown = rows.loc["0001_0002"]
    assert unknown[["speaker", "emotion", "gender"]].isna().all() and unknown["emo_class"] == "X"
    assert rows.loc["0004_0001", "emo_class"] == "O" and pd.isna(rows.loc["0004_0001", "emotion"])
    assert rows.loc["0005_0001", ["emotion", "emo_class", "arousal"]].isna().all()
    assert table.attrs["notes"] == [
        "without emotion, attributes and votes kept: class O (other) 1, X (no agreement) 1",
        "published without labels: test3 1",
    ]


@pytest.mark.parametrize(
    ("given", "split"),
    [("Train", "train"), ("Validation", "dev"), ("development", "dev"), ("Test", "test"), ("Test 2", None)],
)
def test_each_release_names_its_sets(tmp_path, given, split):
    folder = corpus(tmp_path, [f"MSP-PODCAST_0001_0001,A,5,5,5,1,Male,{given}"])
    if split:
        assert msp_podcast.read(folder)["split"].tolist() == [split]
    else:
        with pytest.raises(InputError, match="row 1: Split_Set is 'Test 2'; expected one of development, test"):
            msp_podcast.read(folder)


@pytest.mark.parametrize(
    "consensus", ["labels_concensus.csv", "Labels/labels_concensus.csv", "labels/Labels_Consensus.csv"]
)
@pytest.mark.parametrize(("audio", "wav"), [("Audios", True), ("Audio", False), ("Audios/Audios", True), (".", True)])
def test_tables_and_audio_are_found_in_every_layout(tmp_path, consensus, audio, wav):
    folder = corpus(tmp_path, consensus=consensus, audio=audio, wav=wav)
    rows = msp_podcast.read(folder)
    assert len(rows) == 6 and rows["skipped"].isna().all()
    if audio == "Audios":
        pd.testing.assert_frame_equal(msp_podcast.read(folder / "Audios"), rows)


def test_columns_are_found_by_name_whatever_their_order_and_case(tmp_path):
    header = "split_set,Gender,SpkrID,EMODOM,EmoVal,EmoAct,EmoClass,filename"
    rows = [",".join(reversed(line.split(","))) for line in ROWS]
    folder = corpus(tmp_path / "a")
    swapped = corpus(tmp_path / "b")
    (swapped / "Labels" / "labels_consensus.csv").write_text("\n".join([header, *rows]) + "\n")
    expected, found = (msp_podcast.read(path).drop(columns="path") for path in (folder, swapped))
    pd.testing.assert_frame_equal(found[expected.columns], expected)


@pytest.mark.parametrize("detailed", [BY_COLUMN, BY_COLUMN.replace("EmoClass_Major", "EmoClass"), IN_ONE])
def test_both_layouts_of_the_listeners_votes_say_the_same(tmp_path, detailed):
    table = msp_podcast.read(corpus(tmp_path, detailed=detailed))
    rows = by_clip(table)
    votes = rows.loc["0001_0001", [name for name in rows if name.startswith("votes_")]]
    assert votes[votes > 0].to_dict() == {"votes_anger": 1, "votes_disgust": 1, "votes_other": 1}
    assert rows.loc["0001_0002", "votes_happiness"] == 1 and rows.loc["0002_0001", votes.index].isna().all()
    assert "clips without votes in labels_detailed.csv: 4" in table.attrs["notes"]


def test_words_that_are_not_offered_are_other_and_told_of(tmp_path):
    detailed = IN_ONE.replace("; Happy;", "; Amused;") + "MSP-PODCAST_0002_0001.wav,nobody\n"
    table = msp_podcast.read(corpus(tmp_path, detailed=detailed))
    assert by_clip(table).loc["0001_0002", "votes_other"] == 1
    assert "votes for emotions that listeners are not offered, counted as other: 'amused' 1" in table.attrs["notes"]
    assert "rows of labels_detailed.csv without a primary emotion: 1" in table.attrs["notes"]


WORDS = {"Angry": "anger", "Sad": "sadness", "Happy": "happiness", "Neutral": "neutral", "Contempt": "contempt"}


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from([*WORDS, "Other-a, b; c: (d)"])), min_size=1, max_size=30))
def test_every_answer_is_one_vote(tmp_path_factory, answers):
    path = tmp_path_factory.mktemp("votes") / "labels_detailed.csv"
    lines = [f'c{clip}.wav,"WORKER{n}; {word}; {word}; A:1; V:2; D:3;"' for n, (clip, word) in enumerate(answers)]
    path.write_text("\n".join(["FileName,EmoDetail", *lines]) + "\n")
    votes = msp_podcast.read_votes(path)
    for clip, row in votes.iterrows():
        given_here = [word for number, word in answers if f"c{number}" == clip]
        assert row.sum() == len(given_here)
        for word, category in WORDS.items():
            assert row[f"votes_{category}"] == given_here.count(word)


def test_clips_without_a_row_and_rows_without_a_clip_are_left_out(tmp_path):
    folder = corpus(tmp_path)
    (folder / "Audios" / "MSP-PODCAST_0001_0001.wav").rename(folder / "Audios" / "MSP-PODCAST_0009_0001.wav")
    assert msp_podcast.read(folder)["skipped"].value_counts().to_dict() == {
        "listed, without audio": 1,
        "not listed in labels_consensus.csv": 1,
    }


def test_a_manifest_passes_its_checks(tmp_path):
    result = built(corpus(tmp_path, detailed=BY_COLUMN), tmp_path / "m.csv")
    manifest = Manifest.read(result.manifest.write(tmp_path / "m.csv").path)
    assert manifest.table["speaker"].dropna().tolist() == ["11", "12", "13", "14"] and result.unknown_speakers == 2
    assert manifest.table["split"].tolist() == ["train", "train", "dev", "test", "test2", "test3"]
    report = check(manifest)
    assert report.utterances == 6 and not report.crossing and not report.unreadable
    json.dumps(report.record())


def test_a_speaker_in_two_published_splits_is_named_with_the_ways_out(tmp_path):
    rows = [*ROWS, "MSP-PODCAST_0006_0001,A,5,5,5,13,Female,Train", "MSP-PODCAST_0007_0001,S,5,5,5,12,Female,Train"]
    folder = corpus(tmp_path, rows)
    with pytest.raises(InputError, match=r"'12' is in dev and train; .*'13' is in test.*--crossing leave-out.*--folds"):
        built(folder, tmp_path / "m.csv")
    result = built(folder, tmp_path / "m.csv", crossing="leave-out")
    assert result.skipped == {"by speakers of another split": 2}
    assert result.manifest.table["split"].tolist() == ["train", "train", "dev", "test", "test2", "test3"]
    dealt = built(folder, tmp_path / "m.csv", SplitChoice(folds=3)).manifest.table
    assert len(dealt) == 8 and (dealt.dropna(subset="speaker").groupby("speaker")["split"].nunique() == 1).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda labels: (labels / "labels_consensus.csv").unlink(), "has no labels_consensus.csv"),
        (lambda labels: (labels / "labels_concensus.csv").write_text("a\n"), "are both there"),
        (lambda labels: edit(labels, "EmoClass,", "Emo,"), "no column 'EmoClass', but 'FileName', 'Emo'"),
        (lambda labels: edit(labels, ",A,5.5", ",Z,5.5"), "row 1: EmoClass is 'Z'; expected one of A, C, D"),
        (lambda labels: edit(labels, "0001_0002.wav", "0001_0001.wav"), "lists 'MSP-PODCAST_0001_0001' twice"),
        (lambda labels: (labels / "labels_detailed.csv").write_text("FileName,x\na,b\n"), "of primary emotions"),
    ],
)
def test_tables_that_are_none_are_refused(tmp_path, change, words):
    folder = corpus(tmp_path)
    change(folder / "Labels")
    with pytest.raises(InputError, match=words):
        msp_podcast.read(folder)


def edit(labels, old, new):
    path = labels / "labels_consensus.csv"
    path.write_text(path.read_text().replace(old, new, 1))


def test_nothing_is_no_corpus(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        msp_podcast.read(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"has no labels_consensus.csv"):
        msp_podcast.read(tmp_path)

"""CREMA-D: its names, its tables of votes as they are, and the folds in use."""

import csv

import numpy as np
import pandas as pd
import pytest
import soundfile

from sertool.core.corpus import crema_d
from sertool.core.corpus.build import build
from sertool.core.corpus.check import check
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.splits import SplitChoice, choose
from sertool.core.errors import InputError

CLIPS = ("1001_IEO_ANG_HI", "1002_DFA_NEU_XX", "1040_ITH_SAD_X", "1076_MTI_SAD_XX", "1091_WSI_DIS_XX")


def audio(folder, *names, suffix=".wav"):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        samples = np.zeros(160) if name == crema_d.SILENT_CLIP else np.random.default_rng(seed).normal(0, 0.1, 160)
        soundfile.write(folder / f"{name}{suffix}", samples, 16_000)
    return folder


def tables(folder, votes=(), summary=None, people=()):
    """Write tables as the corpus has them: quoted, with a first column that has no name."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "tabulatedVotes.csv").open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(["", *"ADFHNS", "fileName", "numResponses", "agreement", "emoVote", "meanEmoResp"])
        for number, counts, name in votes:
            writer.writerow([str(number), *counts, name, sum(counts), max(counts) / sum(counts), "?", 50.0])
    if summary is not None:
        lines = ['"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel","MultiModalVote","MultiModalLevel"']
        lines += [f'"1","{name}","{vote}","50","{vote}","50","{vote}","50"' for name, vote in summary.items()]
        (folder / "summaryTable.csv").write_text("\n".join(lines) + "\n")
    if people:
        text = '"ActorID","Age","Sex","Race","Ethnicity"\n' + "\n".join(people) + "\n"
        (folder / "VideoDemographics.csv").write_text(text)
    return folder


@pytest.fixture
def corpus(tmp_path):
    """Five clips with both odd ones, votes in the voice channel, and no votes for the last clip."""
    audio(tmp_path / "AudioWAV", *CLIPS)
    votes = [
        (100001, (5, 1, 0, 0, 4, 0), "1001_IEO_ANG_HI"),
        (100002, (3, 0, 0, 0, 3, 1), "1002_DFA_NEU_XX"),
        (103234, (0, 0, 2, 0, 5, 3), "1040_ITH_SAD_XX"),
        (106174, (0, 1, 0, 0, 5, 3), "1076_MTI_SAD_XX"),
        (200001, (0, 0, 0, 9, 0, 1), "1001_IEO_ANG_HI"),
    ]
    people = ['1001,51,"Male","Caucasian","Not Hispanic"', '1040,42,"Female","Unknown","Hispanic"']
    return tables(tmp_path, votes, {"1001_IEO_ANG_HI": "A", "1002_DFA_NEU_XX": "A:N"}, people)


def used(rows):
    kept = rows[rows["skipped"].isna()]
    return kept.set_index(kept["path"].str[-19:].str.lstrip("/").str.removesuffix(".wav"))


def test_names_say_what_was_intended_without_any_table(tmp_path):
    rows = crema_d.read(audio(tmp_path, "1001_IEO_ANG_HI", suffix=".flac"))
    row = rows.iloc[0]
    assert row["emotion"] == row["intended_emotion"] == "anger" and row["intended_level"] == "high"
    assert (row["speaker"], row["sentence"], row["text"]) == ("1001", "IEO", "It's eleven o'clock.")
    assert row["label_source"] == "intended" and "gender" not in rows and "votes_anger" not in rows


def test_votes_stand_beside_the_intended_labels(corpus):
    rows = used(crema_d.read(corpus))
    first = rows.loc["1001_IEO_ANG_HI"]
    assert first[["votes_anger", "votes_disgust", "votes_neutral"]].tolist() == [5, 1, 4]
    assert first["agreement"] == 0.5 and first["vote_channel"] == "voice" and first["perceived_emotion"] == "anger"
    assert (first["gender"], first["age"], first["race"]) == ("male", "51", "Caucasian")
    assert rows.loc["1040_ITH_SAD_X", "perceived_emotion"] == "neutral" and pd.isna(rows.loc["1040_ITH_SAD_X", "race"])
    assert rows["emotion"].tolist() == ["anger", "neutral", "sadness", "disgust"]


def test_a_tie_is_no_perceived_emotion_but_keeps_its_votes(corpus):
    table = crema_d.read(corpus, labels="perceived")
    rows = used(table)
    assert pd.isna(rows.loc["1002_DFA_NEU_XX", "emotion"]) and rows.loc["1002_DFA_NEU_XX", "votes_anger"] == 3
    assert rows.loc["1002_DFA_NEU_XX", "intended_emotion"] == "neutral"
    assert (rows["label_source"] == "perceived: voice").all()
    assert table.attrs["notes"] == [
        "emotions: perceived: voice; votes: voice",
        "clips without votes in tabulatedVotes.csv: 1",
        "ties between categories, without emotion, votes kept: 1",
    ]
    assert table["skipped"].value_counts().to_dict() == {
        "published without sound": 1,
        "without votes in tabulatedVotes.csv": 1,
    }


def test_each_channel_has_its_own_votes(corpus):
    rows = used(crema_d.read(corpus, labels="perceived", channel="face"))
    assert rows["emotion"].tolist() == ["happiness"] and rows["label_source"].tolist() == ["perceived: face"]
    with pytest.raises(InputError, match="4 without votes in tabulatedVotes"):
        crema_d.read(corpus, labels="perceived", channel="multimodal")


def test_the_silent_clip_is_left_out_only_where_it_is_silent(corpus):
    assert "1076_MTI_SAD_XX" not in used(crema_d.read(corpus)).index
    soundfile.write(corpus / "AudioWAV" / "1076_MTI_SAD_XX.wav", np.full(160, 0.1), 16_000)
    assert "1076_MTI_SAD_XX" in used(crema_d.read(corpus)).index
    (corpus / "AudioWAV" / "1076_MTI_SAD_XX.wav").write_text("version https://git-lfs.github.com/spec/v1")
    assert "1076_MTI_SAD_XX" in used(crema_d.read(corpus)).index


@pytest.mark.parametrize("place", ["", "processedResults"])
def test_tables_may_lie_beside_the_clips_or_where_the_repository_has_them(tmp_path, place):
    clips = audio(tmp_path / "AudioWAV", "1001_IEO_ANG_HI")
    audio(tmp_path / "AudioMP3", "1001_IEO_ANG_HI", suffix=".flac")  # the same clips again, for listening
    tables(tmp_path / place, [(100001, (5, 1, 0, 0, 4, 0), "1001_IEO_ANG_HI")])
    for folder in (tmp_path, clips):
        rows = crema_d.read(folder)
        assert len(rows) == 1 and rows["votes_anger"].tolist() == [5]


@pytest.mark.parametrize("options", [{"labels": "perceived"}, {"channel": "voice"}])
def test_votes_without_their_table_are_refused(tmp_path, options):
    with pytest.raises(InputError, match=r"has no tabulatedVotes.csv.*ask for intended labels"):
        crema_d.read(audio(tmp_path, "1001_IEO_ANG_HI"), **options)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A,D,F\n1,2,3\n", "no column 'fileName', but 'A', 'D', 'F'"),
        (",A,D,F,H,N,S,fileName\n17,1,0,0,0,0,0,1001_IEO_ANG_HI\n", "row 1 is numbered '17'"),
        (",A,D,F,H,N,S,fileName\n100001,x,0,0,0,0,0,1001_IEO_ANG_HI\n", "no number"),
        (",A,D,F,H,N,S,fileName\n" + 2 * "100001,1,0,0,0,0,0,1001_IEO_ANG_HI\n", "'1001_IEO_ANG_HI' twice"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, text, words):
    (tmp_path / "tabulatedVotes.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        crema_d.read(audio(tmp_path, "1001_IEO_ANG_HI"))


def test_a_summary_that_disagrees_is_told_of(corpus):
    summary = corpus / "summaryTable.csv"
    summary.write_text(summary.read_text().replace('"A:N"', '"N:S"'))
    notes = crema_d.read(corpus).attrs["notes"]
    assert any(
        "summaryTable.csv names another category than the voice votes for 1 of 2 clips" in note for note in notes
    )


def test_other_files_are_left_out_and_a_clip_may_lie_there_once(tmp_path):
    audio(tmp_path, "1001_IEO_ANG_HI", "1001_IEO_JOY_HI", "1092_IEO_ANG_HI", "1001_XYZ_ANG_HI")
    rows = crema_d.read(tmp_path)
    assert rows["skipped"].value_counts().to_dict() == {"not named as CREMA-D names its clips": 3}
    audio(tmp_path / "again", "1001_IEO_ANG_HI")
    with pytest.raises(InputError, match="lies there twice"):
        crema_d.read(tmp_path)


def test_folds_are_those_in_use_and_share_no_speaker():
    actors = [str(actor) for actor in range(1001, 1092)]
    tested = []
    ranges = ((1037, 1054), (1001, 1018), (1073, 1091), (1055, 1072), (1019, 1036))
    for fold, (first, last) in enumerate(ranges):
        split_of = choose(actors, {}, SplitChoice(fold=fold), crema_d.PROTOCOL)
        parts = {part: {int(name) for name, split in split_of.items() if split == part} for part in ("test", "dev")}
        dev = ranges[(fold + 1) % 5]
        assert parts == {"test": set(range(first, last + 1)), "dev": set(range(dev[0], dev[1] + 1))}
        tested += parts["test"]
    assert sorted(map(str, tested)) == actors
    assert choose(actors, {}, SplitChoice(), crema_d.PROTOCOL)["1037"] == "test"


@pytest.fixture(scope="session")
def real_corpus(shared_data, tmp_path_factory):
    """The real tables beside clips of noise, one for each of their names (every tenth, and the odd ones)."""
    folder = tmp_path_factory.mktemp("crema-d")
    names = pd.read_csv(shared_data / "crema-d" / "summaryTable.csv")["FileName"]
    odd = {"1040_ITH_SAD_XX": "1040_ITH_SAD_X", crema_d.SILENT_CLIP: crema_d.SILENT_CLIP}
    chosen = [odd.get(name, name) for row, name in enumerate(names) if row % 10 == 0 or name in odd]
    audio(folder / "AudioWAV", *chosen)
    for path in (shared_data / "crema-d").iterdir():
        (folder / path.name).symlink_to(path)
    return folder


@pytest.mark.parametrize(("channel", "ties"), [("voice", 644), ("face", 470), ("multimodal", 420)])
def test_the_real_votes(shared_data, channel, ties):
    votes = crema_d.read_votes(shared_data / "crema-d" / "tabulatedVotes.csv", channel)
    assert len(votes) == 7442 and crema_d.most_voted(votes).isna().sum() == ties
    summary = shared_data / "crema-d" / "summaryTable.csv"
    assert crema_d.agreement_with_summary(votes, summary, channel) == (7442, 7442)
    # Read here by other means: the table's own opinion of what was voted.
    table = pd.read_csv(shared_data / "crema-d" / "tabulatedVotes.csv", index_col=0)
    table = table[table.index // 100_000 == crema_d.CHANNELS.index(channel) + 1].set_index("fileName")
    single = table["emoVote"][~table["emoVote"].str.contains(":")]
    assert (single.map(crema_d.LETTERS) == crema_d.most_voted(votes)[single.index]).all()
    assert votes.sum(axis=1).eq(table["numResponses"]).all()
    np.testing.assert_allclose(votes.max(axis=1) / votes.sum(axis=1), table["agreement"])


@pytest.mark.parametrize("labels", ["intended", "perceived"])
def test_the_real_tables_make_a_manifest(real_corpus, tmp_path, labels):
    rows = crema_d.read(real_corpus, labels=labels)
    assert rows["skipped"].value_counts().to_dict() == {"published without sound": 1}
    built = build(rows, tmp_path / "m.csv", protocol=crema_d.PROTOCOL, choice=SplitChoice(), corpus="crema-d")
    manifest = Manifest.read(built.manifest.write(tmp_path / "m.csv").path)
    assert manifest.table["emotion"].nunique() == 6 and manifest.table["agreement"].between(1 / 6, 1).all()
    assert manifest.table[crema_d.VOTES].notna().all(axis=None) and set(manifest.table["gender"]) == {"female", "male"}
    report = check(manifest.where(manifest.table["split"] == "dev"))
    assert not report.crossing and not report.unreadable and not report.silent


def test_demographics_may_know_nobody_who_speaks(corpus):
    (corpus / "VideoDemographics.csv").write_text('"ActorID","Age","Sex","Race","Ethnicity"\n1050,20,"Male",,\n')
    assert crema_d.read(corpus)[["gender", "age", "race", "ethnicity"]].isna().all(axis=None)

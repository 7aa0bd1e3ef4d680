"""`sertool corpus` as a user calls it: the manifest's path on stdout, what is odd on stderr, exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sertool.core.corpus.manifest import Manifest


@pytest.fixture
def ravdess(tmp_path) -> Path:
    """Six actors with two clips each, named as RAVDESS names them."""
    for actor in range(1, 25, 4):
        for code in ("02", "05"):
            path = tmp_path / "ravdess" / f"Actor_{actor:02}" / f"03-01-{code}-01-01-01-{actor:02}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.1 * np.random.default_rng(actor + int(code)).standard_normal(800), 16_000)
    return tmp_path / "ravdess"


def test_a_corpus_becomes_a_manifest_with_its_published_split(sertool, ravdess, tmp_path):
    result = sertool("corpus", "ravdess", ravdess)
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/metadata.csv\n")
    table = Manifest.read("metadata.csv").table
    assert table["file_name"][0] == "ravdess/Actor_01/03-01-02-01-01-01-01.wav"
    for speaker, split in zip(table["speaker"], table["split"], strict=True):
        assert split == {0: "test", 1: "dev"}.get((int(speaker) - 1) // 2 % 6, "train")


def test_again_says_so_and_another_fold_is_told_apart(sertool, ravdess, assert_one_line):
    sertool("corpus", "ravdess", ravdess)
    before = Path("metadata.csv").read_bytes()
    result = sertool("corpus", "ravdess", ravdess, "--folds", 6, "--fold", 0)
    assert result.exit_code == 0 and "was there already" in result.stderr
    assert_one_line(sertool("corpus", "ravdess", ravdess, "--fold", 2), "differ in 'split'", "--overwrite")
    assert Path("metadata.csv").read_bytes() == before
    assert sertool("corpus", "ravdess", ravdess, "--fold", 2, "--overwrite").exit_code == 0
    assert Path("metadata.csv").read_bytes() != before


def test_a_copy_can_be_moved(sertool, ravdess, tmp_path):
    options = ("--copy", "--test-speakers", "01,05", "--dev-speakers", "09", "--map", "calm=neutral")
    assert sertool("corpus", "ravdess", ravdess, "-o", "out/metadata.csv", *options).exit_code == 0
    (tmp_path / "out").rename(tmp_path / "moved")
    manifest = Manifest.read("moved/metadata.csv")
    assert all(path.is_file() and path.is_relative_to(tmp_path / "moved") for path in manifest.paths())
    assert set(manifest.split("test").table["speaker"]) == {"01", "05"}
    assert set(manifest.table["emotion"]) == {"neutral", "anger"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ravdess", "nowhere"), ("nowhere", "no such folder")),
        (("ravdess", "ravdess", "--folds", "2"), ("--folds 2", "at least 3")),
        (("ravdess", "ravdess", "--fold", "6"), ("--fold 6", "0 to 5")),
        (("ravdess", "ravdess", "--test-speakers", "77"), ("speaker '77'", "01, 05")),
        (("ravdess", "ravdess", "--map", "calm=netural"), ("netural", "nearest: neutral")),
        (("ravdess", "ravdess", "-o", "m.xlsx"), (".xlsx", ".csv or .parquet")),
        (("emodb", "ravdess"), ("12 not named as EmoDB",)),
        (("folder", "ravdess", "--column", "emotion"), ("NAME=THEIRS", "emotion=label")),
    ],
)
def test_what_is_wrong_is_said_in_one_line(sertool, ravdess, assert_one_line, arguments, words):
    assert_one_line(sertool("corpus", *arguments), *words)
    assert not list(Path().glob("m*"))


def test_what_a_folder_lacks_is_said(sertool, ravdess):
    result = sertool("corpus", "folder", ravdess, "--map", "calm=neutral")
    assert result.exit_code == 0
    for words in ("no emotions", "no speakers", "no splits", "no clip is labelled 'calm'"):
        assert words in result.stderr
    result = sertool("corpus", "folder", ravdess, "--speaker-pattern", r"-(\d+)\.", "--folds", "3", "--overwrite")
    assert "6 speakers" in result.stderr and "no splits" not in result.stderr


def test_check_says_what_is_there(sertool, ravdess):
    sertool("corpus", "ravdess", ravdess)
    result = sertool("corpus", "check", "metadata.csv", "--workers", 1)
    assert result.exit_code == 0 and "12 at 16000 Hz" in result.stdout and "no faults found" in result.stdout
    report = json.loads(sertool("corpus", "check", "metadata.csv", "--workers", 1, "--json").stdout)
    assert report["utterances"] == 12 and report["rates"] == {"16000": 12} and report["crossing"] == {}


def test_check_ends_with_1_for_clips_and_with_2_for_speakers(sertool, ravdess):
    sertool("corpus", "ravdess", ravdess)
    (ravdess / "Actor_01" / "03-01-02-01-01-01-01.wav").write_text("no audio")
    result = sertool("corpus", "check", "metadata.csv", "--workers", 1)
    assert result.exit_code == 1 and "1 of 12 inputs failed" in result.stderr and "unreadable" in result.stdout
    text = Path("metadata.csv").read_text()
    Path("metadata.csv").write_text(text.replace(",01,test,anger", ",01,train,anger"))
    result = sertool("corpus", "check", "metadata.csv", "--workers", 1, "--json")
    assert result.exit_code == 2 and "speaker '01' is in test and train" in result.stderr.splitlines()[-1]
    assert json.loads(result.stdout)["crossing"] == {"01": ["test", "train"]}


def test_its_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['sertool', 'corpus', 'folder', '--help']\n"
        "from sertool.cli.main import main\n"
        "try: main()\n"
        "finally: print({'torch', 'pandas', 'numpy', 'pyarrow', 'soundfile'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "set()"


def speech(folder: Path, *names: str) -> Path:
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(800), 16_000)
    return folder


@pytest.fixture
def crema_d(tmp_path) -> Path:
    """Three clips of CREMA-D with the votes of raters who heard them, one a tie."""
    folder = tmp_path / "crema-d"
    speech(folder / "AudioWAV", "1001_IEO_ANG_HI.wav", "1037_DFA_NEU_XX.wav", "1073_WSI_SAD_XX.wav")
    (folder / "tabulatedVotes.csv").write_text(
        '"","A","D","F","H","N","S","fileName"\n'
        '"100001",5,1,0,0,4,0,"1001_IEO_ANG_HI"\n"100002",3,0,0,0,3,1,"1037_DFA_NEU_XX"\n'
        '"100003",0,0,2,0,5,3,"1073_WSI_SAD_XX"\n"200001",0,9,0,0,0,1,"1001_IEO_ANG_HI"\n'
    )
    return folder


@pytest.fixture
def iemocap(tmp_path) -> Path:
    """Five sessions of IEMOCAP with two utterances each."""
    folder = tmp_path / "iemocap"
    for session in range(1, 6):
        name = f"Ses0{session}F_impro01"
        speech(folder / f"Session{session}/sentences/wav/{name}", f"{name}_F000.wav", f"{name}_M000.wav")
        path = folder / f"Session{session}/dialog/EmoEvaluation/{name}.txt"
        path.parent.mkdir(parents=True)
        lines = [
            f"[1.0 - 2.0]\t{name}_{letter}000\t{code}\t[2.5000, 2.5000, 2.5000]\nC-E2:\t{word};\t()\n"
            for letter, code, word in (("F", "ang", "Anger"), ("M", "fru", "Frustration"))
        ]
        path.write_text("% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n" + "\n".join(lines))
    return folder


def test_crema_d_states_whose_labels_it_holds(sertool, crema_d):
    result = sertool("corpus", "crema-d", crema_d)
    assert result.exit_code == 0 and "test 1" in result.stderr
    table = Manifest.read("metadata.csv").table
    assert set(table["label_source"]) == {"intended"} and table["emotion"].tolist() == ["anger", "neutral", "sadness"]
    assert table["split"].tolist() == ["dev", "test", "train"] and table["votes_anger"].tolist() == [5, 3, 0]
    result = sertool("corpus", "crema-d", crema_d, "--labels", "perceived", "-o", "heard.csv")
    assert "ties between categories, without emotion, votes kept: 1" in result.stderr
    table = Manifest.read("heard.csv").table
    assert set(table["label_source"]) == {"perceived: voice"} and table["intended_emotion"].notna().all()
    options = ("--labels", "perceived", "--channel", "face", "-o", "seen.parquet")
    assert sertool("corpus", "crema-d", crema_d, *options).exit_code == 0
    assert Manifest.read("seen.parquet").table["emotion"].tolist() == ["disgust"]


def test_iemocap_is_four_classes_or_all(sertool, iemocap):
    result = sertool("corpus", "iemocap", iemocap)
    assert result.exit_code == 0 and "5 clips left out: class fru (frustration)" in result.stderr
    assert sertool("corpus", "iemocap", iemocap, "--classes", "all", "--fold", 4, "-o", "all.csv").exit_code == 0
    manifest = Manifest.read("all.csv")
    assert set(manifest.split("test").table["speaker"]) == {"Ses05F", "Ses05M"}
    assert sertool("corpus", "check", "all.csv", "--workers", 1).exit_code == 0


def test_attributes_are_derived_only_where_a_corpus_has_none_of_its_own(sertool, crema_d, iemocap, assert_one_line):
    assert sertool("corpus", "crema-d", crema_d, "--derive-attributes", "-o", "c.csv").exit_code == 0
    assert Manifest.read("c.csv").table["arousal"].tolist() == [5.77, 4.0, 3.19]
    result = sertool("corpus", "iemocap", iemocap, "--derive-attributes", "-o", "i.csv")
    assert_one_line(
        result, "5 utterances have attributes of the corpus's own (arousal, dominance, valence); expected none", "leave"
    )
    assert not Path("i.csv").exists()


def test_a_map_changes_emotions_and_their_votes(sertool, iemocap):
    options = ("--classes", "all", "--map", "frustration=anger")
    assert sertool("corpus", "iemocap", iemocap, *options).exit_code == 0
    table = Manifest.read("metadata.csv").table
    assert set(table["emotion"]) == {"anger"} and (table["votes_anger"] == 1).all()
    assert "votes_frustration" not in table


def test_msp_podcast_keeps_its_split_and_names_the_way_out(sertool, tmp_path, assert_one_line):
    folder = tmp_path / "msp"
    speech(folder / "Audios", "MSP-PODCAST_0001_0001.wav", "MSP-PODCAST_0001_0002.wav", "MSP-PODCAST_0001_0003.wav")
    table = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set\n" + "".join(
        f"MSP-PODCAST_0001_000{n}.wav,A,4,4,4,{speaker},Male,{split}\n"
        for n, speaker, split in ((1, 7, "Train"), (2, 7, "Test1"), (3, "Unknown", "Train"))
    )
    (folder / "Labels").mkdir()
    (folder / "Labels" / "labels_consensus.csv").write_text(table)
    assert_one_line(
        sertool("corpus", "msp-podcast", folder), "speaker '7' is in test and train", "--crossing leave-out"
    )
    result = sertool("corpus", "msp-podcast", folder, "--crossing", "leave-out")
    assert result.exit_code == 0 and "1 clip left out: by speakers of another split" in result.stderr
    assert "1 utterance by unknown speakers: whose splits cannot be told apart" in result.stderr


def test_merged_corpora_say_what_was_lost(sertool, crema_d, iemocap, tmp_path):
    sertool("corpus", "crema-d", crema_d, "-o", "c.csv")
    sertool("corpus", "iemocap", iemocap, "--classes", "all", "-o", "i.csv")
    result = sertool("corpus", "merge", "c.csv", "i.csv", "-o", "merged.csv")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/merged.csv\n")
    for words in (
        "c.csv (crema-d): 2 utterances left out: sadness 1, neutral 1",
        "i.csv (iemocap): 5 utterances left out: frustration 5",
        "columns left out: votes_disgust, ",
        "6 utterances, 6 speakers, 1 category",
    ):
        assert words in " ".join(result.stderr.split())
    merged = Manifest.read("merged.csv", require=("corpus", "speaker", "split", "emotion"))
    assert all(path.is_file() for path in merged.paths())
    assert sertool("corpus", "check", "merged.csv", "--workers", 1).exit_code == 0
    assert "was there already" in sertool("corpus", "merge", "c.csv", "i.csv", "-o", "merged.csv").stderr
    options = ("-o", "merged.csv", "--categories", "all")
    again = sertool("corpus", "merge", "c.csv", "i.csv", *options)
    assert again.exit_code == 2 and "--overwrite" in again.stderr
    result = sertool("corpus", "merge", "c.csv", "i.csv", *options, "--json", "--overwrite")
    record = json.loads(result.stdout)
    assert record["utterances"] == 13 and record["categories"] == ["anger", "sadness", "neutral", "frustration"]
    assert [part["dropped"] for part in record["parts"]] == [{}, {}] and record["manifest"].endswith("merged.csv")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("crema-d", "ravdess"), ("12 not named as CREMA-D names its clips", "1001_IEO_ANG_HI.wav")),
        (("msp-podcast", "ravdess"), ("labels_consensus.csv", "labels_concensus.csv")),
        (("iemocap", "ravdess"), ("no evaluations", "Session1/dialog/EmoEvaluation")),
        (("iemocap", "ravdess", "--classes", "5"), ("'5'", "'4', 'all'")),
        (("merge", "a.csv", "b.csv", "-o", "m.csv"), ("a.csv", "no such file")),
        (("merge", "a.csv", "-o", "m.csv"), ("at least two",)),
        (("merge", "a.csv", "b.csv", "-o", "m.txt"), (".txt", ".csv or .parquet")),
    ],
)
def test_what_is_wrong_with_the_newer_corpora_is_said_in_one_line(sertool, ravdess, assert_one_line, arguments, words):
    assert_one_line(sertool("corpus", *arguments), *words)
    assert not list(Path().glob("m*.*"))

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

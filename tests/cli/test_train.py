"""`sertool train` and `pretrain`: where a run goes, and what is said of one that is finished."""

import pytest

from sertool.cli.train import run_name


@pytest.mark.parametrize(
    ("manifest", "name"), [("rav.csv", "rav"), ("../rav.csv", "rav"), ("corpora/emodb/metadata.csv", "emodb")]
)
def test_a_run_is_named_for_its_manifest(manifest, name):
    assert run_name(manifest) == name


def test_a_metadata_file_here_is_named_for_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_name("metadata.csv") == tmp_path.name


def test_trained_twice_it_says_so(sertool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny = ["--set", "encoder.compact.dim=8", "--set", "encoder.compact.layers=1", "--set", "data.workers=0"]
    first = sertool("train", "--epochs", "1", *tiny, "--task", "emotion", "-o", "run")
    assert first.exit_code == 0, first.stderr
    again = sertool("train", "--epochs", "1", *tiny, "--task", "emotion", "-o", "run")
    assert again.exit_code == 0 and "finished already" in again.stderr

"""`sertool train` and `pretrain`: where a run goes, and what is said of one that is finished."""

import numpy as np
import pytest
import soundfile

from sertool.cli.train import run_name
from sertool.core.models.storage import read_config


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


def test_a_sweep_over_sparsities_leaves_a_run_for_each(sertool, tmp_path, run):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    rows = ["file_name,speaker,split,emotion"]
    for i in range(4):
        noise = 0.1 * np.random.default_rng(i).standard_normal(4000)
        soundfile.write(corpus / f"{i}.wav", noise, 16_000)
        rows.append(f"{i}.wav,{i},{'train' if i < 2 else 'dev'},{('anger', 'neutral')[i % 2]}")
    (corpus / "metadata.csv").write_text("\n".join(rows) + "\n")
    (run / "seen_audio.txt").touch()
    words = ["train", corpus / "metadata.csv", "--encoder", run, "--task", "emotion", "--set", "data.workers=0"]
    words += ["--epochs", "1", "--adapt", "router", "--sparsity", "0.1", "--sparsity", "0.4", "-o", "sweep"]
    found = sertool(*words)
    assert found.exit_code == 0, found.stderr
    assert found.stdout.split() == ["sweep/sparsity-0.1", "sweep/sparsity-0.4"]
    for share in (0.1, 0.4):
        config = read_config(tmp_path / "sweep" / f"sparsity-{share}" / "model")
        assert config.adapt.router.sparsity == share
    assert sertool(*words).stderr.count("finished already") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sparsity", "0.1"], "--sparsity is for the router"),
        (["--adapt", "router"], "has learned nothing yet"),
        (["--adapt", "melt", "--encoder", "x"], "'encoder.adapt' is 'melt'"),
        (["--encoder", "./nowhere"], "no such run folder"),
        (["--adapt", "router", "--encoder", "x", "--sparsity", "1.0"], "0.99"),
    ],
)
def test_an_adaptation_that_cannot_be_is_refused(sertool, words, said):
    found = sertool("train", *words, "-o", "run")
    assert found.exit_code == 2 and said in found.stderr and "Traceback" not in found.stderr

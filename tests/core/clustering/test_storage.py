"""A cluster model on disk, and applied from there."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from sertool.core.clustering import results
from sertool.core.clustering.assignments import cluster_utterances
from sertool.core.clustering.config import ClusterConfig, MelInput
from sertool.core.clustering.loop import train_clusters
from sertool.core.clustering.network import ClusterModel
from sertool.core.clustering.storage import load_cluster_model, save_cluster_model
from sertool.core.corpus.manifest import Manifest
from sertool.core.errors import InputError
from sertool.core.models.locate import find_run
from sertool.core.models.shared import SharedModel


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = ClusterConfig(input=MelInput(mels=32, channels=(4,) * 7), chunk_s=0.2, chunks=3, attributes=("arousal",))
    model = ClusterModel(config).eval()
    model.set_statistics(torch.randn(32), torch.rand(32) + 0.5)
    return model


def test_read_back_it_says_the_same(model, tmp_path):
    save_cluster_model(model, tmp_path)
    again, encoder = load_cluster_model(tmp_path)
    assert encoder is None and again.config == model.config and not again.training
    chunks = torch.randn(2, 3, 12, 32)
    with torch.no_grad():
        for one, other in zip(model(model.normalise(chunks)), again(again.normalise(chunks)), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_what_is_no_cluster_model_is_refused(model, tmp_path):
    save_cluster_model(model, tmp_path)
    with pytest.raises(InputError, match=r"is a cluster model.*expected a shared model"):
        SharedModel.from_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors.pop("top.bias")
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"top\.bias"):
        load_cluster_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "chunks": 0}))
    with pytest.raises(InputError, match="chunks"):
        load_cluster_model(tmp_path)


@pytest.fixture(scope="module")
def runs(recipe_of, corpus, tmp_path_factory):
    """A run on mel spectra, and one on the hidden states of a shared model's encoder, whose run it names."""
    from sertool.core.models.config import CompactConfig, SharedConfig
    from sertool.core.models.storage import save_model

    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    shared = SharedModel(SharedConfig(encoder=CompactConfig(dim=8, layers=1, kernel=3), enhancement={"hidden": 4}))
    save_model(shared.own_state(), shared.config, folder / "shared" / "model")
    (folder / "shared" / "run.json").write_text(json.dumps({"state": "finished"}))
    (folder / "shared" / "seen_audio.txt").write_text("0123456789abcdef" * 2 + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "draw_page", lambda path, *arguments, **named: path.touch())
        train_clusters(recipe_of(), folder / "mel")
        train_clusters(
            recipe_of(input__encoder=str(folder / "shared"), attributes=["valence"], temporal="gru"), folder / "encoder"
        )
    return folder


@pytest.mark.parametrize("name", ["mel", "encoder"])
def test_applied_to_what_it_learned_from_it_says_what_the_run_left(runs, corpus, name):
    manifest = Manifest.read(corpus / "labelled.csv").split("dev")
    found = cluster_utterances(runs / name, manifest, features=True)
    left = pd.read_parquet(runs / name / "utterances.parquet").query("part == 'dev'")
    assert [Path(path).name for path in found.paths] == left["file_name"].tolist()
    assert found.cluster.tolist() == left["cluster"].tolist()
    assert found.posterior.sum(1) == pytest.approx(1) and found.vectors.shape == (5, 512)
    assert found.features.shape == (15, 256)
    if name == "encoder":
        assert found.targets == ("valence",)
        assert found.estimates[:, 0] == pytest.approx(left["estimated_valence"].to_numpy())
    else:
        guessed = np.array(found.targets)[found.estimates.argmax(1)]
        assert guessed.tolist() == left["estimated_emotion"].tolist()


def test_an_encoder_is_named_and_not_stored_and_what_it_heard_is_known(runs):
    from sertool.core.training.run import open_run

    tensors = load_file(runs / "encoder" / "model" / "model.safetensors")
    assert not [name for name in tensors if "encoder" in name]
    assert "0123456789abcdef" * 2 in open_run(runs / "encoder").seen_audio
    assert "0123456789abcdef" * 2 not in open_run(runs / "mel").seen_audio


def test_another_encoder_than_it_heard_is_refused(runs, tmp_path):
    weights = runs / "shared" / "model" / "model.safetensors"
    before = weights.read_bytes()
    tensors = load_file(weights)
    name = next(name for name in tensors if name.startswith("encoder.") and tensors[name].is_floating_point())
    save_file({**tensors, name: tensors[name] + 1}, weights)
    try:
        with pytest.raises(InputError, match="another encoder"):
            load_cluster_model(runs / "encoder" / "model")
    finally:
        weights.write_bytes(before)


def test_a_cluster_run_is_not_taken_for_a_recogniser(runs):
    with pytest.raises(InputError, match="no finished run"):
        find_run(runs)

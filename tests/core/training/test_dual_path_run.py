"""Runs with a dual-path head: it learns to enhance, alone and beside emotion, and is handed on."""

import math

import pytest
import torch

from sertool.core.corpus.batches import plan_epoch
from sertool.core.errors import InputError
from sertool.core.models.inference import load
from sertool.core.training import pacing
from sertool.core.training.inputs import read_inputs
from sertool.core.training.loop import train_run
from sertool.core.training.recipe import make_recipe
from sertool.core.training.setup import build_model, make_augmentation, make_optimizer

SIZES = {"channels": 8, "hidden": 8, "blocks": 1, "decoder": 8}


def recipe_for(corpus, *, dual_path=None, encoder="log-mel", tasks=("enhancement",), epochs=6, **data):
    return make_recipe(
        {
            "tasks": list(tasks),
            "data": {"manifests": [str(corpus / "metadata.csv")], "workers": 0} | data,
            "noise": {"source": str(corpus / "noise"), "snr_db": ["5"], "dev_snr_db": ["5"]},
            "encoder": {"name": encoder, "compact": {"dim": 8, "layers": 1, "kernel": 3}},
            "emotion": {"hidden": 8},
            "enhancement": {"head": "dual-path", "crop_s": None, "dual_path": SIZES | (dual_path or {})},
            "optimisation": {"epochs": epochs, "batch_size": 4, "learning_rate": 0.02, "warmup_updates": 2},
            "schedule": "at-once",
        }
    )


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    recipe = recipe_for(corpus, dual_path={"features": "none", "causal": True})
    return train_run(recipe, tmp_path_factory.mktemp("runs") / "alone")


def test_a_head_alone_learns(run, corpus):
    dev = run.record["summary"]["dev"]
    assert dev["score"] == -dev["spectral_loss"] and dev["si_sdr"] > 8.0 and "l1" not in dev
    assert {"magnitude", "complex", "resolutions"} <= dev.keys() and "loudness" not in dev
    listener = load(run.folder, "cpu")
    assert listener.model.enhancement_head.config.causal


def test_a_head_is_taken_over_by_a_model_of_its_size(run, corpus):
    inputs = read_inputs(recipe_for(corpus, dual_path={"features": "none", "causal": True}, encoder=str(run.folder)))
    taken = build_model(recipe_for(corpus), inputs).enhancement_head
    theirs = load(run.folder, "cpu").model.enhancement_head
    for (name, mine), other in zip(taken.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(mine, other), name


@pytest.mark.parametrize("features", ["encoder", "none"])
def test_it_trains_beside_emotion(corpus, tmp_path, features):
    recipe = recipe_for(
        corpus, dual_path={"features": features}, encoder="compact", tasks=("emotion", "enhancement"), epochs=1
    )
    dev = train_run(recipe, tmp_path / "joint").record["summary"]["dev"]
    assert {"f1_macro", "spectral_loss"} <= dev.keys() and math.isfinite(dev["spectral_loss"])


def test_biases_do_not_decay(corpus):
    recipe = recipe_for(corpus, dual_path={"features": "none"})
    model = build_model(recipe, read_inputs(recipe))
    groups = make_optimizer(model, recipe.stages()[0], recipe).param_groups
    decaying = {id(parameter) for group in groups if group["weight_decay"] for parameter in group["params"]}
    head = dict(model.enhancement_head.named_parameters())
    assert {name for name, parameter in head.items() if id(parameter) in decaying} == {
        name for name, parameter in head.items() if parameter.ndim > 1 and "bias" not in name
    }


def test_an_encoder_that_nobody_hears_is_not_trained(corpus):
    with pytest.raises(InputError, match=r"set encoder\.name to log-mel"):
        read_inputs(recipe_for(corpus, dual_path={"features": "none"}, encoder="compact"))


def test_the_recipes_variations_reach_the_utterances(corpus):
    assert make_augmentation(recipe_for(corpus)).variation is None
    varied = make_augmentation(recipe_for(corpus, level_db=[-20, 3], codec_share=0.5)).variation
    assert (varied.level_db, varied.codec_share, varied.clip_share) == ((-20.0, 3.0), 0.5, 0.0)
    with pytest.raises(InputError, match="lower end"):
        recipe_for(corpus, level_db=[3, -20])


def test_utterances_are_put_together_by_what_is_heard_of_them(corpus, tmp_path, monkeypatch):
    told = []

    def planned(durations_s, **settings):
        told.extend(durations_s)
        return plan_epoch(durations_s, **settings)

    monkeypatch.setattr(pacing, "plan_epoch", planned)
    train_run(recipe_for(corpus, dual_path={"features": "none"}, epochs=1, max_s=0.5), tmp_path / "run")
    assert max(told) == 0.5 and min(told) < 0.5

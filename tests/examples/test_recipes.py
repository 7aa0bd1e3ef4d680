"""The recipes in examples/: all can be read, and those of papers say what the papers say."""

from pathlib import Path

import pytest

from sertool.core.clustering.recipe import read_cluster_recipe
from sertool.core.training.pacing import epochs_per_bin
from sertool.core.training.recipe import Curriculum, read_recipe

RECIPES = Path(__file__).resolve().parents[2] / "examples" / "recipes"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_can_be_read(path):
    if "cluster" in path.stem:
        assert read_cluster_recipe(path).optimisation.epochs
    else:
        assert read_recipe(path).stages()


def test_the_icassp_system_is_the_published_one():
    recipe = read_recipe(RECIPES / "icassp2025.yaml")
    settings = recipe.optimisation
    assert recipe.encoder.name == "wavlm-large" and recipe.encoder.adapt == "full"
    assert (settings.learning_rate, settings.learning_rate * settings.encoder_rate) == (5e-5, 2.5e-5)
    assert (settings.batch_size, settings.epochs, recipe.data.max_s) == (32, 20, 12.0)
    assert recipe.noise.snr_db == ("-5", "0", "5")
    assert (recipe.emotion.hidden, recipe.emotion.dropout) == (1024, 0.5)
    assert (recipe.enhancement.projection, recipe.enhancement.hidden, recipe.enhancement.crop_s) == (256, 256, 1.28)
    assert (recipe.emotion.weight, recipe.enhancement.weight) == (1.0, 1.0)
    assert all("front-end" not in stage.train for stage in recipe.stages())


def test_sharding_it_changes_nothing_else():
    whole, sharded = (read_recipe(RECIPES / f"{name}.yaml").model_dump() for name in ("icassp2025", "icassp2025-fsdp"))
    assert sharded["optimisation"].pop("sharding") == "fsdp" and whole["optimisation"].pop("sharding") == "none"
    assert sharded["optimisation"].pop("checkpointing") and not whole["optimisation"].pop("checkpointing")
    assert sharded == whole


def test_the_router_is_the_published_one():
    recipe = read_recipe(RECIPES / "s3-router.yaml")
    router = recipe.encoder.router
    assert (recipe.encoder.adapt, router.sparsity, router.init, router.layers) == (
        "router",
        0.1,
        "weight-rank",
        "feed-forward",
    )
    assert recipe.optimisation.learning_rate * recipe.optimisation.encoder_rate == 5e-5


def test_dynamic_chunks_are_the_published_ones():
    emotion = read_recipe(RECIPES / "dynamic-chunking.yaml").emotion
    assert emotion.categories == () and len(emotion.attributes) == 3
    assert (emotion.chunks.chunk_s, emotion.chunks.longest_s, emotion.chunks.hidden) == (1.0, 11.0, 130)


def test_the_curriculum_is_the_published_one():
    recipe = read_recipe(RECIPES / "deepmi-curriculum.yaml")
    curriculum, settings = recipe.curriculum, recipe.optimisation
    assert (curriculum.order, curriculum.bins, curriculum.rate_factor) == ("easy-first", 10, 0.5)
    assert epochs_per_bin(curriculum, settings.epochs) == 5 and settings.epochs == 70
    assert epochs_per_bin(Curriculum(), settings.epochs) == 5  # also where nobody says so
    assert (settings.learning_rate, settings.decay, settings.weight_decay, settings.warmup_updates) == (
        1e-3,
        "constant",
        0.0,
        0,
    )
    assert recipe.emotion.categories == () and recipe.tasks == ("emotion",) and recipe.encoder.adapt == "frozen"

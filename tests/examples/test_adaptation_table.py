"""The grid of adaptations: every row is a training that can be started, and a finished one is not done again."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def table():
    spec = importlib.util.spec_from_file_location("adaptation_table", ROOT / "examples" / "adaptation_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_row_is_a_recipe(table, monkeypatch):
    from typer.testing import CliRunner

    from sertool.cli import train
    from sertool.cli.main import app

    asked = []
    monkeypatch.setattr(train, "run_training", lambda recipe, *_, **__: asked.append(recipe))
    for row, words in table.ROWS.items():
        found = CliRunner().invoke(app, ["train", "m.csv", "--encoder", "denoise", *words, "-o", row])
        assert found.exit_code == 0, (row, found.output)
    recipes = dict(zip(table.ROWS, asked, strict=True))
    assert recipes["router-6"].encoder.router.sparsity == 0.06
    assert recipes["joint-masks"].encoder.router.masks == "per-head"
    assert {recipe.emotion.pooling for recipe in asked} == {
        "attentive-statistics",
        "chunk-mean",
        "chunk-gated",
        "chunk-recurrent",
        "chunk-self-attention",
    }
    assert len({recipe.model_dump_json() for recipe in asked}) == len(asked)

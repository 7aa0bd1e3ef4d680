"""The grid of noise robustness: what it chooses and what it counts, without training anything."""

import importlib
import json
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def table(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.chdir(tmp_path)
    for name in ("robustness_table", "joint_training_search"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("robustness_table")


def finish(run: Path, **dev: float) -> None:
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"state": "finished", "summary": {"dev": dev}}))


def test_the_learning_rate_is_the_one_of_the_best_dev_score(table):
    slow, fast = sorted(table.RATES)
    finish(table.TRIED_ON.run("noise", slow), f1_macro=0.5, score=0.5)
    finish(table.TRIED_ON.run("noise", fast), f1_macro=0.4, score=0.4)
    finish(table.TRIED_ON.run("enhancement", slow), l1=0.2, score=-0.2)
    finish(table.TRIED_ON.run("enhancement", fast), l1=0.1, score=-0.1)
    assert table.chosen_rate("noise") == slow and table.chosen_rate("enhancement") == fast
    assert table.trials("noise")["chosen"] == slow
    assert table.trials("noise")["dev"][f"{fast:g}"]["f1_macro"] == 0.4


def test_a_seed_counts_where_it_has_every_fold_of_the_first(table):
    cells = [table.Cell("ravdess", fold, seed) for fold, seed in ((0, 0), (1, 0), (0, 1), (2, 1), (0, 2), (1, 2))]
    assert [(cell.fold, cell.seed) for cell in table.complete(cells)] == [(0, 0), (1, 0), (0, 2), (1, 2)]


def test_every_row_names_a_training_there_is(table):
    for row, facts in table.ROWS.items():
        assert facts.get("svm") or facts["training"] in table.TRAININGS, row
        assert facts.get("enhancer", "noise") in table.TRAININGS, row


def test_every_variation_of_the_search_is_a_recipe_and_has_a_folder_of_its_own(table, monkeypatch):
    from typer.testing import CliRunner

    from sertool.cli import train
    from sertool.cli.main import app

    search = importlib.import_module("joint_training_search")
    asked, folders = [], set()
    monkeypatch.setattr(train, "run_training", lambda recipe, *_, **__: asked.append(recipe))

    def call(*words: object) -> None:
        found = CliRunner().invoke(app, [str(word) for word in words])
        assert found.exit_code == 0, (words, found.output)

    monkeypatch.setattr(search, "sertool", call)
    for name, variation in search.VARIATIONS.items():
        for training in variation.trainings:
            search.train(name, training, 0, Path("noise"))
            folders.add(search.folder(name, training, 0))
    assert len(folders) == len(asked) == sum(len(one.trainings) for one in search.VARIATIONS.values())
    assert len({recipe.model_dump_json() for recipe in asked}) == len(asked)
    finish(search.folder("encoder not pre-trained", "noise", 0), f1_macro=0.3, score=0.3)
    assert search.dev_scores(search.folder("encoder not pre-trained", "noise", 0))["f1_macro"] == 0.3

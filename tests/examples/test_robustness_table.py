"""The grid of noise robustness: what it chooses and what it counts, without training anything."""

import importlib
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def table(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.chdir(tmp_path)
    return importlib.import_module("robustness_table")


def test_a_seed_counts_where_it_has_every_fold_of_the_first(table):
    cells = [table.Cell("ravdess", fold, seed) for fold, seed in ((0, 0), (1, 0), (0, 1), (2, 1), (0, 2), (1, 2))]
    assert [(cell.fold, cell.seed) for cell in table.complete(cells)] == [(0, 0), (1, 0), (0, 2), (1, 2)]


def test_every_row_names_a_training_there_is(table):
    for row, facts in table.ROWS.items():
        assert facts.get("svm") or facts["training"] in table.TRAININGS, row
        assert facts.get("enhancer", "noise") in table.TRAININGS, row

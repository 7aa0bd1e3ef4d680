"""The run's folder: begun, gone on with, removed; cut short at any step of these it can be gone on with."""

import json
import os

import pytest

from sertool.core.errors import InputError
from sertool.core.training.recipe import make_recipe
from sertool.core.training.run import (
    begin_run,
    finish_run,
    open_run,
    remove_run,
    tidy_run,
    write_seen,
)

IDENTITY = {"encoder": "new"}
STATE = {
    "files": {"model": "m.safetensors", "optimizer": "o.safetensors"},
    "counters": {"updates": 1, "epochs": 1, "sums": {}, "best": 0.5, "best_epoch": 0},
}


def begin(folder, *, seed=0, overwrite=False):
    return begin_run(folder, make_recipe({"seed": seed}), IDENTITY, {"noise": {}}, overwrite=overwrite)


def fill(run):
    """Write what a training leaves."""
    write_seen(run.folder, frozenset({"b" * 32, "a" * 32}))
    for name in ("model/config.json", "model/model.safetensors", "last/state.json", "README.md", "metrics.jsonl"):
        (run.folder / name).parent.mkdir(exist_ok=True)
        (run.folder / name).write_text(json.dumps(STATE))
    finish_run(run, {"updates": 1, "best_epoch": 0, "dev": {"score": 0.5}})


def test_begun_again_it_is_the_same_run(tmp_path):
    first = begin(tmp_path / "run")
    assert begin(tmp_path / "run") == first and not first.finished
    fill(first)
    assert begin(tmp_path / "run").finished
    assert open_run(tmp_path / "run").seen_audio == {"a" * 32, "b" * 32}
    assert open_run(tmp_path / "run").recipe.seed == 0


def test_other_inputs_are_refused_unless_overwritten(tmp_path):
    fill(begin(tmp_path / "run"))
    with pytest.raises(InputError, match=r"other inputs \(seed differ\)"):
        begin(tmp_path / "run", seed=1)
    begin(tmp_path / "run", seed=1, overwrite=True)
    assert sorted(os.listdir(tmp_path / "run")) == ["recipe.yaml", "run.json"]


def test_a_run_of_a_version_that_lacked_a_setting_goes_on_where_the_setting_is_its_default(tmp_path):
    record = json.loads((begin(tmp_path / "run").folder / "run.json").read_text())
    del record["inputs"]["recipe"]["emotion"]["loss"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    assert not begin(tmp_path / "run").finished
    with pytest.raises(InputError, match=r"other inputs \(emotion\.loss differ\)"):
        begin_run(tmp_path / "run", make_recipe({"emotion": {"loss": "kl-divergence"}}), IDENTITY, {"noise": {}})


def test_killed_before_its_first_file_was_whole_it_begins(tmp_path):
    for name in (".run.partial-7.json", ".lock"):
        (tmp_path / name).write_text('{"sta')
    run = begin(tmp_path)
    tidy_run(run)
    assert sorted(os.listdir(tmp_path)) == [".lock", "recipe.yaml", "run.json"]
    (tmp_path / "run.json").unlink()
    with pytest.raises(InputError, match="not empty and holds no run"):
        begin(tmp_path)


@pytest.mark.parametrize("last", range(1, 9))
def test_a_removal_cut_short_is_not_taken_for_a_run(tmp_path, monkeypatch, last):
    folder = tmp_path / "run"
    fill(begin(folder))
    left = iter(range(last))

    def unlink(path, missing_ok=False):
        if next(left, None) is None:
            raise KeyboardInterrupt
        os.unlink(path)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("pathlib.Path.unlink", unlink)
        begin(folder, overwrite=True)
    assert (folder / "run.json").is_file()
    with pytest.raises(InputError):
        open_run(folder)
    assert not begin(folder).finished
    assert sorted(os.listdir(folder)) == ["recipe.yaml", "run.json"]


def test_tidying_removes_what_killed_processes_left(tmp_path):
    run = begin(tmp_path)
    fill(run)
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    for name in (".README.partial-3.md", "model/.model.partial-3.safetensors", "model/.tmpaB3dE6", "last/.tmpaB3dE6"):
        (tmp_path / name).write_text("half")
    tidy_run(run)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_removing_a_run_removes_nothing_else(tmp_path):
    fill(begin(tmp_path))
    (tmp_path / "notes.txt").write_text("mine")
    remove_run(tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]
    with pytest.raises(InputError, match="holds no run"):
        remove_run(tmp_path)


@pytest.mark.parametrize("text", ['{"state": "fini', "[]"])
def test_a_damaged_record_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json"):
        begin(tmp_path)


def test_an_unfinished_run_is_not_opened_but_by_its_model(tmp_path):
    run = begin(tmp_path)
    fill(run)
    record = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(record | {"state": "unfinished"}))
    with pytest.raises(InputError, match="not finished"):
        open_run(tmp_path)
    assert open_run(tmp_path / "model").model_folder == tmp_path / "model"

"""Where a trained model lies: the newest finished run, else the one that ships, and clear words when there is none."""

import json
import os
from pathlib import Path

import pytest

from sertool.core.errors import InputError
from sertool.core.models import locate
from sertool.core.models.config import CompactConfig, EmotionConfig, EnhancementConfig, SharedConfig
from sertool.core.models.locate import find_model, find_run, model_folder


def make_run(
    folder: Path, *, state: str = "finished", age_s: int = 0, emotion: bool = True, enhances: bool = False
) -> Path:
    """Write what a run looks like from outside; its weights are not looked at here."""
    config = SharedConfig(
        encoder=CompactConfig(),
        emotion=EmotionConfig(categories=("anger", "neutral")) if emotion else None,
        enhancement=EnhancementConfig() if enhances else None,
    )
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "config.json").write_text(config.model_dump_json())
    (folder / "run.json").write_text(json.dumps({"state": state}))
    time = 1_000_000_000 - age_s
    os.utime(folder / "run.json", (time, time))
    return folder


def test_the_newest_finished_run_is_found(tmp_path):
    make_run(tmp_path / "runs" / "old", age_s=100)
    newest = make_run(tmp_path / "runs" / "study" / "b", age_s=10)
    make_run(tmp_path / "c", age_s=50)
    make_run(tmp_path / "going-on", state="unfinished", age_s=1)
    make_run(tmp_path / "encoder", emotion=False)
    make_run(tmp_path / "too" / "far" / "down")
    assert find_run(tmp_path) == newest


def test_to_enhance_the_newest_run_that_can_is_found(tmp_path):
    joint = make_run(tmp_path / "joint", enhances=True, age_s=50)
    newest = make_run(tmp_path / "emotion-only", age_s=10)
    assert (find_run(tmp_path), find_run(tmp_path, enhances=True)) == (newest, joint)
    (joint / "run.json").unlink()
    with pytest.raises(InputError, match="no finished run that enhances speech"):
        find_run(tmp_path, enhances=True)


def test_the_working_folder_may_be_a_run_itself(tmp_path):
    assert find_run(make_run(tmp_path / "run")) == tmp_path / "run"


def test_damaged_runs_are_passed_over(tmp_path):
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"state": 3}')):
        (make_run(tmp_path / name) / "run.json").write_text(text)
    (make_run(tmp_path / "d") / "model" / "config.json").write_text("{}{")
    (make_run(tmp_path / "e") / "model" / "config.json").unlink()
    with pytest.raises(InputError, match="no finished run"):
        find_run(tmp_path)


@pytest.fixture
def shipped(tmp_path, monkeypatch) -> Path:
    """Where the package's own model would lie: an empty folder."""
    monkeypatch.setattr(locate, "SHIPPED", tmp_path / "package" / "shipped")
    locate.SHIPPED.mkdir(parents=True)
    return locate.SHIPPED


def ship(folder: Path, **kind) -> None:
    """Put the configuration of a model into the package's folder."""
    make_run(folder.parent / "made", **kind)
    (folder.parent / "made" / "model" / "config.json").rename(folder / "config.json")
    (folder.parent / "made" / "run.json").unlink()


@pytest.mark.parametrize("enhances", [False, True])
def test_with_neither_run_nor_shipped_model_the_ways_out_are_named(tmp_path, shipped, enhances):
    with pytest.raises(InputError, match="no model ships with this version yet") as caught:
        find_model(tmp_path, enhances=enhances)
    assert all(way in str(caught.value) for way in ("--model", "sertool train", "sertool demo"))
    with pytest.raises(InputError, match="no model ships with this version yet"):
        model_folder("shipped")


@pytest.mark.parametrize("enhances", [False, True])
def test_the_shipped_model_is_used_where_there_is_no_run(tmp_path, shipped, enhances):
    ship(shipped, enhances=True)
    here = tmp_path / "here"
    here.mkdir()
    assert find_model(here, enhances=enhances) == shipped == model_folder("shipped")
    with pytest.raises(InputError, match="no finished run"):
        find_run(here, enhances=enhances)
    run = make_run(here / "run", enhances=True)
    assert find_model(here, enhances=enhances) == run
    assert model_folder("shipped") == shipped


def test_a_shipped_model_that_lacks_what_is_asked_for_is_no_answer(tmp_path, shipped):
    ship(shipped, enhances=False)
    assert find_model(tmp_path) == shipped
    with pytest.raises(InputError, match="the model that ships does not enhance speech"):
        find_model(tmp_path, enhances=True)


def test_a_shipped_model_that_is_damaged_is_no_reason_to_say_there_is_none(tmp_path, shipped):
    (shipped / "config.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        find_model(tmp_path)


def test_a_folder_called_shipped_is_named_by_its_path(tmp_path, shipped, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "shipped")
    assert model_folder("./shipped") == Path("shipped/model")


def test_a_run_and_its_model_folder_name_the_same_model(tmp_path):
    run = make_run(tmp_path / "run")
    assert model_folder(run) == model_folder(str(run / "model")) == run / "model"


def test_an_unfinished_run_is_refused_but_its_best_model_may_be_named(tmp_path):
    run = make_run(tmp_path / "run", state="unfinished")
    with pytest.raises(InputError, match="not finished") as caught:
        model_folder(run)
    assert str(run / "model") in str(caught.value)
    assert model_folder(run / "model") == run / "model"


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: None])
def test_what_is_no_run_is_refused(tmp_path, make):
    make(tmp_path / "x")
    with pytest.raises(InputError, match="expected a run"):
        model_folder(tmp_path / "x")


def test_a_run_half_written_is_refused(tmp_path):
    (tmp_path / "run.json").write_text('{"sta')
    with pytest.raises(InputError, match="not finished"):
        model_folder(tmp_path)

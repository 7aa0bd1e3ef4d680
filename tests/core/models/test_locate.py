"""Where a trained model lies: the newest finished run, and clear words when there is none."""

import json
import os
from pathlib import Path

import pytest

from sertool.core.errors import InputError
from sertool.core.models.config import CompactConfig, EmotionConfig, EnhancementConfig, SharedConfig
from sertool.core.models.locate import find_run, model_folder


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


def test_without_a_run_the_ways_out_are_named(tmp_path):
    with pytest.raises(InputError, match="no model ships with this version yet") as caught:
        find_run(tmp_path)
    assert all(way in str(caught.value) for way in ("--model", "sertool train", "sertool demo"))


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

"""The state of a training: what is saved comes back, and a save cut short leaves the one before."""

import json
import os
import stat

import pytest
import torch

from sertool.core.errors import InputError, OutputError
from sertool.core.training.state import load_state, read_counters, save_state, tidy_state

COUNTERS = {"updates": 7, "epochs": 0, "sums": {"l1": 0.1 + 0.2}, "best": None, "best_epoch": None}


class Model(torch.nn.Linear):
    """A model that stores all of its tensors."""

    def own_state(self):
        return self.state_dict()

    def load_own_state(self, tensors):
        self.load_state_dict(tensors)


def make(seed):
    """Return a small model and an optimizer that has taken a step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Model(40, 30)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        model(torch.randn(5, 40)).sum().backward()
        optimizer.step()
    return model, optimizer


def save(folder, seed, updates):
    model, optimizer = make(seed)
    save_state(folder, model=model, optimizer=optimizer, counters=COUNTERS | {"updates": updates})
    return model, optimizer


def assert_same(folder, model, optimizer):
    other, other_optimizer = make(99)
    load_state(folder, model=other, optimizer=other_optimizer)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
        for key, value in optimizer.state[one].items():
            assert torch.equal(value, other_optimizer.state[two][key])


def test_what_is_saved_comes_back(tmp_path):
    assert read_counters(tmp_path) is None
    saved = save(tmp_path, 0, 7)
    assert read_counters(tmp_path) == COUNTERS
    assert_same(tmp_path, *saved)


def test_only_the_last_state_stays(tmp_path):
    save(tmp_path, 0, 1)
    save(tmp_path, 1, 2)
    assert sorted(os.listdir(tmp_path)) == [
        "model-00000002.safetensors",
        "optimizer-00000002.safetensors",
        "state.json",
    ]


@pytest.mark.parametrize("updates", [7, 8])
@pytest.mark.parametrize("limit", [10, 300, 5100])
def test_a_save_that_finds_no_room_leaves_the_state_before(tmp_path, full_disk, updates, limit):
    """Also a state of the same update, whose files have the same names: end of an epoch right after a checkpoint."""
    saved = save(tmp_path, 0, 7)
    with full_disk(limit), pytest.raises(OutputError, match="make room there, then run the same command again"):
        save(tmp_path, 0, updates)
    assert read_counters(tmp_path)["updates"] == 7
    assert_same(tmp_path, *saved)


def test_tidying_removes_what_a_killed_save_left(tmp_path):
    save(tmp_path, 0, 1)
    before = sorted(os.listdir(tmp_path))
    for name in ("model-00000002.safetensors", ".model-00000002.partial-7.safetensors", ".tmpAb12Cd"):
        (tmp_path / name).write_bytes(b"half")
    tidy_state(tmp_path)
    assert sorted(os.listdir(tmp_path)) == before
    tidy_state(tmp_path / "nowhere")


def test_others_may_read_what_they_may_read_elsewhere(tmp_path):
    save(tmp_path, 0, 1)
    (tmp_path / "any").write_text("")
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {
        stat.S_IMODE((tmp_path / "any").stat().st_mode)
    }


FILES = {"model": "m", "optimizer": "o"}


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", '{"files": 1, "counters": {}}', '{"files": {}}', "[" * 100_000),
        json.dumps({"files": FILES, "counters": {}}),
        json.dumps({"files": FILES, "counters": COUNTERS | {"updates": -1}}),
        json.dumps({"files": FILES, "counters": COUNTERS | {"epochs": 1.5}}),
        json.dumps({"files": FILES, "counters": COUNTERS | {"sums": {"l1": float("nan")}}}),
        json.dumps({"files": FILES, "counters": COUNTERS | {"sums": {"l1": "3"}}}),
        json.dumps({"files": FILES | {"model": "../m"}, "counters": COUNTERS}),
        json.dumps({"files": {"model": "m"}, "counters": COUNTERS}),
    ],
)
def test_a_damaged_state_is_named(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    for reading in (read_counters, tidy_state):
        with pytest.raises(InputError, match=r"state\.json: is damaged .*--overwrite"):
            reading(tmp_path)


def test_tensors_that_are_gone_are_named(tmp_path):
    save(tmp_path, 0, 1)
    (tmp_path / json.loads((tmp_path / "state.json").read_text())["files"]["optimizer"]).unlink()
    model, optimizer = make(0)
    with pytest.raises(InputError, match="is damaged"):
        load_state(tmp_path, model=model, optimizer=optimizer)

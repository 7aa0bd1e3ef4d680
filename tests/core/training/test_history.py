"""The history of a run: one line an epoch, however often the epoch was begun."""

import pytest

from sertool.core.errors import InputError
from sertool.core.training.history import History


def line(epoch, score=0.5):
    return {"epoch": epoch, "updates": 2 * epoch, "train": {"category": 1.0 / 3}, "dev": {"f1_macro": score}}


@pytest.fixture
def history(tmp_path):
    return History(tmp_path, tensorboard=False, writes=True)


def test_lines_come_back_as_they_were(history):
    history.keep(0)
    assert history.lines() == []
    for epoch in range(3):
        history.append(line(epoch))
    assert history.lines() == [line(0), line(1), line(2)]


@pytest.mark.parametrize("torn", ["", '{"epoch": 2, "upd'])
def test_epochs_that_are_done_again_are_not_told_twice(history, torn):
    for epoch in range(2):
        history.append(line(epoch))
    with open(history.path, "a") as file:
        file.write(torn)
    history.keep(1)
    history.append(line(1, 0.7))
    assert history.lines() == [line(0), line(1, 0.7)]


def test_too_few_lines_are_named(history):
    history.append(line(0))
    with pytest.raises(InputError, match=r"tells of 1 epochs; expected 2"):
        history.keep(2)


def test_damage_is_named(history):
    history.path.write_text('{"epoch": 0\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl: is damaged"):
        history.lines()


def test_a_curriculums_numbers_are_numbers(history):
    history.append(line(0) | {"curriculum": "easy-first by deepmi", "bins": {"in_play": 1, "loss_1": 0.5}})
    assert history.lines()[0]["bins"]["loss_1"] == 0.5
    history.append(line(1) | {"bins": {"loss_1": "low"}})
    with pytest.raises(InputError, match="'loss_1' is no number"):
        history.lines()


def test_other_processes_write_nothing(tmp_path):
    history = History(tmp_path, tensorboard=True, writes=False)
    history.keep(0)
    history.append(line(0))
    assert not list(tmp_path.iterdir())


def test_tensorboard_shows_every_epoch_once(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = History(tmp_path, tensorboard=True, writes=True)
    history.keep(0)
    for epoch in range(3):
        history.append(line(epoch))
    again = History(tmp_path, tensorboard=True, writes=True)
    again.keep(2)
    again.append(line(2, 0.9))
    shown = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    scores = [(event.step, round(event.value, 3)) for event in shown.Scalars("dev/f1_macro")]
    assert scores == [(0, 0.5), (2, 0.5), (4, 0.9)]

"""The engine: outcomes in order, errors told apart, workers that come to an end."""

import itertools
import os
import signal
import subprocess
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.engine import default_workers, map_tasks
from sertool.core.errors import InputError, SertoolError

TASKS = '''
import os
import signal
import sys
import time

from sertool.core.errors import InputError


def uneven(item):
    """Later items are done sooner; multiples of three are the user's fault."""
    time.sleep(0.05 if item == 0 else 0)
    if item % 3 == 2:
        raise InputError(f"{item} is wrong")
    return item * item


def bug(item):
    return {}["missing"]


def die(item):
    if item == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def about(item):
    return os.getpid(), os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"], "torch" in sys.modules


def add(item, state):
    return item + state["base"], state["made_in"] == os.getpid()


def make_state(base):
    return {"base": base, "made_in": os.getpid()}


def bad_state():
    raise InputError("no such model")


def doze(item):
    if item is None:
        return
    with open(item, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(60)


def doze_tidily(item):
    try:
        doze(item)
    finally:
        if item is not None:
            os.remove(item)


class Slow:
    def __init__(self, item):
        self.item = item

    def __del__(self):
        with open(self.item, "w") as file:
            file.write(str(os.getpid()))
        time.sleep(60)  # an error raised here is printed and forgotten


def doze_in_a_finaliser(item):
    if item is None:
        return
    try:
        Slow(item)
        time.sleep(60)
    finally:
        os.remove(item)
'''


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """A module that spawned processes can import too."""
    name = f"engine_tasks_{os.getpid()}"
    (tmp_path / f"{name}.py").write_text(TASKS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__(name)
    sys.modules.pop(name)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that has ended but that nobody waited for still has a number.
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def _wait_until(condition, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


@given(st.lists(st.integers()))
def test_one_worker_keeps_order_and_indices(items):
    outcomes = list(map_tasks(abs, items))
    assert [(one.index, one.item, one.value, one.error) for one in outcomes] == [
        (index, item, abs(item), None) for index, item in enumerate(items)
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_outcomes_come_in_the_items_order_with_the_users_errors_in_place(tasks, workers):
    seen = []
    outcomes = list(map_tasks(tasks.uneven, range(30), workers=workers, on_done=seen.append))
    assert [outcome.item for outcome in outcomes] == list(range(30))
    assert [outcome.value for outcome in outcomes] == [None if i % 3 == 2 else i * i for i in range(30)]
    errors = {outcome.item: str(outcome.error) for outcome in outcomes if outcome.error}
    assert errors == {i: f"{i} is wrong" for i in range(2, 30, 3)}
    assert all(type(outcome.error) is InputError for outcome in outcomes if outcome.error)
    assert sorted(outcome.index for outcome in seen) == list(range(30))


@pytest.mark.parametrize("workers", [1, 2])
def test_any_other_exception_propagates_with_its_traceback(tasks, workers):
    with pytest.raises(KeyError, match="missing") as caught:
        list(map_tasks(tasks.bug, range(5), workers=workers))
    assert "in bug" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("workers", [1, 2])
def test_the_setup_runs_in_the_process_that_uses_its_state(tasks, workers):
    outcomes = map_tasks(tasks.add, range(6), workers=workers, setup=tasks.make_state, setup_args=(100,))
    assert [outcome.value for outcome in outcomes] == [(100 + i, True) for i in range(6)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_setup_is_nobodys_outcome(tasks, workers):
    with pytest.raises(InputError, match="no such model"):
        list(map_tasks(tasks.add, range(6), workers=workers, setup=tasks.bad_state))


def test_a_killed_worker_is_told_plainly(tasks):
    with pytest.raises(SertoolError, match=r"file \d+.*--workers"):
        list(map_tasks(tasks.die, range(8), workers=2, describe=lambda item: f"file {item}"))


def test_workers_have_one_thread_and_no_torch(tasks, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    values = [outcome.value for outcome in map_tasks(tasks.about, range(4), workers=2)]
    assert {value[1:] for value in values} == {("1", "3", False)}
    assert os.getpid() not in {value[0] for value in values}
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.parametrize("workers", [1, 2])
def test_items_are_taken_a_few_at_a_time(tasks, workers):
    taken = itertools.count()
    outcomes = map_tasks(abs, (next(taken) for _ in itertools.repeat(None)), workers=workers)
    assert [next(outcomes).value for _ in range(20)] == list(range(20))
    outcomes.close()
    assert next(taken) < 20 + 10 * workers


def test_closing_the_iteration_ends_busy_workers(tasks, tmp_path):
    notes = [tmp_path / "one", tmp_path / "two"]
    outcomes = map_tasks(tasks.doze, [None, *notes], workers=2)
    next(outcomes)
    assert _wait_until(lambda: all(note.exists() and note.read_text() for note in notes))
    pids = [int(note.read_text()) for note in notes]
    outcomes.close()
    assert not any(_is_alive(pid) for pid in pids)


@pytest.mark.parametrize("doze", ["doze_tidily", "doze_in_a_finaliser"])
def test_items_under_way_tidy_up_when_their_worker_is_ended(tasks, tmp_path, capfd, doze):
    notes = [tmp_path / "one", tmp_path / "two"]
    outcomes = map_tasks(getattr(tasks, doze), [None, *notes], workers=2)
    next(outcomes)
    assert _wait_until(lambda: all(note.exists() and note.read_text() for note in notes))
    pids = [int(note.read_text()) for note in notes]
    outcomes.close()
    assert not any(note.exists() for note in notes)
    assert not any(_is_alive(pid) for pid in pids)
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_no_worker_outlives_its_parent(tasks, tmp_path, number):
    notes = [tmp_path / "one", tmp_path / "two"]
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
        f"from {tasks.__name__} import doze\nfrom sertool.core.engine import map_tasks\n"
        f"if __name__ == '__main__':\n    list(map_tasks(doze, sys.argv[1:], workers=2))\n"
    )
    command = [sys.executable, str(script), *map(str, notes)]
    process = subprocess.Popen(
        command,
        start_new_session=True,
        # A shell starts background jobs deaf to Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert _wait_until(lambda: all(note.exists() and note.read_text() for note in notes))
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does: to parent and workers alike
    else:
        process.kill()
    _, stderr = process.communicate(timeout=20)
    assert process.returncode != 0
    assert _wait_until(lambda: not any(_is_alive(int(note.read_text())) for note in notes))
    if number == signal.SIGINT:
        assert stderr.count("Traceback") == 1, stderr  # the parent's alone


def test_ctrl_c_while_work_is_handed_out_is_not_lost(tasks, monkeypatch):
    hand_out, handed_out = ProcessPoolExecutor.submit, []

    def interrupted(self, *arguments):
        handed_out.append(arguments)
        if len(handed_out) == 3:
            signal.raise_signal(signal.SIGINT)
        return hand_out(self, *arguments)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(map_tasks(tasks.uneven, range(40), workers=2))
    assert len(handed_out) == 3


def test_no_workers_is_an_error():
    with pytest.raises(InputError, match=r"0 workers.*at least 1.*--workers"):
        map_tasks(abs, [1], workers=0)


def test_default_workers_is_no_more_than_the_machine_has():
    assert 1 <= default_workers() <= os.cpu_count()

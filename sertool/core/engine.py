"""Where a batch of files runs: in this process, or in several on this machine.

One function, `map_tasks`, is the whole interface: a function, items, and outcomes in the items' order. Nothing in it
says where the work is done, so an engine for a cluster can stand beside the two here without its callers changing.
"""

import contextlib
import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError, SertoolError

_GRACE_S = 5.0  # time a worker has for tidying up when it is told to end

_IN_FLIGHT = 4  # items a worker: enough that none waits for its next, few enough that results do not pile up

# Read by the numerical libraries when they load, so that N workers use N cores and not N times all of them.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True)
class Outcome:
    """What became of one item.

    Attributes:
        index: its place among the items.
        item: the item.
        value: what the function returned; None where it failed.
        error: the error that the item's user can mend; None where it succeeded.
    """

    index: int
    item: Any
    value: Any = None
    error: SertoolError | None = None


def map_tasks(
    function: Callable,
    items: Iterable,
    *,
    workers: int = 1,
    describe: Callable[[Any], str] = str,
    on_done: Callable[[Outcome], None] | None = None,
    setup: Callable | None = None,
    setup_args: tuple = (),
) -> Iterator[Outcome]:
    """Apply a function to every item and yield the outcomes in the items' order.

    With one worker the work is done in this process, as the outcomes are asked for. With more, processes are spawned,
    in which numerical libraries use one thread unless the environment says otherwise; function, items and values must
    then be picklable and the function importable. Items are taken and results held only a few at a time, so both may be
    endless. An error or Ctrl-C within the iteration, and closing it (`contextlib.closing`), ends the workers at once:
    items under way are broken off as by an exception, so no half-written file stays.

    Args:
        function: called as `function(item)`, or as `function(item, state)` where there is a setup.
        items: what to work on.
        workers: processes; 1 stays in this one.
        describe: names an item in messages.
        on_done: called in this process with every outcome as soon as it is known, not necessarily in order.
        setup: called once in every process, before its first item, as `setup(*setup_args)`; what it returns (a model, a
            noise set) is the state.
        setup_args: for the setup.

    Yields:
        One outcome an item, in order. A `SertoolError` raised for an item is its outcome's error.

    Raises:
        InputError: workers is below 1.
        SertoolError: the setup raised it, or a worker process was killed.
        Exception: any other exception of the function, with its traceback.
    """
    if workers < 1:
        raise InputError(f"{workers} workers cannot do anything; expected at least 1: raise --workers")
    if workers == 1:
        outcomes = _in_this_process(function, items, setup, setup_args, on_done)
    else:
        outcomes = _in_processes(_Pool(workers, describe, (function, setup, setup_args)), items, on_done)
    return outcomes


def default_workers() -> int:
    """Return how many cores this process may use: its affinity, or less where its control group has a quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota_file = Path("/sys/fs/cgroup/cpu.max")
    if quota_file.is_file():
        quota, period = quota_file.read_text(encoding="ascii").split()
        if quota != "max":
            cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores


def _in_this_process(function, items, setup, setup_args, on_done) -> Iterator[Outcome]:
    state = () if setup is None else (setup(*setup_args),)
    for index, item in enumerate(items):
        try:
            outcome = Outcome(index, item, value=function(item, *state))
        except SertoolError as error:
            outcome = Outcome(index, item, error=error)
        if on_done is not None:
            on_done(outcome)
        yield outcome


@dataclass
class _Slot:
    """An item handed to a worker."""

    index: int
    item: Any
    future: Future
    outcome: Outcome | None = None


class _Pool:
    """Spawned processes that share a function and a setup, and die with this process."""

    def __init__(self, workers: int, describe: Callable[[Any], str], task: tuple):
        self.capacity = workers * _IN_FLIGHT
        self.describe = describe
        self.executor = ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=task
        )

    def submit(self, index: int, item: Any) -> _Slot:
        with _birth_of_workers():
            return _Slot(index, item, self.executor.submit(_work, item))

    def settle(self, slot: _Slot) -> Outcome:
        """Return the outcome of a slot whose future is done."""
        try:
            stage, value, error = slot.future.result()
        except BrokenProcessPool as broken:
            raise SertoolError(
                f"a worker process was killed while at {self.describe(slot.item)} or an item near it (often for "
                "want of memory); expected it to live: run again with fewer --workers"
            ) from broken
        if stage == "setup":
            raise error
        return Outcome(slot.index, slot.item, value=value, error=error)

    def stop(self) -> None:
        """End the workers, whatever they are doing."""
        # The executor has no public way to end a busy worker before Python 3.14 (terminate_workers).
        processes = list((self.executor._processes or {}).values())
        manager = self.executor._executor_manager_thread
        self.executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(_GRACE_S)
            if process.is_alive():
                process.kill()
                process.join()
        # It waits for the workers by file descriptors that this process closes as it ends, and would complain of that.
        if manager is not None:
            manager.join(_GRACE_S)


def _in_processes(pool: _Pool, items: Iterable, on_done) -> Iterator[Outcome]:
    numbered = enumerate(items)
    slots: deque[_Slot] = deque()  # in the items' order; the first is the next to be yielded
    try:
        while True:
            while len(slots) < pool.capacity and (entry := next(numbered, None)) is not None:
                slots.append(pool.submit(*entry))
            if not slots:
                break
            for slot in slots:
                if slot.outcome is None and slot.future.done():
                    slot.outcome = pool.settle(slot)
                    if on_done is not None:
                        on_done(slot.outcome)
            if slots[0].outcome is not None:
                yield slots.popleft().outcome
            else:
                wait([slot.future for slot in slots if slot.outcome is None], return_when=FIRST_COMPLETED)
    except BaseException:
        pool.stop()
        raise
    pool.executor.shutdown()


@contextlib.contextmanager
def _birth_of_workers() -> Iterator[None]:
    """Let processes that are spawned within inherit one thread a library, and no ear for Ctrl-C.

    Ctrl-C reaches the whole process group; the parent alone answers it, by ending the workers. Set here and not in the
    worker, which would hear it, or load the libraries, before it runs any code of ours.
    """
    missing = [name for name in _THREAD_VARIABLES if name not in os.environ]
    os.environ.update(dict.fromkeys(missing, "1"))
    # The tracker opens the ear again when it starts, so it is started first.
    multiprocessing.resource_tracker.ensure_running()
    try:
        with _ctrl_c_held():
            yield
    finally:
        for name in missing:
            del os.environ[name]


@contextlib.contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Hold a Ctrl-C until the end of the block: put off, not ignored, or one that comes meanwhile would be lost.

    Spawned processes inherit a blocked signal as blocked.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    held = []
    # The block is this thread's alone: where another thread takes the signal, Python's handler still runs in this one.
    handler = signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGINT, handler)
        if held:
            signal.raise_signal(signal.SIGINT)


class _ToldToEnd(BaseException):
    """Unwinds the item under way in a worker that is told to end; no item may take it for an error of its own."""


class _Worker:
    """What a worker process keeps between items."""

    function: Callable
    setup: Callable | None = None
    setup_args: tuple = ()
    state: tuple | None = None
    busy: bool = False


def _start_worker(function: Callable, setup: Callable | None, setup_args: tuple) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_worker)
    sys.unraisablehook = _tell_again
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _Worker.function, _Worker.setup, _Worker.setup_args = staticmethod(function), setup, setup_args


def _end_worker(number: int, frame: object) -> None:
    if _Worker.busy:
        raise _ToldToEnd
    os._exit(128 + number)


def _tell_again(unraisable: Any) -> None:
    """Tell a worker to end once more where an object's finaliser swallowed it; print what else one raises, as usual."""
    if not issubclass(unraisable.exc_type, _ToldToEnd):
        sys.__unraisablehook__(unraisable)
        return
    # A moment later, when the finaliser is left: in it, this would be swallowed again.
    timer = threading.Timer(0.001, signal.pthread_kill, (threading.main_thread().ident, signal.SIGTERM))
    timer.daemon = True
    timer.start()


def _work(item: Any) -> tuple[str, Any, SertoolError | None]:
    try:
        _Worker.busy = True
        return _work_on(item)
    except _ToldToEnd:
        os._exit(128 + signal.SIGTERM)
    finally:
        _Worker.busy = False


def _work_on(item: Any) -> tuple[str, Any, SertoolError | None]:
    # The setup waits for the first item, because an error in an executor's initializer loses its message.
    if _Worker.state is None:
        try:
            _Worker.state = () if _Worker.setup is None else (_Worker.setup(*_Worker.setup_args),)
        except SertoolError as error:
            return "setup", None, error
    try:
        return "item", _Worker.function(item, *_Worker.state), None
    except SertoolError as error:
        return "item", None, error


def _die_with_parent() -> None:
    # A parent that is killed cannot stop its workers, which would wait for items for ever.
    multiprocessing.parent_process().join()
    os._exit(1)

"""Ctrl-C in the middle of a training: the update under way is finished first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class StopFlag:
    """Remembers that Ctrl-C was pressed, until the update under way is done."""

    asked = False


@contextmanager
def finish_update_on_interrupt() -> Iterator[StopFlag]:
    """Let the first Ctrl-C end the training after the update under way, and a second one at once."""
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag  # signals reach the main thread only; elsewhere nobody can press Ctrl-C
        return

    def remember(number: int, frame: object) -> None:
        if flag.asked:
            raise KeyboardInterrupt
        flag.asked = True

    previous = signal.signal(signal.SIGINT, remember)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)

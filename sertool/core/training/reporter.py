"""What a training tells whoever watches: a bar, a log, or nobody."""

from typing import Any, Protocol


class Reporter(Protocol):
    """Told how a training goes on; the command line draws a bar of it."""

    def begin(self, total_updates: int, done_updates: int) -> None:
        """A training begins, or goes on after `done_updates`."""

    def update(self, loss: float) -> None:
        """One more update is done."""

    def epoch(self, line: dict[str, Any]) -> None:
        """An epoch is done; `line` is what `metrics.jsonl` holds of it."""

    def phase(self, name: str, total: int) -> None:
        """Something begins that comes before training, in so many steps."""

    def advance(self, steps: int) -> None:
        """So many steps of it are done."""

    def note(self, message: str) -> None:
        """Something a user should know."""


class Silent:
    """Tells nobody."""

    def begin(self, total_updates: int, done_updates: int) -> None:
        """Do nothing."""

    def update(self, loss: float) -> None:
        """Do nothing."""

    def epoch(self, line: dict[str, Any]) -> None:
        """Do nothing."""

    def phase(self, name: str, total: int) -> None:
        """Do nothing."""

    def advance(self, steps: int) -> None:
        """Do nothing."""

    def note(self, message: str) -> None:
        """Do nothing."""

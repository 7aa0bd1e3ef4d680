"""What a cluster run tells whoever watches: which phase it is in, and how far."""

from typing import Any, Protocol


class ClusterReporter(Protocol):
    """Told how a cluster run goes on; the command line draws bars of it."""

    def phase(self, name: str, total: int) -> None:
        """A phase begins, of so many steps; 0 where nobody can tell."""

    def advance(self, steps: int) -> None:
        """So many more steps are done."""

    def epoch(self, line: dict[str, Any]) -> None:
        """An epoch is done; `line` is what `metrics.jsonl` holds of it."""

    def note(self, message: str) -> None:
        """Something a user should know."""


class Silent:
    """Tells nobody."""

    def phase(self, name: str, total: int) -> None:
        """Do nothing."""

    def advance(self, steps: int) -> None:
        """Do nothing."""

    def epoch(self, line: dict[str, Any]) -> None:
        """Do nothing."""

    def note(self, message: str) -> None:
        """Do nothing."""

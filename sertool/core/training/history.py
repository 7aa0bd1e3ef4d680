"""The history of a run: a line of `metrics.jsonl` an epoch, and TensorBoard's logs where they are asked for."""

import json
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError


class History:
    """Writes and reads what a run's epochs came to.

    Args:
        folder: the run's folder.
        tensorboard: write its logs too.
        writes: whether this process is the one that writes.
    """

    def __init__(self, folder: Path, *, tensorboard: bool, writes: bool) -> None:
        self.path, self.writes = folder / "metrics.jsonl", writes
        self.tensorboard = _summary_writer(folder / "tensorboard") if tensorboard and writes else None

    def lines(self) -> list[dict[str, Any]]:
        """Return the epochs so far."""
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def append(self, line: dict[str, Any]) -> None:
        """Write an epoch."""
        if not self.writes:
            return
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.tensorboard:
            for group in ("train", "dev"):
                for name, value in line[group].items():
                    self.tensorboard.add_scalar(f"{group}/{name}", value, line["updates"])
            self.tensorboard.flush()

    def keep(self, count: int) -> None:
        """Drop lines of epochs that are to be done again: they were written after the state that is gone on from."""
        if self.writes and self.path.is_file():
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)[:count]
            partial = self.path.with_name(f".{self.path.name}.partial")
            partial.write_text("".join(lines), encoding="utf-8")
            partial.replace(self.path)


def _summary_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            "tensorboard is not installed, but the recipe asks for its logs: pip install 'sertool[tensorboard]'"
        ) from error
    return SummaryWriter(str(folder))

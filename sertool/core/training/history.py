"""The history of a run: a line of `metrics.jsonl` an epoch, and TensorBoard's logs where they are asked for."""

import json
import math
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError
from sertool.core.writing import append_line, write_text

GROUPS = ("train", "bins", "dev")
"""Numbers of an epoch: losses in training, what a curriculum had in play, and scores on the dev split."""


class History:
    """Writes and reads what a run's epochs came to.

    Args:
        folder: the run's folder.
        tensorboard: write its logs too.
        writes: whether this process is the one that writes.
    """

    def __init__(self, folder: Path, *, tensorboard: bool, writes: bool) -> None:
        self.path, self.writes = folder / "metrics.jsonl", writes
        self._make_writer = _summary_writer() if tensorboard and writes else None
        self.tensorboard: Any = None

    def lines(self) -> list[dict[str, Any]]:
        """Return the epochs so far.

        Raises:
            InputError: the file is damaged.
        """
        try:
            return [_epoch(json.loads(line)) for line in self._texts()]
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{self.path}: is damaged ({error}); expected a line of JSON an epoch: train anew with --overwrite"
            ) from error

    def append(self, line: dict[str, Any]) -> None:
        """Write an epoch.

        Raises:
            OutputError: it cannot be written.
        """
        if self.writes:
            append_line(self.path, json.dumps(line))
            self._log([line])

    def keep(self, count: int) -> None:
        """Begin, or go on after so many epochs.

        Lines of epochs that are to be done again are dropped: they were written after the state that is gone on from.
        TensorBoard's logs are written anew from the lines that stay, or it would show those epochs twice.

        Raises:
            InputError: there are fewer lines.
            OutputError: the lines kept cannot be written.
        """
        if not self.writes:
            return
        texts = self._texts()
        if len(texts) < count:
            raise InputError(
                f"{self.path}: tells of {len(texts)} epochs; expected {count}, as the run's state has them: restore "
                "the file, or train anew with --overwrite"
            )
        if texts:
            write_text(self.path, "".join(f"{text}\n" for text in texts[:count]))
        if self._make_writer:
            folder = self.path.parent / "tensorboard"
            for file in folder.glob("events.out.tfevents.*"):
                file.unlink()
            self.tensorboard = self._make_writer(str(folder))
            self._log(self.lines())

    def _texts(self) -> list[str]:
        if not self.path.is_file():
            return []
        return self.path.read_text(encoding="utf-8", errors="replace").splitlines()

    def _log(self, lines: list[dict[str, Any]]) -> None:
        if not self.tensorboard:
            return
        for line in lines:
            for group in GROUPS:
                for name, value in line.get(group, {}).items():
                    self.tensorboard.add_scalar(f"{group}/{name}", value, line["updates"])
        self.tensorboard.flush()


def _epoch(line: Any) -> dict[str, Any]:
    """Return a line that tells of an epoch.

    Raises:
        ValueError: it does not.
    """
    numbers = [{"bins": {}, **line}.get(group) for group in GROUPS] if isinstance(line, dict) else [None]
    if not all(isinstance(group, dict) for group in numbers):
        raise ValueError("a line tells of no epoch")
    for name, value in [pair for group in numbers for pair in group.items()]:
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"'{name[:40]}' is no number")
    return line


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            "tensorboard is not installed, but the recipe asks for its logs: pip install 'sertool[tensorboard]'"
        ) from error
    return SummaryWriter

"""A label for every frame of a corpus, in one file that is mapped into memory, so that many processes share it.

The file is an array of numpy, uint16 and of one dimension: the labels of all utterances one behind the other; behind
them where each utterance begins and where the last one ends, and how many utterances there are, eight bytes a number.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from sertool.core.errors import InputError
from sertool.core.writing import whole_file

NONE = -1
"""Stands where an utterance has no frame. In the file there is no such label, so all 65 536 numbers may be labels."""

_LABEL, _NUMBER = np.dtype("<u2"), np.dtype("<i8")
_WORDS = _NUMBER.itemsize // _LABEL.itemsize


class FrameLabels:
    """The labels of all utterances' frames, on disk; small to send to another process, which maps the file itself."""

    def __init__(self, path: Path | str) -> None:
        """Remember where the file lies; it is opened when it is first asked for a label."""
        self.path = Path(path)
        self._mapped: tuple[np.ndarray, np.ndarray] | None = None

    @classmethod
    def open(cls, path: Path | str) -> "FrameLabels":
        """Return the labels in a file that `write_frame_labels` wrote.

        Raises:
            InputError: there is none, or it is damaged.
        """
        labels = cls(path)
        len(labels)
        return labels

    def __len__(self) -> int:
        """Return how many utterances there are."""
        return len(self._arrays()[1]) - 1

    def of(self, index: int, start: int, count: int) -> np.ndarray:
        """Return the labels of some frames of an utterance.

        Args:
            index: of the utterance, from 0.
            start: first frame, at least 0.
            count: of the frames.

        Returns:
            int64, shape (count,), -1 beyond the utterance's end.

        Raises:
            ValueError: there is no such utterance, or no such frame in any.
            InputError: the file is not there any more, or damaged.
        """
        if not 0 <= index < len(self) or start < 0 or count < 0:
            raise ValueError(f"utterance {index} of {len(self)}, {count} frames from frame {start}: none of them is")
        labels, offsets = self._arrays()
        first, end = int(offsets[index]) + start, int(offsets[index + 1])
        found = np.full(count, NONE, dtype=np.int64)
        own = labels[first : max(first, min(first + count, end))]
        found[: len(own)] = own
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_mapped": None}

    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all labels, and where each utterance's begin and the last one's end, both mapped."""
        if self._mapped is None:
            self._mapped = _map(self.path)
        return self._mapped


def write_frame_labels(path: Path | str, arrays: Iterable[np.ndarray]) -> None:
    """Write the labels of utterances, in their order, whole or not at all; they are asked for one at a time.

    Args:
        path: of the file, usually `.npy`.
        arrays: of each utterance the labels of its frames, integers from 0 to 65 535, (T,).

    Raises:
        OutputError: the file cannot be written.
        ValueError: there are other labels.
    """
    offsets = [0]
    with whole_file(path) as place, open(place, "wb") as file:
        _write_header(file, 0)
        begin = file.tell()
        for labels in arrays:
            file.write(_checked(labels).tobytes())
            offsets.append(offsets[-1] + len(labels))
        file.write(np.array([*offsets, len(offsets) - 1], dtype=_NUMBER).tobytes())
        file.seek(0)
        _write_header(file, offsets[-1] + _WORDS * (len(offsets) + 1))
        if file.tell() != begin:  # numpy leaves room for the length of what is not yet written
            raise RuntimeError(f"the header of {path} grew from {begin} to {file.tell()} bytes")


def _checked(labels: np.ndarray) -> np.ndarray:
    highest = np.iinfo(_LABEL).max
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"labels of shape {labels.shape}, {labels.dtype}: expected (T,), integers, 0 to {highest}")
    if labels.size and not 0 <= labels.min() <= labels.max() <= highest:
        raise ValueError(f"labels from {labels.min()} to {labels.max()}: expected 0 to {highest}")
    return labels.astype(_LABEL)


def _write_header(file, length: int) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(_LABEL), "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(file, header)


def _map(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        words = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError) as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise _damaged(path, found) from error
    if words.ndim != 1 or words.dtype != _LABEL or len(words) < 2 * _WORDS:
        raise _damaged(path, f"holds {words.dtype} of shape {words.shape}")
    utterances = int(words[-_WORDS:].view(_NUMBER)[0])
    total = len(words) - _WORDS * (utterances + 2)
    if utterances < 0 or total < 0:
        raise _damaged(path, f"says it is of {utterances} utterances and has {len(words)} words")
    offsets = words[total:-_WORDS].view(_NUMBER)  # (N + 1,)
    if offsets[0] != 0 or offsets[-1] != total or (np.diff(offsets) < 0).any():
        raise _damaged(path, f"places utterances outside its {total} labels")
    return words[:total], offsets


def _damaged(path: Path, found: str) -> InputError:
    return InputError(f"{path}: {' '.join(found.split())}; expected labels of frames: remove it, and make them again")

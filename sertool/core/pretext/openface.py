"""Faces frame by frame, as OpenFace 2 writes them (Baltrušaitis et al., FG 2018): a CSV a video, read by column name.

FeatureExtraction writes a row a frame: `frame, face_id, timestamp, confidence, success`, 68 landmarks `x_0 … y_67` in
pixels, action units as intensities `AU01_r …` (0–5) and as presences `AU01_c …` (0 or 1), and hundreds of columns more,
which are passed over. Blanks around names and numbers, a byte order mark and the order of the columns do not matter.

A frame is tracked where OpenFace says so (`success` is 1) and every number asked for can be read and lies in its range
(ours: a number out of its range says as little as none at all). A frame that OpenFace calls tracked and that cannot be
read is counted; so is a row without a frame number or a time, which is left out. Of several faces in a file, the one
with most tracked frames is taken, of equals that with the lowest id.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sertool.core.corpus.tables import columns_found
from sertool.core.pretext.action_units import NEEDED_UNITS
from sertool.core.pretext.face_error import FaceError
from sertool.core.pretext.openface_csv import delimiter_instead_of_comma, read_header, read_numbers

NUM_LANDMARKS = 68
LANDMARK_COLUMNS = tuple(f"{axis}_{point}" for axis in "xy" for point in range(NUM_LANDMARKS))
UNIT_COLUMN = re.compile(r"AU(\d\d)_([rc])")
"""A column of an action unit: its number, and `r` for the intensity or `c` for the presence."""

FRAME_COLUMNS = ("frame", "timestamp", "confidence", "success")
PLACE_COLUMNS = ("frame", "timestamp", "face_id")
"""What places a row: without one of these numbers it belongs nowhere."""

UNIT_RANGES = {"r": (0.0, 5.0), "c": (0.0, 1.0)}
LARGEST = 1e9
"""No frame number, second or pixel lies further from 0."""


@dataclass(frozen=True)
class FaceTrack:
    """One face of one video, F frames in order of time.

    Attributes:
        frames: frame numbers, int64, (F,), increasing; a frame that OpenFace left out is missing here too.
        timestamps_s: seconds from the video's start, float64, (F,), increasing.
        confidence: OpenFace's own of each frame, 0–1, float32, (F,).
        tracked: whether the face was found and every number read of it is one, bool, (F,).
        landmarks: pixels, float32, (F, 68, 2); None where not asked for. What untracked frames hold means nothing.
        units: numbers of the action units that have an intensity, U of them, increasing.
        intensity: 0–5, float32, (F, U); None where not asked for.
        presence: 0 or 1, float32, (F, U), NaN for a unit without a column `_c`; None where not asked for.
        duration_s: of the whole file: last time minus first, and one frame (the median interval).
        unreadable_frames: rows that OpenFace calls tracked but whose numbers are none or out of range, or that have no
            frame number or time, or another number of fields than the header.
    """

    frames: np.ndarray
    timestamps_s: np.ndarray
    confidence: np.ndarray
    tracked: np.ndarray
    landmarks: np.ndarray | None
    units: tuple[int, ...]
    intensity: np.ndarray | None
    presence: np.ndarray | None
    duration_s: float
    unreadable_frames: int


def read_openface(path: Path | str, *, landmarks: bool, units: bool, presence: bool = True) -> FaceTrack:
    """Read one face from an OpenFace 2 CSV; only the columns asked for are parsed.

    Args:
        path: a file of FeatureExtraction, or of FaceLandmarkVidMulti.
        landmarks: whether to read the 68 landmarks.
        units: whether to read the action units.

    Raises:
        FaceError: the file is missing, empty or no table of commas; a column asked for is missing, double or without
            numbers; the landmarks are not the 68; no frame was tracked; times do not increase; there is one frame only.
    """
    path = Path(path)
    header, lines = read_header(path)
    _check_columns(path, header)
    unit_numbers = _units(path, header) if units else ()
    names = [*FRAME_COLUMNS, *(["face_id"] if "face_id" in header else [])]
    if landmarks:
        _check_landmarks(path, header)
        names += LANDMARK_COLUMNS
    kinds = "rc" if presence else "r"
    names += [name for unit in unit_numbers for kind in kinds if (name := f"AU{unit:02d}_{kind}") in header]
    _check_once(path, header, names)
    places = [header.index(name) for name in names]
    values, ragged = read_numbers(path, places, width=len(header), lines=lines)  # (rows, names)
    column = {name: values[:, index] for index, name in enumerate(names)}

    readable = _readable(values, names)
    placed = readable[:, [name in PLACE_COLUMNS for name in names]].all(axis=1)
    success = column["success"] == 1.0
    tracked = success & readable.all(axis=1)
    _check_tracked(path, names, values, readable, success, tracked)
    duration_s = _duration_s(path, column["timestamp"][placed])
    chosen = placed & _of_fullest_face(column["face_id"], tracked) if "face_id" in column else placed
    _check_order(path, column["frame"][chosen], column["timestamp"][chosen])

    claimed = success | ~readable[:, names.index("success")]
    return FaceTrack(
        frames=column["frame"][chosen].astype(np.int64),
        timestamps_s=column["timestamp"][chosen],
        confidence=column["confidence"][chosen].astype(np.float32),
        tracked=tracked[chosen],
        landmarks=_points(column, chosen) if landmarks else None,
        units=unit_numbers,
        intensity=_of_units(column, "r", unit_numbers, chosen) if units else None,
        presence=_of_units(column, "c", unit_numbers, chosen) if units and presence else None,
        duration_s=duration_s,
        unreadable_frames=ragged + int((~placed).sum()) + int((chosen & claimed & ~tracked).sum()),
    )


def _check_columns(path: Path, header: Sequence[str]) -> None:
    """Check what stands between the columns, and that those are there which every use needs."""
    if other := delimiter_instead_of_comma(header):
        raise FaceError(
            "another delimiter",
            f"{path}: its columns are separated by {other}; expected ',' and decimal points, as OpenFace writes them: "
            "export it so",
        )
    for name in FRAME_COLUMNS:
        if name not in header:
            raise FaceError(
                f"no column '{name}'",
                f"{path}: has no column '{name}', but {columns_found(header[:6])}; expected the CSV of a video: "
                "extract the face again with OpenFace's FeatureExtraction, from the video rather than from images",
            )


def _check_landmarks(path: Path, header: Sequence[str]) -> None:
    """Check that the 2-D landmarks are OpenFace's 68."""
    points = {axis: {int(name[2:]) for name in header if re.fullmatch(rf"{axis}_\d+", name)} for axis in "xyX"}
    if points["x"] == points["y"] == set(range(NUM_LANDMARKS)):
        return
    found = f"{len(points['x'] & points['y'])} 2-D landmarks"
    if points["X"] and not points["x"]:
        found = f"{len(points['X'])} 3-D landmarks (X_, Y_, Z_) and no 2-D ones"
    raise FaceError(
        "another landmark count",
        f"{path}: has {found}; expected 68 2-D landmarks, x_0 … x_67 and y_0 … y_67: extract the face again with "
        "OpenFace's FeatureExtraction -2Dfp",
    )


def _units(path: Path, header: Sequence[str]) -> tuple[int, ...]:
    """Return the action units that have an intensity: of those that make up expressions, where there are any."""
    units = {int(match[1]) for name in header if (match := UNIT_COLUMN.fullmatch(name)) and match[2] == "r"}
    if not units:
        raise FaceError(
            "no action units",
            f"{path}: has no intensity of an action unit; expected columns AU01_r … AU45_r: extract the face again "
            "with OpenFace's FeatureExtraction -aus",
        )
    return tuple(sorted(units & set(NEEDED_UNITS) or units))


def _check_once(path: Path, header: Sequence[str], names: Sequence[str]) -> None:
    counts = Counter(header)
    if double := next((name for name in names if counts[name] > 1), None):
        raise FaceError(
            "a column twice", f"{path}: has two columns '{double}'; expected each once: leave out one of them"
        )


def _readable(values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return which of the numbers (rows, names) are there and in their range, bool, of the same shape."""
    low, high = np.array([_range(name) for name in names]).T
    whole = np.array([_is_whole(name) for name in names])
    return (values >= low) & (values <= high) & (~whole | (values == np.round(values)))  # no comparison is true of NaN


def _range(name: str) -> tuple[float, float]:
    if unit := UNIT_COLUMN.fullmatch(name):
        return UNIT_RANGES[unit[2]]
    return (0.0, 1.0) if name in ("confidence", "success") else (-LARGEST, LARGEST)


def _is_whole(name: str) -> bool:
    return name in ("frame", "face_id", "success") or name.endswith("_c")


def _check_tracked(
    path: Path, names: Sequence[str], values: np.ndarray, readable: np.ndarray, success: np.ndarray, tracked: np.ndarray
) -> None:
    """Check that there is a tracked frame, and say why where there is none."""
    if tracked.any():
        return
    number = np.isfinite(values)
    if number[:, names.index("success")].any() and not success.any():
        raise FaceError(
            "no frame was tracked",
            f"{path}: no frame was tracked, success is 1 in none of {len(values)}; expected a face in the video: "
            "leave it out, or extract it again",
        )
    rows = success if success.any() else np.ones_like(success)
    for index, name in enumerate(names):
        if not number[rows, index].any():
            raise FaceError(
                "a column without numbers",
                f"{path}: '{name}' holds no number in any tracked frame; expected one in each: extract this face again",
            )
        if not readable[rows, index].any():
            low, high = _range(name)
            raise FaceError(
                "out of range",
                f"{path}: '{name}' is out of range in every tracked frame; expected "
                f"{'whole ' * _is_whole(name)}numbers from {low:g} to {high:g}: extract this face again",
            )
    raise FaceError(
        "no readable frame",
        f"{path}: none of {int(success.sum())} tracked frames can be read throughout; expected a number in every "
        "column: extract this face again",
    )


def _duration_s(path: Path, timestamps_s: np.ndarray) -> float:
    """Return how long the video is: last time minus first, and the median interval for the last frame."""
    times = np.unique(timestamps_s)
    if len(times) == 1 and len(timestamps_s) > 1:
        raise FaceError(
            "time stands still",
            f"{path}: all {len(timestamps_s)} frames are at {times[0]:g} s; expected a video: extract the face "
            "from the video rather than from images",
        )
    if len(times) < 2:
        raise FaceError(
            "a single frame", f"{path}: holds a single frame; expected a video: extract the face from the whole of it"
        )
    return float(times[-1] - times[0] + np.median(np.diff(times)))


def _of_fullest_face(face_ids: np.ndarray, tracked: np.ndarray) -> np.ndarray:
    """Return which rows are of the face with most tracked frames."""
    faces, counts = np.unique(face_ids[tracked], return_counts=True)
    return face_ids == faces[counts.argmax()]


def _check_order(path: Path, frames: np.ndarray, timestamps_s: np.ndarray) -> None:
    for name, values in (("timestamp", timestamps_s), ("frame", frames)):
        late = np.flatnonzero(np.diff(values) <= 0)
        if len(late):
            before, after = values[late[0]], values[late[0] + 1]
            raise FaceError(
                "frames out of order",
                f"{path}: '{name}' goes from {before:g} to {after:g}; expected it to increase from row to row: "
                "extract this face again, one video a file",
            )


def _of_units(column: Mapping[str, np.ndarray], kind: str, units: Sequence[int], rows: np.ndarray) -> np.ndarray:
    """Return some rows of the units' columns of a kind, float32, (rows, units), NaN where there is no such column."""
    nothing = np.full(len(rows), np.nan)
    columns = [column.get(f"AU{unit:02d}_{kind}", nothing)[rows] for unit in units]
    return np.stack(columns, axis=1).astype(np.float32)


def _points(column: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Return some rows of the landmarks, float32, (rows, 68, 2)."""
    numbers = np.stack([column[name][rows] for name in LANDMARK_COLUMNS], axis=1).astype(np.float32)  # (rows, 136)
    return np.ascontiguousarray(numbers.reshape(-1, 2, NUM_LANDMARKS).swapaxes(1, 2))

"""OpenFace 2 CSVs of faces made up by a test, as FeatureExtraction writes them.

No test itself; tests of other folders put this one on `sys.path` to import it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

STRANGERS = ("gaze_0_x", "eye_lmk_x_0", "pose_Tx", "pose_Rx", "X_0", "p_rx")
"""Columns that nothing reads, some of them named nearly as one that is."""


def write_openface(
    path: Path,
    *,
    landmarks: np.ndarray | None = None,
    intensity: Mapping[int, Sequence[float]] | None = None,
    presence: Mapping[int, Sequence[float]] | None = None,
    fps: float = 30.0,
    confidence: Sequence[float] | float | None = None,
    success: Sequence[float] | float | None = None,
    spaces: bool = True,
    delimiter: str = ",",
    num_frames: int | None = None,
    face_id: Sequence[int] | int = 0,
    frames: Sequence[int] | None = None,
    timestamps_s: Sequence[float] | None = None,
    columns: Mapping[str, Sequence[object]] | None = None,
    without: Sequence[str] = (),
    order: Sequence[str] | None = None,
) -> Path:
    """Write one file and return its path; what is not given is as in a face tracked throughout.

    Args:
        path: where to write; its folder is made.
        landmarks: pixels, (F, 68, 2), or of another count of points; None leaves the columns out.
        intensity: by action unit, (F,), the columns `AUxx_r`; NaN is written as `nan`.
        presence: by action unit, (F,), the columns `AUxx_c`.
        fps: frames a second; timestamps are written to a microsecond (OpenFace's own to a millisecond).
        confidence: (F,) or one for all; 0.98.
        success: (F,) or one for all; 1.
        spaces: write a blank behind each delimiter, as OpenFace 2.0 does.
        delimiter: what stands between columns.
        num_frames: F, where no array says it.
        face_id: (F,) or one for all.
        frames: frame numbers, (F,); from 1.
        timestamps_s: (F,); from `frames` and `fps`.
        columns: further columns, or others in place of those above, by name; numbers or text.
        without: columns to leave out.
        order: names of all columns in the order to write; None: OpenFace's own.
    """
    count = num_frames
    for given in (landmarks, *(intensity or {}).values(), *(presence or {}).values(), frames, timestamps_s):
        count = len(given) if count is None and given is not None else count
    for given in (confidence, success, face_id):
        count = len(given) if count is None and np.ndim(given) else count
    if count is None:
        raise ValueError("how many frames? give num_frames or an array")
    numbers = np.arange(1, count + 1) if frames is None else np.asarray(frames)
    table: dict[str, object] = {
        "frame": numbers,
        "face_id": face_id,
        "timestamp": (numbers - 1) / fps if timestamps_s is None else timestamps_s,
        "confidence": 0.98 if confidence is None else confidence,
        "success": 1 if success is None else success,
        **{name: 0.125 for name in STRANGERS[:4]},
    }
    if landmarks is not None:
        table |= {f"x_{point}": landmarks[:, point, 0] for point in range(landmarks.shape[1])}
        table |= {f"y_{point}": landmarks[:, point, 1] for point in range(landmarks.shape[1])}
    table |= {name: 0.25 for name in STRANGERS[4:]}
    table |= {f"AU{unit:02d}_r": values for unit, values in (intensity or {}).items()}
    table |= {f"AU{unit:02d}_c": values for unit, values in (presence or {}).items()}
    table |= columns or {}
    rows = pd.DataFrame({name: values for name, values in table.items() if name not in without}, index=range(count))
    rows = rows if order is None else rows[list(order)]
    text = rows.to_csv(index=False, float_format="%.6f", na_rep="nan", lineterminator="\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace(",", delimiter + " " * spaces), encoding="utf-8")
    return path

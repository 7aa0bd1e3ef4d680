"""Emotion from combinations of facial action units (task 3 of Goncalves & Busso, 2022).

That combinations of action units give the class is the publication's; the table and every rule below are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sertool.core.pretext.face_error import FaceError
from sertool.core.training.pretext_settings import UTTERANCE_TASKS

EXPRESSION_UNITS: dict[str, tuple[int, ...]] = {
    "happiness": (6, 12),
    "sadness": (1, 4, 15),
    "surprise": (1, 2, 5, 26),
    "fear": (1, 2, 4, 5, 7, 20, 26),
    "anger": (4, 5, 7, 23),
    "disgust": (9, 15),  # And 16, which OpenFace does not measure.
}
"""Action units that make up each expression. Ours, after the prototypes of the Facial Action Coding System. Surprise's
set lies within fear's, so fear is what a face shows only where units 4, 7 and 20 are the stronger ones."""

NEUTRAL = "neutral"

EXPRESSIONS = UTTERANCE_TASKS["action-units"]
"""What a face can show, neutral first."""

NEEDED_UNITS = tuple(sorted({unit for units in EXPRESSION_UNITS.values() for unit in units}))


@dataclass(frozen=True)
class Expression:
    """What a face shows through an utterance.

    Attributes:
        label: one of `EXPRESSIONS`.
        scores: by expression; of frames, the share of frames with each label, neutral among them; of a summary, the
            score of each of the six.
    """

    label: str
    scores: dict[str, float]


def expression_of_frames(
    intensity: np.ndarray,
    units: Sequence[int],
    usable: np.ndarray,
    *,
    floor: float,
    presence: np.ndarray | None = None,
) -> Expression:
    """Return what a face shows in most frames.

    All units of a set are rarely at work together, so a frame's score of an expression is the mean intensity over its
    set; the largest score names the frame if it reaches the floor, else the frame is neutral. Of equal scores the first
    in the table counts. Of labels equally frequent, the one with the larger mean score over all usable frames
    counts, and neutral only if there is no other.

    Args:
        intensity: of each action unit, from 0 to 5, (F, U); in frames that are not usable it is not read.
        units: the number of each of the U action units.
        usable: whether a face was tracked in the frame, bool, (F,).
        floor: the least score that is an expression, in units of intensity, above 0.
        presence: 1 where the unit is present, else 0, (F, U); an intensity where it is not counts as 0. Without it
            every intensity counts as it is.

    Raises:
        FaceError: no frame is usable, or an action unit of the table is missing.
        ValueError: shapes do not fit, the floor is not above 0, or a needed intensity is not finite.
    """
    _check(intensity, (len(usable), len(units)), presence, floor)
    columns = _columns(units)
    if usable.dtype != bool:
        raise ValueError(f"usable is of {usable.dtype}, expected bool")
    if not usable.any():
        reason = "no frame was tracked"
        raise FaceError(reason, f"{reason}; expected a face in view: leave this one out")
    strength = _needed(intensity[usable], columns, "the intensity of action unit")
    if presence is not None:
        strength *= _needed(presence[usable], columns, "the presence of action unit") == 1
    scores = _scores(strength)  # (F', 6)
    labels = _labels(scores, floor)
    counts = np.bincount(labels, minlength=len(EXPRESSIONS))
    means = np.append(-np.inf, scores.mean(0).astype(np.float32))  # neutral has no score, and gives way
    # The last key counts first; the largest is the last, and of equals the first in the table.
    order = np.lexsort((-np.arange(len(EXPRESSIONS)), means, counts))
    shares = counts / counts.sum()
    return Expression(EXPRESSIONS[order[-1]], dict(zip(EXPRESSIONS, shares.tolist(), strict=True)))


def expression_of_summary(
    intensity: np.ndarray, presence: np.ndarray, units: Sequence[int], *, floor: float
) -> Expression:
    """Return what a face shows, from a summary of its frames.

    The score of an expression is the mean, over its set, of mean intensity times share of frames present; the largest
    names the face if it reaches the floor, else it is neutral. Of equal scores the first in the table counts.

    Args:
        intensity: mean over frames of each action unit, from 0 to 5, (U,).
        presence: share of frames in which it is present, from 0 to 1, (U,).
        units: the number of each of the U action units.
        floor: the least score that is an expression, in units of intensity, above 0.

    Raises:
        FaceError: an action unit of the table is missing.
        ValueError: shapes do not fit, the floor is not above 0, or a needed intensity is not finite.
    """
    _check(intensity, (len(units),), presence, floor)
    columns = _columns(units)
    strength = _needed(intensity[None], columns, "the intensity of action unit")
    scores = _scores(strength * _needed(presence[None], columns, "the presence of action unit"))
    label = EXPRESSIONS[_labels(scores, floor)[0]]
    return Expression(label, dict(zip(EXPRESSION_UNITS, scores[0].tolist(), strict=True)))


def _check(intensity: np.ndarray, shape: tuple[int, ...], presence: np.ndarray | None, floor: float) -> None:
    for name, values in (("intensity", intensity), ("presence", presence)):
        if values is not None and values.shape != shape:
            raise ValueError(f"{name} has shape {values.shape}, expected {shape}")
    if not 0 < floor < np.inf:
        raise ValueError(f"floor is {floor}, expected a number above 0: at 0 a face at rest is happy")


def _columns(units: Sequence[int]) -> list[int]:
    """Return in which column each of `NEEDED_UNITS` stands."""
    column_of = {int(unit): column for column, unit in enumerate(units)}
    if len(column_of) < len(units):
        raise ValueError(f"units {tuple(units)} name one twice")
    for unit in NEEDED_UNITS:
        if unit not in column_of:
            raise _missing(f"action unit {unit}")
    return [column_of[unit] for unit in NEEDED_UNITS]


def _needed(values: np.ndarray, columns: list[int], what: str) -> np.ndarray:
    """Return the columns of the needed units, (F, 12), float64; a column of NaN is a unit that is not there."""
    values = values[:, columns].astype(np.float64)
    finite = np.isfinite(values)
    for unit, there in zip(NEEDED_UNITS, finite.any(0), strict=True):
        if not there:
            raise _missing(f"{what} {unit}")
    if not finite.all():
        raise ValueError(f"{what} {NEEDED_UNITS[int((~finite).any(0).argmax())]} is not finite in a usable frame")
    return values


def _missing(what: str) -> FaceError:
    needed = ", ".join(map(str, NEEDED_UNITS))
    return FaceError(
        f"{what} is missing",
        f"{what} is missing; expected intensity (_r) and presence (_c) of units {needed}: track it again with OpenFace",
    )


def _scores(strength: np.ndarray) -> np.ndarray:
    """Return the mean strength over the set of each of the six expressions, (F, 6), from (F, 12)."""
    sets = [[NEEDED_UNITS.index(unit) for unit in units] for units in EXPRESSION_UNITS.values()]
    return np.stack([strength[:, members].mean(1) for members in sets], 1)


def _labels(scores: np.ndarray, floor: float) -> np.ndarray:
    """Return the index in `EXPRESSIONS` of what each row shows, (F,)."""
    # Files say 0.7, which as float32 is a little less: what float32 does not tell apart is equal.
    rounded = scores.astype(np.float32)
    return np.where(rounded.max(1) >= np.float32(floor), rounded.argmax(1) + 1, 0)

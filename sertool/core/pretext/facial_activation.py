"""Facial activation: how much a face moves of itself, its head's motion left out (task 2 of Goncalves & Busso, 2022).

The publication measures it on landmark movement; how is ours. Landmarks are numbered as in iBUG 300-W (Sagonas et al.,
2013), from 0 to 67, which is what OpenFace writes.
"""

from dataclasses import dataclass

import numpy as np

from sertool.core.pretext.face_error import FaceError

NUM_LANDMARKS = 68

OUTER_EYE_CORNERS = (36, 45)
"""Between them lies the inter-ocular distance, by the convention of 300-W."""

STABLE = (36, 39, 42, 45, *range(27, 34))
"""Eye corners and nose: what no expression moves, or hardly, and head motion is read from."""

MOUTH = tuple(range(48, 68))
"""Lips, outer and inner: what speech itself moves."""

SMALLEST_EYE_DISTANCE = 1e-6
"""Inter-ocular distance below which eye corners coincide, in parts of the face's extent."""


@dataclass(frozen=True)
class Activation:
    """How much a face moves, in inter-ocular distances a second.

    Attributes:
        whole: mean over all 68 landmarks.
        without_mouth: mean over the 48 landmarks that are not the mouth's.
        pairs: pairs of consecutive frames it was measured on.
    """

    whole: float
    without_mouth: float
    pairs: int


def facial_activation(
    landmarks: np.ndarray,
    timestamps_s: np.ndarray,
    confidence: np.ndarray,
    usable: np.ndarray,
    frames: np.ndarray,
) -> Activation:
    """Return how fast the landmarks of a face move, but for what turning, moving and nearing the head does to them.

    Of two consecutive frames, the later is laid on the earlier by the rotation, scale and translation that fit eye
    corners and nose best (least squares; Umeyama, 1991); what distance then remains between each landmark and itself
    is expression. It is divided by the earlier frame's inter-ocular distance, so that the size of the picture does not
    count, and by the time between the frames, so that cameras of different rates compare. Pairs are averaged, each
    weighted by the smaller of its two confidences. (All ours.) The jitter of a tracker is movement too, and more of it
    the faster the camera and the smaller the face: landmarks rounded to tenths of a pixel, 60 pixels from eye to eye,
    give a still face 0.03 at 30 frames a second. So compare faces of one tracker and one kind of camera.

    Args:
        landmarks: x and y, in pixels, (F, 68, 2); whatever stands in frames that are not usable is not read.
        timestamps_s: time of each frame, in seconds, (F,).
        confidence: the tracker's, from 0 to 1, (F,); a frame of confidence 0 counts nowhere.
        usable: whether a face was tracked in the frame, bool, (F,).
        frames: frame numbers, (F,); frames are consecutive if they are neighbours here and differ by exactly one.

    Raises:
        FaceError: no two consecutive frames are usable, the eye corners of a frame coincide, or time stands still.
        ValueError: shapes do not fit, or a usable frame holds what is not finite or a confidence below 0.
    """
    _check(landmarks, timestamps_s, confidence, usable, frames)
    weights = np.where(usable[:-1] & usable[1:], np.minimum(confidence[:-1], confidence[1:]), 0.0)
    first = np.flatnonzero((np.diff(frames) == 1) & (weights > 0))  # (P,), the earlier frame of each pair
    if not len(first):
        reason = "no two consecutive frames were tracked"
        raise FaceError(reason, f"{reason}; expected a face that is seen while it speaks: leave this one out")
    weights = weights[first].astype(np.float64)
    elapsed_s = (timestamps_s[first + 1] - timestamps_s[first]).astype(np.float64)
    if not (elapsed_s > 0).all():
        raise _frozen_time(frames[first], elapsed_s)
    points = np.zeros((len(landmarks), NUM_LANDMARKS), np.complex128)
    points.real[usable], points.imag[usable] = landmarks[usable, :, 0], landmarks[usable, :, 1]
    distances = _eye_distances(points, np.union1d(first, first + 1), frames)[first]
    earlier, later = points[first], points[first + 1]
    speeds = np.abs(_laid_on(later, earlier) - earlier) / (distances * elapsed_s)[:, None]  # (P, 68)
    by_landmark = weights @ speeds / weights.sum()  # (68,)
    without_mouth = np.delete(by_landmark, MOUTH)
    return Activation(whole=float(by_landmark.mean()), without_mouth=float(without_mouth.mean()), pairs=len(first))


def _laid_on(later: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Return the later points after the similarity that takes their stable ones nearest to the earlier's.

    A point is the complex number x + iy; a rotation with a scale is then a multiplication by one complex number, which
    least squares yields in closed form, and which cannot be a reflection.

    Args:
        later: complex, (P, 68).
        earlier: complex, (P, 68).

    Returns:
        complex, (P, 68).
    """
    stable = list(STABLE)
    later_centre = later[:, stable].mean(1, keepdims=True)
    earlier_centre = earlier[:, stable].mean(1, keepdims=True)
    source, target = later[:, stable] - later_centre, earlier[:, stable] - earlier_centre
    turn = (source.conj() * target).sum(1) / np.square(np.abs(source)).sum(1)  # (P,)
    return turn[:, None] * (later - later_centre) + earlier_centre


def _eye_distances(points: np.ndarray, needed: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return the inter-ocular distance of every frame, (F,), after a look at those that are needed."""
    left, right = OUTER_EYE_CORNERS
    distances = np.abs(points[:, left] - points[:, right])
    shapes = points[needed]
    extents = np.abs(shapes - shapes.mean(1, keepdims=True)).max(1)
    flat = distances[needed] <= SMALLEST_EYE_DISTANCE * extents
    if flat.any():
        raise FaceError(
            "no face shape",
            f"the outer eye corners of frame {frames[needed[flat][0]]} are one point, which is no face; expected "
            f"{NUM_LANDMARKS} landmarks numbered as in 300-W: track the video again, or leave this one out",
        )
    return distances


def _frozen_time(frames: np.ndarray, elapsed_s: np.ndarray) -> FaceError:
    pair = int(np.flatnonzero(~(elapsed_s > 0))[0])
    return FaceError(
        "time stands still",
        f"frame {frames[pair] + 1} is {elapsed_s[pair]:g} s after frame {frames[pair]}; expected times that grow: "
        "track the video itself rather than its pictures",
    )


def _check(
    landmarks: np.ndarray, timestamps_s: np.ndarray, confidence: np.ndarray, usable: np.ndarray, frames: np.ndarray
) -> None:
    count = len(landmarks)
    if landmarks.shape != (count, NUM_LANDMARKS, 2):
        raise ValueError(f"landmarks have shape {landmarks.shape}, expected (F, {NUM_LANDMARKS}, 2)")
    for name, values in zip(
        ("timestamps_s", "confidence", "usable", "frames"), (timestamps_s, confidence, usable, frames), strict=True
    ):
        if values.shape != (count,):
            raise ValueError(f"{name} has shape {values.shape}, expected ({count},) as there are landmarks")
    if usable.dtype != bool:
        raise ValueError(f"usable is of {usable.dtype}, expected bool")
    if not all(np.isfinite(values[usable]).all() for values in (landmarks, timestamps_s, confidence)):
        raise ValueError("a usable frame holds what is not finite: mark it as not usable")
    if (confidence[usable] < 0).any():
        raise ValueError(f"confidence {confidence[usable].min():g} is below 0")

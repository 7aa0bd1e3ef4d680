"""Facial activation: known movements of a synthetic face, motions of its head that do not count, SciPy's Procrustes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes

from sertool.core.pretext.face_error import FaceError
from sertool.core.pretext.facial_activation import facial_activation

EYES_AND_NOSE = [27, 28, 29, 30, 31, 32, 33, 36, 39, 42, 45]
BROWS = list(range(17, 27))
LOWER_LIP = [55, 56, 57, 58, 59, 65, 66, 67]


def _face():
    """A face of 68 landmarks in 300-W order, (68, 2), y downwards, its outer eye corners 1 apart."""
    jaw = np.linspace(0, np.pi, 17)
    ring = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    lips = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    inner = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    right_brow = np.stack([np.linspace(-0.6, -0.15, 5), -0.3 - 0.05 * np.sin(np.linspace(0, np.pi, 5))], 1)
    right_eye = np.stack([-0.35 - 0.15 * np.cos(ring), -0.06 * np.sin(ring)], 1)
    parts = [
        np.stack([-0.8 * np.cos(jaw), 1.1 * np.sin(jaw)], 1),
        right_brow,
        right_brow[::-1] * [-1, 1],
        np.stack([np.zeros(4), np.linspace(0, 0.4, 4)], 1),
        np.stack([np.linspace(-0.15, 0.15, 5), 0.5 + 0.03 * np.sin(np.linspace(0, np.pi, 5))], 1),
        right_eye,
        np.stack([0.35 - 0.15 * np.cos(ring), -0.06 * np.sin(ring)], 1),
        np.stack([-0.3 * np.cos(lips), 0.8 - 0.12 * np.sin(lips)], 1),
        np.stack([-0.2 * np.cos(inner), 0.8 - 0.04 * np.sin(inner)], 1),
    ]
    face = np.concatenate(parts)
    assert face.shape == (68, 2) and np.linalg.norm(face[36] - face[45]) == pytest.approx(1)
    return face


FACE = _face()


def _still(count):
    return np.repeat(FACE[None], count, 0)


def _moving(points, step, count):
    """A face of which some points move by `step` inter-ocular distances in every frame."""
    faces = _still(count)
    faces[:, points] += np.arange(count)[:, None, None] * np.array(step)
    return faces


def _head_motion(faces, seed):
    """Turn, move and zoom every frame as it likes: to hundreds of pixels."""
    generator = np.random.default_rng(seed)
    angle, size = generator.uniform(-np.pi, np.pi, len(faces)), generator.uniform(30, 300, len(faces))
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], 1).reshape(-1, 2, 2)
    return size[:, None, None] * faces @ turn.transpose(0, 2, 1) + generator.uniform(-500, 500, (len(faces), 1, 2))


def _activation(faces, *, fps=30.0, confidence=None, usable=None, frames=None):
    count = len(faces)
    frames = np.arange(1, count + 1) if frames is None else np.array(frames)
    confidence = np.ones(count, np.float32) if confidence is None else np.array(confidence, np.float32)
    usable = np.ones(count, bool) if usable is None else np.array(usable)
    return facial_activation(faces, (frames - 1) / fps, confidence, usable, frames)


def _by_scipy(faces, confidence, fps):
    """A plain loop: SciPy's rotation and scale, pair by pair; frames all usable and consecutive."""
    whole = rest = total = 0.0
    for t in range(len(faces) - 1):
        later, earlier = faces[t + 1], faces[t]
        source = later[EYES_AND_NOSE] - later[EYES_AND_NOSE].mean(0)
        target = earlier[EYES_AND_NOSE] - earlier[EYES_AND_NOSE].mean(0)
        rotation, strength = orthogonal_procrustes(source, target)
        assert np.linalg.det(rotation) > 0
        laid = (later - later[EYES_AND_NOSE].mean(0)) @ rotation * strength / np.square(source).sum()
        moved = np.linalg.norm(laid + earlier[EYES_AND_NOSE].mean(0) - earlier, axis=1)
        moved *= fps / np.linalg.norm(earlier[36] - earlier[45])
        weight = float(min(confidence[t], confidence[t + 1]))
        whole, rest, total = whole + weight * moved.mean(), rest + weight * moved[:48].mean(), total + weight
    return whole / total, rest / total


@settings(max_examples=40)
@given(count=st.integers(2, 20), seed=st.integers(0, 10_000))
def test_a_face_that_only_turns_moves_and_nears_has_no_activation(count, seed):
    faces = _head_motion(_still(count), seed).astype(np.float32)
    activation = _activation(faces, fps=1.0)
    assert activation.whole < 1e-4 and activation.without_mouth < 1e-4
    assert activation.pairs == count - 1


@settings(max_examples=40)
@given(
    step=st.floats(-0.02, 0.02), fps=st.floats(5, 100), points=st.sets(st.sampled_from(LOWER_LIP), min_size=1),
    seed=st.integers(0, 10_000),
)  # fmt: skip
def test_opening_the_mouth_by_a_known_amount_gives_a_known_number(step, fps, points, seed):
    faces = _moving(sorted(points), (0, step), 6)
    for seen in (faces, _head_motion(faces, seed)):
        activation = _activation(seen, fps=fps)
        assert activation.whole == pytest.approx(len(points) / 68 * abs(step) * fps, abs=1e-10)
        assert activation.without_mouth == pytest.approx(0, abs=1e-10)


def test_a_still_face_is_still():
    assert _activation(_still(4)).whole == pytest.approx(0, abs=1e-14)


def test_raising_the_brows_shows_with_and_without_the_mouth():
    activation = _activation(_head_motion(_moving(BROWS, (0.003, -0.004), 5), seed=3), fps=25.0)
    assert activation.whole == pytest.approx(10 / 68 * 0.005 * 25, rel=1e-9)
    assert activation.without_mouth == pytest.approx(10 / 48 * 0.005 * 25, rel=1e-9)


@pytest.mark.parametrize("point", range(68))
def test_every_landmark_but_the_mouths_and_the_heads_counts_in_both(point):
    activation = _activation(_moving([point], (0.01, 0), 2), fps=1.0)
    if point in EYES_AND_NOSE:  # it bends the fit instead
        assert activation.without_mouth > 0
        return
    assert activation.whole == pytest.approx(0.01 / 68, rel=1e-9)
    assert activation.without_mouth == pytest.approx(0 if point >= 48 else 0.01 / 48, rel=1e-9, abs=1e-15)


def test_neither_picture_size_nor_frame_rate_matter():
    generator = np.random.default_rng(0)
    faces = _head_motion(FACE + 0.03 * generator.standard_normal((6, 68, 2)), seed=1)
    activation, large = _activation(faces), _activation(faces * 8)
    assert (large.whole, large.without_mouth) == pytest.approx((activation.whole, activation.without_mouth), rel=1e-12)
    path = _moving(LOWER_LIP, (0, 0.01), 9) + _moving(BROWS, (0, -0.006), 9) - FACE
    fast, slow = _activation(path, fps=60.0), _activation(path[::2], fps=30.0)
    assert (fast.whole, fast.without_mouth) == pytest.approx((slow.whole, slow.without_mouth), rel=1e-9)
    assert (fast.pairs, slow.pairs) == (8, 4)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), noise=st.floats(0.001, 0.1))
def test_the_fit_is_scipys(seed, noise):
    generator = np.random.default_rng(seed)
    faces = _head_motion(FACE + noise * generator.standard_normal((5, 68, 2)), seed)
    confidence = generator.uniform(0.1, 1, 5).astype(np.float32)
    activation = _activation(faces, fps=25.0, confidence=confidence)
    expected = _by_scipy(faces, confidence, 25.0)
    assert (activation.whole, activation.without_mouth) == pytest.approx(expected, rel=1e-9)


def test_a_mirrored_face_has_moved():
    assert _activation(np.stack([FACE, FACE * [-1, 1]]), fps=1.0).whole > 0.1


def test_pairs_count_by_the_smaller_of_two_confidences():
    faces = _still(4)
    faces[1:, LOWER_LIP] += [0, 0.01]
    faces[2:, LOWER_LIP] += [0, 0.02]
    faces[3:, LOWER_LIP] += [0, 0.04]
    activation = _activation(faces, fps=10.0, confidence=[0.75, 0.5, 1.0, 0.25])
    moved = (0.5 * 0.01 + 0.5 * 0.02 + 0.25 * 0.04) / 1.25
    assert activation.whole == pytest.approx(8 / 68 * moved * 10, rel=1e-6)
    assert activation.pairs == 3
    certain = _activation(faces, fps=10.0, confidence=[1, 1, 1, 0])
    assert certain.whole == pytest.approx(8 / 68 * 0.015 * 10, rel=1e-6)
    assert certain.pairs == 2


def test_frames_that_are_lost_take_the_pairs_across_them_along():
    faces = _moving(LOWER_LIP, (0, 0.01), 6)
    faces[3:, LOWER_LIP] += [0, 0.5]  # a jump nobody saw
    expected = 8 / 68 * 0.01 * 30
    faces[2] = np.nan
    activation = _activation(faces, usable=[True, True, False, True, True, True])
    assert activation.whole == pytest.approx(expected, rel=1e-9)
    assert activation.pairs == 3
    # The same where the lost frame is not in the file at all.
    kept = [0, 1, 3, 4, 5]
    activation = _activation(faces[kept], frames=[1, 2, 4, 5, 6])
    assert (activation.whole, activation.pairs) == (pytest.approx(expected, rel=1e-9), 3)


@pytest.mark.parametrize(
    ("usable", "frames", "confidence"),
    [
        ([False] * 4, [1, 2, 3, 4], [1] * 4),
        ([True, False, True, False], [1, 2, 3, 4], [1] * 4),
        ([True] * 4, [1, 3, 5, 7], [1] * 4),
        ([True] * 4, [4, 3, 2, 1], [1] * 4),
        ([True] * 4, [1, 2, 3, 4], [0] * 4),
        ([True] * 4, [1, 2, 3, 4], [0, 1, 0, 1]),
    ],
)
def test_without_two_consecutive_frames_there_is_no_activation(usable, frames, confidence):
    with pytest.raises(FaceError, match=r"^no two consecutive frames were tracked; expected .*: ") as caught:
        _activation(_still(4), usable=usable, frames=frames, confidence=confidence)
    assert caught.value.reason == "no two consecutive frames were tracked"


@pytest.mark.parametrize("count", [0, 1])
def test_neither_has_a_video_of_one_frame(count):
    with pytest.raises(FaceError, match=r"^no two consecutive"):
        _activation(_still(count))


@pytest.mark.parametrize("frame", [0, 1, 2])
@pytest.mark.parametrize("whole_face", [False, True])
def test_a_face_without_shape_is_named(frame, whole_face):
    faces = 100 * _still(3)
    faces[frame, slice(None) if whole_face else 45] = faces[frame, 36]
    with pytest.raises(
        FaceError, match=rf"^the outer eye corners of frame {frame + 1} are one point.*; expected "
    ) as caught:
        _activation(faces)
    assert caught.value.reason == "no face shape"
    # Where no pair needs the frame, it harms nobody.
    assert _activation(np.concatenate([faces, _still(2)]), usable=[False] * 3 + [True] * 2).pairs == 1


def test_time_that_stands_still_is_named():
    faces = _still(3)
    with pytest.raises(FaceError, match=r"^frame 3 is 0 s after frame 2; expected times that grow: ") as caught:
        facial_activation(faces, np.array([0, 0.1, 0.1]), np.ones(3), np.ones(3, bool), np.array([1, 2, 3]))
    assert caught.value.reason == "time stands still"


def test_what_does_not_fit_is_refused():
    faces, three = _still(3), np.ones(3)
    good = (faces, np.arange(3) / 30, three, three > 0, np.arange(3))
    facial_activation(*good)
    for place, wrong, message in (
        (0, faces[:, :67], "landmarks have shape"),
        (0, faces.reshape(3, 136), "landmarks have shape"),
        (1, three[:2], "timestamps_s has shape"),
        (2, np.ones((3, 1)), "confidence has shape"),
        (3, three[:2] > 0, "usable has shape"),
        (3, three, "expected bool"),
        (4, np.arange(4), "frames has shape"),
        (0, faces * np.nan, "not finite"),
        (1, three * np.inf, "not finite"),
        (2, three * np.nan, "not finite"),
        (2, -three, "below 0"),
    ):
        with pytest.raises(ValueError, match=message):
            facial_activation(*(wrong if number == place else value for number, value in enumerate(good)))

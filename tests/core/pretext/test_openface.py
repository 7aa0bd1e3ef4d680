"""OpenFace files: read by name, whatever else is in them; what cannot be read is named and counted, never zero."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openface_files import write_openface

from sertool.core.pretext.face_error import FaceError
from sertool.core.pretext.openface import NUM_LANDMARKS, read_openface

UNITS = (1, 2, 4, 26)


def face(frames=6, seed=0):
    """Landmarks and units of a tracked face, to six decimals."""
    generator = np.random.default_rng(seed)
    return {
        "landmarks": generator.uniform(0, 640, (frames, NUM_LANDMARKS, 2)).round(6),
        "intensity": {unit: generator.uniform(0, 5, frames).round(6) for unit in UNITS},
        "presence": {unit: generator.integers(0, 2, frames).astype(float) for unit in (*UNITS, 28)},
    }


def read(path, *, landmarks=True, units=True):
    return read_openface(path, landmarks=landmarks, units=units)


def changed(path, frame, name, cell):
    """Put some text into one cell."""
    rows = list(csv.reader(io.StringIO(path.read_text()), skipinitialspace=True))
    rows[frame][rows[0].index(name)] = cell
    path.write_bytes("\n".join(", ".join(row) for row in rows).encode("utf-8", "surrogateescape"))
    return path


def refusal(path, *, landmarks=True, units=True):
    """The error of a file that cannot be used: one line in three beats that names the file."""
    with pytest.raises(FaceError) as caught:
        read(path, landmarks=landmarks, units=units)
    message = str(caught.value)
    assert str(path) in message and "; expected " in message and "\n" not in message
    assert caught.value.reason and str(path) not in caught.value.reason
    return caught.value


@pytest.mark.parametrize("spaces", [True, False])
def test_what_was_written_is_read(tmp_path, spaces):
    given_face = face()
    confidence = np.linspace(0.5, 1, 6).round(6)
    track = read(write_openface(tmp_path / "a.csv", **given_face, fps=25, confidence=confidence, spaces=spaces))
    np.testing.assert_array_equal(track.frames, np.arange(1, 7))
    np.testing.assert_allclose(track.timestamps_s, np.arange(6) / 25, atol=1e-6)
    np.testing.assert_array_equal(track.confidence, confidence.astype(np.float32))
    np.testing.assert_array_equal(track.landmarks, given_face["landmarks"].astype(np.float32))
    assert track.units == UNITS  # 28 has no intensity
    for kind, values in (("intensity", track.intensity), ("presence", track.presence)):
        np.testing.assert_array_equal(values.T, [np.float32(given_face[kind][unit]) for unit in UNITS])
    assert track.tracked.all() and track.unreadable_frames == 0
    assert track.duration_s == pytest.approx(6 / 25, abs=1e-5)
    assert (track.frames.dtype, track.timestamps_s.dtype, track.tracked.dtype) == (np.int64, np.float64, bool)
    assert {values.dtype for values in (track.confidence, track.landmarks, track.intensity)} == {np.dtype(np.float32)}


def test_only_what_is_asked_for_is_there(tmp_path):
    given_face = face()
    only_landmarks = write_openface(tmp_path / "a.csv", landmarks=given_face["landmarks"])
    only_units = write_openface(tmp_path / "b.csv", intensity=given_face["intensity"])
    track = read(only_landmarks, units=False)
    assert track.landmarks is not None and (track.units, track.intensity, track.presence) == ((), None, None)
    track = read(only_units, landmarks=False)
    assert track.landmarks is None and track.units == UNITS
    assert np.isnan(track.presence).all() and track.presence.shape == (6, 4) and track.tracked.all()


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    spaces=st.booleans(),
    before=st.sampled_from(["", "\ufeff", "\n", "\ufeff\n"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_order_of_columns_blanks_and_byte_order_marks_do_not_matter(tmp_path_factory, seed, spaces, before, end):
    folder = tmp_path_factory.mktemp("order")
    plain = write_openface(folder / "plain.csv", **face(), spaces=False)
    order = np.random.default_rng(seed).permutation(plain.read_text().partition("\n")[0].split(","))
    other = write_openface(folder / "other.csv", **face(), spaces=spaces, order=order)
    other.write_bytes((before + other.read_text().replace("\n", end)).encode())
    first, second = read(plain), read(other)
    for name in vars(first):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


@pytest.mark.parametrize("cell", ["nan", "-nan(ind)", "inf", "-inf", "", "#WERT!", "0x1F", "1_0", "\udcff", "1e400"])
@pytest.mark.parametrize("name", ["x_5", "AU02_r", "AU26_c", "confidence"])
def test_a_frame_without_a_number_is_not_tracked_and_counted(tmp_path, name, cell):
    track = read(changed(write_openface(tmp_path / "a.csv", **face()), 3, name, cell))
    np.testing.assert_array_equal(track.tracked, np.arange(6) != 2)
    assert track.unreadable_frames == 1 and len(track.frames) == 6


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        *(("AU01_r", "5.1"), ("AU01_r", "-0.1"), ("AU04_c", "2"), ("AU04_c", "0.5")),
        *(("confidence", "1.01"), ("success", "2"), ("y_67", "1e30")),
    ],
)
def test_a_frame_with_a_number_out_of_range_is_not_tracked_and_counted(tmp_path, name, cell):
    track = read(changed(write_openface(tmp_path / "a.csv", **face()), 3, name, cell))
    np.testing.assert_array_equal(track.tracked, np.arange(6) != 2)
    assert track.unreadable_frames == 1


def test_what_is_not_asked_for_cannot_spoil_a_frame(tmp_path):
    path = changed(write_openface(tmp_path / "a.csv", **face()), 3, "AU01_r", "nan")
    path = changed(path, 4, "gaze_0_x", "word")
    assert read(path, units=False).tracked.all()
    assert read(path).unreadable_frames == 1


@pytest.mark.parametrize("name", ["frame", "timestamp", "face_id"])
def test_a_row_that_belongs_nowhere_is_left_out_and_counted(tmp_path, name):
    track = read(changed(write_openface(tmp_path / "a.csv", **face()), 3, name, "nan"))
    np.testing.assert_array_equal(track.frames, [1, 2, 4, 5, 6])
    assert track.tracked.all() and track.unreadable_frames == 1


def test_a_row_cut_short_is_left_out_and_counted(tmp_path):
    path = write_openface(tmp_path / "a.csv", **face())
    path.write_text(path.read_text()[:-100])
    track = read(path)
    np.testing.assert_array_equal(track.frames, [1, 2, 3, 4, 5])
    assert track.unreadable_frames == 1


def test_frames_that_openface_lost_are_not_tracked_and_not_unreadable(tmp_path):
    given_face = face()
    given_face["intensity"][1][2] = np.nan
    track = read(write_openface(tmp_path / "a.csv", **given_face, success=[1, 1, 0, 0, 1, 1]))
    np.testing.assert_array_equal(track.tracked, [1, 1, 0, 0, 1, 1])
    assert track.unreadable_frames == 0


def test_of_several_faces_the_one_tracked_longest_is_taken(tmp_path):
    given_face = face(8)
    of_two = {"frames": [1, 1, 2, 2, 3, 3, 4, 5], "face_id": [0, 7, 0, 7, 0, 7, 7, 0]}
    track = read(write_openface(tmp_path / "a.csv", **given_face, **of_two, success=[1, 1, 0, 1, 1, 1, 1, 1]))
    np.testing.assert_array_equal(track.frames, [1, 2, 3, 4])
    np.testing.assert_array_equal(track.landmarks, given_face["landmarks"][[1, 3, 5, 6]].astype(np.float32))
    assert track.duration_s == pytest.approx(5 / 30, abs=1e-5)  # of the file, not of this face

    track = read(write_openface(tmp_path / "a.csv", **given_face, **of_two))  # four frames each
    np.testing.assert_array_equal(track.frames, [1, 2, 3, 5])


def test_the_last_frame_lasts_as_long_as_most_others(tmp_path):
    times = [0.0, 0.04, 0.08, 0.12, 1.0, 1.04]
    track = read(write_openface(tmp_path / "a.csv", **face(), timestamps_s=times))
    assert track.duration_s == pytest.approx(1.08)
    track = read(write_openface(tmp_path / "a.csv", **face(), timestamps_s=times, success=[0, 1, 1, 1, 0, 0]))
    assert track.duration_s == pytest.approx(1.08)  # lost or not, they are frames of the video


def test_several_faces_in_view_at_once_do_not_shorten_a_frame(tmp_path):
    of_three = {"frames": [1, 1, 1, 2, 2, 2], "face_id": [0, 1, 2, 0, 1, 2]}
    assert read(write_openface(tmp_path / "a.csv", **face(), **of_three)).duration_s == pytest.approx(2 / 30, abs=1e-5)


def test_files_that_are_no_table(tmp_path):
    path = tmp_path / "a.csv"
    assert refusal(path).reason == "no such file"
    path.mkdir()
    assert refusal(path).reason == "no file"
    path.rmdir()
    for content, reason in (
        (b"", "an empty file"),
        (b"\n\n", "an empty file"),
        ("frame,timestamp,größe\n".encode("latin-1"), "not UTF-8"),
        ("frame,timestamp\n".encode("utf-16"), "not UTF-8"),
        ("frame,timestamp\n".encode("utf-16-le"), "not UTF-8"),
        (b"frame,timestamp,confidence,success,AU01_r\n", "no frames"),
        (b"frame,timestamp,confidence,success,AU01_r\n\n\n", "no frames"),
        (b"frame,timestamp,confidence,success,AU01_r\n1,0,1,1,2,\n2,1,1,1,2,\n", "rows of another length"),
        (b"frame,timestamp,confidence,success,AU01_r\n1,0,1,1,2\n", "a single frame"),
        (b"frame,timestamp,confidence,success,AU01_r,AU01_r\n1,0,1,1,2,3\n", "a column twice"),
    ):
        path.write_bytes(content)
        assert refusal(path, landmarks=False).reason == reason


@pytest.mark.parametrize(("delimiter", "words"), [(";", "';'"), ("\t", "a tab"), ("|", "'|'"), (" ", "blanks")])
def test_another_delimiter_is_named(tmp_path, delimiter, words):
    error = refusal(write_openface(tmp_path / "a.csv", **face(), delimiter=delimiter, spaces=False))
    assert error.reason == "another delimiter"
    assert f"its columns are separated by {words}; expected ','" in str(error)


@pytest.mark.parametrize("name", ["frame", "timestamp", "confidence", "success"])
def test_a_column_that_is_missing_is_named(tmp_path, name):
    error = refusal(write_openface(tmp_path / "a.csv", **face(), without=[name]))
    assert error.reason == f"no column '{name}'" and "FeatureExtraction" in str(error)


def test_a_file_of_images_is_refused(tmp_path):
    path = write_openface(tmp_path / "a.csv", **face(), without=["frame", "timestamp", "success"])
    assert "rather than from images" in str(refusal(path))


@pytest.mark.parametrize(("count", "found"), [(51, "51 2-D"), (69, "69 2-D"), (98, "98 2-D"), (0, "0 2-D")])
def test_another_landmark_count_is_told(tmp_path, count, found):
    path = write_openface(tmp_path / "a.csv", landmarks=np.ones((4, count, 2)), without=["X_0"])
    error = refusal(path, units=False)
    assert error.reason == "another landmark count" and f"has {found} landmarks; expected 68" in str(error)


def test_landmarks_in_space_or_without_a_coordinate_are_not_the_68(tmp_path):
    in_space = {f"{axis}_{point}": np.ones(6) for axis in "XYZ" for point in range(68)}
    path = write_openface(tmp_path / "a.csv", num_frames=6, columns=in_space)
    assert "68 3-D landmarks (X_, Y_, Z_) and no 2-D ones" in str(refusal(path, units=False))
    path = write_openface(tmp_path / "a.csv", **face(), without=["y_67"])
    assert "67 2-D landmarks" in str(refusal(path))
    assert read(path, landmarks=False).tracked.all()


def test_a_file_without_intensities_is_refused(tmp_path):
    given_face = face() | {"intensity": None}
    error = refusal(write_openface(tmp_path / "a.csv", **given_face))
    assert error.reason == "no action units" and "AU01_r" in str(error)


def test_no_tracked_frame_is_told(tmp_path):
    error = refusal(write_openface(tmp_path / "a.csv", **face(), success=0, confidence=0))
    assert error.reason == "no frame was tracked" and "none of 6" in str(error)


@pytest.mark.parametrize("name", ["frame", "timestamp", "confidence", "success", "face_id", "x_0", "AU02_r", "AU02_c"])
@pytest.mark.parametrize("cell", ["nan", "word"])
def test_a_column_without_numbers_is_named(tmp_path, name, cell):
    error = refusal(write_openface(tmp_path / "a.csv", **face(), columns={name: [cell] * 6}))
    assert error.reason == "a column without numbers" and f"'{name}'" in str(error)


def test_numbers_only_where_the_face_was_lost_are_none(tmp_path):
    given_face = face()
    given_face["intensity"][4][[0, 1, 4, 5]] = np.nan
    error = refusal(write_openface(tmp_path / "a.csv", **given_face, success=[1, 1, 0, 0, 1, 1]))
    assert error.reason == "a column without numbers" and "'AU04_r'" in str(error)


def test_a_column_out_of_range_throughout_is_named(tmp_path):
    error = refusal(write_openface(tmp_path / "a.csv", **face(), confidence=98))
    assert error.reason == "out of range" and "'confidence'" in str(error) and "from 0 to 1" in str(error)


def test_frames_of_which_each_lacks_something_are_told(tmp_path):
    given_face = face()
    given_face["intensity"][1][:3] = np.nan
    given_face["landmarks"][3:, 0] = np.nan
    assert refusal(write_openface(tmp_path / "a.csv", **given_face)).reason == "no readable frame"


@pytest.mark.parametrize("name", ["timestamp", "frame"])
def test_time_that_does_not_increase_is_told(tmp_path, name):
    for values in ([1, 2, 3, 3, 4, 5], [1, 2, 3, 1, 2, 3], [6, 5, 4, 3, 2, 1]):
        error = refusal(write_openface(tmp_path / "a.csv", **face(), columns={name: values}))
        assert error.reason == "frames out of order" and f"'{name}' goes from" in str(error)

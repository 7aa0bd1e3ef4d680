"""Emotion from action units: by hand, by plain loops and plain pandas arithmetic, and what must change nothing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sertool.core.pretext.action_units import (
    EXPRESSION_UNITS,
    EXPRESSIONS,
    expression_of_frames,
    expression_of_summary,
)
from sertool.core.pretext.face_error import FaceError

UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
"""What OpenFace measures."""

NEEDED = (1, 2, 4, 5, 6, 7, 9, 12, 15, 20, 23, 26)

TABLE = {
    "happiness": [6, 12],
    "sadness": [1, 4, 15],
    "surprise": [1, 2, 5, 26],
    "fear": [1, 2, 4, 5, 7, 20, 26],
    "anger": [4, 5, 7, 23],
    "disgust": [9, 15],
}

HUNDREDTHS = st.integers(0, 500).map(lambda value: value / 100)


def _frame(**intensities):
    """One row over `UNITS`; `au6=3` is action unit 6 at intensity 3."""
    row = np.zeros(len(UNITS), np.float32)
    for name, value in intensities.items():
        row[UNITS.index(int(name[2:]))] = value
    return row


HAPPY = _frame(au6=2, au12=3)
DISGUSTED = _frame(au9=2, au15=2)
REST = _frame(au45=5, au25=5)


def _frames(*rows, floor=1.0, presence=None, usable=None):
    usable = np.ones(len(rows), bool) if usable is None else np.array(usable)
    return expression_of_frames(np.stack(rows), UNITS, usable, floor=floor, presence=presence)


def _by_loop(intensity, usable, floor, presence=None):
    counts, sums = dict.fromkeys(EXPRESSIONS, 0), dict.fromkeys(TABLE, 0.0)
    for frame in np.flatnonzero(usable):
        scores = {}
        for name, units in TABLE.items():
            columns = [UNITS.index(unit) for unit in units]
            on = [1.0 if presence is None else float(presence[frame, column]) for column in columns]
            scores[name] = sum(float(intensity[frame, c]) * p for c, p in zip(columns, on, strict=True)) / len(units)
            sums[name] += scores[name]
        best = max(scores, key=lambda name: round(scores[name], 5))  # max keeps the first of equals
        counts[best if scores[best] >= floor - 1e-6 else "neutral"] += 1
    top = [name for name in EXPRESSIONS if counts[name] == max(counts.values())]
    label = max([name for name in top if name != "neutral"] or top, key=lambda name: round(sums.get(name, 0), 4))
    return label, {name: count / usable.sum() for name, count in counts.items()}


def test_the_table():
    assert EXPRESSIONS == ("neutral", "happiness", "sadness", "surprise", "fear", "anger", "disgust")
    assert {name: list(units) for name, units in EXPRESSION_UNITS.items()} == TABLE
    assert sorted(set().union(*TABLE.values())) == sorted(NEEDED)


@pytest.mark.parametrize("name", TABLE)
def test_a_face_that_shows_one_set_shows_its_expression(name):
    row = _frame(**{f"au{unit}": 3 for unit in TABLE[name]})
    if name == "fear":
        assert _frames(row).label == "surprise"  # whose set lies within fear's: equal scores, and the first counts
        row += _frame(au20=0.5)
    assert _frames(row).label == name
    assert expression_of_summary(row, np.ones(len(UNITS)), UNITS, floor=1.0).label == name


def test_the_label_is_the_most_frequent_and_the_scores_are_shares():
    expression = _frames(HAPPY, REST, HAPPY, DISGUSTED, HAPPY)
    assert expression.label == "happiness"
    assert expression.scores == dict.fromkeys(EXPRESSIONS, 0) | {"neutral": 0.2, "happiness": 0.6, "disgust": 0.2}
    assert tuple(expression.scores) == EXPRESSIONS
    assert _frames(REST, REST, HAPPY).label == "neutral"


def test_a_frame_is_neutral_below_the_floor_and_not_at_it():
    assert _frames(HAPPY, floor=2.5).label == "happiness"
    assert _frames(HAPPY, floor=2.51).label == "neutral"
    assert _frames(_frame(au6=0.7, au12=0.7), floor=0.7).label == "happiness"  # 0.7 as float32 is less than 0.7
    assert _frames(_frame(au6=0.69, au12=0.7), floor=0.7).label == "neutral"


def test_of_equal_scores_the_first_in_the_table_counts():
    both = HAPPY + DISGUSTED * np.float32(1.25)
    assert _frames(both).label == "happiness"
    assert _frames(both + _frame(au9=0.01)).label == "disgust"
    # Equal in hundredths, though not as sums of float32.
    assert _frames(_frame(au6=0.2, au12=0.4, au9=0.3, au15=0.3), floor=0.1).label == "happiness"
    assert _frames(_frame(au6=0.3, au12=0.3, au9=0.2, au15=0.4), floor=0.1).label == "happiness"


def test_of_labels_equally_frequent_the_stronger_counts_and_neutral_last():
    assert _frames(HAPPY, DISGUSTED).label == "happiness"
    assert _frames(HAPPY, DISGUSTED * 2).label == "disgust"
    # Below the floor, but in the mean.
    assert _frames(HAPPY, DISGUSTED, REST + _frame(au9=0.5, au15=0.6)).label == "disgust"
    assert _frames(HAPPY, HAPPY, DISGUSTED * 9).label == "happiness"
    assert _frames(REST, HAPPY).label == "happiness"
    assert _frames(HAPPY, DISGUSTED * 1.25).label == "happiness"  # equal in that too: the first in the table


def test_an_intensity_counts_only_where_the_unit_is_present():
    presence = np.ones((3, len(UNITS)), np.float32)
    presence[:2, UNITS.index(12)] = 0
    assert _frames(HAPPY, HAPPY, HAPPY, floor=1.5, presence=presence).scores["happiness"] == pytest.approx(1 / 3)
    assert _frames(HAPPY, HAPPY, HAPPY, floor=1.0, presence=presence).label == "happiness"  # (2 + 0) / 2
    assert _frames(HAPPY, HAPPY, HAPPY, floor=1.5).label == "happiness"


def test_frames_that_are_not_usable_are_not_read():
    lost = np.full(len(UNITS), np.nan, np.float32)
    expression = _frames(HAPPY, lost, DISGUSTED, lost, HAPPY, usable=[True, False, True, False, True])
    assert expression == _frames(HAPPY, DISGUSTED, HAPPY)


intensities = st.integers(1, 6).flatmap(lambda n: arrays(np.float32, (n, len(UNITS)), elements=HUNDREDTHS, fill=None))


@settings(max_examples=60)
@given(intensities, st.data())
def test_it_is_what_a_loop_over_the_frames_gives(intensity, data):
    usable = data.draw(arrays(bool, len(intensity)).filter(np.any))
    presence = data.draw(st.none() | arrays(np.float32, intensity.shape, elements=st.sampled_from([0, 1])))
    floor = data.draw(st.sampled_from([0.25, 1.0, 2.0]))
    expression = expression_of_frames(intensity, UNITS, usable, floor=floor, presence=presence)
    label, shares = _by_loop(intensity, usable, floor, presence)
    assert (expression.label, expression.scores) == (label, pytest.approx(shares))


@settings(max_examples=40)
@given(intensities, st.permutations(range(len(UNITS))), st.integers(-3, 3), st.integers(2, 4))
def test_scale_order_of_units_order_of_frames_and_repetition_change_nothing(intensity, order, exponent, times):
    usable = np.ones(len(intensity), bool)
    expression = expression_of_frames(intensity, UNITS, usable, floor=1.0)
    scale = 2.0**exponent
    assert expression_of_frames(intensity * scale, UNITS, usable, floor=scale) == expression
    units = [UNITS[column] for column in order]
    assert expression_of_frames(intensity[:, order], units, usable, floor=1.0) == expression
    repeated = expression_of_frames(np.repeat(intensity, times, 0), UNITS, np.repeat(usable, times), floor=1.0)
    assert (repeated.label, repeated.scores) == (expression.label, pytest.approx(expression.scores))
    assert expression_of_frames(intensity[::-1], UNITS, usable, floor=1.0) == expression


def test_a_summary_by_hand():
    presence = _frame(au6=1, au12=0.5, au9=1)
    expression = expression_of_summary(HAPPY + DISGUSTED, presence, UNITS, floor=1.0)
    assert expression.label == "happiness"
    assert expression.scores == pytest.approx(dict.fromkeys(TABLE, 0) | {"happiness": 1.75, "disgust": 1.0})
    assert tuple(expression.scores) == tuple(TABLE)
    assert expression_of_summary(HAPPY + DISGUSTED, presence, UNITS, floor=1.76).label == "neutral"
    assert expression_of_summary(HAPPY + DISGUSTED, presence * 0, UNITS, floor=0.01).label == "neutral"


@settings(max_examples=40)
@given(
    arrays(np.float32, len(UNITS), elements=HUNDREDTHS),
    arrays(np.float32, len(UNITS), elements=st.integers(0, 8).map(lambda eighths: eighths / 8)),
    st.permutations(range(len(UNITS))),
)
def test_scale_and_order_of_units_change_no_summary(intensity, presence, order):
    expression = expression_of_summary(intensity, presence, UNITS, floor=0.5)
    units = [UNITS[column] for column in order]
    assert expression_of_summary(intensity[order], presence[order], units, floor=0.5) == expression
    assert expression_of_summary(intensity * 4, presence, UNITS, floor=2.0).label == expression.label
    # A summary of one frame is that frame.
    whole = (presence == 1).astype(np.float32)
    one = expression_of_frames(intensity[None], UNITS, np.ones(1, bool), floor=0.5, presence=whole[None])
    assert one.label == expression_of_summary(intensity, whole, UNITS, floor=0.5).label


@pytest.mark.parametrize("floor", [0.1, 0.5])
def test_the_faces_of_real_speakers(shared_data, floor):
    path = shared_data / "ravdess" / "faces" / "au35_by_clip.csv"
    if not path.is_file():
        pytest.skip("no faces beside the real speech")
    table = pd.read_csv(path, index_col="clip").sample(200, random_state=0)
    active = pd.DataFrame({unit: table[f"AU{unit:02d}_r"] * table[f"AU{unit:02d}_c"] for unit in NEEDED})
    scores = pd.DataFrame({name: active[units].mean(axis=1) for name, units in TABLE.items()})
    expected = scores.idxmax(axis=1).where(scores.max(axis=1) >= floor, "neutral")
    intensity = table[[f"AU{unit:02d}_r" for unit in UNITS]].to_numpy(np.float32)
    presence = table[[f"AU{unit:02d}_c" for unit in UNITS]].to_numpy(np.float32)
    shown = [expression_of_summary(i, p, UNITS, floor=floor) for i, p in zip(intensity, presence, strict=True)]
    assert [expression.label for expression in shown] == expected.tolist()
    assert pd.DataFrame([e.scores for e in shown]).to_numpy() == pytest.approx(scores.to_numpy(), abs=1e-6)
    assert len(set(expected)) >= 5


@pytest.mark.parametrize("unit", NEEDED)
def test_a_missing_unit_is_named(unit):
    units = [other for other in UNITS if other != unit]
    row = np.ones(len(units), np.float32)
    with pytest.raises(FaceError, match=rf"^action unit {unit} is missing; expected .*: ") as caught:
        expression_of_frames(row[None], units, np.ones(1, bool), floor=1.0)
    assert caught.value.reason == f"action unit {unit} is missing"
    with pytest.raises(FaceError, match=rf"^action unit {unit} is missing; expected "):
        expression_of_summary(row, row, units, floor=1.0)


def test_units_no_expression_needs_may_be_missing():
    ones = np.ones((2, len(NEEDED)), np.float32)
    assert expression_of_frames(ones, NEEDED, np.ones(2, bool), floor=1.0).label == "happiness"


def test_a_missing_presence_is_named_and_not_taken_for_absence():
    presence = np.ones((2, len(UNITS)), np.float32)
    presence[:, UNITS.index(10)] = np.nan  # which no expression needs
    assert _frames(HAPPY, HAPPY, presence=presence).label == "happiness"
    presence[:, UNITS.index(12)] = np.nan
    with pytest.raises(FaceError, match=r"^the presence of action unit 12 is missing; expected"):
        _frames(HAPPY, HAPPY, presence=presence)
    with pytest.raises(FaceError, match=r"^the presence of action unit 12 is missing; expected"):
        expression_of_summary(HAPPY, presence[0], UNITS, floor=1.0)


def test_no_usable_frame_is_no_neutral_face():
    with pytest.raises(FaceError, match=r"^no frame was tracked; expected .*: ") as caught:
        _frames(HAPPY, HAPPY, usable=[False, False])
    assert caught.value.reason == "no frame was tracked"


@pytest.mark.parametrize("floor", [0.0, -1.0, np.nan, np.inf])
def test_a_floor_at_which_a_face_at_rest_is_happy_is_refused(floor):
    with pytest.raises(ValueError, match="floor is"):
        _frames(REST, floor=floor)
    with pytest.raises(ValueError, match="floor is"):
        expression_of_summary(REST, REST, UNITS, floor=floor)


def test_what_does_not_fit_is_refused():
    two = np.ones((2, len(UNITS)))
    for intensity, units, usable, presence in (
        (two, UNITS, np.ones(3, bool), None),
        (two, UNITS[:-1], np.ones(2, bool), None),
        (two, UNITS, np.ones(2, bool), two[:1]),
    ):
        with pytest.raises(ValueError, match="expected"):
            expression_of_frames(intensity, units, usable, floor=1.0, presence=presence)
    with pytest.raises(ValueError, match="expected bool"):
        expression_of_frames(two, UNITS, np.ones(2), floor=1.0)
    with pytest.raises(ValueError, match="expected"):
        expression_of_summary(two[0], two, UNITS, floor=1.0)
    with pytest.raises(ValueError, match="name one twice"):
        expression_of_frames(two, (*UNITS[:-1], 1), np.ones(2, bool), floor=1.0)
    two[1, UNITS.index(26)] = np.nan
    with pytest.raises(ValueError, match="the intensity of action unit 26 is not finite"):
        expression_of_frames(two, UNITS, np.ones(2, bool), floor=1.0)


def test_the_table_has_a_row_for_each_class_but_neutral():
    assert ("neutral", *EXPRESSION_UNITS) == EXPRESSIONS

"""A timeline as labelled stretches, worked by hand."""

import pytest

from sertool.core.models.recognizer import Prediction, TimedPrediction
from sertool.core.models.timeline import LabelRun, label_runs


def window(start_s: float, end_s: float, label: str, probability: float) -> TimedPrediction:
    return TimedPrediction(start_s, end_s, Prediction(label, {label: probability}, None, "0"))


def test_neighbours_of_one_label_are_joined_and_give_way_half_way_between_centres():
    timeline = [
        window(0, 3, "anger", 0.5),
        window(1, 4, "anger", 0.7),
        window(2, 5, "neutral", 0.9),
        window(2.5, 5.5, "anger", 0.8),
    ]
    assert list(label_runs(timeline)) == [
        LabelRun(0, 3.0, "anger", pytest.approx(0.6)),  # centres 2.5 and 3.5
        LabelRun(3.0, 3.75, "neutral", 0.9),  # centres 3.5 and 4
        LabelRun(3.75, 5.5, "anger", 0.8),
    ]


def test_one_window_is_one_stretch_and_none_are_none():
    assert list(label_runs([window(0, 1.5, "anger", 0.5)])) == [LabelRun(0, 1.5, "anger", 0.5)]
    assert list(label_runs([])) == []


def test_windows_far_apart_still_touch():
    runs = list(label_runs([window(0, 1, "anger", 0.5), window(10, 11, "neutral", 0.5)]))
    assert [(run.start_s, run.end_s) for run in runs] == [(0, 5.5), (5.5, 11)]


def test_where_nobody_speaks_a_stretch_has_no_label():
    silent = TimedPrediction(2, 5, Prediction("anger", {"anger": 0.9}, None, "0", "silence only"))
    assert list(label_runs([window(0, 3, "anger", 0.5), silent])) == [
        LabelRun(0, 2.5, "anger", 0.5),
        LabelRun(2.5, 5, None, None),
    ]

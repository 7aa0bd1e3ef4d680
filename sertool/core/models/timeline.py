"""A timeline of emotions as a few labelled stretches: what an audio editor shows above a long recording."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sertool.core.models.recognizer import TimedPrediction


@dataclass(frozen=True)
class LabelRun:
    """A stretch of a recording whose windows have one label, and the mean of that label's probability in them."""

    start_s: float
    end_s: float
    label: str
    probability: float


def label_runs(timeline: Iterable[TimedPrediction]) -> Iterator[LabelRun]:
    """Yield neighbouring windows of equal labels as one stretch; the stretches touch and never overlap.

    Overlapping windows share their time: each speaks for what lies nearest its centre, so one label gives way to the
    next half way between the centres of the two windows. The first stretch begins with the first window, the last ends
    with the last.

    Args:
        timeline: windows in order, of a model with categories.
    """
    before: TimedPrediction | None = None
    start_s, shares = 0.0, []
    for window in timeline:
        label = window.prediction.label
        if before is None:
            start_s = window.start_s
        elif label != before.prediction.label:
            edge_s = (before.start_s + before.end_s + window.start_s + window.end_s) / 4
            yield LabelRun(start_s, edge_s, before.prediction.label, sum(shares) / len(shares))
            start_s, shares = edge_s, []
        shares.append(window.prediction.probabilities[label])
        before = window
    if before is not None:
        yield LabelRun(start_s, before.end_s, before.prediction.label, sum(shares) / len(shares))

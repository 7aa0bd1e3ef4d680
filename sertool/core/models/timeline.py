"""A timeline of emotions as a few labelled stretches: what an audio editor shows above a long recording."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sertool.core.models.recognizer import TimedPrediction


@dataclass(frozen=True)
class LabelRun:
    """A stretch of a recording whose windows have one label, and the mean of that label's probability in them.

    Where nobody speaks there is neither.
    """

    start_s: float
    end_s: float
    label: str | None
    probability: float | None


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
        if before is None:
            start_s = window.start_s
        elif _label(window) != _label(before):
            edge_s = (before.start_s + before.end_s + window.start_s + window.end_s) / 4
            yield _run(start_s, edge_s, before, shares)
            start_s, shares = edge_s, []
        shares.append(window.prediction.probabilities[window.prediction.label])
        before = window
    if before is not None:
        yield _run(start_s, before.end_s, before, shares)


def _label(window: TimedPrediction) -> str | None:
    return None if window.prediction.no_speech else window.prediction.label


def _run(start_s: float, end_s: float, window: TimedPrediction, shares: list[float]) -> LabelRun:
    label = _label(window)
    return LabelRun(start_s, end_s, label, sum(shares) / len(shares) if label else None)

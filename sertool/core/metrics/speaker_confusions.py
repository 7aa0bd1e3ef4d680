"""Confusion matrices by speaker, and F1-macro and UA of any sum of them: what tests and intervals over speakers need.

F1 is no mean over utterances: which speakers are pooled decides it. Sums over speakers of how often each class was
recognised, predicted and spoken hold all that F1-macro and UA need, so a test or an interval re-adds these counts,
thousands of times, rather than read the utterances again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

FEWEST_SPEAKERS = 8
"""Known test speakers without which there is no interval, no test and no verdict.

With seven, an exact two-sided sign-flip test cannot give less than 2 / 2^7 = .016, which Holm's correction over six
conditions lifts to .094: whatever the systems do, nothing could be decided. With eight it is .0078, and .047 over six.
"""


@dataclass(frozen=True)
class SpeakerConfusions:
    """Confusion matrices by cluster: one for each known speaker, and one for each utterance of an unknown speaker.

    Attributes:
        confusions: counts, shape (K, R, C, C): clusters, trainings, true classes, predicted classes. Known speakers
            come first, by name.
        speakers: how many clusters are known speakers.
    """

    confusions: np.ndarray
    speakers: int

    @property
    def unknown(self) -> int:
        """How many utterances have no known speaker, each a cluster of its own."""
        return len(self.confusions) - self.speakers

    def too_few(self) -> str | None:
        """Return why there are too few speakers for an interval or a test, in a sentence; None where there are enough.

        Only known speakers are counted (ours): utterances of unknown speakers may all be one person's.
        """
        if self.speakers >= FEWEST_SPEAKERS:
            return None
        found = f"{self.speakers} test speaker{'s' * (self.speakers != 1)}"
        if self.unknown:
            found += f", and {self.unknown} utterance{'s' * (self.unknown != 1)} of unknown speakers"
        return f"{found}: at least {FEWEST_SPEAKERS} known speakers are needed."


def speaker_confusions(
    true: Sequence[str], predicted: Sequence[Sequence[str]], speakers: Sequence[str | None], classes: Sequence[str]
) -> SpeakerConfusions:
    """Count by cluster how often which class was taken for which.

    Args:
        true: the label of each utterance, (N,).
        predicted: the category predicted for each, one row a training, (R, N).
        speakers: of each utterance, (N,); null: unknown, and the utterance a cluster of its own.
        classes: all classes; every label and prediction must be among them.

    Raises:
        ValueError: the lengths differ, a class is named twice, or a label or prediction is outside `classes`.
    """
    classes = list(classes)
    index = {name: place for place, name in enumerate(classes)}
    if len(index) != len(classes):
        raise ValueError(f"classes {classes} name one twice: name each once")
    lengths = {len(true), len(speakers), *map(len, predicted)}
    if len(lengths) != 1 or not len(predicted):
        raise ValueError(
            f"labels, predictions and speakers of lengths {sorted(lengths)}: give one of each an utterance"
        )
    if outside := set(true).union(*predicted) - set(index):
        raise ValueError(f"categories {sorted(map(str, outside))} are not among the classes {classes}: exclude them")
    clusters, known, unknown = _clusters(speakers)
    rows = [index[name] for name in true]
    confusions = np.zeros((known + unknown, len(predicted), len(classes), len(classes)), dtype=np.int64)
    for training, guesses in enumerate(predicted):
        np.add.at(confusions, (clusters, training, rows, [index[name] for name in guesses]), 1)
    return SpeakerConfusions(confusions, known)


def class_counts(confusions: np.ndarray) -> np.ndarray:
    """Return how often each class was recognised, predicted and spoken, (…, 3, C), of confusions (…, C, C), float64.

    As floats, so that sums of them are matrix products; counts this small stay exact.
    """
    recognised = np.diagonal(confusions, axis1=-2, axis2=-1)
    return np.stack([recognised, confusions.sum(-2), confusions.sum(-1)], axis=-2).astype(np.float64)


def f1_macro(counts: np.ndarray) -> np.ndarray:
    """Return F1-macro (…) of counts (…, 3, C): the mean over all classes of 2·recognised / (predicted + spoken).

    A class neither predicted nor spoken counts 0, as in `category_scores`.
    """
    together = counts[..., 1, :] + counts[..., 2, :]
    return np.mean(2.0 * counts[..., 0, :] / np.maximum(together, 1.0), axis=-1)


def ua(counts: np.ndarray) -> np.ndarray:
    """Return UA (…) of counts (…, 3, C): the mean of recognised / spoken over the classes that were spoken."""
    spoken = counts[..., 2, :]
    return np.sum(counts[..., 0, :] / np.maximum(spoken, 1.0), axis=-1) / np.maximum((spoken > 0).sum(-1), 1)


def _clusters(speakers: Sequence[str | None]) -> tuple[np.ndarray, int, int]:
    """Return the cluster of each utterance, (N,), and how many are known speakers, and how many of unknown ones."""
    speakers = np.array(list(speakers), dtype=object)
    unknown = pd.isna(speakers)
    names = [str(speaker) for speaker in speakers[~unknown]]
    place = {name: cluster for cluster, name in enumerate(sorted(set(names)))}
    clusters = np.empty(len(speakers), dtype=np.int64)
    clusters[~unknown] = [place[name] for name in names]
    clusters[unknown] = len(place) + np.arange(unknown.sum())
    return clusters, len(place), int(unknown.sum())

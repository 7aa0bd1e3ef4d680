"""Transfer-teacher loss: what a model that has learned the task still gets wrong of each utterance."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sertool.core.audio.blocks import FileSource
from sertool.core.curriculum.target import Target
from sertool.core.errors import InputError

if TYPE_CHECKING:
    from sertool.core.models.recognizer import Recognizer


def category_losses(logits: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the cross-entropy of each utterance in nats, not weighted by class.

    Args:
        logits: of each class, or logarithms of probabilities, (N, C).
        codes: the true class, integers, (N,).

    Returns:
        float64, (N,).
    """
    logits = np.asarray(logits, dtype=np.float64)
    peak = logits.max(1)
    return peak + np.log(np.exp(logits - peak[:, None]).sum(1)) - logits[np.arange(len(logits)), codes]


def attribute_losses(estimates: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the squared error of each utterance, (N,); ours, since 1 − CCC is no utterance's own."""
    return np.square(np.asarray(estimates, dtype=np.float64) - values)


def losses(outputs: np.ndarray, target: Target) -> np.ndarray:
    """Return the loss of each utterance, (N,), from a model's outputs, (N, outputs)."""
    if target.values is None:
        return category_losses(outputs, target.codes)
    return attribute_losses(outputs[:, 0], target.values)


def teacher_outputs(
    teacher: "Recognizer", paths: Sequence[Path], target: Target, *, advance: Callable[[], object] = lambda: None
) -> np.ndarray:
    """Return what a trained model says of each utterance, heard as a whole.

    Args:
        teacher: a model trained for the target.
        paths: audio of the utterances.
        target: their labels.
        advance: called after each utterance.

    Returns:
        float64, (N, outputs): logarithms of probabilities over all the teacher's classes, those of the target first
        (so a loss has the teacher's own denominator), or estimates on the 1–7 scale.

    Raises:
        InputError: the teacher was not trained for these labels.
        AudioError: a file cannot be used as audio.
    """
    config = teacher.model.config
    known = config.categories if target.values is None else config.attributes
    wanted = target.classes if target.values is None else (target.name,)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise InputError(
            f"{teacher.folder}: this teacher does not know '{unknown[0]}', but {', '.join(known) or 'nothing of it'}; "
            "expected one trained for the labels here: name another with --teacher"
        )
    order = (*wanted, *(name for name in known if name not in wanted)) if target.values is None else wanted
    outputs = np.empty((len(paths), len(order)))
    for row, path in enumerate(paths):
        prediction = teacher.predict(FileSource(path))
        said = prediction.probabilities if target.values is None else prediction.attributes
        outputs[row] = [said[name] for name in order]
        advance()
    # A probability that has rounded to nothing still has a finite loss.
    return np.log(np.maximum(outputs, np.finfo(np.float64).tiny)) if target.values is None else outputs

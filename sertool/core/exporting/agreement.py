"""Whether an exported file says what the model says: both are asked about the same signals, of many lengths."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sertool.core.audio.files import SAMPLE_RATE, read_audio
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.sample import sample_manifest, sample_noise
from sertool.core.exporting.frozen_model import ATTRIBUTES, ENHANCED, PROBABILITIES
from sertool.core.models.recognizer import Recognizer

LENGTHS = (1, 2, 150, 160, 161, 399, 400, 401, 6400, 16_001, 48_000, 160_000, 480_000)
"""Samples of the signals: fewer than a frame, a frame and beside it, 0.4 s, an odd number, 3 s, 10 s, 30 s."""

LIMITS = {ENHANCED: 1e-4, PROBABILITIES: 1e-4, ATTRIBUTES: 1e-3}
"""Largest difference that passes (ours): of enhanced samples as a share of the input's peak, 80 dB below it; of a
probability; of an attribute on its scale of 1 to 7. What is right differs by rounding, about 1e-6."""

Hear = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Maps samples at 16 kHz (S,) to outputs by name, as `OnnxModel.run` does."""


@dataclass(frozen=True)
class Agreement:
    """How far one output of a file is from the model's, over all signals.

    Attributes:
        output: its name.
        largest: the largest difference, in the unit of `LIMITS`; infinite where the file's is no number.
        samples: length of the signal it was found in.
        limit: the largest that passes.
    """

    output: str
    largest: float
    samples: int
    limit: float

    @property
    def passes(self) -> bool:
        """Whether the difference is within its limit."""
        return self.largest <= self.limit


def check_signals(lengths: Sequence[int] = LENGTHS) -> list[np.ndarray]:
    """Return the signals that files are checked on, float32 at 16 kHz, (S,) each.

    They are the sample corpus's speech in a noise as loud, cut at each length; and silence, as long as the shortest
    word.
    """
    manifest = Manifest.read(sample_manifest()).split("test")
    longest = max(lengths)
    speech = _joined([read_audio(path) for path in manifest.paths()[:: max(1, len(manifest) // 12)]], longest)
    noise = _joined([read_audio(path) for path in sorted(sample_noise("unseen").glob("*/*.flac"))], longest)
    mixture = speech / np.std(speech) + noise / np.std(noise)
    mixture = (0.5 * mixture / np.abs(mixture).max()).astype(np.float32)
    return [*(mixture[:length] for length in lengths), np.zeros(min(6400, longest), np.float32)]


def _joined(recordings: list[np.ndarray], samples: int) -> np.ndarray:
    """Return recordings one behind the other, again and again up to this length."""
    joined = np.concatenate(recordings).astype(np.float64)
    return np.resize(joined, samples)


def torch_hears(recognizer: Recognizer) -> Hear:
    """Return what asks the model itself, as every command of sertool does."""

    def hear(samples: np.ndarray) -> dict[str, np.ndarray]:
        prediction, enhanced = recognizer.hear(samples)
        outputs = {} if enhanced is None else {ENHANCED: enhanced}
        if prediction is not None and prediction.probabilities:
            outputs[PROBABILITIES] = np.array(list(prediction.probabilities.values()))
        if prediction is not None and prediction.attributes:
            outputs[ATTRIBUTES] = np.array(list(prediction.attributes.values()))
        return outputs

    return hear


def agreements(wanted: Hear, found: Hear, signals: Sequence[np.ndarray]) -> list[Agreement]:
    """Compare what a file says with what the model says.

    Args:
        wanted: the model.
        found: the file.
        signals: samples at 16 kHz, (S,) each.

    Returns:
        One for each output, in the order of `LIMITS`.
    """
    largest: dict[str, tuple[float, int]] = {}
    for samples in signals:
        ours, theirs = wanted(samples), found(samples)
        if ours.keys() != theirs.keys():
            raise ValueError(f"the model gives {sorted(ours)}, the file {sorted(theirs)}: compare the same model")
        peak = float(np.abs(samples).max()) or 1.0
        for name, values in ours.items():
            difference = _difference(values, theirs[name]) / (peak if name == ENHANCED else 1.0)
            if name not in largest or difference > largest[name][0]:
                largest[name] = difference, len(samples)
    return [Agreement(name, *largest[name], limit) for name, limit in LIMITS.items() if name in largest]


def _difference(values: np.ndarray, others: np.ndarray) -> float:
    if values.shape != others.shape or not np.isfinite(others).all():
        return float("inf")
    return float(np.abs(values.astype(np.float64) - others).max())


def seconds_per_second(hear: Hear, *, duration_s: float = 10.0, times: int = 3) -> float:
    """Return how long a second of audio takes in one thread: the best of several times, after one to warm up."""
    samples = check_signals([round(duration_s * SAMPLE_RATE)])[0]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        taken = []
        for _ in range(times + 1):
            start = time.perf_counter()
            hear(samples)
            taken.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return min(taken[1:]) / duration_s

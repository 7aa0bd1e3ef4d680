"""Dynamic 8-bit quantisation of an exported file: matrix products and LSTMs in whole numbers, and what that costs."""

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.exporting.agreement import Hear
from sertool.core.exporting.frozen_model import ATTRIBUTES, ENHANCED, PROBABILITIES
from sertool.core.exporting.onnx_file import require
from sertool.core.metrics.speech import speech_scores
from sertool.core.writing import whole_file

QUANTISED = ("MatMul", "Gemm", "LSTM")
"""Operations that are quantised: linear layers and recurrences. Convolutions stay, among them the short-time spectra
and the mel filters, whose range no 8 bits hold."""


def quantised_name(path: Path | str) -> Path:
    """Return where the quantised variant of a file goes: `model.int8.onnx` beside `model.onnx`."""
    path = Path(path)
    return path.with_name(f"{path.stem}.int8{path.suffix}")


def write_quantised(path: Path | str, target: Path | str) -> None:
    """Write the quantised variant of an ONNX file, whole or not at all.

    Weights become 8-bit numbers once, each with a scale for its tensor; what they are multiplied by is brought to 8
    bits as it comes, by its own range (dynamic quantisation), so no speech is needed to prepare it.

    Raises:
        InputError: `onnx` or `onnxruntime` is not installed.
        OutputError: the file cannot be written.
    """
    require("onnx")
    require("onnxruntime")
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with whole_file(target) as partial, _quietly(), tempfile.TemporaryDirectory(prefix="sertool-") as folder:
        made = Path(folder) / "quantised.onnx"
        quantize_dynamic(path, made, op_types_to_quantize=list(QUANTISED), weight_type=QuantType.QUInt8)
        partial.write_bytes(made.read_bytes())


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep the tool's advice to prepare the file off the terminal: it changes nothing of what is quantised here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


@dataclass(frozen=True)
class Cost:
    """What quantisation changes, over a number of signals; None where the model has no such output, or none can tell.

    Attributes:
        signals: how many were heard.
        same_label: share in which the most probable category stays.
        largest_change: of a probability.
        mean_change: of a probability, over all categories and signals.
        largest_attribute_change: on the scale of 1 to 7.
        si_sdr: mean SI-SDR in dB of the enhanced speech, the unquantised one for reference.
        worst_si_sdr: the lowest of these.
    """

    signals: int
    same_label: float | None = None
    largest_change: float | None = None
    mean_change: float | None = None
    largest_attribute_change: float | None = None
    si_sdr: float | None = None
    worst_si_sdr: float | None = None


def cost(plain: Hear, quantised: Hear, signals: Sequence[np.ndarray]) -> Cost:
    """Return what quantisation changes in what is said of signals, (S,) each at 16 kHz, those under 0.1 s left out."""
    signals = [samples for samples in signals if len(samples) >= 0.1 * SAMPLE_RATE]
    pairs = [(plain(samples), quantised(samples)) for samples in signals]
    found: dict[str, float] = {}
    if pairs and PROBABILITIES in pairs[0][0]:
        before, after = (np.array([pair[i][PROBABILITIES] for pair in pairs]) for i in (0, 1))
        change = np.abs(after - before)
        found["same_label"] = float(np.mean(before.argmax(1) == after.argmax(1)))
        found |= {"largest_change": float(change.max()), "mean_change": float(change.mean())}
    if pairs and ATTRIBUTES in pairs[0][0]:
        changes = [np.abs(after[ATTRIBUTES] - before[ATTRIBUTES]).max() for before, after in pairs]
        found["largest_attribute_change"] = float(max(changes))
    if pairs and ENHANCED in pairs[0][0]:
        scores = [speech_scores(a[ENHANCED], b[ENHANCED], measures=("si_sdr",))["si_sdr"] for a, b in pairs]
        if scores := [score for score in scores if score is not None]:
            found |= {"si_sdr": float(np.mean(scores)), "worst_si_sdr": min(scores)}
    return Cost(signals=len(signals), **found)

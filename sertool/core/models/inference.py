"""A trained model put to use: the emotion of an utterance, and its enhanced speech at any rate and length."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sertool.core.audio.files import SAMPLE_RATE, read_audio, read_audio_native, resample
from sertool.core.environment import choose_device
from sertool.core.errors import AudioError, InputError
from sertool.core.models.config import CompactConfig, EmotionConfig, EnhancementConfig, SharedConfig
from sertool.core.models.locate import find_run, model_folder
from sertool.core.models.shared import Crop, SharedModel
from sertool.core.models.storage import WEIGHTS_NAME

BLOCK_S = 30.0
"""Longest stretch enhanced at once, in seconds: memory stays bounded whatever the file's length."""

OVERLAP_S = 2.0
"""Overlap of two blocks, in seconds, over which one fades into the next."""


@dataclass(frozen=True)
class Prediction:
    """What a model hears in an utterance.

    Attributes:
        label: the most probable category; None where the model was trained for attributes alone.
        probabilities: category to probability, in the model's order, summing to 1; empty where label is None.
        attributes: attribute to value on the 1–7 scale; None where the model was not trained for them.
        model_id: which model said so, 12 hex digits.
    """

    label: str | None
    probabilities: dict[str, float]
    attributes: dict[str, float] | None
    model_id: str


class Recognizer:
    """A shared model in evaluation mode. Its methods may be called from several threads; they take turns.

    Attributes:
        model: the model, on `device`.
        folder: where it was read from.
        device: where it computes.
        model_id: the first 12 hex digits of the SHA-256 of its weights file.
    """

    def __init__(self, model: SharedModel, *, folder: Path, device: torch.device, model_id: str) -> None:
        self.model = model.to(device).eval()
        self.folder = folder
        self.device = device
        self.model_id = model_id
        self._turn = threading.Lock()

    def predict(self, samples: np.ndarray, rate: int = SAMPLE_RATE) -> Prediction:
        """Return the emotion of one utterance. It is heard as a whole: cut recordings of many minutes first.

        Args:
            samples: shape (S,) or (S, channels); channels are averaged.
            rate: of the samples, in Hz; resampled to 16 kHz where it is another.

        Raises:
            InputError: the model has no emotion head, or there are no samples, or some are not finite.
        """
        config = self.model.config
        if config.emotion is None:
            raise InputError(f"{self.folder}: this model was not trained for emotion: name a run of `sertool train`")
        columns = _as_columns(samples)
        waveform, lengths = self._batch(resample(columns.mean(axis=1), rate, SAMPLE_RATE))
        # One frame is all the enhancement head is shown: its work, the larger part, would be thrown away.
        crop = Crop(starts=torch.zeros_like(lengths), num_frames=1)
        with self._turn, torch.inference_mode():
            output = self.model(waveform, lengths, crop)
        label, probabilities, attributes = None, {}, None
        if config.categories:
            values = output.category_logits[0].double().softmax(0).tolist()
            probabilities = dict(zip(config.categories, values, strict=True))
            label = max(probabilities, key=probabilities.__getitem__)
        if config.attributes:
            attributes = dict(zip(config.attributes, output.attributes[0].double().tolist(), strict=True))
        return Prediction(label, probabilities, attributes, self.model_id)

    def enhance(self, samples: np.ndarray, rate: int, *, dry: float = 0.0) -> np.ndarray:
        """Return the enhanced speech, with the input's rate, shape and level.

        Each channel is enhanced by itself: resampled to 16 kHz, masked by the model, resampled back. The model hears
        16 kHz audio, so nothing above 8 kHz comes back, except from the dry share. Audio longer than 30 s is
        enhanced in blocks of 30 s that overlap by 2 s and fade linearly into each other; each block's level is its own.

        Args:
            samples: shape (S,) or (S, channels), nominally in [-1, 1].
            rate: in Hz.
            dry: share of the original in the result, from 0 (enhanced alone) to 1 (the original).

        Returns:
            Samples, float32, of the input's shape.

        Raises:
            InputError: the model has no enhancement head, `dry` is out of range, or the samples are not usable.
        """
        if not self.model.config.enhances:
            raise InputError(
                f"{self.folder}: this model was not trained to enhance speech: name a run that was, with --model"
            )
        if not 0.0 <= dry <= 1.0:
            raise InputError(
                f"dry share is {dry}; expected 0 (enhanced alone) to 1 (the original): choose a number between"
            )
        columns = _as_columns(samples)
        enhanced = np.stack([self._enhance_channel(column, rate) for column in columns.T], axis=1)
        mixed = (1.0 - dry) * enhanced + dry * columns
        return mixed.astype(np.float32).reshape(np.shape(samples))

    def _enhance_channel(self, channel: np.ndarray, rate: int) -> np.ndarray:
        if not channel.any():
            return channel
        heard = resample(np.ascontiguousarray(channel), rate, SAMPLE_RATE)
        block, overlap = int(BLOCK_S * SAMPLE_RATE), int(OVERLAP_S * SAMPLE_RATE)
        enhanced = resample(in_blocks(heard, self._enhance_block, block=block, overlap=overlap), SAMPLE_RATE, rate)
        # Resampling there and back may round the length by a sample or two.
        return np.pad(enhanced, (0, max(0, len(channel) - len(enhanced))))[: len(channel)]

    def _enhance_block(self, block: np.ndarray) -> np.ndarray:
        waveform, lengths = self._batch(block)
        with self._turn:
            return self.model.enhance(waveform, lengths)[0].float().cpu().numpy()

    def _batch(self, samples: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        waveform = torch.tensor(samples, dtype=torch.float32, device=self.device)[None]  # (1, S)
        return waveform, torch.tensor([len(samples)], device=self.device)


def load(model: Path | str | None = None, device: str = "auto") -> Recognizer:
    """Return a trained model, ready to use.

    Args:
        model: a run, or a model folder (one with `config.json`); None for the newest finished run at hand (`find_run`).
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        InputError: there is no such model or device, its training has not finished, or its files do not fit.
    """
    folder = model_folder(find_run() if model is None else model)
    chosen = choose_device(device)
    shared = SharedModel.from_pretrained(folder)
    with open(folder / WEIGHTS_NAME, "rb") as weights:
        model_id = hashlib.file_digest(weights, "sha256").hexdigest()[:12]
    return Recognizer(shared, folder=folder, device=chosen, model_id=model_id)


def predict(
    source: Path | str | np.ndarray, rate: int = SAMPLE_RATE, *, model: Path | str | None = None, device: str = "auto"
) -> Prediction:
    """Return the emotion of one file, or of samples. For many, `load` the model once and use its `predict`.

    Args:
        source: an audio file; or samples, shape (S,) or (S, channels).
        rate: of the samples, in Hz; a file states its own.
        model: as in `load`.
        device: as in `load`.
    """
    samples, rate = (source, rate) if isinstance(source, np.ndarray) else (read_audio(source), SAMPLE_RATE)
    return load(model, device).predict(samples, rate)


def enhance(
    source: Path | str | np.ndarray,
    rate: int = SAMPLE_RATE,
    *,
    dry: float = 0.0,
    model: Path | str | None = None,
    device: str = "auto",
) -> tuple[np.ndarray, int]:
    """Return the enhanced speech of one file, or of samples, and its rate. For many, `load` the model once.

    Args:
        source: an audio file; or samples, shape (S,) or (S, channels).
        rate: of the samples, in Hz; a file states its own.
        dry: share of the original in the result, 0 to 1.
        model: as in `load`.
        device: as in `load`.

    Returns:
        Samples, float32, shaped as the input (a file: (S, channels)); and their rate in Hz, the input's own.
    """
    samples, rate = (source, rate) if isinstance(source, np.ndarray) else read_audio_native(source)
    model = find_run(enhances=True) if model is None else model
    return load(model, device).enhance(samples, rate, dry=dry), rate


def in_blocks(
    samples: np.ndarray, function: Callable[[np.ndarray], np.ndarray], *, block: int, overlap: int
) -> np.ndarray:
    """Apply a function that keeps the length to overlapping blocks of a signal, and fade each into the next.

    The last block ends with the signal and overlaps the one before by as much as that takes. Where blocks overlap they
    are averaged with weights that ramp linearly over `overlap` samples, so a function that changes nothing gives the
    signal back.

    Args:
        samples: shape (S,).
        function: maps samples (N,) to (N,).
        block: longest N.
        overlap: least overlap of two blocks, fewer than `block` samples.

    Returns:
        Shape (S,), float32.
    """
    if len(samples) <= block:
        return function(samples)
    ramp = np.minimum((np.arange(block) + 0.5) / max(overlap, 1), 1.0)
    weights = np.minimum(ramp, ramp[::-1])
    summed, total = np.zeros(len(samples)), np.zeros(len(samples))
    for start in _block_starts(len(samples), block, overlap):
        span = slice(start, start + block)
        summed[span] += weights * function(samples[span])
        total[span] += weights
    return (summed / total).astype(np.float32)


def check_model(device: str = "auto") -> None:
    """Enhance half a second of a tone and hear its emotion with a tiny random model; raises what goes wrong."""
    tiny = SharedConfig(
        encoder=CompactConfig(mels=16, dim=16, layers=1, kernel=3),
        emotion=EmotionConfig(categories=("anger", "neutral"), hidden=8),
        enhancement=EnhancementConfig(projection=8, hidden=8, layers=1),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SharedModel(tiny)
    recognizer = Recognizer(model, folder=Path("."), device=choose_device(device), model_id="random")
    tone = np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE).astype(np.float32)
    enhanced = recognizer.enhance(tone, SAMPLE_RATE)
    recognizer.predict(tone)
    if enhanced.shape != tone.shape or not np.isfinite(enhanced).all() or not enhanced.any():
        raise ArithmeticError("the model's output is not a signal: this installation computes wrongly")


def _block_starts(num_samples: int, block: int, overlap: int) -> Iterator[int]:
    start = 0
    while start + block < num_samples:
        yield start
        start += block - overlap
    yield num_samples - block


def _as_columns(samples: np.ndarray) -> np.ndarray:
    """Return samples as float32 (S, channels), checked."""
    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim not in (1, 2) or samples.size == 0:
        raise AudioError(
            f"samples have the shape {samples.shape}; expected (S,) or (S, channels), S at least 1: check the array"
        )
    if not np.isfinite(samples).all():
        raise AudioError("some samples are not numbers (NaN or infinite): mend them first")
    return samples.reshape(len(samples), -1)

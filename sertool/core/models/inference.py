"""Trained models put to use in one call: read from a run, then asked for emotion or for enhanced speech."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.environment import choose_device
from sertool.core.errors import InputError
from sertool.core.models.array_types import Samples, as_source, in_shape_of
from sertool.core.models.config import CompactConfig, EmotionConfig, EnhancementConfig, SharedConfig
from sertool.core.models.locate import find_model, model_folder
from sertool.core.models.recognizer import Prediction, Recognizer
from sertool.core.models.shared import SharedModel
from sertool.core.models.storage import WEIGHTS_NAME
from sertool.core.models.upper_band import UpperBand


def load(
    model: Path | str | None = None, device: str = "auto", *, categories: Iterable[str] | None = None
) -> Recognizer:
    """Return a trained model, ready to use.

    Args:
        model: a run, or a model folder (one with `config.json`); `shipped` for the model that comes with the package;
            None for the newest finished run at hand, or else the shipped one (`find_model`).
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        categories: those of its categories to choose among, two or more; None for all.

    Raises:
        InputError: there is no such model or device, its training has not finished, or its files do not fit; or it does
            not know a category.
    """
    folder = model_folder(find_model() if model is None else model)
    chosen = choose_device(device)
    shared = SharedModel.from_pretrained(folder)
    if categories is not None:
        try:
            shared.choose_among(categories)
        except InputError as error:
            raise InputError(f"{folder}: {error}") from error
    with open(folder / WEIGHTS_NAME, "rb") as weights:
        model_id = hashlib.file_digest(weights, "sha256").hexdigest()[:12]
    return Recognizer(shared, folder=folder, device=chosen, model_id=model_id)


def predict(
    source: Samples | Path | str, rate: int | None = None, *, model: Path | str | None = None, device: str = "auto"
) -> Prediction:
    """Return the emotion of one file, or of samples. For many, `load` the model once and use its methods.

    Args:
        source: an audio file; or samples, an array or a tensor, shape (S,) or (S, channels).
        rate: of the samples, in Hz; a file states its own.
        model: as in `load`.
        device: as in `load`.

    Raises:
        InputError: as `load`; or the samples or the file cannot be used, or the rate of samples is missing.
    """
    audio = as_source(source, rate)
    return load(model, device).predict(audio)


def enhance(
    source: Samples | Path | str,
    rate: int | None = None,
    *,
    dry: float = 0.0,
    upper_band: UpperBand | str = UpperBand.DROP,
    model: Path | str | None = None,
    device: str = "auto",
) -> tuple[np.ndarray | torch.Tensor, int]:
    """Return the enhanced speech of one file, or of samples, and its rate. For many, `load` the model once.

    Args:
        source: an audio file; or samples, an array or a tensor, shape (S,) or (S, channels).
        rate: of the samples, in Hz; a file states its own.
        dry: share of the original in the result, 0 to 1.
        upper_band: as in `Recognizer.enhance`.
        model: as in `load`; None for the newest run at hand that enhances.
        device: as in `load`.

    Returns:
        Samples, shaped as the input (a file: (S, channels)): a tensor of the input's type on its device where that is a
        tensor, else a float32 array; and their rate in Hz, the input's own.

    Raises:
        InputError: as `predict`.
    """
    audio = as_source(source, rate)
    model = find_model(enhances=True) if model is None else model
    enhanced = load(model, device).enhance(audio, dry=dry, upper_band=upper_band)
    return in_shape_of(source, enhanced), audio.rate


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
    recognizer.predict(tone, SAMPLE_RATE)
    if enhanced.shape != tone.shape or not np.isfinite(enhanced).all() or not enhanced.any():
        raise ArithmeticError("the model's output is not a signal: this installation computes wrongly")

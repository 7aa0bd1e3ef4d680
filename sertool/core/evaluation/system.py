"""What is judged: a model, alone or behind an outside enhancer whose speech it then hears."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.evaluation.enhancer import CommandEnhancer, Enhancer
from sertool.core.models.abstention import speech_presence
from sertool.core.models.inference import load
from sertool.core.models.recognizer import Prediction, Recognizer


@dataclass(frozen=True)
class System:
    """What is judged, as a process is told of it.

    Attributes:
        model: the model's folder.
        enhancer: what the speech goes through first; None for the model's own enhancement.
        device: where the model computes.
    """

    model: Path
    enhancer: Enhancer | None = None
    device: str = "cpu"
    categories: tuple[str, ...] | None = None

    def open(self) -> "Listener":
        """Load the model."""
        return Listener(load(self.model, self.device, categories=self.categories), self.enhancer)


@dataclass(frozen=True)
class Listener:
    """A system at work in this process."""

    recognizer: Recognizer
    enhancer: Enhancer | None = None

    @property
    def identity(self) -> list[Any]:
        """Return what decides what this says of a signal, as JSON values."""
        # Weights mean nothing without what they are weights of.
        config = self.recognizer.model.config.model_dump_json()
        return [
            self.recognizer.model_id,
            hashlib.sha256(config.encode()).hexdigest(),
            self.recognizer.device.type,
            None if self.enhancer is None else self.enhancer.identity,
        ]

    @property
    def is_known(self) -> bool:
        """Whether `identity` is all that decides; what an outside command does may change behind it."""
        return not isinstance(self.enhancer, CommandEnhancer)

    def speech_lacks(self, samples: np.ndarray, enhanced: np.ndarray | None) -> str | None:
        """Return why no emotion should be named in what was heard, see `speech_presence`; None where there is speech.

        The threshold is that of the head which enhanced it; how much an outside command turns down says nothing.
        """
        threshold_db = (self.enhancer or self.recognizer.model.config).speech_kept_db
        return speech_presence(samples, enhanced if self.is_known else None, threshold_db=threshold_db).reason

    @property
    def enhances(self) -> bool:
        """Whether speech comes back enhanced."""
        return self.enhancer is not None or self.recognizer.model.config.enhances

    def hear(self, samples: np.ndarray, *, enhance: bool) -> tuple[Prediction | None, np.ndarray | None]:
        """Return the emotion of an utterance (S,) at 16 kHz, and its enhanced speech (S,) where that is asked for.

        Behind an enhancer the emotion is that of the enhanced speech.

        Raises:
            InputError: the samples are not usable, or what the model says of them is not.
            AudioError: the outside enhancer failed.
        """
        config = self.recognizer.model.config
        if self.enhancer is not None:
            enhanced = self.enhancer.enhance([samples])[0]
            return self.recognizer.predict(enhanced, SAMPLE_RATE) if config.emotion else None, enhanced
        if enhance:
            return self.recognizer.hear(samples)
        return self.recognizer.predict(samples, SAMPLE_RATE) if config.emotion else None, None

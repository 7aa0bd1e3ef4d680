"""Enhancers that are judged beside a model: any outside command, or a run of ours with an enhancement head.

Both are asked alike: signals in, as many enhanced signals of the same lengths out. An enhancer can be sent to other
processes; a run is loaded in each of them when it is first asked.
"""

import hashlib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.errors import InputError
from sertool.core.evaluation.command import (
    TIME_LIMIT_S,
    program_name,
    run_command,
    shown_command,
    split_command,
    told_files,
)
from sertool.core.models.config import SPEECH_KEPT_DB
from sertool.core.models.inference import load
from sertool.core.models.locate import model_folder
from sertool.core.models.recognizer import Recognizer
from sertool.core.models.storage import CONFIG_NAME, WEIGHTS_NAME, read_config
from sertool.core.randomness import generator_for


class Enhancer(ABC):
    """Something that makes noisy speech sound better.

    Attributes:
        name: what tables call it.
        identity: what tells it from others, as JSON values without a path of the machine, for results and caches.
        speech_kept_db: the least share of the energy it keeps of speech, in dB, see `SharedConfig.speech_kept_db`.
    """

    name: str
    identity: dict[str, Any]
    speech_kept_db: float = SPEECH_KEPT_DB

    @abstractmethod
    def enhance(self, signals: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return each signal enhanced, float32 at 16 kHz, of the length it had.

        Args:
            signals: float32 at 16 kHz, shape (S_i,).

        Raises:
            InputError: the enhancer fails on one of them; the message says how.
        """


@dataclass(frozen=True)
class CommandEnhancer(Enhancer):
    """An outside program that reads one file and writes another, called once a signal.

    Attributes:
        words: the command, without a shell; `{in}` and `{out}` in them stand for the two files, 16 kHz WAV.
        time_limit_s: seconds a signal may take before the program is killed.
        name: the program's name, or that of the script it is given.
        identity: the command with every path cut to its last part, and the SHA-256 of the program and of every file
            named in it as they were when the enhancer was read. What lies in a folder it names counts by name alone.
    """

    words: tuple[str, ...]
    time_limit_s: float
    name: str
    identity: dict[str, Any]

    @classmethod
    def read(cls, text: str, *, time_limit_s: float = TIME_LIMIT_S) -> "CommandEnhancer":
        """Read a command as a user writes it, quoted as for a shell.

        Args:
            text: such as `python enhance.py --model large {in} {out}`.
            time_limit_s: seconds a signal may take; ten minutes unless told otherwise (ours: a hung program should end
                an evaluation some day, a slow one never).

        Raises:
            InputError: it cannot be split into words, lacks a placeholder, or there is no such program.
        """
        if not (math.isfinite(time_limit_s) and time_limit_s > 0):
            raise InputError(f"a time limit of {time_limit_s:g} s was given; expected seconds above 0: raise it")
        words = split_command(text)
        files = told_files(words)
        identity = {
            "kind": "command",
            "command": shown_command(words),
            "files": [[Path(path).name, digest] for path, digest in files.items()],
        }
        return cls(words, time_limit_s, program_name(words), identity)

    def enhance(self, signals: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self.enhance_signal(samples) for samples in signals]

    def try_out(self) -> None:
        """Have the command enhance a second of noise, so that one that never works is known before hours are spent.

        Raises:
            InputError: it fails.
        """
        noise = generator_for("try an enhancer", 0).standard_normal(SAMPLE_RATE)
        self.enhance_signal((0.05 * noise).astype(np.float32))

    def enhance_signal(self, samples: np.ndarray, rate: int = SAMPLE_RATE) -> np.ndarray:
        """Return one signal (S,) enhanced, float32, (S,), at the same rate; see `run_command` for what goes wrong."""
        return run_command(self.words, samples, rate, time_limit_s=self.time_limit_s)


@dataclass(frozen=True)
class RunEnhancer(Enhancer):
    """A run with an enhancement head, used within this process.

    Attributes:
        folder: the model's.
        device: where it computes.
        name: the run's.
        identity: its name, and a digest of its weights.
        speech_kept_db: of its model.
    """

    folder: Path
    device: str
    name: str
    identity: dict[str, Any]
    speech_kept_db: float

    @classmethod
    def read(cls, folder: Path | str, device: str = "cpu") -> "RunEnhancer":
        """Find a run's model, without loading it.

        Raises:
            InputError: there is none, its training has not finished, or it does not enhance.
        """
        inner = model_folder(folder).resolve()
        config = read_config(inner)
        if not config.enhances:
            raise InputError(
                f"{folder}: has no enhancement head; expected a model that enhances: train one with "
                "`sertool train --task emotion --task enhancement`"
            )
        with open(inner / WEIGHTS_NAME, "rb") as weights:
            digest = hashlib.file_digest(weights, "sha256")
        # Weights mean nothing without what they are weights of.
        digest.update((inner / CONFIG_NAME).read_bytes())
        name = inner.parent.name if inner.name == "model" else inner.name
        identity = {"kind": "run", "name": name, "digest": digest.hexdigest()}
        return cls(inner, device, name, identity, config.speech_kept_db)

    def enhance(self, signals: Sequence[np.ndarray]) -> list[np.ndarray]:
        recognizer = _loaded(self.folder, self.device)
        return [recognizer.enhance(np.asarray(samples, np.float32), SAMPLE_RATE) for samples in signals]


def read_enhancer(text: str, device: str = "cpu", *, time_limit_s: float = TIME_LIMIT_S) -> Enhancer:
    """Read what `--enhancer` was given: the folder of a run, or a command with `{in}` and `{out}`.

    Args:
        text: a folder that is there counts as a run, everything else as a command.
        device: where a run computes; a command has its own ways.
        time_limit_s: as in `CommandEnhancer.read`.

    Raises:
        InputError: it is neither.
    """
    # Unlike Path.is_dir, this takes a text that is too long for a path.
    if os.path.isdir(text):
        return RunEnhancer.read(text, device)
    return CommandEnhancer.read(text, time_limit_s=time_limit_s)


@lru_cache(maxsize=2)
def _loaded(folder: Path, device: str) -> Recognizer:
    """Load a model once a process."""
    return load(folder, device)

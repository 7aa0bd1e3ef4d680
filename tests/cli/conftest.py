"""What the tests of the command line share: a tiny trained run, some audio, and a way to call `sertool`."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner, Result

from sertool.cli.main import app
from sertool.core.models.config import CompactConfig, EmotionConfig, EnhancementConfig, SharedConfig
from sertool.core.models.shared import SharedModel


def make_run(folder: Path, *, speech_kept_db: float = -60.0) -> Path:
    """Write a finished run with a tiny random model, which takes everything for speech that is not silence."""
    config = SharedConfig(
        encoder=CompactConfig(mels=16, dim=16, layers=1, kernel=3),
        emotion=EmotionConfig(categories=("anger", "neutral", "sadness"), attributes=("arousal",), hidden=8),
        enhancement=EnhancementConfig(projection=8, hidden=8, layers=1),
        speech_kept_db=speech_kept_db,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        SharedModel(config).save_pretrained(folder / "model")
    (folder / "run.json").write_text(json.dumps({"state": "finished"}))
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with a tiny random model."""
    return make_run(tmp_path_factory.mktemp("run") / "tiny")


@pytest.fixture(scope="session")
def deaf_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose model takes everything for noise, since it keeps less than all of it."""
    return make_run(tmp_path_factory.mktemp("run") / "deaf", speech_kept_db=0.0)


@pytest.fixture
def sertool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Call `sertool` in this process, in an empty working folder (`tmp_path`); `stdin` is bytes."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)

    return call


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """Half a second of noise at 16 kHz: `noisy.wav` in the working folder."""
    path = tmp_path / "noisy.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(8000), 16_000, subtype="PCM_16")
    return path


@pytest.fixture(scope="session")
def assert_one_line() -> Callable[..., None]:
    """Assert that a call ended with one line on stderr that holds these words, nothing on stdout, and no traceback."""

    def check(result: Result, *words: str, code: int = 2) -> None:
        assert result.exit_code == code, result.stderr
        assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
        assert result.stdout == ""
        for word in words:
            assert word in result.stderr

    return check

"""A tiny corpus, two kinds of noise, and runs of a tiny model with random weights."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from sertool.core.audio.files import write_audio
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixing import parse_snr
from sertool.core.corpus.noise import NoiseSet
from sertool.core.evaluation.protocol import Protocol
from sertool.core.models.config import CompactConfig, EmotionConfig, EnhancementConfig, SharedConfig
from sertool.core.models.shared import SharedModel
from sertool.core.training.recipe import Recipe, recipe_text

RATE = 16_000
CATEGORIES = ("anger", "neutral", "sadness")


def _write_voice(path, *, seconds=0.6, seed=0):
    """Write a buzz of changing level, different for every seed."""
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = 2 * np.pi * (120 + 15 * seed) * time
    buzz = sum(np.sin(k * pitch) / k for k in range(1, 8)) * np.abs(np.sin(2 * np.pi * 2 * time + seed))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, (0.2 * buzz + 0.001 * np.random.default_rng(seed).standard_normal(len(time))), RATE)


def _save_model(folder, *, categories=CATEGORIES, attributes=(), enhances=True, speech_kept_db=-6.0):
    """Save a tiny model with random weights."""
    config = SharedConfig(
        encoder=CompactConfig(mels=16, dim=16, layers=2, kernel=3),
        emotion=EmotionConfig(categories=categories, attributes=attributes, hidden=8),
        enhancement=EnhancementConfig(projection=8, hidden=8, layers=1) if enhances else None,
        speech_kept_db=speech_kept_db,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        SharedModel(config).save_pretrained(folder)
    return folder


def _make_run(folder, *, seen=(), noise=None, **model):
    """Make the folder a training of the tiny model would leave."""
    _save_model(folder / "model", **model)
    (folder / "recipe.yaml").write_text(recipe_text(Recipe()), encoding="utf-8")
    (folder / "seen_audio.txt").write_text("".join(f"{digest}\n" for digest in seen))
    record = {"state": "finished", "noise": noise or {"kinds": [], "file_digests": []}}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A manifest of six test utterances of two speakers, and one of another split."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = []
    for number in range(7):
        name = f"s{number % 2}/u{number}.wav"
        _write_voice(folder / name, seed=number)
        rows.append(
            {
                "file_name": name,
                "speaker": f"s{number % 2}" if number < 6 else "s2",
                "split": "test" if number < 6 else "train",
                "emotion": CATEGORIES[number % 3],
                "arousal": 1.0 + number,
            }
        )
    pd.DataFrame(rows).to_csv(folder / "metadata.csv", index=False)
    return folder / "metadata.csv"


@pytest.fixture(scope="session")
def noise(tmp_path_factory):
    """A folder of noise of two kinds."""
    folder = tmp_path_factory.mktemp("noise")
    for number, kind in enumerate(("hum", "hiss", "hiss")):
        (folder / kind).mkdir(exist_ok=True)
        hiss = 0.1 * np.random.default_rng(number).standard_normal(RATE)
        hum = np.sin(2 * np.pi * 60 * np.arange(RATE) / RATE) + 0.1 * hiss
        write_audio(folder / kind / f"{number}.wav", hum if kind == "hum" else hiss, RATE)
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A finished run that has heard nothing."""
    return _make_run(tmp_path_factory.mktemp("runs") / "tiny")


def _protocol(noise=None, snr=("clean", "0"), **settings):
    noise_set = None if noise is None else NoiseSet.read(noise)
    return Protocol(snr=parse_snr(snr, allow_clean=True), noise=noise_set, **settings)


def _edit(corpus, folder, **columns):
    """Write the manifest with some columns changed, audio named absolutely."""
    table = Manifest.read(corpus).rebased(folder).table.assign(**columns)
    table.to_csv(folder / "edited.csv", index=False)
    return folder / "edited.csv"


@pytest.fixture(scope="session")
def write_voice() -> Callable[..., None]:
    """`write_voice(path, seconds=0.6, seed=0)`."""
    return _write_voice


@pytest.fixture(scope="session")
def save_model() -> Callable[..., Path]:
    """`save_model(folder, categories=…, attributes=(), enhances=True, speech_kept_db=-6.0)`."""
    return _save_model


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """`make_run(folder, seen=(), noise=None, …)`, the rest as for `save_model`."""
    return _make_run


@pytest.fixture(scope="session")
def protocol() -> Callable[..., Protocol]:
    """`protocol(noise_folder=None, snr=("clean", "0"), …)`, the rest as for `Protocol`."""
    return _protocol


@pytest.fixture(scope="session")
def edit() -> Callable[..., Path]:
    """`edit(manifest, folder, column=values…)`."""
    return _edit

"""Pairs of signals the speech measures are tested on: real mixtures, and those that break careless arithmetic."""

import csv
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import scipy.signal
import torch

from sertool.core.audio.files import read_audio

RATE = 16_000

Pair = tuple[np.ndarray, np.ndarray]


def _voice(seconds: float) -> np.ndarray:
    """A buzz of changing pitch and level with a little noise, float64."""
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 2 * np.pi * np.cumsum(150 + 40 * np.sin(2 * np.pi * 1.3 * time)) / RATE
    buzz = sum(np.sin(k * pitch) / k for k in range(1, 12)) * np.abs(np.sin(2 * np.pi * 2 * time))
    return 0.2 * buzz + 0.002 * np.random.default_rng(len(time)).standard_normal(len(time))


def _noise(like: np.ndarray) -> np.ndarray:
    return 0.05 * np.random.default_rng(len(like) + 1).standard_normal(len(like))


@pytest.fixture(scope="session")
def awkward_pairs() -> dict[str, Pair]:
    """By name, pairs every measure can score though they look as if it could not."""
    clean = _voice(1.5)
    noisy = clean + _noise(clean)
    hole, ends = clean.copy(), clean.copy()
    hole[9000:12_000] = 0
    ends[:6000] = ends[-5000:] = 0
    packet_lost = noisy.copy()
    packet_lost[10_000:13_000] = 0
    click = np.where(np.arange(len(clean)) == 4000, 0.9, 0.0)
    return {
        "silence inside": (hole, hole + _noise(hole)),
        "silence inside both": (hole, hole * 0.5 + 0.1 * np.roll(hole, 5)),
        "silence at the ends": (ends, ends + _noise(ends)),
        "silence at the ends of both": (ends, scipy.signal.lfilter([0.5, 0.3], [1.0], ends)),
        "packet lost": (clean, packet_lost),
        "faint": (1e-5 * clean, 1e-5 * noisy),
        "clipped": (clean, np.clip(3 * noisy, -1, 1)),
        "identical": (clean, clean),
        "turned over": (clean, -noisy),
        "with an offset": (clean, noisy + 0.3),
        "half a second": (clean[:8000], noisy[:8000]),
        "a click besides": (clean, noisy + click),
        "long": (np.tile(clean, 4), np.tile(clean, 4) + _noise(np.tile(clean, 4))),
    }


@pytest.fixture(scope="session")
def real_pairs(shared_data) -> list[Pair]:
    """Mixtures of real speech and noise at 0 and 5 dB, of several lengths, and the same through a Wiener filter."""
    with open(shared_data / "reference" / "mixtures.csv", newline="") as file:
        rows = list(csv.DictReader(file))[3::27]
    pairs = []
    for row in rows:
        clean, noise = read_audio(shared_data / row["clip"]), read_audio(shared_data / row["noise"])
        clean, noise = clean.astype(np.float64), noise.astype(np.float64)
        noise = np.resize(np.roll(noise, -int(row["noise_offset_samples"])), len(clean))
        noisy = clean + float(row["noise_gain"]) * noise
        pairs += [(clean, noisy), (clean, scipy.signal.wiener(noisy, 15))]
    return pairs


@pytest.fixture(scope="session")
def batched() -> Callable[[Sequence[Pair]], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """A function that pads pairs, with what must not count, to clean (N, S), estimate (N, S), lengths (N,)."""

    def pad(pairs: Sequence[Pair]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        lengths = torch.tensor([len(clean) for clean, _ in pairs])
        clean = torch.full((len(pairs), int(lengths.max()) + 700), 7.0, dtype=torch.float64)
        estimate = -0.5 * clean
        for number, (reference, other) in enumerate(pairs):
            clean[number, : len(reference)] = torch.from_numpy(reference)
            estimate[number, : len(other)] = torch.from_numpy(other)
        return clean, estimate, lengths

    return pad

"""WSS against its definition, searching every peak band by band."""

import math

import numpy as np
import pytest

from sertool.core.metrics.weighted_spectral_slope import (
    BANDWIDTHS_HZ,
    CENTRES_HZ,
    critical_bands,
    weighted_spectral_slope,
)


def bands(size: int, rate: int) -> np.ndarray:
    filters = np.zeros((25, size // 2))
    for band, (centre, width) in enumerate(zip(CENTRES_HZ, BANDWIDTHS_HZ, strict=True)):
        distance = (np.arange(size // 2) - math.floor(centre / rate * size)) / (width / rate * size)
        weight = np.exp(-11 * distance**2 + math.log(70.0) - math.log(width))
        filters[band] = weight * (weight > math.exp(-30 / 4.606))
    return filters


def peaks(energies: np.ndarray) -> list[float]:
    slopes, found = np.diff(energies), []
    for band in range(24):
        at = band
        if slopes[band] > 0:
            while at < 24 and slopes[at] > 0:
                at += 1
            found.append(energies[at - 1])
        else:
            while at >= 0 and slopes[at] <= 0:
                at -= 1
            found.append(energies[at + 1])
    return found


def weights(energies: np.ndarray) -> np.ndarray:
    below, local = energies.max() - energies[:-1], np.array(peaks(energies)) - energies[:-1]
    return 20 / (20 + below) * 1 / (1 + local)


def definition(clean: np.ndarray, estimate: np.ndarray) -> float:
    window, filters = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, 481) / 481)), bands(1024, 16_000)
    values = []
    for frame in range((len(clean) - 480) // 120):
        energies = []
        for samples in (clean, estimate):
            power = np.abs(np.fft.fft(samples[120 * frame : 120 * frame + 480] * window, 1024)[:512]) ** 2
            energies.append(10 * np.log10(np.maximum(filters @ power, 1e-10)))
        weight = (weights(energies[0]) + weights(energies[1])) / 2
        values.append(np.sum(weight * (np.diff(energies[0]) - np.diff(energies[1])) ** 2) / np.sum(weight))
    return float(np.mean(sorted(values)[: int(0.95 * len(values) + 0.5)]))


def test_it_is_the_definition_s(real_pairs, awkward_pairs, batched):
    names = ("silence inside", "silence inside both", "packet lost", "faint", "half a second")
    pairs = [*real_pairs[:2], *(awkward_pairs[name] for name in names)]
    expected = [definition(*pair) for pair in pairs]
    assert weighted_spectral_slope(*batched(pairs)).numpy() == pytest.approx(expected, abs=1e-4)


def test_equal_slopes_are_0_whatever_the_level(awkward_pairs, batched):
    clean, _ = awkward_pairs["clipped"]
    assert weighted_spectral_slope(*batched([(clean, -0.5 * clean)])).item() == pytest.approx(0.0, abs=1e-9)


def test_bands_need_their_frequencies():
    with pytest.raises(ValueError, match="8000 Hz"):
        critical_bands(512, 7000)

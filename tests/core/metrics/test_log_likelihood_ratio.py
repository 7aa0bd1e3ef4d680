"""LLR against its definition with scipy's Toeplitz solver, and for frames that have no linear prediction."""

import numpy as np
import pytest
import torch
from scipy.linalg import solve_toeplitz, toeplitz

from sertool.core.metrics.log_likelihood_ratio import linear_prediction, log_likelihood_ratio


def correlate(frame: np.ndarray, order: int) -> np.ndarray:
    return np.array([frame[: len(frame) - lag] @ frame[lag:] for lag in range(order + 1)])


def polynomial(correlation: np.ndarray) -> np.ndarray:
    return np.concatenate([[1.0], -solve_toeplitz(correlation[:-1], correlation[1:])])


def definition(clean: np.ndarray, estimate: np.ndarray, rate: int = 16_000, floor: float = 0.0) -> float:
    """The mean of the best 95 %; silent frames are white noise, and white noise is added to all."""
    window, hop, order = (480, 120, 16) if rate == 16_000 else (240, 60, 10)
    taper = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, window + 1) / (window + 1)))
    white = np.eye(order + 1)[0]
    values = []
    for frame in range((len(clean) - window) // hop):
        inside = slice(hop * frame, hop * frame + window)
        reference = correlate(clean[inside] * taper, order) if clean[inside].any() else white
        other = correlate(estimate[inside] * taper, order) if estimate[inside].any() else white
        reference[0], other[0] = (1 + floor) * reference[0], (1 + floor) * other[0]
        best, a = polynomial(reference), polynomial(other)
        values.append(np.log((a @ toeplitz(reference) @ a) / (best @ toeplitz(reference) @ best)))
    return float(np.mean(sorted(values)[: int(0.95 * len(values) + 0.5)]))


def test_it_is_the_definition_s(real_pairs, awkward_pairs, batched):
    pairs = [*real_pairs[:4], *awkward_pairs.values()]
    # The few samples of a signal that ends within a frame are predicted up to rounding but for the floor.
    expected = [definition(*pair, floor=0.0 if number < 4 else 1e-10) for number, pair in enumerate(pairs)]
    assert log_likelihood_ratio(*batched(pairs)).numpy() == pytest.approx(expected, abs=1e-4)


def test_order_10_below_10_khz(awkward_pairs, batched):
    pair = awkward_pairs["clipped"]
    assert log_likelihood_ratio(*batched([pair]), 8000).item() == pytest.approx(definition(*pair, 8000), abs=1e-4)


def test_levels_and_signs_do_not_count_and_equal_envelopes_are_0(awkward_pairs, batched):
    clean, noisy = awkward_pairs["turned over"]
    found = log_likelihood_ratio(
        *batched([(clean, noisy), (1e-3 * clean, -20 * noisy), (clean, -0.1 * clean)])
    ).tolist()
    assert found[1] == pytest.approx(found[0], abs=1e-6)
    assert found[2] == pytest.approx(0.0, abs=1e-6)


def test_frames_without_a_prediction_are_finite_and_not_negative(awkward_pairs, batched):
    time = np.arange(8000)
    tone, constant, voice = np.sin(0.3 * time), np.full(8000, 0.5), awkward_pairs["half a second"][0]
    signals = [tone, constant, np.zeros(8000), voice]
    pairs = [(clean, estimate) for clean in signals for estimate in signals]
    found = log_likelihood_ratio(*batched([*pairs, *awkward_pairs.values()]))
    assert torch.isfinite(found).all() and (found >= 0).all()
    same = [found[number].item() for number, (clean, estimate) in enumerate(pairs) if clean is estimate]
    assert same == pytest.approx([0.0] * 4, abs=1e-6)
    assert found[4 * 3 + 2] > 0.5  # speech lost is not speech matched


def test_the_recursion_solves_the_normal_equations():
    correlation = np.array([3.0, 1.2, -0.5, 0.3])
    found, residual = linear_prediction(torch.from_numpy(correlation)[:, None])
    assert found[:, 0].numpy() == pytest.approx(polynomial(correlation))
    assert residual.item() == pytest.approx(polynomial(correlation) @ correlation)

"""Segmental SNR against its definition, frame by frame."""

import numpy as np
import pytest
import torch

from sertool.core.metrics.segmental_snr import segmental_snr

EPSILON = np.finfo(float).eps


def definition(clean: np.ndarray, estimate: np.ndarray) -> float:
    window = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, 481) / 481))
    values = []
    for frame in range((len(clean) - 480) // 120):
        inside = slice(120 * frame, 120 * frame + 480)
        signal = np.sum((clean[inside] * window) ** 2)
        noise = np.sum(((clean[inside] - estimate[inside]) * window) ** 2)
        values.append(min(35.0, max(-10.0, 10 * np.log10(signal / (noise + EPSILON) + EPSILON))))
    return float(np.mean(values))


def test_it_is_the_definition_s(real_pairs, awkward_pairs, batched):
    pairs = [*real_pairs, *awkward_pairs.values()]
    expected = [definition(*pair) for pair in pairs]
    assert segmental_snr(*batched(pairs)).numpy() == pytest.approx(expected, abs=1e-6)


def test_frames_are_limited_and_silence_counts_as_the_worst(awkward_pairs, batched):
    clean, _ = awkward_pairs["clipped"]
    pairs = [(clean, clean), (clean, clean + 30.0), (0.0 * clean, clean)]
    assert segmental_snr(*batched(pairs)).tolist() == [35.0, -10.0, -10.0]


def test_too_short_for_a_frame_has_no_value():
    assert torch.isnan(segmental_snr(torch.ones(1, 599), torch.ones(1, 599), torch.tensor([599]))).all()

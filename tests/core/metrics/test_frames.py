"""Frames of 30 ms: how many, what is in them, and their means."""

import numpy as np
import pytest
import torch

from sertool.core.metrics import frames as frames_module
from sertool.core.metrics.frames import count_frames, frame_values, mean_of_best_frames, mean_of_frames


@pytest.mark.parametrize(
    ("samples", "frames"), [(0, 0), (480, 0), (599, 0), (600, 1), (719, 1), (720, 2), (16_000, 129)]
)
def test_there_is_one_frame_less_than_fit(samples, frames):
    assert count_frames(torch.tensor([samples]), 16_000).tolist() == [frames]


def test_frames_are_windowed_and_measured_whatever_the_block(monkeypatch):
    generator = np.random.default_rng(0)
    samples = generator.standard_normal((2, 2, 1500))
    window = np.hanning(482)[1:-1]
    expected = np.zeros((2, 8))
    for pair, length in enumerate((1000, 1500)):
        for frame in range((length - 480) // 120):
            clean, estimate = samples[:, pair, 120 * frame : 120 * frame + 480] * window
            power = np.abs(np.fft.rfft(clean, 1024)) ** 2
            expected[pair, frame] = clean @ estimate + power.sum() * (np.abs(np.fft.rfft(estimate, 1024)) ** 2)[3]
    for block in (1, 3, 100):
        monkeypatch.setitem(frames_module.BLOCK_FRAMES, "cpu", block)
        [found] = frame_values(
            [lambda f: (f.clean * f.estimate).sum(-1) + f.clean_power.sum(-1) * f.estimate_power[:, 3]],
            *torch.from_numpy(samples),
            torch.tensor([1000, 1500]),
            16_000,
        )
        assert found.numpy() == pytest.approx(expected)


def test_the_worst_twentieth_of_the_frames_is_left_out_rounded_half_up():
    values = torch.arange(40.0).flip(0).double().repeat(5, 1)
    values[:, 30] = 100.0
    counts = [40, 30, 10, 1, 0]
    found = mean_of_best_frames(values, torch.tensor(counts)).tolist()
    for row, count, kept in zip(values.tolist(), counts[:-1], (38, 29, 10, 1), strict=False):
        assert found[counts.index(count)] == pytest.approx(np.mean(sorted(row[:count])[:kept]))
    assert np.isnan(found[-1])


def test_frames_behind_a_pair_s_last_do_not_count():
    values = torch.tensor([[1.0, 3.0, 100.0], [2.0, 4.0, 9.0]])
    assert mean_of_frames(values, torch.tensor([2, 3])).tolist() == [2.0, 5.0]

"""SI-SDR against torchmetrics, by hand, and where it is infinite."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from sertool.core.metrics.si_sdr import si_sdr


def one(clean: np.ndarray, estimate: np.ndarray) -> float:
    clean, estimate = (torch.as_tensor(samples, dtype=torch.float64)[None] for samples in (clean, estimate))
    return si_sdr(clean, estimate, torch.tensor([clean.shape[1]])).item()


def test_it_is_that_of_torchmetrics_with_zero_mean(real_pairs, awkward_pairs, batched):
    pairs = [*real_pairs, *(pair for name, pair in awkward_pairs.items() if name != "identical")]
    found = si_sdr(*batched(pairs))
    for (clean, estimate), value in zip(pairs, found.tolist(), strict=True):
        theirs = scale_invariant_signal_distortion_ratio(
            torch.from_numpy(estimate), torch.from_numpy(clean), zero_mean=True
        )
        assert value == pytest.approx(theirs.item(), abs=1e-6)


def test_orthogonal_noise_of_a_tenth_is_20_db():
    time = np.arange(1600) / 1600
    clean, noise = np.sin(2 * np.pi * 5 * time), np.cos(2 * np.pi * 5 * time)
    assert one(clean, clean + 0.1 * noise) == pytest.approx(20.0, abs=1e-9)


@given(scale=st.floats(1e-3, 1e3), turn=st.sampled_from([-1, 1]), shift=st.floats(-1, 1), seed=st.integers(0, 9))
def test_scale_sign_and_offset_do_not_count(scale, turn, shift, seed):
    clean, noise = np.random.default_rng(seed).standard_normal((2, 500))
    expected = one(clean, clean + 0.3 * noise)
    assert one(clean / scale, turn * scale * (clean + 0.3 * noise) + shift) == pytest.approx(expected, abs=1e-6)


def test_an_equal_signal_is_infinitely_good_an_unrelated_one_infinitely_bad():
    time = np.arange(1600) / 1600
    clean, unrelated = np.sin(2 * np.pi * 5 * time), np.sin(2 * np.pi * 40 * time)
    assert one(clean, np.float32(0.7) * clean.astype(np.float32)) == torch.inf
    assert one(clean, -clean) == torch.inf
    assert one(clean, unrelated) == -torch.inf
    assert one(clean, clean + 1e-6 * unrelated) == pytest.approx(120.0, abs=1e-3)


def test_silence_has_no_value():
    assert np.isnan(one(np.zeros(100), np.ones(100)))

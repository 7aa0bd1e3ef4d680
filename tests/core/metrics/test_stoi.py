"""STOI and ESTOI against pystoi."""

import warnings

import numpy as np
import pystoi
import pytest
import torch

from sertool.core.metrics import stoi as stoi_module
from sertool.core.metrics.stoi import estoi, stoi


@pytest.mark.parametrize(("measure", "extended"), [(stoi, False), (estoi, True)])
def test_it_is_pystoi_s(measure, extended, real_pairs, awkward_pairs, batched):
    pairs = [*real_pairs, *awkward_pairs.values()]
    expected = [pystoi.stoi(*pair, 16_000, extended=extended) for pair in pairs]
    assert measure(*batched(pairs)).numpy() == pytest.approx(expected, abs=1e-6)


def test_other_rates_are_pystoi_s(awkward_pairs, batched):
    pair = awkward_pairs["clipped"]
    for rate in (8000, 10_000, 22_050):
        assert stoi(*batched([pair]), rate).item() == pytest.approx(pystoi.stoi(*pair, rate), abs=1e-6)


def test_blocks_do_not_show(awkward_pairs, batched, monkeypatch):
    batch = batched(list(awkward_pairs.values()))
    expected = [measure(*batch) for measure in (stoi, estoi)]
    monkeypatch.setitem(stoi_module.BLOCK_SEGMENTS, "cpu", 61)
    for measure, before in zip((stoi, estoi), expected, strict=True):
        assert measure(*batch).numpy() == pytest.approx(before.numpy(), abs=1e-12)


@pytest.mark.parametrize("frames", [29, 30])
def test_no_score_below_30_frames_where_pystoi_invents_one(frames, awkward_pairs, batched):
    # Pauses are taken out of 31 frames, none here, before 30 are cut.
    length = int((256 + 128 * frames) * 1.6) + 2
    clean = np.random.default_rng(0).standard_normal(length)
    pair = clean, clean + 0.5 * np.roll(clean, 1)
    found = stoi(*batched([pair, awkward_pairs["clipped"]]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pystoi.stoi(*pair, 16_000)
    assert torch.isnan(found[0]) == (theirs == 1e-5) == (frames < 30)
    assert not torch.isnan(found[1])


def test_a_stretch_the_estimate_lost_correlates_with_nothing_as_pystoi_s_noise_does_on_average(awkward_pairs, batched):
    clean, noisy = awkward_pairs["clipped"]
    lost = noisy.copy()
    lost[5000:16_000] = 0
    state = np.random.get_state()
    try:
        np.random.seed(0)
        drawn = [pystoi.stoi(clean, lost, 16_000, extended=True) for _ in range(16)]
    finally:
        np.random.set_state(state)
    found = [estoi(*batched([(clean, lost)])).item() for _ in range(2)]
    assert found[0] == found[1]
    assert found[0] == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / np.sqrt(16))
    assert stoi(*batched([(clean, lost)])).item() == pytest.approx(pystoi.stoi(clean, lost, 16_000), abs=1e-6)


def test_a_steady_tone_does_not_vary_and_counts_0(batched):
    time = np.arange(16_000)
    tone = np.sin(2 * np.pi * 1250 / 16_000 * time)  # as long as an eighth of a hop at 10 kHz: frames are equal
    assert abs(stoi(*batched([(tone, tone + 1e-3 * np.sin(0.2 * time))])).item()) < 0.5

"""Losses by bin: means over an epoch, the same however it is cut over processes and steps."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.training.bin_losses import BinLosses, mean_by_bin, sum_by_bin, without_bins

LOSS = st.one_of(st.floats(0, 50, width=32), st.just(float("nan")))


@given(st.lists(st.tuples(LOSS, st.integers(0, 4)), max_size=40), st.integers(1, 4), st.integers(1, 3))
def test_means_are_those_of_the_whole_epoch(pairs, updates, processes):
    losses = np.array([loss for loss, _ in pairs], dtype=np.float32)
    bins = np.array([number for _, number in pairs], dtype=np.int64)
    totals = {"category": 3.0}
    for part in np.array_split(np.arange(len(pairs)), updates):
        shares = [sum_by_bin(torch.tensor(losses[share]), bins[share], 4) for share in np.array_split(part, processes)]
        adder = BinLosses(None, told=True)
        adder.sums = shares[0]
        adder.move_to(totals, lambda mine, others=shares[1:]: mine + sum(others))
        assert adder.sums is None
    found = mean_by_bin(totals, 4)
    for number in range(1, 5):
        wanted = losses[(bins == number) & ~np.isnan(losses)]
        assert (f"loss_{number}" in found) == bool(len(wanted))
        if len(wanted):
            assert found[f"loss_{number}"] == pytest.approx(wanted.mean(dtype=np.float64), abs=1e-5, rel=1e-5)
    assert without_bins(totals) == {"category": 3.0}


def test_told_to_nobody_nothing_is_done():
    adder, totals = BinLosses(None, told=False), {}
    adder.add(None, None, None)
    adder.move_to(totals, lambda sums: sums)
    assert totals == {} and mean_by_bin(totals, 3) == {}

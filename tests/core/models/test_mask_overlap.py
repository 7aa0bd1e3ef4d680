"""Agreement of masks: against scikit-learn's φ and Jaccard, and SciPy's hypergeometric law."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import jaccard_score, matthews_corrcoef

from sertool.core.errors import InputError
from sertool.core.models.config import AdaptConfig, BaseConfig, SharedConfig
from sertool.core.models.mask_overlap import Overlap, overlaps, pairs
from sertool.core.models.mask_sets import MaskSet, PackedMask, layer_of, told_apart


def mask_set(masks: dict[str, np.ndarray], run: str = "a", head: str = "shared", digest: str = "0") -> MaskSet:
    config = SharedConfig(adapt=AdaptConfig(how="router"), base=BaseConfig(name="base", digest=digest * 64))
    packed = {name: PackedMask(np.packbits(kept), kept.shape) for name, kept in masks.items()}
    return MaskSet(Path(run), head, config, packed, 1000)


def random_mask(seed: int, shape: tuple[int, int], sparsity: float) -> np.ndarray:
    kept = np.ones(shape[0] * shape[1], bool)
    kept[np.random.default_rng(seed).permutation(kept.size)[: round(sparsity * kept.size)]] = False
    return kept.reshape(shape)


def overlap_of(first: np.ndarray, second: np.ndarray) -> Overlap:
    return overlaps(mask_set({"layers.0.expand": first}), mask_set({"layers.0.expand": second}))[0]


@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    sparsities=st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)),
    seed=st.integers(0, 99),
)
def test_phi_and_jaccard_are_those_of_scikit_learn(shape, sparsities, seed):
    first, second = (random_mask(seed + i, shape, sparsity) for i, sparsity in enumerate(sparsities))
    found = overlap_of(first, second)
    dropped = [~first.ravel(), ~second.ravel()]
    assert found.dropped == (dropped[0].sum(), dropped[1].sum()) and found.both == (dropped[0] & dropped[1]).sum()
    if found.phi is None:
        assert 0 in found.dropped or first.size in found.dropped
    else:
        assert found.phi == pytest.approx(matthews_corrcoef(*dropped))
    if found.jaccard is None:
        assert found.dropped == (0, 0)
    else:
        assert found.jaccard == pytest.approx(jaccard_score(*dropped))


@pytest.mark.parametrize(("n", "sparsities"), [(400, (0.1, 0.25)), (100_000, (0.02, 0.1)), (10_000, (0.7, 0.7))])
def test_chance_is_the_hypergeometric_law(n, sparsities):
    first, second = (random_mask(i, (n // 100, 100), sparsity) for i, sparsity in enumerate(sparsities))
    found = overlap_of(first, second)
    law = stats.hypergeom(n, *found.dropped)
    assert found.by_chance == pytest.approx(law.mean())
    assert found.variance_by_chance == pytest.approx(law.var())
    assert found.z == pytest.approx((found.both - law.mean()) / law.std())
    assert found.z == pytest.approx(found.phi * np.sqrt(n - 1))
    # Its ends as counts: within one connection of the exact ones.
    ends = [jaccard * sum(found.dropped) / (1 + jaccard) for jaccard in found.jaccard_interval]
    np.testing.assert_allclose(ends, law.interval(0.95), atol=1.0)
    np.testing.assert_allclose(found.phi_interval, [-1.96 / np.sqrt(n - 1), 1.96 / np.sqrt(n - 1)], rtol=1e-3)
    p, q = (dropped / n for dropped in found.dropped)
    assert found.jaccard_by_chance == pytest.approx(p * q / (p + q - p * q))


def test_independent_masks_lie_within_the_interval_95_times_of_100():
    inside = 0
    for seed in range(400):
        first, second = (random_mask(1000 * i + seed, (40, 50), 0.2) for i in (1, 2))
        found = overlap_of(first, second)
        low, high = found.jaccard_interval
        assert (low <= found.jaccard <= high) is (found.phi_interval[0] <= found.phi <= found.phi_interval[1])
        inside += low <= found.jaccard <= high
    assert 0.91 <= inside / 400 <= 0.99


def test_equal_masks_and_masks_apart():
    first = np.array([[True, True, False, False]])
    same, apart = overlap_of(first, first), overlap_of(first, ~first)
    assert (same.phi, same.jaccard) == (1.0, 1.0) and (apart.phi, apart.jaccard) == (-1.0, 0.0)
    nothing = overlap_of(np.ones((2, 2), bool), np.ones((2, 2), bool))
    assert nothing.phi is nothing.jaccard is nothing.z is nothing.jaccard_interval is nothing.phi_interval is None


def test_layers_and_the_whole_are_sums_over_their_tensors():
    names = ["layers.0.expand", "layers.0.contract", "layers.10.expand", "layers.10.contract"]
    shapes = [(8, 5), (5, 8), (16, 5), (3, 7)]
    first, second = (
        mask_set({name: random_mask(i + seed, shapes[i], 0.3) for i, name in enumerate(names)}) for seed in (0, 10)
    )
    found = overlaps(first, second)
    assert [(one.level, one.where) for one in found] == [
        *(("tensor", name) for name in names),
        ("layer", "0"),
        ("layer", "10"),
        ("all", "all"),
    ]
    for summed, parts in ((found[4], found[:2]), (found[5], found[2:4]), (found[6], found[:4])):
        for field in ("connections", "both", "by_chance", "variance_by_chance"):
            assert getattr(summed, field) == pytest.approx(sum(getattr(part, field) for part in parts))
    dropped = [~np.concatenate([np.unpackbits(m.bits, count=m.connections) for m in s.masks.values()]).astype(bool)
               for s in (first, second)]  # fmt: skip
    assert found[6].phi == pytest.approx(matthews_corrcoef(*dropped))
    assert found[6].jaccard == pytest.approx(jaccard_score(*dropped))


def test_only_what_both_have_masks_for_is_compared():
    kept = random_mask(0, (4, 4), 0.25)
    first = mask_set({"layers.0.ff": kept, "layers.0.attention": kept})
    found = overlaps(first, mask_set({"layers.0.ff": kept, "layers.1.ff": kept}))
    assert [one.where for one in found] == ["layers.0.ff", "0", "all"]
    with pytest.raises(InputError, match="no layer has masks in both"):
        overlaps(first, mask_set({"layers.1.ff": kept}))
    with pytest.raises(InputError, match="is 4×4 in one run and 2×8 in the other"):
        overlaps(first, mask_set({"layers.0.ff": kept.reshape(2, 8)}))


def test_every_two_sets_are_compared_once_where_they_lie_over_one_encoder():
    kept = {"layers.0.ff": torch.ones(2, 2).bool().numpy()}
    sets = [mask_set(kept, "a"), mask_set(kept, "b", "emotion"), mask_set(kept, "b", "enhancement")]
    assert [(first.label, second.label) for first, second in pairs(told_apart(sets))] == [
        ("a", "b/emotion"),
        ("a", "b/enhancement"),
        ("b/emotion", "b/enhancement"),
    ]
    with pytest.raises(InputError, match="a and c: their masks lie over different encoders"):
        pairs([*sets, mask_set(kept, "c", digest="1")])


def test_the_layer_of_a_tensor():
    assert layer_of("encoder.layers.11.feed_forward.output_dense") == "11"
    assert layer_of("layers.3.expand") == "3"
    assert layer_of("projection") == "projection"

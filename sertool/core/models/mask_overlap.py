"""How alike masks of S³-Router are: what two of them both drop, against what chance would have them share.

Masks that keep ninety connections of a hundred agree on most of them whatever they learned: by chance, at a cosine of
0.9. Ours: so what is compared is what they drop, by Jaccard's index and the φ coefficient, beside independent masks of
the same sizes. Fu et al. (NeurIPS 2022) compare the masks of tasks by their similarity alone.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sertool.core.errors import InputError
from sertool.core.models.mask_sets import MaskSet, PackedMask, layer_of, ones

NORMAL_95 = 1.959964
"""Standard deviations either side of the mean between which 95 % of a normal distribution lie."""


@dataclass(frozen=True)
class Overlap:
    """What two masks both drop, of one tensor or of several, and what two independent masks would.

    Attributes:
        level: `tensor`, `layer`, or `all`.
        where: the tensor's name or the layer's number; `all` for all of them.
        connections: n.
        dropped: how many each of the two drops.
        both: how many both drop.
        by_chance: how many both would drop on average, d₁ d₂ / n (the hypergeometric law; tensors are independent).
        variance_by_chance: of that number, d₁ d₂ (n - d₁) (n - d₂) / (n² (n - 1)).
    """

    level: str
    where: str
    connections: int
    dropped: tuple[int, int]
    both: int
    by_chance: float
    variance_by_chance: float

    @property
    def jaccard(self) -> float | None:
        """Share of what either drops that both do; None where nothing is dropped."""
        return self._jaccard_of(self.both)

    @property
    def jaccard_by_chance(self) -> float | None:
        """The same if both dropped as many as by chance: p₁ p₂ / (p₁ + p₂ - p₁ p₂) of the shares that are dropped."""
        return self._jaccard_of(self.by_chance)

    @property
    def jaccard_interval(self) -> tuple[float, float] | None:
        """Where 95 of 100 pairs of independent masks would lie."""
        return tuple(map(self._jaccard_of, self._both_interval())) if any(self.dropped) else None

    @property
    def phi(self) -> float | None:
        """Correlation of the two masks, 0 by chance; None where one of them drops nothing, or everything."""
        return self._phi_of(self.both)

    @property
    def phi_interval(self) -> tuple[float, float] | None:
        """Where 95 of 100 pairs of independent masks would lie."""
        return tuple(map(self._phi_of, self._both_interval())) if self.phi is not None else None

    @property
    def z(self) -> float | None:
        """Standard deviations of chance between what both drop and what they would on average."""
        if self.variance_by_chance == 0:
            return None
        return (self.both - self.by_chance) / math.sqrt(self.variance_by_chance)

    def _both_interval(self) -> tuple[float, float]:
        """Return where the number dropped by both would lie 95 times of 100, the law approximated by a normal one."""
        reach = NORMAL_95 * math.sqrt(self.variance_by_chance)
        fewest, most = max(0, sum(self.dropped) - self.connections), min(self.dropped)
        return max(self.by_chance - reach, fewest), min(self.by_chance + reach, most)

    def _jaccard_of(self, both: float) -> float | None:
        either = sum(self.dropped) - both
        return both / either if either else None

    def _phi_of(self, both: float) -> float | None:
        (first, second), n = self.dropped, self.connections
        product = first * second * (n - first) * (n - second)
        return (n * both - first * second) / math.sqrt(product) if product else None


def pairs(sets: Sequence[MaskSet]) -> list[tuple[MaskSet, MaskSet]]:
    """Return every two mask sets, once.

    Raises:
        InputError: two lie over different encoders, so that their connections are not the same ones.
    """
    found = list(itertools.combinations(sets, 2))
    for first, second in found:
        _check_comparable(first, second)
    return found


def overlaps(first: MaskSet, second: MaskSet) -> list[Overlap]:
    """Return how far two mask sets agree: tensor by tensor, then layer by layer, then over all both have masks for.

    Raises:
        InputError: they have no tensor in common, or tensors of different shapes.
    """
    common = [name for name in first.masks if name in second.masks]
    if not common:
        raise InputError(
            f"{first.run} and {second.run}: no layer has masks in both; expected runs with router.layers in common: "
            "compare others"
        )
    by_tensor = [_overlap(name, first.masks[name], second.masks[name]) for name in common]
    by_layer: dict[str, list[Overlap]] = {}
    for one in by_tensor:
        by_layer.setdefault(layer_of(one.where), []).append(one)
    layers = [_sum("layer", where, parts) for where, parts in by_layer.items()]
    return [*by_tensor, *layers, _sum("all", "all", by_tensor)]


def _overlap(name: str, first: PackedMask, second: PackedMask) -> Overlap:
    if first.shape != second.shape:
        raise InputError(
            f"{name}: is {'×'.join(map(str, first.shape))} in one run and {'×'.join(map(str, second.shape))} in the "
            "other; expected masks over one encoder: compare runs that started from the same one"
        )
    n, dropped = first.connections, (first.dropped, second.dropped)
    product = dropped[0] * dropped[1]
    variance = product * (n - dropped[0]) * (n - dropped[1]) / (n * n * (n - 1)) if n > 1 else 0.0
    return Overlap("tensor", name, n, dropped, n - ones(first.bits | second.bits), product / n, variance)


def _sum(level: str, where: str, parts: Iterable[Overlap]) -> Overlap:
    parts = list(parts)
    return Overlap(
        level,
        where,
        sum(part.connections for part in parts),
        (sum(part.dropped[0] for part in parts), sum(part.dropped[1] for part in parts)),
        sum(part.both for part in parts),
        sum(part.by_chance for part in parts),
        sum(part.variance_by_chance for part in parts),
    )


def _check_comparable(first: MaskSet, second: MaskSet) -> None:
    bases = (first.config.base, second.config.base)
    if first.run != second.run and (None in bases or bases[0].digest != bases[1].digest):
        names = [base.name if base else "its own" for base in bases]
        raise InputError(
            f"{first.run} and {second.run}: their masks lie over different encoders ({names[0]}, {names[1]}); expected "
            "runs that started from the same one: compare those"
        )

"""What a curriculum is made for: the categories, or one attribute, of the utterances to be scored."""

from dataclasses import dataclass, replace

import numpy as np

from sertool.core.corpus.categories import CATEGORIES
from sertool.core.corpus.derived_attributes import are_derived
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.tables import ATTRIBUTES
from sertool.core.curriculum.levels import LEVELS, attribute_levels
from sertool.core.errors import InputError

EMOTION = "emotion"
TARGETS = (EMOTION, *ATTRIBUTES)
UNLABELLED = -1


@dataclass(frozen=True)
class Target:
    """The labels of utterances, as classes.

    Attributes:
        name: `emotion`, or an attribute.
        title: the same, and whether the attribute was derived from the category.
        classes: the categories in canonical order, or the six levels.
        codes: the class of each utterance, int64, (N,); -1 where it has no label.
        values: the attribute of each on the 1–7 scale, NaN where not rated, float64, (N,); None for categories.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    codes: np.ndarray
    values: np.ndarray | None = None

    @property
    def outputs(self) -> int:
        """Numbers a model returns for it: a logit a category, or one estimate."""
        return len(self.classes) if self.values is None else 1

    def rows(self, chosen: np.ndarray) -> "Target":
        """Return the labels of some utterances: a mask (N,), or indices."""
        return replace(self, codes=self.codes[chosen], values=None if self.values is None else self.values[chosen])

    def predicted_codes(self, outputs: np.ndarray) -> np.ndarray:
        """Return the class a model's outputs (N, outputs) stand for: the largest logit, or the estimate's level."""
        return outputs.argmax(1) if self.values is None else attribute_levels(outputs[:, 0])


def read_target(manifest: Manifest, name: str | None) -> Target:
    """Read the labels of a manifest.

    Args:
        manifest: the utterances; some may be without a label.
        name: `emotion` or an attribute; None for `emotion`.

    Raises:
        InputError: the manifest has no such labels.
    """
    if name is not None and name not in TARGETS:
        raise InputError(f"--target {name}: is not known; expected {', '.join(TARGETS)}: choose one of these")
    name = name or EMOTION
    if not manifest.has(name):
        there = [other for other in TARGETS if manifest.has(other)]
        found = f"labels found: {', '.join(there)}" if there else "and no other labels"
        remedy = f"say --target {there[0]}" if there else "label the utterances"
        raise InputError(f"{manifest.name}: has no '{name}', {found}; expected what is to be learned: {remedy}")
    return _categories(manifest) if name == EMOTION else _attribute(manifest, name)


def _categories(manifest: Manifest) -> Target:
    labels = manifest.table[EMOTION].to_numpy(dtype=object, na_value=None)
    order = {category: place for place, category in enumerate(CATEGORIES)}
    found = {label for label in labels if label is not None}
    classes = tuple(sorted(found, key=lambda category: (order.get(category, len(order)), category)))
    code = {category: index for index, category in enumerate(classes)}
    codes = np.array([UNLABELLED if label is None else code[label] for label in labels], dtype=np.int64)
    return Target(EMOTION, EMOTION, classes, codes)


def _attribute(manifest: Manifest, name: str) -> Target:
    values = manifest.table[name].to_numpy(dtype=np.float64, na_value=np.nan)
    codes = np.full(len(values), UNLABELLED, dtype=np.int64)
    rated = ~np.isnan(values)
    codes[rated] = attribute_levels(values[rated])
    return Target(name, f"{name} (derived)" if are_derived(manifest) else name, LEVELS, codes, values)

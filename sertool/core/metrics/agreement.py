"""Agreement: whether a model still says in noise what it said of the clean utterance."""

from collections import Counter
from collections.abc import Sequence
from typing import Any


def agreement(first: Sequence[str], second: Sequence[str]) -> dict[str, Any]:
    """Compare two lists of predictions for the same utterances; right or wrong does not matter.

    Args:
        first: the category predicted for each utterance, as of its clean recording.
        second: the same in another condition, in the same order.

    Returns:
        `n` utterances; `share` of unchanged predictions; `kappa`, Cohen's (1960): that share in excess of chance,
        (p_o - p_e) / (1 - p_e) with p_e from how often each list names each category. `share` is None without
        utterances, `kappa` also where both lists name one and the same category throughout: chance explains all.

    Raises:
        ValueError: the lengths differ, or a prediction is missing.
    """
    first, second = list(first), list(second)
    if len(first) != len(second):
        raise ValueError(f"{len(first)} predictions but {len(second)} to compare with: give one of each an utterance")
    if missing := sum(not isinstance(name, str) for name in first + second):
        raise ValueError(f"{missing} predictions are missing: leave those utterances out of both lists")
    count = len(first)
    if not count:
        return {"n": 0, "share": None, "kappa": None}
    unchanged = sum(one == other for one, other in zip(first, second, strict=True))
    names, others = Counter(first), Counter(second)
    by_chance = sum(names[name] * others[name] for name in names)  # of count² pairs
    one_category = by_chance == count**2
    kappa = None if one_category else (unchanged * count - by_chance) / (count**2 - by_chance)
    return {"n": count, "share": unchanged / count, "kappa": kappa}

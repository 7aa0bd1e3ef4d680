"""The t-test of this literature: F1-macro of two systems on fifteen disjoint random subsets of the test, paired.

It takes the utterances for independent of each other: every subset holds some of every speaker, so that what speakers
have in common cannot show in the spread over subsets. It speaks of more utterances of these speakers, not of other
speakers, and is printed beside the test over speakers because published tables have it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from sertool.core.metrics.speaker_confusions import class_counts, f1_macro, speaker_confusions
from sertool.core.randomness import generator_for

SUBSETS = 15
FEWEST_UTTERANCES = 1500
"""Without which a subset would be below 100 utterances, a dozen a class, and its F1-macro little but noise."""


def subset_t_test(
    true: Sequence[str],
    ours: Sequence[Sequence[str]],
    theirs: Sequence[Sequence[str]],
    classes: Sequence[str],
    *,
    seed: int = 0,
) -> dict[str, Any] | None:
    """Return Student's paired t-test of F1-macro over fifteen disjoint random subsets, two-sided.

    Args:
        true: the label of each utterance, (N,).
        ours: our predictions, one row a training, (R, N); F1-macro is averaged over trainings.
        theirs: the other system's.
        classes: as for `category_scores`.
        seed: of the division into subsets.

    Returns:
        `subsets`; `difference`, mean of ours minus theirs; `t`, with `subsets` − 1 degrees of freedom; `p`; these two
        None where the difference is the same in all subsets. None below 1,500 utterances.

    Raises:
        ValueError: the lengths differ, or a label or prediction is outside `classes`.
    """
    if len(true) < FEWEST_UTTERANCES:
        return None
    place = generator_for("fifteen subsets", seed).permutation(len(true)) % SUBSETS
    # A subset is to these counts what a speaker is elsewhere.
    names = [f"{subset:02d}" for subset in place]
    scores = [
        f1_macro(class_counts(speaker_confusions(true, predicted, names, classes).confusions)).mean(-1)
        for predicted in (ours, theirs)
    ]
    differences = scores[0] - scores[1]  # (SUBSETS,)
    record: dict[str, Any] = {"subsets": SUBSETS, "difference": float(differences.mean())}
    if np.ptp(differences) == 0:
        return record | {"t": None, "p": None}
    t, p = stats.ttest_rel(*scores)
    return record | {"t": float(t), "p": float(p)}

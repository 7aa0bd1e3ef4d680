"""Two systems on the same mixtures: better, worse, or cannot tell, in which conditions.

Speakers are the independent unit. What decides is the sign-flip test over speakers of the difference in F1-macro,
corrected for the number of conditions; everything else (intervals, effect sizes, the tests of utterances that other
papers print) stands beside it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from sertool.core.evaluation.pairing import Pair, pair
from sertool.core.evaluation.verdict import BETTER, CANNOT_TELL, WORSE, verdict_sentence
from sertool.core.metrics.bootstrap import LEVEL, difference_intervals
from sertool.core.metrics.holm import holm
from sertool.core.metrics.mcnemar import mcnemar
from sertool.core.metrics.sign_flip import sign_flip_test
from sertool.core.metrics.speaker_confusions import (
    SpeakerConfusions,
    class_counts,
    f1_macro,
    speaker_confusions,
    ua,
)
from sertool.core.metrics.subset_t_test import FEWEST_UTTERANCES, SUBSETS, subset_t_test

ALPHA = 0.05

NOTES = (
    "Speakers are the independent unit: p is that of a two-sided sign-flip test over speakers of the difference in "
    "F1-macro, corrected over conditions by Holm; that of UA is not corrected. Intervals are by bootstrap over "
    "speakers (expanded percentile), each by itself; with eight speakers they hold a little less often than they say.",
    "McNemar's test and the t-test over fifteen disjoint subsets take the utterances of a speaker for independent, and "
    "find differences too often where they are not: they are here to be held beside other tables, and decide nothing.",
)


def compare(
    ours: pd.DataFrame, baseline: pd.DataFrame, classes: Sequence[str], *, name: str, seed: int = 0
) -> dict[str, Any]:
    """Compare a system with a baseline that heard the same mixtures, folds pooled.

    Args:
        ours: outcomes, one row an utterance and condition, and, with several trainings, training: `file`,
            `condition`, `speaker` (null: unknown), `emotion` (null: not scored), `predicted`; where there are several
            trainings `seed`; with `snr_db`, `noise_file` and other facts of the mixture these must agree.
        baseline: the same of the other system, with the same trainings' seeds.
        classes: all categories, as for `category_scores`.
        name: what to call the baseline.
        seed: of the draws of tests and intervals.

    Returns:
        `baseline` (its name), `statistic`, `alpha`, `level` of the intervals; `verdict`, one sentence over all
        conditions; `trainings` of each system; `left_out`, conditions only one of the two was heard in; `notes`; and
        `conditions`, one record each, clean first, then from the highest SNR down: see `_compare_condition`.

    Raises:
        InputError: a column is missing, the two did not judge the same utterances, mixtures, labels or trainings, no
            condition is common to both, or a category is not among `classes`.
    """
    pairs, left_out = pair(ours, baseline, classes, name=name)
    records = [_compare_condition(each, classes, seed=seed) for each in pairs]
    _decide(records)
    trainings = len(pairs[0].ours)
    return {
        "baseline": name,
        "statistic": "f1_macro",
        "alpha": ALPHA,
        "level": LEVEL,
        "trainings": trainings,
        "verdict": verdict_sentence(records, baseline=name, trainings=trainings, left_out=left_out),
        "left_out": left_out,
        "notes": list(NOTES),
        "conditions": records,
    }


def _compare_condition(paired: Pair, classes: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Return all about one condition but what Holm's correction says.

    Returns:
        `condition`, `snr_db`, `n` utterances, known `speakers`, `unknown` (utterances of unknown speakers, each a
        cluster of its own); F1-macro `ours` and `theirs`, `difference` and `difference_ua` (ours minus theirs; all
        means over trainings); `interval` and `interval_ua` of these; `p`, `p_ua`, `exact`, `draws`, see
        `sign_flip_test`; `effect_size`, see `_effect_size`; `mcnemar`, see `_mcnemar`; `subset_t_test`, see there,
        and `subset_t_test_reason`; `reason` why there is no verdict, else None.
    """
    mine, theirs = (
        speaker_confusions(paired.true, each, paired.speakers, classes) for each in (paired.ours, paired.theirs)
    )
    counts = [class_counts(each.confusions).sum(0) for each in (mine, theirs)]  # (R, 3, C) each
    f1 = [float(f1_macro(each).mean()) for each in counts]
    record = {
        "condition": paired.condition,
        "snr_db": paired.snr_db,
        "n": len(paired.true),
        "speakers": mine.speakers,
        "unknown": mine.unknown,
        "ours": f1[0],
        "theirs": f1[1],
        "difference": f1[0] - f1[1],
        "difference_ua": float((ua(counts[0]) - ua(counts[1])).mean()),
    }
    reason = mine.too_few()
    untested = {"p": None, "p_ua": None, "exact": False, "draws": 0}
    tested = untested if reason else sign_flip_test(mine.confusions, theirs.confusions, seed=seed)
    intervals = difference_intervals(mine, theirs, seed=seed)
    return {
        **record,
        "interval": intervals["f1_macro"],
        "interval_ua": intervals["ua"],
        **{key: tested[key] for key in untested},
        "p_holm": None,
        "effect_size": _effect_size(mine, theirs, record["difference"]),
        "mcnemar": _mcnemar(paired),
        "subset_t_test": subset_t_test(paired.true, paired.ours, paired.theirs, classes, seed=seed),
        "subset_t_test_reason": _no_t_test(len(paired.true)),
        "verdict": None,
        "reason": reason,
    }


def _decide(records: list[dict[str, Any]]) -> None:
    """Correct the p-values for how many conditions there are, and say of each what they decide."""
    tested = [record for record in records if record["p"] is not None]
    for record, p in zip(tested, holm([record["p"] for record in tested]), strict=True):
        record["p_holm"] = p
        record["verdict"] = CANNOT_TELL if p >= ALPHA else BETTER if record["difference"] > 0 else WORSE


def _effect_size(ours: SpeakerConfusions, theirs: SpeakerConfusions, difference: float) -> dict[str, Any]:
    """Return how large a difference is, over known speakers.

    Returns:
        `points`, the difference in F1-macro times 100; of the differences in accuracy by known speaker, means over
        trainings: `cohens_dz`, their mean over their standard deviation (n − 1; None where that is 0 or there is one
        speaker), and `share_better`, `share_worse` of the speakers, None without any.
    """
    known = slice(ours.speakers)
    shares = [
        np.trace(each.confusions[known], axis1=-2, axis2=-1) / each.confusions[known].sum((-2, -1))
        for each in (ours, theirs)
    ]
    apart = np.sort((shares[0] - shares[1]).mean(-1))  # (S,), sorted so that sums know no order of speakers
    spread = float(apart.std(ddof=1)) if len(apart) > 1 else 0.0
    return {
        "points": 100.0 * difference,
        "cohens_dz": float(apart.mean()) / spread if spread > 1e-12 else None,
        "share_better": float((apart > 1e-12).mean()) if len(apart) else None,
        "share_worse": float((apart < -1e-12).mean()) if len(apart) else None,
    }


def _mcnemar(paired: Pair) -> dict[str, Any]:
    """Return McNemar's test of one training of each; of several, each pair's by itself, and no p over all."""
    true = np.asarray(paired.true)
    found = [
        {"seed": seed, **mcnemar(np.asarray(mine) == true, np.asarray(theirs) == true)}
        for seed, mine, theirs in zip(paired.seeds, paired.ours, paired.theirs, strict=True)
    ]
    if len(found) == 1:
        return {key: value for key, value in found[0].items() if key != "seed"} | {"reason": None}
    reason = f"{len(found)} trainings of each: McNemar's test compares two; each pair stands by itself."
    empty = dict.fromkeys(("only_ours", "only_theirs", "p", "cohens_g", "odds_ratio"))
    return empty | {"reason": reason, "by_seed": found}


def _no_t_test(utterances: int) -> str | None:
    if utterances >= FEWEST_UTTERANCES:
        return None
    return f"{utterances} utterances: {SUBSETS} disjoint subsets are compared from {FEWEST_UTTERANCES} up."

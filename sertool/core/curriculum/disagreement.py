"""Annotator disagreement: how many of those who listened heard the same (the comparator of many curricula)."""

import numpy as np
import pandas as pd

from sertool.core.corpus.manifest import Manifest
from sertool.core.errors import InputError
from sertool.core.training.votes import vote_counts, voted_categories

RECOGNITION = "recognition_percent"
"""The column in which `sertool corpus emodb` keeps how many listeners recognised the emotion."""


def annotator_agreement(manifest: Manifest) -> np.ndarray:
    """Return the share of annotators who agree in each utterance, high for easy, NaN where nobody was asked.

    Where there are votes: the share of all votes that went to the category most often chosen, whether or not that is
    the label. Else the share of listeners who recognised the emotion meant, as EmoDB has it. (Ours: the publications
    differ in what they call disagreement.)

    Args:
        manifest: with columns `votes_<category>`, or `recognition_percent`, or both for different rows.

    Returns:
        float64, (N,), from 0 to 1.

    Raises:
        InputError: there is neither, or no utterance has any; or a percentage is none.
    """
    agreement = np.full(len(manifest), np.nan)
    if manifest.has(RECOGNITION):
        agreement = _recognised(manifest)
    categories = voted_categories(manifest)
    if categories:
        votes = vote_counts(manifest, categories)
        total = votes.sum(1)
        voted = total > 0
        agreement[voted] = votes.max(1)[voted] / total[voted]
    if np.isnan(agreement).all():
        raise InputError(
            f"{manifest.name}: says nothing of annotators; expected columns votes_<category> or {RECOGNITION}: make "
            "the manifest from a corpus with votes ('sertool corpus crema-d', iemocap, msp-podcast) or with "
            "recognition rates (emodb), or choose another --metric"
        )
    return agreement


def _recognised(manifest: Manifest) -> np.ndarray:
    try:
        percent = pd.to_numeric(manifest.table[RECOGNITION]).to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{manifest.name}: '{RECOGNITION}' holds what is no number; expected 0 to 100: correct it"
        ) from error
    outside = percent[(percent < 0) | (percent > 100)]
    if len(outside):
        raise InputError(f"{manifest.name}: '{RECOGNITION}' is {outside[0]:g}; expected 0 to 100: correct it")
    return percent / 100.0

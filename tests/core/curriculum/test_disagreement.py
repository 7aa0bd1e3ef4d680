"""Annotator disagreement from votes and from recognition rates."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import integers

from sertool.core.corpus.manifest import Manifest
from sertool.core.curriculum.disagreement import annotator_agreement
from sertool.core.errors import InputError


def manifest(**columns) -> Manifest:
    rows = len(next(iter(columns.values())))
    return Manifest.from_table(pd.DataFrame({"file_name": [f"{row}.wav" for row in range(rows)], **columns}), ".")


def test_the_share_of_the_most_frequent_vote_whatever_the_label():
    votes = manifest(
        emotion=["anger", "anger", None],
        votes_anger=[3.0, 1.0, 2.0],
        votes_neutral=[1.0, 4.0, 2.0],
        votes_other=[0, 0, 1.0],
    )
    np.testing.assert_allclose(annotator_agreement(votes), [3 / 4, 4 / 5, 2 / 5])


@settings(max_examples=15)
@given(arrays(np.int64, (5, 3), elements=integers(0, 9)))
def test_agreement_is_a_share_and_does_not_grow_with_the_panel(counts):
    counts[0] = [4, 0, 0]
    columns = {f"votes_{name}": counts[:, place] for place, name in enumerate(("anger", "fear", "other"))}
    agreement = annotator_agreement(manifest(**columns))
    voted = counts.sum(1) > 0
    assert agreement[0] == 1.0 and (np.isnan(agreement) == ~voted).all()
    assert (agreement[voted] >= 1 / 3).all() and (agreement[voted] <= 1).all()
    twice = {name: 2 * column for name, column in columns.items()}
    assert (annotator_agreement(manifest(**twice))[voted] == agreement[voted]).all()


def test_the_recognition_rate_where_there_are_no_votes():
    assert annotator_agreement(manifest(recognition_percent=["97.5", "50"])).tolist() == [0.975, 0.5]
    merged = manifest(recognition_percent=["90", None, None], votes_fear=[None, 3, 0], votes_anger=[None, 1, 0])
    np.testing.assert_array_equal(annotator_agreement(merged), [0.9, 0.75, np.nan])


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (
            {"emotion": ["anger"]},
            "says nothing of annotators; expected columns votes_<category> or recognition_percent",
        ),
        ({"votes_anger": [0.0]}, "says nothing of annotators"),
        ({"recognition_percent": ["140"]}, "'recognition_percent' is 140; expected 0 to 100"),
        ({"recognition_percent": ["many"]}, "holds what is no number"),
    ],
)
def test_without_annotators_it_is_said_where_to_find_them(columns, told):
    with pytest.raises(InputError, match=told):
        annotator_agreement(manifest(**columns))

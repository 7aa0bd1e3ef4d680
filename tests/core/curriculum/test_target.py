"""Labels of a manifest as classes."""

import numpy as np
import pandas as pd
import pytest

from sertool.core.corpus.derived_attributes import derive_attributes
from sertool.core.corpus.manifest import Manifest
from sertool.core.curriculum.target import read_target
from sertool.core.errors import InputError

TABLE = pd.DataFrame(
    {
        "file_name": ["0.wav", "1.wav", "2.wav", "3.wav"],
        "emotion": ["neutral", "anger", None, "zeal"],
        "valence": [1.5, None, 6.0, 3.0],
    }
)


def test_categories_are_in_canonical_order_and_the_rest_behind():
    target = read_target(Manifest.from_table(TABLE, "."), None)
    assert (target.name, target.title, target.classes) == ("emotion", "emotion", ("anger", "neutral", "zeal"))
    assert target.codes.tolist() == [1, 0, -1, 2] and target.values is None and target.outputs == 3
    assert target.predicted_codes(np.array([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]])).tolist() == [1, 0]


def test_an_attribute_has_six_levels():
    target = read_target(Manifest.from_table(TABLE, "."), "valence")
    assert target.title == "valence" and target.codes.tolist() == [0, -1, 5, 2] and target.outputs == 1
    assert target.rows(np.array([2, 0])).values.tolist() == [6.0, 1.5]
    assert target.predicted_codes(np.array([[4.2], [0.3]])).tolist() == [3, 0]


def test_a_derived_attribute_says_so():
    derived = derive_attributes(Manifest.from_table(TABLE.drop(columns="valence").iloc[:2], ".")).manifest
    assert read_target(derived, "valence").title == "valence (derived)"
    assert read_target(derived, "emotion").title == "emotion"


@pytest.mark.parametrize(
    ("columns", "name", "told"),
    [
        (["emotion"], "arousal", "has no 'arousal', labels found: emotion; .* say --target emotion"),
        (["valence"], None, "has no 'emotion', labels found: valence; .* say --target valence"),
        ([], None, "has no 'emotion', and no other labels; .* label the utterances"),
        (["emotion"], "gender", "--target gender: is not known; expected emotion, arousal, dominance, valence"),
    ],
)
def test_a_label_that_is_not_there(columns, name, told):
    with pytest.raises(InputError, match=told):
        read_target(Manifest.from_table(TABLE[["file_name", *columns]], "."), name)

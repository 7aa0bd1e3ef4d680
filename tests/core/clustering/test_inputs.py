"""What a cluster recipe reads: who is heard, with which labels, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from sertool.core.clustering.inputs import read_inputs
from sertool.core.clustering.judging import judge
from sertool.core.errors import InputError


def test_parts_and_their_labels(recipe_of):
    inputs = read_inputs(recipe_of(attributes=["arousal"]))
    assert {name: len(part) for name, part in inputs.parts.items()} == {"unlabelled": 6, "train": 10, "dev": 5}
    assert set(inputs.parts["train"].speakers) == {"a", "b"} and set(inputs.parts["dev"].speakers) == {"c"}
    assert inputs.parts["dev"].utterances.attributes[:, 0].tolist() == pytest.approx([6, 2.1, 6.2, 2.3, 6.4])
    assert set(inputs.parts["dev"].ratings) == {"arousal", "valence"}
    assert inputs.parts["unlabelled"].speakers == [None] * 6
    assert len(inputs.seen_audio) == 21  # every file once, and no file of the test split
    assert inputs.config.attributes == ("arousal",) and inputs.config.categories == ()
    assert inputs.learned_attributes == "rated"


def test_categories_are_learned_where_no_attribute_is_named(recipe_of):
    inputs = read_inputs(recipe_of())
    assert inputs.config.categories == ("anger", "neutral")
    assert inputs.parts["train"].utterances.labels.tolist() == [0, 1, 0, 1, 0] * 2


def test_unlabelled_speech_leaves_out_who_is_to_judge(recipe_of, corpus):
    inputs = read_inputs(recipe_of(data__unlabelled=[str(corpus / "labelled.csv")]))
    assert set(inputs.parts["unlabelled"].speakers) == {"a", "b"}
    assert any("10 utterances of the splits dev and test left out" in note for note in inputs.notes)


def test_a_sample_of_unlabelled_speech_does_not_depend_on_the_order_of_rows(recipe_of, corpus):
    pd.read_csv(corpus / "unlabelled.csv").iloc[::-1].to_csv(corpus / "backwards.csv", index=False)
    there, back = (
        read_inputs(recipe_of(data__unlabelled=[str(corpus / name)], data__most_unlabelled=3))
        for name in ("unlabelled.csv", "backwards.csv")
    )
    assert len(there.parts["unlabelled"]) == 3
    assert set(there.parts["unlabelled"].names) == set(back.parts["unlabelled"].names)


def test_derived_attributes_are_known_as_such(recipe_of, corpus):
    table = pd.read_csv(corpus / "labelled.csv").assign(attributes_source="derived from the category (a book)")
    table.to_csv(corpus / "derived.csv", index=False)
    inputs = read_inputs(recipe_of(data__labelled=[str(corpus / "derived.csv")], attributes=["valence"]))
    assert inputs.learned_attributes == "derived from the category (a book)"
    assert any("derived" in note for note in inputs.notes)
    scores = judge(np.linspace(1, 7, 5)[:, None], inputs.parts["dev"], inputs.config)
    assert set(scores) == {"ccc_valence_derived", "score"}
    assert read_inputs(recipe_of(data__labelled=[str(corpus / "derived.csv")])).learned_attributes is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data__labelled": []}, "no labelled manifest was named"),
        ({"attributes": ["dominance"]}, "no column 'dominance'"),
        ({"input__encoder": "nowhere/at/all/x"}, "nowhere/at/all/x"),
        ({"clusters": 1}, "one cluster tells nothing apart"),
        ({"categories": ["anger", "joy"]}, "'neutral'"),
    ],
)
def test_what_cannot_be_used_is_said(recipe_of, settings, message):
    with pytest.raises(InputError, match=message):
        read_inputs(recipe_of(**settings))


def test_an_attribute_nobody_rated_is_an_error(recipe_of, corpus):
    table = pd.read_csv(corpus / "labelled.csv")
    table.loc[table["split"] == "dev", "arousal"] = np.nan
    table.to_csv(corpus / "unrated.csv", index=False)
    with pytest.raises(InputError, match="no dev utterance has 'arousal'"):
        read_inputs(recipe_of(data__labelled=[str(corpus / "unrated.csv")], attributes=["arousal"]))


def test_speakers_in_two_splits_are_an_error(recipe_of, corpus):
    table = pd.read_csv(corpus / "labelled.csv")
    table.loc[0, "split"] = "dev"
    table.to_csv(corpus / "leak.csv", index=False)
    with pytest.raises(InputError, match="speaker"):
        read_inputs(recipe_of(data__labelled=[str(corpus / "leak.csv")]))

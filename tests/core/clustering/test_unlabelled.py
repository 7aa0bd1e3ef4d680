"""Unlabelled speech: nobody who is to judge is among it, under whatever name."""

import pandas as pd
import pytest

from sertool.core.clustering.inputs import read_inputs
from sertool.core.errors import InputError


def test_recordings_of_dev_and_test_are_left_out_whatever_the_manifest_says(recipe_of, corpus):
    table = pd.read_csv(corpus / "labelled.csv")
    table[["file_name"]].to_csv(corpus / "bare.csv", index=False)  # the same corpus, and no word of splits
    inputs = read_inputs(recipe_of(data__unlabelled=[str(corpus / "bare.csv"), str(corpus / "unlabelled.csv")]))
    names = inputs.parts["unlabelled"].names
    assert {name[0] for name in names} == {"a", "b", "u"} and len(names) == 16
    assert any("10 utterances left out" in note for note in inputs.notes)
    assert len(inputs.seen_audio) == 10 + 5 + 6  # train, dev, and what is nobody's


def test_other_recordings_of_speakers_who_judge_are_left_out(recipe_of, corpus):
    labelled = pd.read_csv(corpus / "labelled.csv").assign(corpus="tones")
    labelled.to_csv(corpus / "of-tones.csv", index=False)
    others = pd.read_csv(corpus / "unlabelled.csv").assign(corpus="tones", speaker=[*list("abcd"), None, "e"])
    others.to_csv(corpus / "speakers.csv", index=False)
    data = {"data__labelled": [str(corpus / "of-tones.csv")], "data__unlabelled": [str(corpus / "speakers.csv")]}
    assert read_inputs(recipe_of(**data)).parts["unlabelled"].names == ["u0.wav", "u1.wav", "u4.wav", "u5.wav"]
    others.assign(corpus="other tones").to_csv(corpus / "speakers.csv", index=False)
    assert len(read_inputs(recipe_of(**data)).parts["unlabelled"]) == 6  # namesakes


def test_nothing_left_is_an_error(recipe_of, corpus):
    table = pd.read_csv(corpus / "labelled.csv")
    table[table["split"] == "dev"][["file_name"]].to_csv(corpus / "judges.csv", index=False)
    with pytest.raises(InputError, match="all unlabelled speech is in dev or test"):
        read_inputs(recipe_of(data__unlabelled=[str(corpus / "judges.csv")]))


def test_without_clusters_it_is_not_even_heard(recipe_of):
    inputs = read_inputs(recipe_of(clusters=0))
    assert "unlabelled" not in inputs.parts and any("it is left out" in note for note in inputs.notes)


def test_what_a_cell_does_not_say_is_unknown(recipe_of, corpus):
    table = pd.read_csv(corpus / "labelled.csv")
    table.loc[0, "speaker"] = None
    table.loc[1, "emotion"] = None
    table.to_csv(corpus / "gaps.csv", index=False)
    inputs = read_inputs(recipe_of(data__labelled=[str(corpus / "gaps.csv")], attributes=["arousal"]))
    assert inputs.parts["train"].speakers[0] is None and inputs.parts["train"].emotions[1] is None


def test_the_same_recording_in_train_and_dev_is_an_error(recipe_of, corpus):
    swapped = pd.read_csv(corpus / "labelled.csv").replace({"split": {"train": "dev", "dev": "train"}})
    swapped.to_csv(corpus / "swapped.csv", index=False)
    with pytest.raises(InputError, match="recordings are in train and in dev"):
        read_inputs(recipe_of(data__labelled=[str(corpus / "labelled.csv"), str(corpus / "swapped.csv")]))


@pytest.mark.parametrize("split", ["train", "dev"])
def test_an_attribute_that_never_varies_is_an_error(recipe_of, corpus, split):
    table = pd.read_csv(corpus / "labelled.csv")
    table.loc[table["split"] == split, "arousal"] = 4.0
    table.to_csv(corpus / "constant.csv", index=False)
    with pytest.raises(InputError, match=f"'arousal' is 4 in all .* {split} utterances"):
        read_inputs(recipe_of(data__labelled=[str(corpus / "constant.csv")], attributes=["arousal"]))

"""Predictions made elsewhere: names, words and conditions meet the manifest's, and no wrong table passes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixing import parse_snr
from sertool.core.corpus.mixtures import MixtureRequest, make_mixtures, open_plan
from sertool.core.corpus.noise import NoiseSet
from sertool.core.errors import InputError
from sertool.core.evaluation.by_snr import evaluate
from sertool.core.evaluation.predictions import NOTES, read_predictions

FILES = ("a/1.wav", "a/2.wav", "b/1.wav", "b/3.wav")
EMOTIONS = ("anger", "neutral", "sadness", "anger")
BOTH = (None, 0.0)


@pytest.fixture
def manifest(tmp_path):
    rows = {"file_name": FILES, "emotion": EMOTIONS, "speaker": [name[0] for name in FILES]}
    return Manifest.from_table(pd.DataFrame(rows), tmp_path / "corpus")


@pytest.fixture
def table(tmp_path):
    """`table(rows…, name="theirs.csv")`: writes a table and returns its path."""

    def write(rows, name="theirs.csv"):
        pd.DataFrame(rows).to_csv(tmp_path / name, index=False)
        return tmp_path / name

    return write


def _rows(predicted=EMOTIONS, files=FILES, **more):
    return [{"file_name": name, "predicted": word, **more} for name, word in zip(files, predicted, strict=True)]


def _at_both(predicted=EMOTIONS, **more):
    return _rows(predicted, snr_db=None, **more) + _rows(predicted, snr_db=0, **more)


def test_a_table_becomes_outcomes_in_the_manifests_order(manifest, table):
    found = read_predictions([table(_at_both()[::-1])], manifest, BOTH)
    assert found["file"].tolist() == [name for name in FILES for _ in BOTH]
    assert found["condition"].tolist() == ["clean", "0 dB"] * 4
    assert found["snr_db"].isna().tolist() == [True, False] * 4
    assert found["emotion"].tolist() == found["predicted"].tolist() == [name for name in EMOTIONS for _ in BOTH]
    assert found["speaker"].tolist() == ["a"] * 4 + ["b"] * 4
    assert found.attrs[NOTES] == []
    assert not [name for name in found if name.startswith("p_")]


@given(order=st.permutations(range(8)), columns=st.permutations(["file_name", "predicted", "snr_db"]))
def test_the_order_of_rows_and_columns_means_nothing(tmp_path_factory, order, columns):
    folder = tmp_path_factory.mktemp("order")
    manifest = Manifest.from_table(pd.DataFrame({"file_name": FILES, "emotion": EMOTIONS}), folder)
    rows = pd.DataFrame(_at_both())
    rows.to_csv(folder / "plain.csv", index=False)
    rows.iloc[list(order)][list(columns)].to_csv(folder / "shuffled.csv", index=False)
    plain, shuffled = (read_predictions([folder / name], manifest, BOTH) for name in ("plain.csv", "shuffled.csv"))
    pd.testing.assert_frame_equal(plain, shuffled)


@pytest.mark.parametrize("words", [("clean", "0 dB"), ("clean", "0"), ("Clean", "0.0dB"), ("clean", "-0")])
def test_conditions_may_be_told_in_words(manifest, table, words):
    rows = [row for word in words for row in _rows(condition=word)]
    assert read_predictions([table(rows)], manifest, BOTH)["condition"].tolist() == ["clean", "0 dB"] * 4


def test_a_single_condition_need_not_be_told_but_several_must(manifest, table):
    assert set(read_predictions([table(_rows())], manifest, (5.0,))["condition"]) == {"5 dB"}
    with pytest.raises(InputError, match="has neither 'snr_db' nor 'condition', and 2 conditions"):
        read_predictions([table(_rows())], manifest, BOTH)
    with pytest.raises(InputError, match=r"row 1: 'condition' is 'about 5 dB'; expected 'clean' or an SNR"):
        read_predictions([table(_rows(condition="about 5 dB"))], manifest, BOTH)


@pytest.mark.parametrize(
    "spelling",
    ["{}", "./{}", "corpus/{}", "/elsewhere/corpus/{}", "snr_0dB/{}", "/w/mixtures/clean_snr_-5dB/{}"],
)
def test_names_may_have_folders_before_them(manifest, table, spelling):
    files = [spelling.format(name) for name in FILES]
    assert read_predictions([table(_rows(files=files))], manifest, (0.0,))["file"].tolist() == list(FILES)
    other_suffix = [name.replace(".wav", ".flac") for name in files]
    assert read_predictions([table(_rows(files=other_suffix))], manifest, (0.0,))["file"].tolist() == list(FILES)


def test_a_file_name_by_itself_will_do_where_only_one_utterance_has_it(manifest, table):
    with pytest.raises(InputError, match=r"row 1: '1\.wav' may be a/1\.wav or b/1\.wav"):
        read_predictions([table(_rows(files=["1.wav", "2.wav", "b/1.wav", "3.wav"]))], manifest, (0.0,))
    found = read_predictions([table(_rows(files=["a/1.wav", "snr_0dB/2.flac", "b/1.wav", "3.wav"]))], manifest, (0.0,))
    assert found["file"].tolist() == list(FILES)
    # A folder that is another one makes it another utterance.
    with pytest.raises(
        InputError, match=r"1 of 4 utterances were not predicted .*'0 dB', first a/2\.wav; expected all"
    ):
        read_predictions([table(_rows(files=["a/1.wav", "z/2.wav", "b/1.wav", "3.wav"]))], manifest, (0.0,))


def test_words_of_the_vocabulary_and_of_a_map_become_categories(manifest, table):
    found = read_predictions(
        [table(_rows(("Angry", "neutral", "sad", "rage")))], manifest, (0.0,), mapping={"rage": "anger"}
    )
    assert found["predicted"].tolist() == list(EMOTIONS)


@pytest.mark.parametrize("word", ["calm", "rage"])
def test_a_category_the_corpus_lacks_is_refused_and_the_map_suggested(manifest, table, word):
    with pytest.raises(
        InputError, match=f"row 4: predicted is '{word}', which is no class here; .*--map {word}=CATEGORY"
    ):
        read_predictions([table(_rows((*EMOTIONS[:3], word)))], manifest, (0.0,))
    if word == "calm":
        found = read_predictions(
            [table(_rows((*EMOTIONS[:3], word)))], manifest, (0.0,), categories=("anger", "calm", "neutral", "sadness")
        )
        assert found["predicted"].iloc[3] == "calm"


def test_probabilities_are_those_of_the_classes(manifest, table):
    rows = [row | {"p_angry": 0.5, "p_rage": 0.25, "p_neutral": 0.25} for row in _rows()]
    found = read_predictions([table(rows)], manifest, (0.0,), mapping={"rage": "anger"})
    assert found[["p_anger", "p_neutral", "p_sadness"]].to_numpy().tolist() == [[0.75, 0.25, 0.0]] * 4


@pytest.mark.parametrize(
    ("shares", "found"),
    [
        ({"p_anger": 0.5, "p_neutral": 0.4}, "row 1: its probabilities sum to 0.9; expected 1"),
        ({"p_anger": 1.2, "p_neutral": -0.2}, "'p_anger' is '1.2'; expected a probability"),
        ({"p_anger": 1.0, "p_neutral": None}, "'p_neutral' is ''; expected a probability"),
        ({"p_anger": "high", "p_neutral": 0.5}, "'p_anger' is 'high'; expected a probability"),
        ({"p_anger": 0.9, "p_calm": 0.1}, "there is a probability of 'calm', which is no class here"),
    ],
)
def test_what_are_no_probabilities_is_refused(manifest, table, shares, found):
    with pytest.raises(InputError) as caught:
        read_predictions([table([row | shares for row in _rows()])], manifest, (0.0,))
    assert found in str(caught.value)


def test_rounded_probabilities_and_a_class_that_never_is_predicted_pass(manifest, table):
    rows = [row | {"p_anger": 0.333, "p_neutral": 0.333, "p_sadness": 0.333, "p_calm": 0.0} for row in _rows()]
    assert "p_calm" not in read_predictions([table(rows)], manifest, (0.0,))


def test_what_is_missing_double_or_extra_is_told(manifest, table):
    with pytest.raises(InputError, match=r"2 of 4 utterances were not predicted .*'clean', first b/1\.wav"):
        read_predictions([table(_at_both()[:2] + _rows(snr_db=0))], manifest, BOTH)
    with pytest.raises(InputError, match=r"theirs\.csv: row 9: predicts the same utterance and condition as .*row 2;"):
        read_predictions([table(_at_both() + _at_both()[1:2])], manifest, BOTH)
    extra = _rows(("nonsense",), ("c/9.wav",), snr_db=0) + _rows(snr_db=15)
    found = read_predictions([table(_at_both() + extra)], manifest, BOTH)
    assert len(found) == 8
    assert found.attrs[NOTES] == ["Not scored: 5 predictions, of other utterances or conditions than those evaluated."]


@pytest.mark.parametrize("column", ["file_name", "predicted"])
def test_a_table_without_a_column_or_a_value_is_refused(manifest, table, column):
    with pytest.raises(InputError, match=f"has no column '{column}', but"):
        read_predictions([table(pd.DataFrame(_rows()).drop(columns=column))], manifest, (0.0,))
    rows = _rows()
    rows[2][column] = None
    with pytest.raises(InputError, match=f"row 3: has no '{column}'; expected one in every row"):
        read_predictions([table(rows)], manifest, (0.0,))


def test_folds_are_pooled_and_seeds_are_several_trainings(manifest, table):
    halves = [table(_rows()[:2], "first.csv"), table(_rows()[2:], "second.csv")]
    assert read_predictions(halves, manifest, (0.0,))["file"].tolist() == list(FILES)
    seeds = [table(_rows(("anger",) * 4, seed=7), "7.csv"), table(_rows(("sadness",) * 4, seed=1), "1.csv")]
    found = read_predictions(seeds, manifest, (0.0,))
    assert found["seed"].tolist() == ["7"] * 4 + ["1"] * 4
    assert found["predicted"].tolist() == ["anger"] * 4 + ["sadness"] * 4
    with pytest.raises(InputError, match=r"not predicted .* by seed 1, first b/1\.wav"):
        read_predictions([seeds[0], table(_rows(seed=1)[:2], "1.csv")], manifest, (0.0,))
    with pytest.raises(InputError, match=r"first\.csv: has no column seed, but .*7\.csv has"):
        read_predictions([halves[0], seeds[0]], manifest, (0.0,))
    with pytest.raises(InputError, match="or tell several trainings apart by a column 'seed'"):
        read_predictions([halves[0], table(_rows(), "all.csv")], manifest, (0.0,))


def test_mixtures_on_disk_lead_back_to_their_speech(corpus, noise, tmp_path, table):
    """A tool that heard the files of `mix-noise` is scored by their manifest, or by that of the speech."""
    clean = Manifest.read(corpus).split("test")
    request = MixtureRequest(manifest=clean, noise_set=NoiseSet.read(noise), snr_db=parse_snr(["0", "5"]))
    report = make_mixtures(open_plan(request, tmp_path / "mixtures"))
    noisy = Manifest.read(report.manifest_path)
    rows = [
        {"file_name": name, "predicted": emotion, "snr_db": snr_db}
        for name, emotion, snr_db in zip(*(noisy.table[c] for c in ("file_name", "emotion", "snr_db")), strict=True)
    ]
    of_mixtures = read_predictions([table(rows)], noisy)
    of_speech = read_predictions([table(rows)], clean, (5.0, 0.0))
    assert len(of_mixtures) == len(of_speech) == 2 * len(clean)
    assert set(of_mixtures["condition"]) == {"0 dB", "5 dB"}
    assert of_mixtures["noise_kind"].notna().all()
    assert not of_mixtures["noise_file"].str.startswith("/").any()
    for found in (of_mixtures, of_speech):
        assert (found["predicted"] == found["emotion"]).all()
    # Of a noisy manifest the file says the condition, so nothing else need be told.
    bare = pd.DataFrame(rows).drop(columns="snr_db")
    pd.testing.assert_frame_equal(read_predictions([table(bare)], noisy), of_mixtures)


def test_our_own_outcomes_are_predictions_too(corpus, noise, run, protocol, tmp_path):
    results = evaluate(corpus, run, protocol(noise, snr=("clean", "0"), measures=()))
    results.table.to_csv(tmp_path / "ours.csv", index=False)
    found = read_predictions([tmp_path / "ours.csv"], Manifest.read(corpus).split("test"), (None, 0.0))
    same = ["file", "condition", "speaker", "emotion", "predicted"]
    assert found[same].astype(str).to_numpy().tolist() == results.table[same].astype(str).to_numpy().tolist()
    names = [name for name in found if name.startswith("p_")]
    assert np.abs(found[names].to_numpy(float) - results.table[names].to_numpy(float)).max() < 1e-9

"""Scores of stress tests against scikit-learn, and the limits set on them."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from sertool.core.errors import InputError
from sertool.core.evaluation.stress import Stress, make_stress
from sertool.core.evaluation.stress_scores import check_limits, missed_limits, score_stress
from sertool.core.training.recipe_file import make_settings
from sertool.core.training.stress_limits import Limit, StressLimits

CLASSES = ["anger", "neutral", "sadness"]
UTTERANCES = 60
TESTS = [("none", ""), ("gain", "+20 dB"), ("codec", "GSM 6.10"), ("silence only", "digital")]


def _table(seed=0, *, speakers=True):
    """Return random predictions of 60 utterances of five speakers and one unknown, right half of the time."""
    generator = np.random.default_rng(seed)
    emotions = generator.choice(CLASSES, UTTERANCES, p=(0.5, 0.3, 0.2))
    rows = []
    for stress, level in TESTS:
        for number in range(UTTERANCES):
            shares = generator.dirichlet(np.ones(3))
            guess = emotions[number] if generator.uniform() < 0.5 else CLASSES[int(np.argmax(shares))]
            row = {"file": f"u{number}", "emotion": emotions[number], "stress": stress, "level": level}
            if speakers:
                speaker = f"s{number % 6}" if number % 6 else None
                row |= {"speaker": speaker, "gender": speaker and ("female", "male")[number % 2]}
            rows.append(row | {"predicted": guess} | {f"p_{name}": shares[i] for i, name in enumerate(CLASSES)})
    table = pd.DataFrame(rows)
    # Nothing may hang on the order in which utterances are done with.
    return table.groupby(["stress", "level"], sort=False, group_keys=False)[table.columns].apply(
        lambda rows: rows.sample(frac=1.0, random_state=len(rows["level"].iloc[0]))
    )


def _rows(table, stress):
    return table[table["stress"] == stress].sort_values("file").reset_index(drop=True)


def _ua(rows, predicted):
    return balanced_accuracy_score(rows["emotion"], predicted)


def _condition(scores, stress):
    return next(one for one in scores["conditions"] if one["stress"] == stress)


def _limits(**limits):
    return make_settings(StressLimits, {"limits": limits})


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_scikit_learn(seed):
    table = _table(seed)
    scores = score_stress(table, CLASSES)
    before = _rows(table, "none")["predicted"]
    macro = {"labels": CLASSES, "average": "macro", "zero_division": 0}
    emotions = _rows(table, "none")["emotion"]
    assert scores["reference"]["n"] == UTTERANCES
    assert scores["reference"]["ua"] == pytest.approx(_ua(_rows(table, "none"), before))
    assert scores["reference"]["f1_macro"] == pytest.approx(f1_score(emotions, before, **macro))
    assert [(one["stress"], one["level"]) for one in scores["conditions"]] == TESTS[1:]
    for stress in ("gain", "codec"):
        rows, condition = _rows(table, stress), _condition(scores, stress)
        assert condition["n"] == UTTERANCES
        assert condition["reason"] is None
        assert condition["abstained"] is None
        assert condition["ua"] == pytest.approx(_ua(rows, rows["predicted"]))
        assert condition["ua_change"] == pytest.approx(_ua(rows, rows["predicted"]) - _ua(rows, before))
        f1 = [f1_score(emotions, one, **macro) for one in (before, rows["predicted"])]
        assert condition["f1_macro"] == pytest.approx(f1[1])
        assert condition["f1_change"] == pytest.approx(f1[1] - f1[0])
        assert condition["unchanged"] == np.mean(rows["predicted"] == before)


@pytest.mark.parametrize("column", ["speaker", "gender"])
def test_so_are_those_of_speakers_and_sexes_and_who_is_unknown_is_none_of_them(column):
    table = _table(1)
    scores = score_stress(table, CLASSES)
    before, rows = _rows(table, "none"), _rows(table, "codec")
    groups = _condition(scores, "codec")[f"by_{column}"]
    assert [one[column] for one in groups] == sorted(rows[column].dropna().unique())
    for one in groups:
        chosen = rows[column] == one[column]
        own = rows[chosen]
        assert one["n"] == chosen.sum()
        change = _ua(own, own["predicted"]) - _ua(own, before.loc[chosen, "predicted"])
        assert one["ua_change"] == pytest.approx(change)
        assert one["unchanged"] == np.mean(own["predicted"] == before.loc[chosen, "predicted"])
        if column == "gender":
            assert one["speakers"] == own["speaker"].nunique()


def test_the_worst_speaker_is_the_one_whose_ua_falls_most():
    condition = _condition(score_stress(_table(2), CLASSES), "gain")
    assert condition["worst_speaker"] in condition["by_speaker"]
    assert condition["worst_speaker"]["ua_change"] == min(one["ua_change"] for one in condition["by_speaker"])


def test_where_nobody_speaks_there_is_no_ua_but_what_is_predicted_all_the_same():
    table = _table(3).assign(abstained=lambda rows: rows["file"].isin([f"u{number}" for number in range(15)]))
    rows = _rows(table, "silence only")
    condition = _condition(score_stress(table, CLASSES), "silence only")
    for name in ("ua", "ua_change", "f1_macro", "f1_change", "unchanged", "worst_speaker"):
        assert condition[name] is None
    assert condition["by_speaker"] == condition["by_gender"] == []
    assert "nobody speaks" in condition["reason"]
    counted = {name: (rows["predicted"] == name).mean() for name in CLASSES}
    assert condition["most_predicted"] == pytest.approx(counted)
    assert list(condition["most_predicted"].values()) == sorted(counted.values(), reverse=True)
    assert condition["confidence"] == pytest.approx(np.mean(np.max(rows[[f"p_{n}" for n in CLASSES]], axis=1)))
    assert condition["abstained"] == 0.25


@pytest.mark.parametrize("unknown", ["absent", "empty"])
def test_without_known_speakers_and_sexes_there_is_nothing_by_them(unknown):
    table = _table(4, speakers=False)
    if unknown == "empty":
        table = table.assign(speaker=None, gender=np.nan)
    condition = _condition(score_stress(table, CLASSES), "gain")
    assert condition["by_speaker"] == condition["by_gender"] == []
    assert condition["worst_speaker"] is None
    assert condition["ua"] is not None


def test_scores_are_plain_json():
    scores = score_stress(_table(5), CLASSES)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_of_no_utterances_there_are_no_scores():
    scores = score_stress(_table(0)[:0], CLASSES)
    assert scores == {"reference": {"n": 0, "ua": None, "f1_macro": None}, "conditions": []}


def test_what_is_not_paired_is_refused():
    table = _table(6)
    with pytest.raises(ValueError, match="GSM"):
        score_stress(table.drop(table.index[table["stress"] == "codec"][0]), CLASSES)
    with pytest.raises(ValueError, match="twice"):
        score_stress(pd.concat([table, _rows(table, "none")[:1]]), CLASSES)


def _scores(**changes):
    """Return scores by hand: a fall in UA of .2, 70 % unchanged, .3 for the worst speaker, .05 between the sexes."""
    spoken = {
        "stress": "gain",
        "level": "+20 dB",
        "ua_change": -0.2,
        "unchanged": 0.7,
        "worst_speaker": {"speaker": "s1", "ua_change": -0.3},
        "by_gender": [{"gender": "female", "ua_change": -0.225}, {"gender": "male", "ua_change": -0.175}],
        "abstained": None,
    }
    silent = {"stress": "silence only", "level": "digital", "confidence": 0.6, "abstained": 0.4}
    return {"conditions": [spoken | changes, silent]}


@pytest.mark.parametrize(
    ("stress", "limit", "found"),
    [
        ("gain", "ua_drop", 0.2),
        ("gain", "unchanged", 0.7),
        ("gain", "worst_speaker_ua_drop", 0.3),
        ("gain", "gender_gap", 0.05),
        ("silence only", "confidence", 0.6),
        ("silence only", "abstained", 0.4),
    ],
)
def test_a_missed_limit_is_told_with_what_was_found_and_what_is_allowed(stress, limit, found):
    least = limit in ("unchanged", "abstained")
    assert missed_limits(_scores(), _limits(**{stress: {limit: found}})) == []
    assert missed_limits(_scores(), _limits(**{stress: {limit: found + (-0.01 if least else 0.01)}})) == []
    allowed = round(found + (0.01 if least else -0.01), 3)
    (sentence,) = missed_limits(_scores(), _limits(**{stress: {limit: allowed}}))
    assert sentence.startswith(f"{stress}: ")
    assert f"is {found:.3f}" in sentence
    assert sentence.endswith(f"the limit is at {'least' if least else 'most'} {allowed:.3f}")


def test_a_limit_on_all_counts_where_it_can_be_told():
    limits = _limits(**{"*": {"ua_drop": 0.1, "confidence": 0.1}})
    assert [sentence.partition(":")[0] for sentence in missed_limits(_scores(), limits)] == ["gain", "silence only"]


def test_a_ua_that_rises_keeps_every_limit():
    assert missed_limits(_scores(ua_change=0.4), _limits(gain={"ua_drop": 0.0})) == []


@pytest.mark.parametrize(
    ("limit", "unknown"), [("worst_speaker_ua_drop", {"worst_speaker": None}), ("gender_gap", {"by_gender": []})]
)
def test_what_could_not_be_told_is_no_limit_kept(limit, unknown):
    (sentence,) = missed_limits(_scores(**unknown), _limits(gain={limit: 1.0}))
    assert "could not be told" in sentence


@pytest.fixture(scope="module")
def stress() -> Stress:
    return make_stress()


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"noise: rain 0 dB": {"ua_drop": 0.1}}, "no noise was named"),
        ({"noise": {"ua_drop": 0.1}}, "no noise was named"),
        ({"gain: +21 dB": {"ua_drop": 0.1}}, "'gain: +20 dB'"),
        ({"codec: MP3 33 kb/s": {"ua_drop": 0.1}}, "'codec: MP3 32 kb/s'"),
        ({"silence only": {"ua_drop": 0.1}}, "nobody speaks; expected confidence or abstained"),
        ({"gain": {"confidence": 0.1}}, "somebody speaks; expected ua_drop"),
        ({"silence only": {"abstained": 0.1}}, "abstains"),
    ],
)
def test_limits_that_cannot_be_judged_are_refused_before_anything_is(stress, limits, told):
    with pytest.raises(InputError) as error:
        check_limits(_limits(**limits), stress)
    assert told in str(error.value)


def test_limits_on_what_is_run_are_let_pass(stress):
    every = dict.fromkeys(Limit.model_fields, 0.5)
    limits = _limits(
        **{
            "*": every,
            "gain": {"ua_drop": 0.1},
            "codec: MP3 *": {"unchanged": 1},
            "noise only: white": {"abstained": 1},
        }
    )
    check_limits(limits, stress, abstains=True)
    check_limits(StressLimits(), stress)

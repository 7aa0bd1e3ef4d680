"""Comparisons: what they say of systems that differ and of systems that do not, and what they add up."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from sertool.core.errors import InputError
from sertool.core.evaluation.comparison import compare

CLASSES = ("anger", "neutral", "sadness")
SNRS = {"clean": None, "5 dB": 5.0, "0 dB": 0.0}


def outcomes(rights, *, speakers=10, utterances=12, seeds=None, seed=0, unknown=0):
    """Outcomes of a system that recognises a share of the utterances of each condition, drawn at random."""
    generator = np.random.default_rng(seed)
    rows = []
    for training in seeds or [None]:
        for (condition, snr_db), right in zip(SNRS.items(), rights, strict=True):
            for file in range(speakers * utterances):
                label = CLASSES[file % 3]
                speaker = file // utterances
                rows.append(
                    {
                        "file": f"{file}.wav",
                        "condition": condition,
                        "snr_db": snr_db,
                        "speaker": f"{speaker:02d}" if speaker < speakers - unknown else None,
                        "emotion": label,
                        "predicted": label if generator.random() < right else generator.choice(CLASSES),
                        **({} if training is None else {"seed": training}),
                    }
                )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def tables():
    return outcomes([0.6, 0.9, 0.3], seed=1), outcomes([0.6, 0.3, 0.8], seed=2)


@pytest.fixture(scope="module")
def comparison(tables):
    return compare(*tables, CLASSES, name="theirs")


def test_it_says_better_worse_or_cannot_tell(comparison):
    assert [one["condition"] for one in comparison["conditions"]] == ["clean", "5 dB", "0 dB"]
    assert [one["verdict"] for one in comparison["conditions"]] == ["cannot tell", "better", "worse"]
    assert comparison["verdict"].startswith("Better than theirs at 5 dB; worse than theirs at 0 dB; cannot tell on cle")
    assert "10 test speakers" in comparison["verdict"] and "one training each" in comparison["verdict"]
    assert (comparison["baseline"], comparison["statistic"], comparison["alpha"]) == ("theirs", "f1_macro", 0.05)
    json.dumps(comparison, allow_nan=False)


def test_scores_are_those_of_scikit_learn(comparison, tables):
    for record in comparison["conditions"]:
        parts = [table[table["condition"] == record["condition"]] for table in tables]
        f1 = [metrics.f1_score(part["emotion"], part["predicted"], average="macro") for part in parts]
        recall = [metrics.recall_score(part["emotion"], part["predicted"], average="macro") for part in parts]
        assert (record["ours"], record["theirs"]) == pytest.approx(tuple(f1))
        assert record["difference"] == pytest.approx(f1[0] - f1[1])
        assert record["difference_ua"] == pytest.approx(recall[0] - recall[1])
        low, high = record["interval"]
        assert low < record["difference"] < high
        assert (record["n"], record["speakers"], record["exact"]) == (120, 10, True)


def test_effect_sizes_by_hand(comparison, tables):
    record = comparison["conditions"][1]
    parts = [table[table["condition"] == "5 dB"] for table in tables]
    shares = [(part["emotion"] == part["predicted"]).groupby(part["speaker"]).mean() for part in parts]
    apart = shares[0] - shares[1]
    assert record["effect_size"] == {
        "points": pytest.approx(100 * record["difference"]),
        "cohens_dz": pytest.approx(apart.mean() / apart.std()),
        "share_better": (apart > 0).mean(),
        "share_worse": (apart < 0).mean(),
    }
    right = [(part["emotion"] == part["predicted"]).to_numpy() for part in parts]
    assert record["mcnemar"]["only_ours"] == (right[0] & ~right[1]).sum()
    assert record["mcnemar"]["only_theirs"] == (right[1] & ~right[0]).sum()
    assert record["subset_t_test"] is None and record["subset_t_test_reason"].startswith("120 utterances")


def test_p_values_are_corrected_over_the_conditions(comparison):
    first, second, third = sorted(comparison["conditions"], key=lambda record: record["p"])
    assert first["p_holm"] == pytest.approx(3 * first["p"])
    assert second["p_holm"] == pytest.approx(max(2 * second["p"], first["p_holm"]))
    assert third["p_holm"] == pytest.approx(max(third["p"], second["p_holm"]))


def test_the_correction_decides(monkeypatch, tables):
    """p = .03 everywhere: below .05 alone, .09 of three."""
    tested = {"difference": 0.0, "difference_ua": 0.0, "p": 0.03, "p_ua": 0.03, "exact": True, "draws": 1}
    monkeypatch.setattr("sertool.core.evaluation.comparison.sign_flip_test", lambda *_, **__: tested)
    together = compare(*tables, CLASSES, name="theirs")["conditions"]
    assert [(one["p_holm"], one["verdict"]) for one in together] == [(pytest.approx(0.09), "cannot tell")] * 3
    alone = compare(*(table[table["condition"] == "5 dB"] for table in tables), CLASSES, name="theirs")["conditions"]
    assert [(one["p_holm"], one["verdict"]) for one in alone] == [(0.03, "better")]
    monkeypatch.setitem(tested, "p", 0.05)
    alone = compare(*(table[table["condition"] == "5 dB"] for table in tables), CLASSES, name="theirs")["conditions"]
    assert alone[0]["verdict"] == "cannot tell"


def test_exchanging_the_systems_changes_the_signs(comparison, tables):
    exchanged = compare(*tables[::-1], CLASSES, name="ours")
    words = {"better": "worse", "worse": "better", "cannot tell": "cannot tell"}
    for record, other in zip(comparison["conditions"], exchanged["conditions"], strict=True):
        assert other["difference"] == pytest.approx(-record["difference"])
        assert [other[key] for key in ("p", "p_ua", "p_holm")] == [record[key] for key in ("p", "p_ua", "p_holm")]
        assert other["verdict"] == words[record["verdict"]]
        assert other["interval"] == pytest.approx([-record["interval"][1], -record["interval"][0]], abs=0.02)


def test_neither_the_order_of_rows_nor_speakers_names_matter(comparison, tables):
    shuffled = [table.sample(frac=1, random_state=seed) for seed, table in enumerate(tables)]
    renamed = [table.assign(speaker="x" + (99 - table["speaker"].astype(int)).astype(str)) for table in shuffled]
    assert compare(*shuffled, CLASSES, name="theirs") == comparison
    assert compare(*renamed, CLASSES, name="theirs")["conditions"] == comparison["conditions"]


def test_below_eight_speakers_there_is_no_verdict_but_a_reason():
    few = compare(
        outcomes([0.9] * 3, speakers=7, seed=1), outcomes([0.1] * 3, speakers=7, seed=2), CLASSES, name="theirs"
    )
    for record in few["conditions"]:
        assert (record["p"], record["p_holm"], record["interval"], record["verdict"]) == (None,) * 4
        assert record["reason"] == "7 test speakers: at least 8 known speakers are needed."
        assert record["difference"] > 0.3
    assert few["verdict"].startswith("No verdict against theirs: 7 test speakers; 8 known ones are needed")


def test_unknown_speakers_are_told_and_do_not_count_as_speakers():
    pair = [outcomes([right] * 3, unknown=2, seed=seed) for seed, right in enumerate((0.8, 0.4))]
    enough = compare(*pair, CLASSES, name="theirs")
    assert [(one["speakers"], one["unknown"]) for one in enough["conditions"]] == [(8, 24)] * 3
    assert "8 test speakers and 24 utterances of unknown speakers" in enough["verdict"]
    few = compare(
        *(table.assign(speaker=table["speaker"].where(table["speaker"] > "00")) for table in pair), CLASSES, name="x"
    )
    assert [one["verdict"] for one in few["conditions"]] == [None] * 3


def test_several_trainings_are_averaged():
    seeds = [0, 1, 2]
    ours, theirs = (outcomes([r, 0.5, 0.5], seeds=seeds, seed=s) for s, r in enumerate((0.7, 0.5)))
    found = compare(ours, theirs, CLASSES, name="theirs")
    record, singles = found["conditions"][0], []
    for seed in seeds:
        pair = (table[table["seed"] == seed] for table in (ours, theirs))
        singles.append(compare(*pair, CLASSES, name="theirs")["conditions"][0])
    for key in ("ours", "theirs", "difference", "difference_ua"):
        assert record[key] == pytest.approx(np.mean([single[key] for single in singles]))
    assert [one["only_ours"] for one in record["mcnemar"]["by_seed"]] == [s["mcnemar"]["only_ours"] for s in singles]
    assert record["mcnemar"]["p"] is None and record["mcnemar"]["reason"].startswith("3 trainings")
    assert (record["n"], found["trainings"]) == (120, 3) and "mean of 3 trainings each" in found["verdict"]


def test_a_system_does_not_differ_from_itself(tables):
    found = compare(tables[0], tables[0], CLASSES, name="itself")
    for record in found["conditions"]:
        assert (record["difference"], record["p"], record["interval"]) == (0.0, 1.0, [0.0, 0.0])
        assert record["effect_size"]["cohens_dz"] is None and record["verdict"] == "cannot tell"


def test_from_1500_utterances_the_subsets_are_compared():
    pair = [outcomes([right] * 3, speakers=10, utterances=150, seed=seed) for seed, right in enumerate((0.7, 0.5))]
    record = compare(*pair, CLASSES, name="theirs")["conditions"][0]
    assert record["subset_t_test"]["p"] < 0.001 and record["subset_t_test_reason"] is None


def test_conditions_of_one_alone_are_listed(tables):
    ours, theirs = tables
    found = compare(ours[ours["condition"] != "0 dB"], theirs, CLASSES, name="theirs")
    assert found["left_out"] == ["0 dB"] and "not compared at 0 dB" in found["verdict"]
    assert [one["condition"] for one in found["conditions"]] == ["clean", "5 dB"]


def test_other_utterances_are_refused(tables):
    with pytest.raises(InputError, match="3 outcomes are there of theirs alone, such as 7"):
        compare(tables[0][tables[0]["file"] != "7.wav"], tables[1], CLASSES, name="theirs")

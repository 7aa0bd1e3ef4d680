"""What numbers and names are written as, and which condition the page speaks of."""

import pytest

from sertool.core.evaluation.report.words import (
    change,
    main_condition,
    measures_of,
    number,
    percent,
    percent_between,
    points,
    probability,
    sentence,
    system_name,
    telling_conditions,
)


def conditions(*snrs):
    names = ["clean" if snr is None else f"{snr:g} dB" for snr in snrs]
    return [{"condition": name, "snr_db": snr, "part": {"n": 1}} for name, snr in zip(names, snrs, strict=True)]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (percent(0.3689), "36.9\xa0%"),
        (percent(None), "–"),
        (percent(0.5, 0), "50\xa0%"),
        (number(-0.0004), "0.000"),
        (number(-2.5, 1), "−2.5"),
        (change(0.0), "0.0"),
        (change(1.25), "+1.2"),
        (change(-1.3), "−1.3"),
        (points(-0.1084), "−10.8"),
        (points(-0.0001), "0.0"),
        (percent_between([0.331, 0.41]), "33.1 to 41.0"),
        (probability(0.0004), "<\xa00.001"),
        (probability(0.0244), "0.024"),
        (sentence("too few speakers."), "Too few speakers."),
    ],
)
def test_numbers_are_written_with_real_signs(written, expected):
    assert written == expected


@pytest.mark.parametrize(
    ("snrs", "expected"),
    [
        ((None, 20, 10, 0, -5), "0 dB"),
        ((None, 10, 5, -5), "-5 dB"),
        ((None,), "clean"),
        ((15, 12.5), "12.5 dB"),
    ],
)
def test_the_main_condition_is_the_noisy_one_nearest_to_0_db_and_the_harder_of_two(snrs, expected):
    assert main_condition({"conditions": conditions(*snrs)})["condition"] == expected


def test_without_conditions_there_is_no_main_one():
    assert main_condition({"conditions": []}) is None


def test_at_most_three_conditions_are_drawn_together():
    records = conditions(None, 20, 10, 5, 0, -5)
    found = telling_conditions({"conditions": records}, "part")
    assert [record["condition"] for record in found] == ["clean", "0 dB", "-5 dB"]
    assert telling_conditions({"conditions": records[:2]}, "part") == records[:2]
    assert telling_conditions({"conditions": records}, "absent") == []


def test_measures_come_in_the_usual_order_and_unknown_ones_last(document):
    speech = document["conditions"][0]["speech"]
    document["conditions"][0]["speech"] = {"new": speech["stoi"]} | dict(reversed(speech.items()))
    assert measures_of(document)[:3] == ["pesq_wb", "stoi", "estoi"]
    assert measures_of(document)[-1] == "new"


def test_a_system_has_a_name_whatever_it_is():
    assert system_name({"system": {"name": "DCCRN"}, "model": {"name": "joint"}}) == "DCCRN"
    assert system_name({"model": {"name": "joint"}}) == "joint"
    assert system_name({"model": None}) == "the model"

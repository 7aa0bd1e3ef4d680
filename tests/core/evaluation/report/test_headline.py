"""The sentence at the head of the page."""

import pytest

from sertool.core.evaluation.report.headline import headline, tiles, warnings


def words(text: str) -> str:
    return text.replace("\xa0", " ")


def strip(document, *names):
    for record in document["conditions"]:
        for name in names:
            record.pop(name, None)
            if name == "f1_macro":
                record[name] = None


def test_it_says_how_much_is_recognised_how_much_noise_costs_and_how_speech_gains(document):
    clean, noisy = (round(100 * document["conditions"][place]["f1_macro"], 1) for place in (0, 4))
    assert words(headline(document)) == (
        f"At 0 dB, joint scores {noisy} % (F1-macro) on 8 emotions, {clean - noisy:.1f} points less than in clean "
        "speech; speech quality, PESQ-WB: 1.48 → 1.83."
    )


def test_the_difference_is_that_of_the_numbers_written(document):
    document["conditions"][0]["f1_macro"], document["conditions"][4]["f1_macro"] = 0.47449, 0.36651
    assert "36.7 % (F1-macro) on 8 emotions, 10.7 points less" in words(headline(document))


@pytest.mark.parametrize(("clean", "expected"), [(0.3, "10.0 points more than"), (0.4, "as much as")])
def test_noise_need_not_cost_anything(document, clean, expected):
    document["conditions"][0]["f1_macro"], document["conditions"][4]["f1_macro"] = clean, 0.4
    assert expected in words(headline(document))


def test_without_enhancement_nothing_is_said_of_speech(document):
    strip(document, "speech")
    assert "speech quality" not in headline(document)


def test_without_categories_it_is_about_attributes_or_speech(document):
    strip(document, "f1_macro")
    assert words(headline(document)).startswith("At 0 dB, joint follows the ratings with a CCC of arousal 0.59")
    strip(document, "ccc")
    assert words(headline(document)) == "At 0 dB, speech quality through joint, PESQ-WB: 1.48 → 1.83."
    strip(document, "speech")
    assert words(headline(document)) == "At 0 dB, nothing of joint could be scored."


def test_without_clean_speech_nothing_is_compared_with_it(document):
    document["conditions"] = document["conditions"][4:]
    assert "clean" not in headline(document)


def test_clean_speech_alone_is_its_own_main_condition(document):
    document["conditions"] = document["conditions"][:1]
    assert words(headline(document)).startswith("In clean speech, joint scores")
    document["conditions"] = []
    assert headline(document) == "Nothing of joint could be judged."


def test_a_measure_with_a_unit_is_written_with_it(document):
    for record in document["conditions"]:
        record["speech"] = {"si_sdr": record["speech"]["si_sdr"]}
    assert words(headline(document)).endswith("speech quality, SI-SDR: 0.0 → 4.5 dB.")


@pytest.mark.parametrize(
    ("seen", "model", "expected"),
    [(0, {}, None), (7, {}, "learned from 7 of the 1,440 test"), (None, {}, "Nobody knows"), (None, None, None)],
)
def test_what_was_learned_from_is_told_before_the_first_number(document, seen, model, expected):
    document["seen_utterances"], document["failures"] = seen, []
    document["model"] = document["model"] if model is not None else None
    told = " ".join(warnings(document))
    assert (expected in told) if expected else told == ""


def test_tiles_leave_out_what_was_not_measured(document):
    assert "CCC arousal" in tiles(document) and "CCC valence" not in tiles(document)
    strip(document, "speech", "ccc")
    assert "PESQ" not in tiles(document) and "CCC" not in tiles(document)

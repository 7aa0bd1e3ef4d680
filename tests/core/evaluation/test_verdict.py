"""The sentence a comparison comes to."""

import pytest

from sertool.core.evaluation.verdict import verdict_sentence


def records(verdicts, *, speakers=24, unknown=0):
    return [
        {"condition": condition, "speakers": speakers, "unknown": unknown, "verdict": verdict}
        for condition, verdict in verdicts.items()
    ]


ONE = "one training each: speaks of these two trainings, not of the methods"


@pytest.mark.parametrize(
    ("verdicts", "about", "sentence"),
    [
        (
            {"clean": "cannot tell", "10 dB": "cannot tell", "5 dB": "better", "0 dB": "better", "-5 dB": "worse"},
            {"trainings": 1},
            "Better than SVM at 5 and 0 dB; worse than SVM at -5 dB; cannot tell on clean speech and at 10 dB "
            f"(24 test speakers; F1-macro; sign-flip test over speakers, Holm; {ONE}).",
        ),
        (
            {"clean": "cannot tell", "10 dB": "cannot tell", "5 dB": "cannot tell", "0 dB": "cannot tell"},
            {"trainings": 3},
            "Cannot tell on clean speech and at 10, 5 and 0 dB whether better or worse than SVM (24 test speakers; "
            "F1-macro; sign-flip test over speakers, Holm; mean of 3 trainings each).",
        ),
        (
            {"clean": "better"},
            {"trainings": 3, "left_out": ["20 dB"]},
            "Better than SVM on clean speech (24 test speakers; F1-macro; sign-flip test over speakers, Holm; mean "
            "of 3 trainings each; not compared at 20 dB, which only one of the two was heard in).",
        ),
        (
            {"about 5 dB": "worse", "0 dB": "worse"},
            {"trainings": 3},
            "Worse than SVM at about 5 and 0 dB (24 test speakers; F1-macro; sign-flip test over speakers, Holm; mean "
            "of 3 trainings each).",
        ),
    ],
)
def test_the_sentence_says_where(verdicts, about, sentence):
    assert verdict_sentence(records(verdicts), baseline="SVM", **about) == sentence


def test_too_few_speakers_have_no_verdict():
    few = records({"clean": None, "0 dB": None}, speakers=4)
    found = verdict_sentence(few, baseline="SVM", trainings=1)
    assert found == f"No verdict against SVM: 4 test speakers; 8 known ones are needed for one ({ONE})."
    one = records({"clean": None}, speakers=1, unknown=1)
    assert "1 test speaker and 1 utterance of unknown speakers, each for itself; 8 known" in verdict_sentence(
        one, baseline="SVM", trainings=1
    )


def test_conditions_with_too_few_speakers_are_named():
    some = records({"clean": "better"}, speakers=12) + records({"0 dB": "better"}) + records({"5 dB": None}, speakers=3)
    found = verdict_sentence(some, baseline="SVM", trainings=3)
    assert found.startswith(
        "Better than SVM on clean speech and at 0 dB; no verdict at 5 dB, for lack of speakers (12 to 24 test speakers;"
    )


def test_utterances_of_unknown_speakers_are_told():
    found = verdict_sentence(records({"0 dB": "better"}, unknown=30), baseline="SVM", trainings=3)
    assert "(24 test speakers and 30 utterances of unknown speakers, each for itself; F1-macro; sign-flip" in found


def test_it_says_where_ua_moves_the_other_way():
    told = records({"clean": "better", "0 dB": "better", "-5 dB": "cannot tell"})
    for one, difference in zip(told, (0.1, -0.01, -0.2), strict=True):
        one["difference_ua"] = difference
    found = verdict_sentence(told, baseline="SVM", trainings=1)
    assert "; UA moves the other way at 0 dB; " in found

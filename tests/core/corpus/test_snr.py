"""SNRs as users write them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.corpus.snr import SnrChoice, parse_snr, snr_text
from sertool.core.errors import InputError

DECIBELS = st.floats(-100, 100, allow_nan=False)


@given(st.lists(DECIBELS, min_size=1, max_size=6, unique=True))
def test_numbers_are_kept_in_order(values):
    assert parse_snr([str(value) for value in values]).values == tuple(values)
    assert parse_snr(values).values == tuple(values)


@given(DECIBELS, DECIBELS)
def test_a_range_is_drawn_from_within(one, other):
    low, high = sorted((one, other))
    choice = parse_snr([f"{low}:{high}"])
    assert choice.span == (low, high)
    assert all(low <= choice.draw(np.random.default_rng(seed)) <= high for seed in range(20))


def test_fixed_snrs_are_drawn_equally_often():
    generator = np.random.default_rng(0)
    drawn = [parse_snr(["-5", "0", "5"]).draw(generator) for _ in range(3000)]
    assert {value: drawn.count(value) // 150 for value in set(drawn)}.keys() == {-5.0, 0.0, 5.0}
    assert min(drawn.count(value) for value in (-5.0, 0.0, 5.0)) > 900


@given(DECIBELS)
def test_the_text_of_an_snr_reads_back(value):
    assert float(snr_text(value)) == value
    assert snr_text(-0.0) == "0"


def test_the_same_snr_twice_is_once():
    assert parse_snr(["0", "5", "-0.0", "5"]).values == (0.0, 5.0)


def test_clean_is_for_those_who_allow_it():
    assert parse_snr(["clean", "0"], allow_clean=True) == SnrChoice(values=(0.0,), clean=True)
    assert str(parse_snr(["clean", "0"], allow_clean=True)) == "0, clean"
    with pytest.raises(InputError, match="'clean' is not an SNR"):
        parse_snr(["clean"])


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([], "no SNR was given"),
        (["loud"], "'loud' is not an SNR"),
        ([""], "'' is not an SNR"),
        (["nan"], "nan dB cannot be mixed"),
        (["inf"], "inf dB cannot be mixed"),
        (["nan:5"], "nan dB cannot be mixed"),
        (["101"], "101 dB cannot be mixed"),
        (["5:-5"], "upside down"),
        (["5:"], "'5:' is not an SNR"),
        (["0:5:10"], "'0:5:10' is not an SNR"),
        (["0:5", "5:10"], "a second SNR range"),
        (["0:5", "10"], "together"),
    ],
)
def test_what_is_no_snr_is_told_in_three_beats(texts, found):
    with pytest.raises(InputError) as caught:
        parse_snr(texts)
    message = str(caught.value)
    assert found in message
    assert "expected" in message.split(";", 1)[1]
    assert ": " in message.split("expected", 1)[1]

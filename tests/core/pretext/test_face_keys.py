"""Keys: names as they are, RAVDESS's without the modality, or what an expression finds."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.errors import InputError
from sertool.core.pretext.face_keys import file_stem, key_rule


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("03-01-05-02-01-01-12", "01-05-02-01-01-12"),
        ("01-01-05-02-01-01-12", "01-05-02-01-01-12"),
        ("03-01-05-02-01-01-120", "03-01-05-02-01-01-120"),
        ("03-01-05-02-01-01", "03-01-05-02-01-01"),
        ("03-01-05-02-01-01-12-01", "03-01-05-02-01-01-12-01"),
        ("a-03-01-05-02-01-01-12", "a-03-01-05-02-01-01-12"),
        ("03_01_05_02_01_01_12", "03_01_05_02_01_01_12"),
        ("1001_IEO_ANG_HI", "1001_IEO_ANG_HI"),
        ("", None),
    ],
)
def test_only_the_modality_of_ravdess_is_left_out(name, key):
    assert key_rule("auto")(name) == key


@pytest.mark.parametrize(
    ("expression", "name", "key"),
    [
        (r"\d+", "clip_17_video", "17"),
        (r"clip_(\d+)_(.*)", "clip_17_video", "17"),
        (r"^clip_(\d+)$", "clip_17_video", None),
        (r"clip|(\d+)", "clip_17", None),  # the group took no part
        (r"x*", "clip", None),
        (r"auto$", "auto", "auto"),
    ],
)
def test_an_expression_s_first_group_or_whole_match_is_the_key(expression, name, key):
    assert key_rule(expression)(name) == key


def test_no_expression_is_refused():
    with pytest.raises(InputError, match=r"pretext.faces.key is '\(', which is no regular expression \(.*\); expected"):
        key_rule("(")


@given(st.text(st.sampled_from("ab./"), min_size=1, max_size=8))
def test_the_stem_is_that_of_a_path(name):
    if not name.endswith("/") and set(name.rpartition("/")[2]) != {"."} and not name.endswith("."):
        assert file_stem(name) == Path(name).stem

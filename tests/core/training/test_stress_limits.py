"""Limits of stress tests: keys known, the nearest named, the closest key counts."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.errors import InputError
from sertool.core.training.recipe_file import Section, make_settings, read_settings, recipe_text
from sertool.core.training.stress_limits import (
    SILENT_LIMITS,
    SPOKEN_LIMITS,
    STRESSES,
    WITHOUT_EMOTION,
    Limit,
    StressLimits,
    covers,
    named,
)


class _Recipe(Section):
    stress: StressLimits = StressLimits()


def _limits(**limits):
    return make_settings(StressLimits, {"limits": limits})


def test_a_recipe_holds_them_and_gives_them_back(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "stress:\n  limits:\n    '*': {ua_drop: 0.1}\n    telephone band: {unchanged: 0.8}\n"
        "    'codec: MP3 32 kb/s': {worst_speaker_ua_drop: 0.2, gender_gap: 0}\n"
    )
    recipe = read_settings(_Recipe, path)
    assert recipe.stress.limits["telephone band"] == Limit(unchanged=0.8)
    assert recipe.stress.of("codec", "MP3 32 kb/s") == {"ua_drop": 0.1, "worst_speaker_ua_drop": 0.2, "gender_gap": 0}
    assert make_settings(_Recipe, yaml.safe_load(recipe_text(recipe))) == recipe


def test_no_limits_are_the_default():
    assert _Recipe().stress.limits == {}
    assert _Recipe().stress.of("noise", "rain 0 dB") == {}


def test_a_flag_can_set_one():
    recipe = read_settings(_Recipe, None, {"stress.limits.noise.ua_drop": 0.2})
    assert recipe.stress.of("noise", "rain 0 dB") == {"ua_drop": 0.2}


@pytest.mark.parametrize(
    ("tree", "nearest"),
    [
        ({"telefone band": {"ua_drop": 0.1}}, "'telephone band'"),
        ({"codecs: MP3 32 kb/s": {"ua_drop": 0.1}}, "'codec: MP3 32 kb/s'"),
        ({"noise": {"ua_drp": 0.1}}, "'ua_drop'"),
        ({"*": {"worst_speaker": 0.1}}, "'worst_speaker_ua_drop'"),
        ({"silence": {}}, "'silence only'"),
        ({7: {}}, "unknown stress test '7'"),
    ],
)
def test_an_unknown_key_is_told_the_nearest(tree, nearest):
    with pytest.raises(InputError) as error:
        make_settings(StressLimits, {"limits": tree})
    assert nearest in str(error.value)
    assert "unknown" in str(error.value)


@pytest.mark.parametrize("value", [-0.1, 1.5, "much", float("nan")])
def test_what_is_no_share_is_refused(value):
    with pytest.raises(InputError, match=r"limits\.noise\.ua_drop"):
        _limits(noise={"ua_drop": value})


@pytest.mark.parametrize("tree", [None, ["noise"], {"noise": 0.1}, {"noise": None}])
def test_what_is_no_table_of_limits_is_refused(tree):
    with pytest.raises(InputError, match="limits"):
        make_settings(StressLimits, {"limits": tree})


@pytest.mark.parametrize(
    ("key", "covered"),
    [
        ("*", True),
        ("noise", True),
        ("noise: rain 0 dB", True),
        ("noise: * 0 dB", True),
        ("noise: rain *", True),
        ("noise: rain 10 dB", False),
        ("noise: rain ? dB", False),
        ("noise: rain", False),
        ("noise only", False),
        ("noise only: *", False),
        ("codec: *", False),
    ],
)
def test_a_key_is_about_a_test_all_levels_or_some(key, covered):
    assert covers(key, "noise", "rain 0 dB") is covered


@given(level=st.text("ab[]!?- ", min_size=1), other=st.text("ab[]!?- ", min_size=1))
def test_only_a_star_stands_for_anything(level, other):
    assert covers(f"noise: {level}", "noise", other) is (level == other)
    assert covers("noise: *", "noise", other)


def test_of_several_keys_the_closest_counts_limit_by_limit():
    limits = _limits(
        **{
            "noise: * 0 dB": {"ua_drop": 0.3},
            "noise: rain 0 dB": {"ua_drop": 0.5},
            "noise": {"ua_drop": 0.2, "gender_gap": 0.05},
            "*": {"ua_drop": 0.1, "unchanged": 0.8, "gender_gap": 0.2},
            "noise: * *  * 0 dB": {"ua_drop": 0.9},
        }
    )
    assert limits.of("gain", "+20 dB") == {"ua_drop": 0.1, "unchanged": 0.8, "gender_gap": 0.2}
    assert limits.of("noise", "rain 10 dB") == {"ua_drop": 0.2, "unchanged": 0.8, "gender_gap": 0.05}
    assert limits.of("noise", "siren 0 dB") == {"ua_drop": 0.3, "unchanged": 0.8, "gender_gap": 0.05}
    assert limits.of("noise", "rain 0 dB") == {"ua_drop": 0.5, "unchanged": 0.8, "gender_gap": 0.05}


def test_a_level_itself_is_closer_than_a_longer_pattern():
    limits = _limits(**{"gain: +20 dB": {"ua_drop": 0.5}, "gain: ***+20 dB***": {"ua_drop": 0.1}})
    assert limits.of("gain", "+20 dB") == {"ua_drop": 0.5}


def test_every_limit_is_told_somewhere_and_tests_without_speech_are_tests():
    assert set(SPOKEN_LIMITS) | set(SILENT_LIMITS) == set(Limit.model_fields)
    assert set(WITHOUT_EMOTION) < set(STRESSES)
    assert named("telephone band", "") == "telephone band"
    assert named("gain", "+20 dB") == "gain: +20 dB"

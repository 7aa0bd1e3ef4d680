"""The style: enough contrast in light and in dark, computed from its own colours (WCAG 2.1, 1.4.3 and 1.4.11)."""

import re
from importlib.resources import files

import pytest

STYLE = files("sertool.core.evaluation.report").joinpath("style.css").read_text(encoding="utf-8")
TEXT, SHAPE = 4.5, 3.0
STEPS = {"heat": range(6), "cost": range(5)}


def variables(theme: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.S)
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light))
    return found if theme == "light" else found | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", dark))


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_computed_as_published():
    assert contrast("#ffffff", "#000000") == pytest.approx(21.0)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_what_it_is_on(theme):
    colour = variables(theme)
    pairs = [(ink, paper) for ink in ("ink", "quiet", "link", "good", "bad") for paper in ("paper", "panel")]
    pairs += [("warning", "warning-paper")]
    pairs += [(f"{name}-ink-{step}", f"{name}-{step}") for name, steps in STEPS.items() for step in steps]
    low = {pair: round(contrast(*(colour[name] for name in pair)), 2) for pair in pairs}
    assert {pair: value for pair, value in low.items() if value < TEXT} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_lines_and_markers_stand_out_from_the_page(theme):
    colour = variables(theme)
    assert all(contrast(colour[f"look-{look}"], colour["paper"]) >= SHAPE for look in range(1, 5))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_shades_go_one_way(theme):
    colour = variables(theme)
    for name, steps in STEPS.items():
        levels = [luminance(colour[f"{name}-{step}"]) for step in steps]
        assert levels == sorted(levels, reverse=theme == "light")


def test_every_variable_used_is_defined_in_both_themes():
    used = set(re.findall(r"var\(--([\w-]+)\)", STYLE))
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.S)
    for theme in (light, dark):
        assert used <= set(re.findall(r"--([\w-]+):", theme))

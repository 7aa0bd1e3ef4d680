"""Configurations: sizes that could not be meant are refused before anything is built from them."""

import pydantic
import pytest

from sertool.core.models.compact import mel_filters
from sertool.core.models.config import MOST_MELS, CompactConfig, EmotionConfig, EnhancementConfig, SharedConfig


def test_the_sizes_of_large_models_are_possible():
    CompactConfig(dim=1024, layers=24)
    CompactConfig(kernel=255, dilations=(1, 2, 4, 8))
    EnhancementConfig(projection=2048, hidden=2048)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"layers": 10**9}, "less than or equal to 48"),
        ({"dim": 10**9}, "less than or equal to 8192"),
        ({"mels": 152}, "less than or equal to 151"),
        ({"dim": 8192, "layers": 48, "expansion": 16}, "million weights; at most 500"),
        ({"dilations": [8192]}, "kernel × dilation is 122880; at most 2048"),
        ({"dilations": [1] * 10_000}, "at most 48 items"),
        ({"dilations": [0]}, "greater than or equal to 1"),
        ({"kernel": 16}, "odd"),
        ({"dropout": float("nan")}, "finite number"),
        ({"weights": 3}, "Extra inputs"),
    ],
)
def test_sizes_without_measure_are_refused(sizes, words):
    with pytest.raises(pydantic.ValidationError, match=words):
        SharedConfig.model_validate({"encoder": sizes})


def test_every_mel_band_there_may_be_hears_something():
    assert (mel_filters(MOST_MELS).sum(0) > 0).all()


@pytest.mark.parametrize(
    ("categories", "words"),
    [
        (["anger", "anger"], "'anger' stands there twice"),
        (["anger", " "], "is no name"),
        (["anger", "clear\x1b[2J"], "is no name"),
        (["anger", "x" * 101], "is no name"),
        ([f"c{i}" for i in range(1001)], "at most 1000 items"),
    ],
)
def test_categories_that_could_not_be_told_apart_are_refused(categories, words):
    with pytest.raises(pydantic.ValidationError, match=words):
        EmotionConfig.model_validate({"categories": categories})

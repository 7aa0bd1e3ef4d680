"""Schedules: stages add up, and exactly what a stage names learns."""

import pytest
import torch
from hypothesis import given
from hypothesis.strategies import integers, sampled_from

from sertool.core.models.config import CompactConfig, EmotionConfig, EnhancementConfig, SharedConfig
from sertool.core.models.shared import SharedModel
from sertool.core.training.schedule import SCHEDULES, Stage, freeze_for, parts, with_front_end


@pytest.fixture(scope="module")
def model():
    config = SharedConfig(
        encoder=CompactConfig(dim=16, layers=5, kernel=3),
        emotion=EmotionConfig(categories=("anger", "neutral"), hidden=8),
        enhancement=EnhancementConfig(projection=8, hidden=8),
    )
    return SharedModel(config)


@given(word=sampled_from(sorted(SCHEDULES)), epochs=integers(1, 200))
def test_stages_add_up_to_the_epochs_asked_for(word, epochs):
    assert sum(stage.epochs for stage in SCHEDULES[word](epochs)) == epochs


def test_every_parameter_is_in_exactly_one_part(model):
    listed = [id(parameter) for parameters in parts(model).values() for parameter in parameters]
    assert sorted(listed) == sorted(id(parameter) for parameter in model.parameters())


def test_the_cascade_unfreezes_from_the_top(model):
    trained = [set(stage.train) for stage in SCHEDULES["cascade"](10)]
    assert trained == [{"heads"}, {"heads", "encoder-upper"}, {"heads", "encoder-upper", "encoder-lower"}]


@pytest.mark.parametrize("stage", SCHEDULES["cascade"](10))
def test_exactly_what_a_stage_names_learns(model, stage):
    freeze_for(stage, model)
    model.zero_grad()
    output = model(torch.randn(2, 3200), torch.tensor([3200, 2000]))
    (output.category_logits.square().sum() + output.enhanced_log_spectrum.sum()).backward()
    learned = {id(p) for part in stage.train for p in parts(model)[part]}
    for name, parameter in model.named_parameters():
        moved = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        assert moved == (id(parameter) in learned), name


def test_a_new_front_end_learns_with_the_lower_layers():
    assert "front-end" in with_front_end(SCHEDULES["at-once"](3)[0]).train
    assert "front-end" not in with_front_end(Stage(train=("heads",), epochs=1)).train

"""The layer sum against its formula."""

import pytest
import torch

from sertool.core.models.layer_sum import LayerSum


def test_the_layer_sum_starts_as_the_mean_of_normed_states():
    states = tuple(torch.randn(2, 7, 5) for _ in range(4))
    expected = torch.stack([torch.nn.functional.layer_norm(state, (5,)) for state in states]).mean(0)
    torch.testing.assert_close(LayerSum(4, 5)(states), expected)


def test_the_layer_sum_counts_its_states():
    with pytest.raises(ValueError, match="LayerDrop"):
        LayerSum(4, 5)(tuple(torch.randn(1, 2, 5) for _ in range(3)))


def test_a_layer_that_weighs_all_is_all_there_is():
    layer_sum, states = LayerSum(3, 5), tuple(torch.randn(2, 7, 5) for _ in range(3))
    with torch.no_grad():
        layer_sum.weights[1] = 50.0
    torch.testing.assert_close(layer_sum(states), torch.nn.functional.layer_norm(states[1], (5,)))

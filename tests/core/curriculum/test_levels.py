"""Attributes in six levels, as the publication bins them."""

import numpy as np
import pytest

from sertool.core.curriculum.levels import LEVELS, attribute_levels


def test_a_value_on_an_edge_belongs_to_the_level_above():
    values = [1.0, 1.999, 2.0, 2.999, 3.0, 4.0, 4.5, 5.0, 5.999, 6.0, 7.0]
    assert attribute_levels(np.array(values)).tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 4, 5, 5]


def test_an_estimate_beyond_the_scale_belongs_to_an_outer_level():
    assert attribute_levels(np.array([-3.0, 11.0], dtype=np.float32)).tolist() == [0, len(LEVELS) - 1]


def test_what_is_no_number_has_no_level():
    with pytest.raises(ValueError, match="not finite"):
        attribute_levels(np.array([2.0, np.nan]))

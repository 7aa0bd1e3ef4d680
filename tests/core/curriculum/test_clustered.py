"""A cluster model's own estimates, in the order of the target."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sertool.core.curriculum.clustered import own_estimates
from sertool.core.curriculum.target import Target
from sertool.core.errors import InputError

RUN = Path("runs/clusters")
ESTIMATES = np.array([[1.0, 2.0, 3.0], [4.0, 6.0, 5.0]], dtype=np.float32)


def model(*targets: str) -> SimpleNamespace:
    return SimpleNamespace(targets=targets, estimates=ESTIMATES)


def test_of_several_attributes_the_target_is_taken():
    valence = Target("valence", "valence (derived)", (), np.zeros(2, int), np.zeros(2))
    assert own_estimates(model("arousal", "dominance", "valence"), valence, RUN).tolist() == [[3.0], [5.0]]
    with pytest.raises(InputError, match="does not estimate 'valence', but anger, calm, fear"):
        own_estimates(model("anger", "calm", "fear"), valence, RUN)


def test_categories_stand_in_the_order_of_the_target_and_others_behind():
    emotion = Target("emotion", "emotion", ("anger", "fear"), np.zeros(2, int))
    outputs = own_estimates(model("calm", "fear", "anger"), emotion, RUN)
    assert outputs.tolist() == [[3.0, 2.0, 1.0], [5.0, 6.0, 4.0]]
    assert emotion.predicted_codes(outputs).tolist() == [0, 1]
    with pytest.raises(InputError, match=r"does not estimate 'anger', but calm, fear, joy; .*out-of-fold"):
        own_estimates(model("calm", "fear", "joy"), emotion, RUN)

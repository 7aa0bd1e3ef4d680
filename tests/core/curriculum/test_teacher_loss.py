"""The loss of a teacher, against torch."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sertool.core.audio.files import write_audio
from sertool.core.curriculum.target import Target
from sertool.core.curriculum.teacher_loss import attribute_losses, category_losses, losses, teacher_outputs
from sertool.core.errors import AudioError, InputError
from sertool.core.models.config import CompactConfig, EmotionConfig, SharedConfig
from sertool.core.models.inference import load
from sertool.core.models.shared import SharedModel

LOGITS = np.random.default_rng(0).standard_normal((6, 3)) * 30
CODES = np.array([0, 1, 2, 2, 1, 0])


def target(*classes: str, name: str = "emotion") -> Target:
    return Target(name, name, classes, CODES[:2], None if name == "emotion" else np.array([2.0, 5.0]))


def test_the_loss_of_each_utterance_is_torchs():
    expected = F.cross_entropy(torch.tensor(LOGITS), torch.tensor(CODES), reduction="none")
    np.testing.assert_allclose(category_losses(LOGITS, CODES), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(category_losses(LOGITS + 1e4, CODES), expected, rtol=1e-9, atol=1e-11)
    values = Target("arousal", "arousal", (), CODES, np.arange(6.0))
    np.testing.assert_allclose(losses(LOGITS[:, :1], values), (LOGITS[:, 0] - np.arange(6)) ** 2)
    assert attribute_losses(np.float32([1.5]), np.array([2.0])).tolist() == [0.25]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    emotion = EmotionConfig(categories=("anger", "neutral", "sadness"), attributes=("arousal",), hidden=8)
    config = SharedConfig(encoder=CompactConfig(mels=16, dim=16, layers=1, kernel=3), emotion=emotion)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        SharedModel(config).save_pretrained(folder / "model")
    (folder / "run.json").write_text(json.dumps({"state": "finished"}))
    return load(folder, "cpu")


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("speech")
    for number in range(2):
        samples = np.random.default_rng(number).standard_normal(8000).astype(np.float32) / 10
        write_audio(folder / f"{number}.wav", samples, 16_000)
    return [folder / "0.wav", folder / "1.wav"]


def test_a_trained_run_is_asked_for_its_own_probabilities(teacher, paths):
    wanted = target("neutral", "anger")
    done = []
    outputs = teacher_outputs(teacher, paths, wanted, advance=lambda: done.append(1))
    said = [teacher.predict(*read(path)).probabilities for path in paths]
    # The third class keeps its share: it is no part of the target, but it is of the teacher's denominator.
    expected = [[each["neutral"], each["anger"], each["sadness"]] for each in said]
    np.testing.assert_allclose(np.exp(outputs), expected, rtol=1e-6)
    np.testing.assert_allclose(losses(outputs, wanted), [-np.log(expected[0][0]), -np.log(expected[1][1])], rtol=1e-6)
    assert len(done) == 2
    estimates = teacher_outputs(teacher, paths, target(name="arousal"))
    np.testing.assert_allclose(estimates, [[teacher.predict(*read(path)).attributes["arousal"]] for path in paths])


def read(path: Path) -> tuple[np.ndarray, int]:
    import soundfile

    return soundfile.read(path, dtype="float32")


def test_a_teacher_of_other_labels_is_refused(teacher, paths):
    with pytest.raises(InputError, match="does not know 'fear', but anger, neutral, sadness"):
        teacher_outputs(teacher, paths, target("anger", "fear"))
    with pytest.raises(InputError, match="does not know 'valence', but arousal"):
        teacher_outputs(teacher, paths, target(name="valence"))
    with pytest.raises(AudioError, match=r"none\.wav"):
        teacher_outputs(teacher, [paths[0].with_name("none.wav")], target("anger", "neutral"))

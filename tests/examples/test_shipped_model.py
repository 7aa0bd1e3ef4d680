"""The example that makes the model of the package: parts of recordings, the joined model, its temperature, its card."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sertool.core.errors import InputError
from sertool.core.models.config import CompactConfig, DualPathConfig, EmotionConfig, LogMelConfig, SharedConfig
from sertool.core.models.inference import load
from sertool.core.models.shared import SharedModel
from sertool.core.training.recipe import Recipe, recipe_text
from sertool.core.training.run import open_run

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
RATE = 16_000


@pytest.fixture(scope="module")
def example():
    sys.path.insert(0, str(EXAMPLES))
    try:
        spec = importlib.util.spec_from_file_location("shipped_model", EXAMPLES / "shipped_model.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(EXAMPLES))
    return module


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    """A run that enhances and one that hears emotion, in the working folder, as trainings leave them."""
    monkeypatch.chdir(tmp_path)
    configs = {
        "enhancement": SharedConfig(
            encoder=LogMelConfig(mels=8), enhancement=DualPathConfig(features="none", channels=4, hidden=4, blocks=1)
        ),
        "emotion": SharedConfig(
            encoder=CompactConfig(mels=8, dim=8, layers=1, kernel=3),
            emotion=EmotionConfig(categories=("anger", "neutral"), hidden=8),
        ),
    }
    for number, (name, config) in enumerate(configs.items()):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            model = SharedModel(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(number))
        model.save_pretrained(tmp_path / name / "model")
        recipe = Recipe(data={"manifests": [str(tmp_path / "corpus.csv")]}, noise={"source": str(tmp_path / "noise")})
        (tmp_path / name / "recipe.yaml").write_text(recipe_text(recipe))
        (tmp_path / name / "seen_audio.txt").write_text(f"{number:032x}\n")
        noise = {"kinds": [f"kind {number}", "rain"], "file_digests": [f"{number}"]}
        (tmp_path / name / "run.json").write_text(json.dumps({"state": "finished", "noise": noise}))
    return tmp_path


def test_recordings_are_cut_evenly_and_silent_parts_left_out(example, tmp_path):
    time = np.arange(8 * RATE) / RATE
    talk = 0.1 * np.random.default_rng(0).standard_normal(len(time)) * (np.sin(2 * np.pi * 3 * time) > -0.5)
    talk[len(time) // 3 : 2 * len(time) // 3] = 0
    (tmp_path / "in" / "speaker").mkdir(parents=True)
    soundfile.write(tmp_path / "in" / "speaker" / "a.wav", talk, RATE)
    example.cut(tmp_path / "in", tmp_path / "out")
    found = sorted((tmp_path / "out" / "speaker").iterdir())
    assert [path.name for path in found] == ["a-0.flac", "a-2.flac"]
    assert {soundfile.info(path).frames for path in found} <= {42_666, 42_667}


def test_the_joined_model_enhances_as_one_run_and_hears_as_the_other(example, runs):
    model = example.join(Path("enhancement"), Path("emotion"))
    example.ship(model, [open_run("enhancement"), open_run("emotion")], runs / "shipped")
    shipped = load(runs / "shipped")
    noisy = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)
    assert shipped.model.config.emotion and shipped.model.config.base is None
    speech = SharedModel.from_pretrained(runs / "enhancement" / "model")
    samples, lengths = torch.from_numpy(noisy)[None], torch.tensor([RATE])
    expected = speech.enhance(samples, lengths)[0].numpy()
    assert not np.allclose(expected, noisy, atol=1e-3)
    np.testing.assert_allclose(shipped.enhance(noisy, RATE), expected, atol=1e-3)
    heard = load(runs / "emotion").predict(noisy, RATE).probabilities
    assert shipped.predict(noisy, RATE).probabilities == pytest.approx(heard, abs=1e-3)
    record = json.loads((runs / "shipped" / "run.json").read_text())
    assert record["noise"] == {"kinds": ["kind 0", "kind 1", "rain"], "file_digests": ["0", "1"]}
    assert open_run(runs / "shipped").recipe.data.manifests == ("corpus.csv",)
    assert str(runs) not in (runs / "shipped" / "recipe.yaml").read_text()
    assert (runs / "shipped" / "seen_audio.txt").read_text().split() == [f"{number:032x}" for number in (0, 1)]


def test_a_head_that_hears_its_own_encoder_is_not_joined_to_another(example, runs):
    with pytest.raises(InputError, match="does without an encoder"):
        example.join(Path("emotion"), Path("emotion"))


def test_the_temperature_is_where_the_labels_are_most_likely(example, runs):
    """Labels are drawn from the model's own probabilities at a temperature of 2: that is what must be found."""
    generator, rows = np.random.default_rng(0), ["file_name,speaker,split,emotion"]
    model = example.join(Path("enhancement"), Path("emotion"))
    with torch.no_grad():
        model.emotion_head.categories.weight *= 20
    hearing = example.Recognizer(model, folder=runs, device=torch.device("cpu"), model_id="")
    Path("noise/rain").mkdir(parents=True)
    for number in range(5):
        soundfile.write(f"noise/rain/{number}.wav", 0.1 * generator.standard_normal(RATE), RATE)
    for number in range(120):
        tone = np.sin(2 * np.pi * generator.uniform(100, 3000) * np.arange(4000) / RATE)
        samples = (tone + generator.uniform(0, 1) * generator.standard_normal(4000)).astype(np.float32) / 4
        soundfile.write(f"{number}.wav", samples, RATE, subtype="FLOAT")
        odds = {name: share**0.5 for name, share in hearing.predict(samples, RATE).probabilities.items()}
        label = "anger" if generator.uniform() < odds["anger"] / sum(odds.values()) else "neutral"
        rows.append(f"{number}.wav,a,dev,{label}")
    Path("emotional.csv").write_text("\n".join(rows) + "\n")
    before = hearing.predict("0.wav").probabilities
    example.CALIBRATED_AT = (None, 80.0)
    example.CALIBRATE_EVERY = 1
    chosen = example.calibrate(model, Path("noise"))
    temperature = chosen["temperature"]
    assert 1.2 < temperature < 3.5
    assert chosen["speech_kept_db"] == model.config.speech_kept_db < -1
    odds = {name: share ** (1 / temperature) for name, share in before.items()}
    expected = {name: share / sum(odds.values()) for name, share in odds.items()}
    assert hearing.predict("0.wav").probabilities == pytest.approx(expected, abs=1e-4)


def test_the_card_tells_every_score(example, runs):
    example.ship(example.join(Path("enhancement"), Path("emotion")), [open_run("emotion")], runs / "shipped")
    condition = {"condition": "clean", "n": 4, "f1_macro": 0.515, "ua": 0.525, "ece": 0.085}
    sexes = [
        {"condition": "clean", "gender": sex, "speakers": 2, "n": 2, "f1_macro": 0.4} for sex in ("female", "male")
    ]
    corpora = {"ravdess": {"categories": ["anger", "calm"], "conditions": [condition], "by_sex": sexes}}
    document = {"parameters": 2_928_400, "seed": 0, "corpora": corpora}
    document["chosen_on_dev"] = {"temperature": 1.25, "speech_kept_db": -9.0}
    card = example.card(document, runs / "shipped")
    for words in (
        "anger, neutral",
        "2.93 million",
        "1.25",
        "| ravdess, 2 classes: UA | 0.53 |",
        "| ravdess, male | 2 | 0.40 |",
    ):
        assert words in card
    assert "{" not in card

"""An exported folder: the same model for sertool to the bit, and one `transformers` loads in a plain script."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from ssl_examples import architecture, encoder

from sertool.core.errors import InputError
from sertool.core.exporting.cards import folder_card, licence_of, run_card
from sertool.core.exporting.hf_folder import FILES, write_folder
from sertool.core.exporting.hf_model import SertoolConfig, SertoolModel
from sertool.core.models.config import (
    AdaptConfig,
    CompactConfig,
    EmotionConfig,
    EnhancementConfig,
    LoRAConfig,
    RouterConfig,
    SharedConfig,
    SSLConfig,
)
from sertool.core.models.inference import load
from sertool.core.models.shared import SharedModel
from sertool.core.models.storage import save_half

EMOTION = EmotionConfig(categories=("anger", "neutral"), hidden=4)
COMPACT = CompactConfig(mels=12, dim=8, layers=2, kernel=3)
SAMPLES = (0.1 * np.random.default_rng(1).standard_normal(9000)).astype(np.float32)

SCRIPT = """
import json, sys
import numpy as np, torch
from transformers import AutoModel, pipeline
folder = sys.argv[1]
samples = np.load(sys.argv[2])
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
with torch.inference_mode():
    said = model(torch.tensor(samples)[None])
    enhanced = model.enhance(torch.tensor(samples)[None])[0]
ask = pipeline("audio-classification", model=folder, trust_remote_code=True)
labels = ask({"raw": samples, "sampling_rate": 16000})
print(json.dumps([said.logits.softmax(1)[0].tolist(), said.attributes[0].tolist(), enhanced.tolist(), labels]))
"""


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("hf") / "exported"
    files = write_folder(tiny, path, "# Tiny\n")
    assert sorted(path.iterdir()) == sorted(files) and [file.name for file in files] == list(FILES)
    return path


def stored(config: SharedConfig, path, **parts):
    """A model with random weights, read from its folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = SharedModel(config, **parts)
    model.save_pretrained(path)
    return load(path, "cpu")


def test_sertool_reads_it_to_the_bit(tiny, folder):
    again = load(folder, "cpu")
    assert again.model_id == tiny.model_id
    (before, speech), (after, enhanced) = tiny.hear(SAMPLES), again.hear(SAMPLES)
    assert before == after
    np.testing.assert_array_equal(speech, enhanced)


def test_a_plain_script_loads_it(tiny, folder, tmp_path):
    np.save(tmp_path / "samples.npy", SAMPLES)
    (tmp_path / "script.py").write_text(SCRIPT)
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "script.py", str(folder), "samples.npy"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | offline, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    probabilities, attributes, enhanced, labels = json.loads(done.stdout.splitlines()[-1])
    prediction, speech = tiny.hear(SAMPLES)
    np.testing.assert_allclose(probabilities, list(prediction.probabilities.values()), atol=1e-6)
    np.testing.assert_allclose(attributes, list(prediction.attributes.values()), atol=1e-5)
    np.testing.assert_allclose(enhanced, speech, atol=1e-6)
    told = {one["label"]: one["score"] for one in labels}
    assert told == pytest.approx(prediction.probabilities, abs=1e-6)
    assert "is not supported" not in done.stderr


def test_a_batch_is_heard_by_its_mask(folder):
    model = SertoolModel.from_pretrained(folder)
    padded = torch.zeros(2, 9000)
    padded[0], padded[1, :4000] = torch.tensor(SAMPLES), torch.tensor(SAMPLES[:4000])
    mask = (torch.arange(9000) < torch.tensor([[9000], [4000]])).long()
    with torch.inference_mode():
        together = model(padded, mask, return_enhanced=True)
        alone = model(padded[1:, :4000], return_enhanced=True)
    torch.testing.assert_close(together.logits[1], alone.logits[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(together.enhanced[1, :4000], alone.enhanced[0], atol=1e-5, rtol=0)
    assert model(padded).enhanced is None  # not asked for


def test_saved_again_it_is_the_same(folder, tiny, tmp_path):
    SertoolModel.from_pretrained(folder).save_pretrained(tmp_path / "again")
    assert load(tmp_path / "again", "cpu").hear(SAMPLES)[0].probabilities == tiny.hear(SAMPLES)[0].probabilities


def test_weights_stored_in_half_the_bytes_are_float32_again(tiny, tmp_path):
    save_half(tiny.model, tmp_path / "model")
    half = load(tmp_path / "model", "cpu")
    write_folder(half, tmp_path / "hf", "# x\n")
    model = SertoolModel.from_pretrained(tmp_path / "hf")
    assert model.dtype == torch.float32
    with torch.inference_mode():
        said = model(torch.tensor(SAMPLES)[None]).logits.softmax(1)[0]
    np.testing.assert_allclose(said, list(half.hear(SAMPLES)[0].probabilities.values()), atol=1e-6)


@pytest.mark.parametrize("how", ["router", "lora", "ssl", "enhancement"])
def test_other_models(how, tmp_path):
    router, lora = RouterConfig(sparsity=0.4), LoRAConfig(rank=2, layers="feed-forward")
    adapt = AdaptConfig(how="router" if how == "router" else "lora", router=router, lora=lora)
    if how == "ssl":
        ssl = SSLConfig(architecture=architecture("wavlm"), normalise=True)
        recognizer = stored(SharedConfig(encoder=ssl, emotion=EMOTION), tmp_path / "model", encoder=encoder("wavlm"))
    elif how == "enhancement":
        head = EnhancementConfig(projection=4, hidden=4, layers=1)
        recognizer = stored(SharedConfig(encoder=COMPACT, enhancement=head), tmp_path / "model")
    else:
        recognizer = stored(SharedConfig(encoder=COMPACT, emotion=EMOTION, adapt=adapt), tmp_path / "model")
    write_folder(recognizer, tmp_path / "hf", "# x\n")
    (before, speech), (after, enhanced) = recognizer.hear(SAMPLES), load(tmp_path / "hf", "cpu").hear(SAMPLES)
    with torch.inference_mode():
        said = SertoolModel.from_pretrained(tmp_path / "hf")(torch.tensor(SAMPLES)[None])
    if how == "enhancement":
        np.testing.assert_array_equal(speech, enhanced)
        np.testing.assert_allclose(said.enhanced[0], speech, atol=1e-6)
    else:
        assert after.probabilities == before.probabilities
        np.testing.assert_allclose(said.logits.softmax(1)[0], list(before.probabilities.values()), atol=1e-5)


def test_masks_for_each_head_are_refused(tmp_path):
    adapt = AdaptConfig(how="router", router=RouterConfig(masks="per-head"))
    head = EnhancementConfig(projection=4, hidden=4, layers=1)
    config = SharedConfig(encoder=COMPACT, emotion=EMOTION, enhancement=head, adapt=adapt, layer_sum="per-head")
    with pytest.raises(InputError, match=r"a set of masks for each head.*--format onnx"):
        write_folder(stored(config, tmp_path / "model"), tmp_path / "hf", "# x\n")
    assert not (tmp_path / "hf").exists()


def test_weights_of_another_model_are_refused(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    config["sertool"]["emotion"]["categories"] = ["one"]
    for name in FILES:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises((InputError, RuntimeError), match=r"differ|mismatch|size"):
        SertoolModel.from_pretrained(tmp_path)


def test_half_precision_is_refused(folder):
    model = SertoolModel.from_pretrained(folder).half()
    with pytest.raises(ValueError, match="expected float32"):
        model(torch.zeros(1, 400))


def test_config_names_categories_and_code(folder):
    config = json.loads((folder / "config.json").read_text())
    assert config["id2label"] == {"0": "anger", "1": "neutral", "2": "sadness"}
    assert config["label2id"]["sadness"] == 2 and config["sertool"]["format"] == "sertool-shared-1"
    assert set(config["auto_map"]) == {"AutoConfig", "AutoModel", "AutoModelForAudioClassification"}
    assert SertoolConfig.from_pretrained(folder).id2label[2] == "sadness"


def test_cards(tiny, tmp_path):
    card = "---\nx: y\n---\n# First\n\nSpeech of 20 actors.\n- Licence: CC BY-NC-SA 4.0.\n"
    (tmp_path / "model").mkdir()
    (tmp_path / "README.md").write_text(card)
    assert run_card(tmp_path / "model") == run_card(tmp_path) == card and run_card(tmp_path / "nowhere") is None
    assert licence_of(card) == "CC BY-NC-SA 4.0." and licence_of("no word") is licence_of(None) is None
    (tmp_path / "latin-1").mkdir()
    (tmp_path / "latin-1" / "README.md").write_bytes(b"# Caf\xe9\n")
    assert run_card(tmp_path / "latin-1") == "# Caf\N{REPLACEMENT CHARACTER}\n"
    text = folder_card(tiny.model.config, name="tiny", model_id="0123456789ab", card=card)
    assert text.startswith("---\nlibrary_name: transformers\n") and "x: y" not in text
    assert text.count("# First") == 1 and "Speech of 20 actors." in text and "0123456789ab" in text
    alone = folder_card(SharedConfig(), name="tiny", model_id="0", card=None)
    assert "# tiny" in alone and "pipeline_tag" not in alone

"""What a training starts from: any encoder, adapted in any way, under any schedule; stored is only what changed."""

import itertools
import json

import pytest
import torch
from safetensors.torch import load_file
from ssl_examples import FAMILIES, reference, save

from sertool.core.errors import InputError
from sertool.core.models.adaptation import is_adapter
from sertool.core.models.shared import SharedModel
from sertool.core.training.inputs import read_inputs
from sertool.core.training.loop import train_run
from sertool.core.training.recipe import make_recipe
from sertool.core.training.schedule import SCHEDULES
from sertool.core.training.setup import build_model

WAYS = ("full", "frozen", "router", "lora")


@pytest.fixture(scope="module")
def denoise(corpus, tmp_path_factory):
    """A run of the compact encoder."""
    return train_run(recipe_for(corpus, tasks=["enhancement"]), tmp_path_factory.mktemp("runs") / "denoise").folder


@pytest.fixture(scope="module")
def wavlm(tmp_path_factory):
    """A folder with a small WavLM, as `transformers` writes it."""
    return save(reference("wavlm"), tmp_path_factory.mktemp("hub") / "wavlm")


def recipe_for(corpus, encoder=None, **changes):
    tree = {
        "data": {"manifests": [str(corpus / "metadata.csv")], "workers": 0},
        "tasks": ["emotion"],
        "encoder": {"compact": {"dim": 16, "layers": 2, "kernel": 5}, **(encoder or {})},
        "emotion": {"hidden": 8},
        "enhancement": {"projection": 8, "hidden": 8, "crop_s": 0.3},
        "optimisation": {"epochs": 3, "batch_size": 6, "learning_rate": 0.01, "warmup_updates": 0},
        "layer_sum": "per-head",
    }
    if "enhancement" in changes.get("tasks", ()):
        tree["noise"] = {"source": str(corpus / "noise"), "snr_db": ["10"], "dev_snr_db": ["10"]}
    return make_recipe(tree | changes)


def hear(model):
    with torch.inference_mode():
        waveform = torch.randn(2, 9000, generator=torch.Generator().manual_seed(0))
        return model.eval()(waveform, torch.tensor([9000, 7000])).category_logits


@pytest.mark.parametrize(("how", "schedule"), list(itertools.product(WAYS, SCHEDULES)))
def test_every_adaptation_trains_under_every_schedule(corpus, denoise, tmp_path, how, schedule):
    settings = {"name": str(denoise), "adapt": how, "lora": {"layers": "feed-forward"}}
    recipe = recipe_for(corpus, settings, schedule=schedule)
    before = build_model(recipe, read_inputs(recipe)).state_dict()
    run = train_run(recipe, tmp_path / "run")
    SharedModel.from_pretrained(run.model_folder)
    (last,) = (run.folder / "last").glob("model-*.safetensors")
    moved = {name for name, tensor in load_file(last).items() if not torch.equal(tensor, before[name])}
    of_encoder = {name.removeprefix("encoder.") for name in moved if name.startswith("encoder.")}
    adapters = {name.removeprefix("encoder.") for name in before if is_adapter(name)}
    assert any(name.startswith("emotion_head") for name in moved)
    if how == "full":
        assert of_encoder and not any(name.startswith("front_end") for name in of_encoder)
    else:
        assert of_encoder <= adapters and bool(adapters) == (how != "frozen")


@pytest.mark.parametrize("form", FAMILIES)
@pytest.mark.parametrize("how", WAYS)
def test_what_is_stored_is_what_changed_and_makes_the_same_model_again(corpus, tmp_path, form, how):
    folder = save(reference(form), tmp_path / form)
    recipe = recipe_for(corpus, {"name": str(folder), "adapt": how}, tasks=["emotion"])
    model = build_model(recipe, read_inputs(recipe))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if is_adapter(name) or (how == "full" and "encoder.encoder.layers" in name):
                parameter.add_(0.01 * torch.randn_like(parameter))
    expected = hear(model)
    model.save_pretrained(tmp_path / "model")
    stored = load_file(tmp_path / "model" / "model.safetensors")
    weights = [name for name in stored if name.startswith("encoder.") and not (is_adapter(name) or ".bits." in name)]
    assert not any("feature_extractor" in name for name in weights) and bool(weights) == (how == "full")
    read = SharedModel.from_pretrained(tmp_path / "model")
    assert torch.allclose(hear(read), expected, atol=1e-6)


def test_masks_are_stored_at_one_bit_a_connection(corpus, wavlm, tmp_path):
    recipe = recipe_for(corpus, {"name": str(wavlm), "adapt": "router"})
    model = build_model(recipe, read_inputs(recipe))
    model.save_pretrained(tmp_path)
    bits = {name: tensor for name, tensor in load_file(tmp_path / "model.safetensors").items() if ".bits." in name}
    assert sum(tensor.nbytes for tensor in bits.values()) == 3 * 2 * 32 * 48 // 8


def test_a_mask_set_for_each_head_changes_that_head_alone(corpus, denoise):
    settings = {"name": str(denoise), "adapt": "router", "router": {"masks": "per-head"}}
    recipe = recipe_for(corpus, settings, tasks=["emotion", "enhancement"])
    model = build_model(recipe, read_inputs(recipe)).eval()
    waveform, lengths = torch.randn(1, 8000), torch.tensor([8000])
    with torch.no_grad():
        before = model(waveform, lengths)
        for name, scores in model.named_parameters():
            if name.endswith("scores.emotion"):
                scores.copy_(scores.flatten()[torch.randperm(scores.numel())].view_as(scores))
        after = model(waveform, lengths)
    assert not torch.equal(before.category_logits, after.category_logits)
    assert torch.equal(before.enhanced_log_spectrum, after.enhanced_log_spectrum)


def test_masks_for_each_head_need_layer_sums_for_each_head(corpus, denoise):
    settings = {"name": str(denoise), "adapt": "router", "router": {"masks": "per-head"}}
    recipe = recipe_for(corpus, settings, tasks=["emotion", "enhancement"], layer_sum="shared")
    with pytest.raises(InputError, match="layer_sum"):
        read_inputs(recipe)


def test_another_encoder_than_the_one_adapted_is_refused(corpus, wavlm, tmp_path):
    folder = save(reference("wavlm"), tmp_path / "wavlm")
    recipe = recipe_for(corpus, {"name": str(folder), "adapt": "lora"})
    build_model(recipe, read_inputs(recipe)).save_pretrained(tmp_path / "model")
    SharedModel.from_pretrained(tmp_path / "model")
    save(reference("wavlm", seed=1), folder)
    with pytest.raises(InputError, match="is another encoder"):
        SharedModel.from_pretrained(tmp_path / "model")
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="under 'base'"):
        SharedModel.from_pretrained(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["base"]["name"] = str(save(reference("wavlm"), tmp_path / "elsewhere"))
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    SharedModel.from_pretrained(tmp_path / "model")


def test_an_adapted_run_is_a_start_like_any_other_its_changes_merged(corpus, denoise, tmp_path):
    settings = {"name": str(denoise), "adapt": "router", "router": {"sparsity": 0.3}}
    first = train_run(recipe_for(corpus, settings), tmp_path / "first")
    second = recipe_for(corpus, {"name": str(first.folder), "heads": "all"})
    model = build_model(second, read_inputs(second))
    assert torch.allclose(hear(model), hear(SharedModel.from_pretrained(first.model_folder)), atol=1e-6)
    dropped = (model.encoder.layers[0].expand.weight == 0).float().mean().item()
    assert dropped == pytest.approx(0.3, abs=0.001)


def test_a_fine_tuned_run_is_pruned_to_the_sparsity_asked_for(corpus, denoise, tmp_path):
    tuned = train_run(recipe_for(corpus, {"name": str(denoise)}), tmp_path / "tuned")
    router = {"sparsity": 0.7, "init": "magnitude", "layers": "feed-forward"}
    settings = {"name": str(tuned.folder), "adapt": "router", "router": router, "heads": "all"}
    pruned = train_run(recipe_for(corpus, settings), tmp_path / "pruned")
    masks = [
        tensor for name, tensor in load_file(pruned.model_folder / "model.safetensors").items() if ".bits." in name
    ]
    kept = sum(int(f"{byte:b}".count("1")) for mask in masks for byte in mask.tolist())
    assert kept == 4 * (16 * 64 - round(0.7 * 16 * 64))


def test_an_encoder_that_has_learned_nothing_cannot_be_adapted(corpus):
    with pytest.raises(InputError, match="has learned nothing yet"):
        read_inputs(recipe_for(corpus, {"adapt": "lora"}))


@pytest.mark.parametrize(("how", "part"), [("frozen", "encoder-upper"), ("lora", "front-end")])
def test_a_stage_in_which_nothing_learns_is_refused(corpus, denoise, how, part):
    stages = [{"train": ["heads"], "epochs": 1}, {"train": [part], "epochs": 1}]
    with pytest.raises(InputError, match="of which nothing learns"):
        read_inputs(recipe_for(corpus, {"name": str(denoise), "adapt": how}, schedule=stages))


def test_dropout_of_the_encoder_is_what_the_recipe_says(corpus, wavlm):
    recipe = recipe_for(corpus, {"name": str(wavlm), "dropout": 0.0})
    model = build_model(recipe, read_inputs(recipe)).train()
    waveform, lengths = torch.randn(1, 8000), torch.tensor([8000])
    first, second = (model.encoder(waveform, lengths).hidden_states[-1] for _ in range(2))
    assert torch.equal(first, second)


def test_an_encoder_whose_front_end_learns_too_is_stored_whole(corpus, wavlm, tmp_path):
    stages = [{"train": ["heads", "encoder-upper", "encoder-lower", "front-end"], "epochs": 1}]
    recipe = recipe_for(corpus, {"name": str(wavlm)}, schedule=stages)
    model = build_model(recipe, read_inputs(recipe))
    with torch.no_grad():
        for parameter in model.encoder.feature_extractor.parameters():
            parameter.add_(0.01)
    model.save_pretrained(tmp_path)
    assert model.config.base is None
    assert torch.allclose(hear(SharedModel.from_pretrained(tmp_path)), hear(model), atol=1e-6)


def test_the_state_to_go_on_from_holds_nothing_that_lies_elsewhere(corpus, wavlm, tmp_path):
    run = train_run(recipe_for(corpus, {"name": str(wavlm), "adapt": "lora"}), tmp_path / "run")
    (last,) = (run.folder / "last").glob("model-*.safetensors")
    assert {name for name in load_file(last) if name.startswith("encoder.")} == {
        f"encoder.{name}"
        for name in SharedModel.from_pretrained(run.model_folder).encoder.state_dict()
        if is_adapter(name)
    }

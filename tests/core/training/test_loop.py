"""Training: it learns, it goes on where it was stopped to the same bytes, and the cut of a batch changes nothing."""

import json
import signal
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sertool.core.audio.files import audio_digest
from sertool.core.corpus.batches import Augmentation, Pick, UtteranceDataset
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixing import measure_snr, parse_snr
from sertool.core.corpus.mixture_plan import MixtureRequest, open_plan
from sertool.core.corpus.mixtures import make_mixtures
from sertool.core.corpus.noise import NoiseSet
from sertool.core.errors import InputError
from sertool.core.training.inputs import read_inputs
from sertool.core.training.interrupt import StopFlag, finish_update_on_interrupt
from sertool.core.training.loop import Training, train_run
from sertool.core.training.recipe import make_recipe
from sertool.core.training.reporter import Silent
from sertool.core.training.run import begin_run, open_run
from sertool.core.training.setup import build_model, make_accelerator


def recipe_for(corpus, **changes):
    tree = {
        "data": {"manifests": [str(corpus / "metadata.csv")], "workers": 0},
        "noise": {"source": str(corpus / "noise"), "snr_db": ["10"], "dev_snr_db": ["10"]},
        "encoder": {"compact": {"dim": 16, "layers": 2, "kernel": 5}},
        "emotion": {"hidden": 16},
        "enhancement": {"projection": 8, "hidden": 8, "crop_s": 0.3},
        "optimisation": {"epochs": 4, "batch_size": 6, "learning_rate": 0.01, "warmup_updates": 2},
        "schedule": "cascade",
    }
    for name, value in changes.items():
        if isinstance(value, dict):
            tree[name] = tree.get(name, {}) | value
        else:
            tree[name] = value
    return make_recipe(tree)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    recipe = recipe_for(corpus, checkpoint_updates=1)
    return train_run(recipe, folder), recipe


def test_a_run_is_the_folder_the_contract_names(finished):
    run, recipe = finished
    names = set(contents(run.folder))
    wanted = {
        "recipe.yaml",
        "metrics.jsonl",
        "model/config.json",
        "model/model.safetensors",
        "last/state.json",
        "README.md",
    }
    assert wanted <= names
    assert not [name for name in names if name.endswith((".pt", ".bin", ".pkl"))]
    assert open_run(run.folder).recipe == recipe
    assert len(open_run(run.folder).seen_audio) == 18
    assert open_run(run.folder).noise["kinds"] == ["hiss"]


def test_it_learns_to_tell_high_from_low(corpus, tmp_path):
    recipe = recipe_for(
        corpus, schedule="at-once", emotion={"dropout": 0.0}, optimisation={"epochs": 20, "batch_size": 3}
    )
    run = train_run(recipe, tmp_path / "run")
    assert run.record["summary"]["dev"]["f1_macro"] > 0.9
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["train"]["enhancement"] < 0.7 * lines[0]["train"]["enhancement"]


class StopAfter(Silent):
    """Presses Ctrl-C after so many updates."""

    def __init__(self, updates):
        self.left = updates

    def update(self, loss):
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("updates", [1, 2, 3, 5, 7])
def test_stopped_anywhere_and_run_again_it_ends_with_the_same_bytes(corpus, finished, tmp_path, updates):
    run, recipe = finished
    folder = tmp_path / "whole"
    with pytest.raises(KeyboardInterrupt):
        train_run(recipe, folder, reporter=StopAfter(updates))
    with pytest.raises(InputError, match="not finished"):
        open_run(folder)
    train_run(recipe, folder)
    assert contents(folder) == contents(run.folder)


def test_finished_and_run_again_it_does_nothing(finished):
    run, recipe = finished
    before = contents(run.folder)
    assert train_run(recipe, run.folder).finished
    assert contents(run.folder) == before


def test_other_inputs_in_the_same_folder_are_named(corpus, finished):
    run, _ = finished
    with pytest.raises(InputError, match=r"optimisation\.epochs differ"):
        train_run(recipe_for(corpus, checkpoint_updates=1, optimisation={"epochs": 3}), run.folder)


def test_overwriting_starts_anew_and_touches_nothing_else(corpus, tmp_path):
    folder = tmp_path / "run"
    train_run(recipe_for(corpus, optimisation={"epochs": 1}), folder)
    (folder / "notes.txt").write_text("mine")
    again = train_run(recipe_for(corpus, optimisation={"epochs": 2}), folder, overwrite=True)
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
    assert again.finished and (folder / "notes.txt").read_text() == "mine"


def test_a_run_does_not_overwrite_the_one_its_encoder_comes_from(corpus, finished):
    run, _ = finished
    before = contents(run.folder)
    for name in (run.folder, run.folder / "model"):
        with pytest.raises(InputError, match="the encoder comes from"):
            train_run(recipe_for(corpus, encoder={"name": str(name)}), run.folder, overwrite=True)
    assert contents(run.folder) == before


def test_a_damaged_record_can_be_overwritten(corpus, tmp_path):
    recipe = recipe_for(corpus, optimisation={"epochs": 1})
    run = train_run(recipe, tmp_path / "run")
    (run.folder / "run.json").write_text('{"state": "fini')
    with pytest.raises(InputError, match="is not JSON"):
        train_run(recipe, run.folder)
    assert train_run(recipe, run.folder, overwrite=True).finished


def test_labels_that_teach_nothing_are_named(corpus, tmp_path):
    text = (corpus / "metadata.csv").read_text()
    for name, rows in (
        ("none", text.replace("anger", "").replace("neutral", "")),
        ("one", text.replace("neutral", "anger")),
    ):
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join(f"{corpus}/{row}" if i else row for i, row in enumerate(rows.splitlines())) + "\n")
        with pytest.raises(InputError, match="expected two categories or more"):
            read_inputs(recipe_for(corpus, data={"manifests": [str(path)]}))


def test_a_folder_of_something_else_is_left_alone(corpus, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds no run"):
            train_run(recipe_for(corpus), tmp_path, overwrite=overwrite)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("attributes", [[], ["arousal"]])
def test_accumulation_changes_no_gradient(corpus, tmp_path, attributes):
    gradients = []
    for steps in (1, 3):
        recipe = recipe_for(
            corpus,
            emotion={"dropout": 0.0, "attributes": attributes},
            encoder={"compact": {"dim": 16, "layers": 2, "kernel": 5, "dropout": 0.0}},
            optimisation={"accumulation": steps},
            schedule="at-once",
        )
        inputs = read_inputs(recipe)
        run = begin_run(tmp_path / f"{steps}", recipe, inputs.identity, {})
        training = Training(recipe, inputs, run, make_accelerator(recipe), Silent(), StopFlag())
        training._enter(0, resume=False)
        training._step = lambda losses: None
        parts = next(training._load([np.arange(6)], 0))
        assert len(parts) == steps
        training._update(parts)
        gradients.append({name: p.grad.clone() for name, p in training.bare.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name in gradients[0]:
        torch.testing.assert_close(gradients[0][name], gradients[1][name], atol=1e-5, rtol=1e-3)


def test_attributes_are_learned_with_ccc(corpus, tmp_path):
    recipe = recipe_for(
        corpus,
        tasks=["emotion"],
        emotion={"categories": [], "attributes": ["arousal"], "dropout": 0.0},
        schedule="at-once",
        optimisation={"epochs": 20, "accumulation": 2},
    )
    dev = train_run(recipe, tmp_path / "run").record["summary"]["dev"]
    assert dev["ccc_arousal"] > 0.6 and "f1_macro" not in dev


def test_pretraining_hands_on_encoder_and_enhancement_head(corpus, tmp_path):
    denoise = train_run(recipe_for(corpus, tasks=["enhancement"], schedule="at-once"), tmp_path / "denoise")
    recipe = recipe_for(corpus, encoder={"name": str(denoise.folder)})
    inputs = read_inputs(recipe)
    model = build_model(recipe, inputs)
    for name, tensor in inputs.start.encoder.state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], tensor)
    assert torch.equal(model.enhancement_head.mask.weight, inputs.start.model.enhancement_head.mask.weight)
    joint = train_run(recipe, tmp_path / "joint")
    assert denoise.seen_audio <= joint.seen_audio
    # A learned front end rests: it comes out of fine-tuning as it went in. The layers above it do not.
    names = json.loads((joint.folder / "last" / "state.json").read_text())["files"]
    trained = load_file(joint.folder / "last" / names["model"])
    before = inputs.start.model.state_dict()
    assert torch.equal(trained["encoder.front_end.first.weight"], before["encoder.front_end.first.weight"])
    assert not torch.equal(trained["encoder.layers.0.expand.weight"], before["encoder.layers.0.expand.weight"])


def test_noise_an_encoder_has_heard_counts_as_heard(corpus, tmp_path):
    denoise = train_run(
        recipe_for(corpus, tasks=["enhancement"], schedule="at-once", optimisation={"epochs": 1}), tmp_path / "a"
    )
    inputs = read_inputs(
        recipe_for(corpus, tasks=["emotion"], encoder={"name": str(denoise.folder)}, noise={"source": None})
    )
    assert inputs.noise_kinds == ("hiss",) and len(inputs.noise_digests) == 12


def test_mixtures_on_disk_are_learned_from_as_pairs(corpus, tmp_path):
    speech, noise = Manifest.read(corpus / "metadata.csv"), NoiseSet.read(corpus / "noise")
    plan = open_plan(MixtureRequest(speech, noise, parse_snr(["5"])), tmp_path / "noisy")
    manifest = make_mixtures(plan).manifest_path
    changes = {"data": {"manifests": [str(manifest)], "workers": 0}}
    with pytest.raises(InputError, match="noisy already"):
        read_inputs(recipe_for(corpus, **changes))
    recipe = recipe_for(corpus, **changes, noise={"source": None})
    inputs = read_inputs(recipe)
    example = UtteranceDataset(inputs.train, None, Augmentation(), 0)[Pick(0, 0)]
    assert measure_snr(example.noisy, example.clean) == pytest.approx(5, abs=0.01)
    assert inputs.noise_kinds == ("hiss",)
    # The speech they were made of counts as heard, though its samples were rounded and perhaps scaled.
    assert {audio_digest(path) for path in speech.paths()} <= inputs.seen_audio


def test_unlabelled_speech_without_splits_holds_some_out(corpus, tmp_path):
    rows = ["file_name"] + [str(corpus / f"{s}{i}.wav") for s in "ab" for i in range(6)]
    (tmp_path / "speech.csv").write_text("\n".join(rows) + "\n")
    recipe = recipe_for(
        corpus,
        tasks=["enhancement"],
        data={"manifests": [str(tmp_path / "speech.csv")] * 1 + [str(corpus / "metadata.csv")]},
    )
    inputs = read_inputs(recipe)
    assert len(inputs.train) + len(inputs.dev) == 12 + 18
    assert any("held out" in note for note in inputs.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"manifests": []}}, "names no manifest"),
        ({"noise": {"dev_snr_db": ["-5:5"]}}, "expected fixed ratios"),
        ({"encoder": {"name": "./nowhere"}}, "no such run folder"),
        ({"emotion": {"categories": ["anger"]}}, "neutral"),
        ({"emotion": {"categories": ["anger", "neutral", "fear"]}}, "'fear'"),
        ({"emotion": {"attributes": ["valence"]}}, "valence"),
        ({"emotion": {"categories": [], "attributes": []}}, "neither categories nor attributes"),
    ],
)
def test_inputs_that_cannot_be_used_are_named(corpus, changes, message):
    with pytest.raises(InputError, match=message):
        read_inputs(recipe_for(corpus, **changes))


def test_a_second_ctrl_c_does_not_wait():
    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(KeyboardInterrupt), finish_update_on_interrupt() as flag:
        signal.raise_signal(signal.SIGINT)
        assert flag.asked
        signal.raise_signal(signal.SIGINT)

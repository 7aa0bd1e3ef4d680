"""Pre-training by any tasks: it learns, stops and goes on to the same bytes, and leaves an encoder to train with."""

import json
import signal

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from sertool.core.errors import InputError
from sertool.core.pretext.pretrain import TASKS, base_settings, pretrain_run
from sertool.core.training.loop import train_run
from sertool.core.training.recipe import make_recipe
from sertool.core.training.reporter import Silent

SLOW = {"optimisation": {"epochs": 2, "batch_size": 6, "learning_rate": 0.01, "warmup_updates": 0}}
ALL = ["enhancement", "energy", "activation", "activation-without-mouth", "action-units", "masked"]


def recipe_for(folder, tasks, **changes):
    tree = {
        "tasks": tasks,
        "data": {"manifests": [str(folder / "metadata.csv")], "workers": 0},
        "noise": {"source": str(folder / "noise"), "snr_db": ["10"], "dev_snr_db": ["10"]},
        "encoder": {"compact": {"dim": 16, "layers": 2, "kernel": 5}},
        "enhancement": {"projection": 8, "hidden": 8, "crop_s": 0.3},
        "pretext": {"hidden": 8, "masked": {"clusters": 5, "projection": 8}},
        **SLOW,
    }
    if any(task.startswith("act") for task in tasks):
        tree["pretext"]["faces"] = {"sources": [str(folder / "faces")]}
    for name, value in changes.items():
        tree[name] = tree.get(name, {}) | value if isinstance(value, dict) else value
    return make_recipe(tree)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class Listening(Silent):
    """Keeps what is told, and presses Ctrl-C after so many updates."""

    def __init__(self, updates=None):
        self.left, self.notes = updates, []

    def note(self, message):
        self.notes.append(message)

    def update(self, loss):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def finished(talking, tmp_path_factory):
    recipe = recipe_for(talking, ALL, checkpoint_updates=1)
    listening = Listening()
    run = pretrain_run(recipe, tmp_path_factory.mktemp("runs") / "all", reporter=listening)
    return run, recipe, listening.notes


def test_all_tasks_together_leave_targets_scores_and_an_encoder(finished):
    run, _, notes = finished
    assert {"targets.parquet", "targets.json", "recipe.yaml", "README.md"} <= set(contents(run.folder))
    assert not (run.folder / "cache").exists()
    dev = run.record["summary"]["dev"]
    for task in ("energy", "activation", "activation_without_mouth", "action_units", "masked"):
        assert 0 <= dev[f"accuracy_{task}"] <= 1 and 0 < dev[f"majority_{task}"] <= 1 and dev[f"loss_{task}"] > 0
    losses = [value for name, value in dev.items() if name.startswith("loss_")]
    assert dev["score"] == pytest.approx(-(sum(losses) + dev["l1"]))
    found = json.loads((run.folder / "targets.json").read_text())
    assert found["masked"]["clusters"] == 5 and found["faces"]["with_face"] == 16
    assert any("metadata.csv" in note and "16" in note for note in notes)
    assert (
        "Training utterances of each class of energy: low 6, high 6, none 0." in (run.folder / "README.md").read_text()
    )


def test_targets_are_what_was_put_into_voices_and_faces(finished, talking):
    run, _, _ = finished
    table = pd.read_parquet(run.folder / "targets.parquet")
    lively = table["file_name"].str.extract(r"(\d)\.wav$")[0].astype(int) % 2 == 1
    assert (table["target_energy"] == lively.map({True: "high", False: "low"})).all()
    seen = table["activation"].notna()
    assert list(table["file_name"][~seen].str[-6:]) == ["a4.wav", "a5.wav"]
    assert (table["target_activation"] == lively.map({True: "high", False: "low"}))[seen].all()
    assert (table["target_action-units"] == lively.map({True: "happiness", False: "neutral"}))[seen].all()
    assert table.loc[~seen, ["target_activation", "target_action-units"]].isna().to_numpy().all()
    # 30 times a second, by a tenth or a hundredth of the distance between the eyes: 20 points, and half as far 10 more.
    step = lively.map({True: 0.1, False: 0.01})[seen] * 30
    assert table["activation"][seen].to_numpy() == pytest.approx((step * 25 / 68).to_numpy(), rel=1e-3)
    assert table["activation_without_mouth"][seen].to_numpy() == pytest.approx((step * 5 / 48).to_numpy(), rel=1e-3)


@pytest.mark.parametrize("updates", [1, 3])
def test_stopped_anywhere_and_run_again_it_ends_with_the_same_bytes(finished, tmp_path, updates):
    run, recipe, _ = finished
    folder = tmp_path / "all"
    with pytest.raises(KeyboardInterrupt):
        pretrain_run(recipe, folder, reporter=Listening(updates))
    assert (folder / "cache" / "train.npy").is_file()
    pretrain_run(recipe, folder)
    assert contents(folder) == contents(run.folder)


def test_the_encoder_is_taken_over_for_emotion(finished, talking, tmp_path):
    run, _, _ = finished
    table = pd.read_csv(talking / "metadata.csv")
    table["file_name"] = [str(talking / name) for name in table["file_name"]]
    table["emotion"] = ["anger", "neutral"] * 9
    table.to_csv(tmp_path / "metadata.csv", index=False)
    recipe = recipe_for(
        talking,
        ["emotion"],
        data={"manifests": [str(tmp_path / "metadata.csv")]},
        encoder={"name": str(run.folder)},
        schedule=[{"train": ["heads"], "epochs": 1}],
    )
    trained = train_run(recipe, tmp_path / "run")
    theirs, ours = (load_file(one.model_folder / "model.safetensors") for one in (run, trained))
    encoder = [name for name in ours if name.startswith("encoder.")]
    assert encoder and all(torch.equal(ours[name], theirs[name]) for name in encoder)
    assert not any("pretext" in name or "masked" in name for name in ours)
    assert run.seen_audio <= trained.seen_audio


@pytest.mark.parametrize("task", ["energy", "activation", "action-units"])
def test_each_task_alone_is_learned(talking, tmp_path, task):
    recipe = recipe_for(talking, [task], optimisation=SLOW["optimisation"] | {"epochs": 25})
    dev = pretrain_run(recipe, tmp_path / "run").record["summary"]["dev"]
    assert dev[f"accuracy_{task.replace('-', '_')}"] > 0.8


def test_hidden_frames_are_predicted_better_than_the_most_frequent_cluster(talking, tmp_path):
    # Spans so short that what stands beside them tells what is hidden.
    masked = {"clusters": 5, "projection": 8, "span": 2, "share": 0.1}
    longer = SLOW["optimisation"] | {"epochs": 30}
    recipe = recipe_for(talking, ["masked"], pretext={"masked": masked}, optimisation=longer)
    dev = pretrain_run(recipe, tmp_path / "run").record["summary"]["dev"]
    assert dev["accuracy_masked"] > dev["majority_masked"] + 0.1


def test_a_corpus_without_faces_serves_the_other_tasks(talking, tmp_path):
    (tmp_path / "other").mkdir()
    rows = ["file_name,split"]
    for path in sorted(talking.glob("[abc]*.wav")):
        (tmp_path / "other" / f"other-{path.name}").write_bytes(path.read_bytes() + b"\0\0")
        rows.append(f"other-{path.name},{'dev' if path.name[0] == 'c' else 'train'}")
    (tmp_path / "other" / "metadata.csv").write_text("\n".join(rows) + "\n")
    manifests = [str(folder / "metadata.csv") for folder in (talking, tmp_path / "other")]
    recipe = recipe_for(talking, ["energy", "action-units"], data={"manifests": manifests})
    run = pretrain_run(recipe, tmp_path / "run")
    tasks = json.loads((run.folder / "targets.json").read_text())["tasks"]
    assert tasks["energy"]["balance"]["train"] == {"low": 12, "high": 12, "none": 0}
    assert tasks["action-units"]["balance"]["train"]["none"] == 14
    assert set(tasks["energy"]["thresholds"]) == {"1 metadata.csv", "2 metadata.csv"}


def test_thresholds_do_not_depend_on_the_dev_split(talking, tmp_path):
    table = pd.read_csv(talking / "metadata.csv")
    table["file_name"] = [str(talking / name) for name in table["file_name"]]
    thresholds = []
    for number, kept in enumerate(
        (slice(None), table["split"].eq("train") | table["file_name"].str.endswith("c0.wav"))
    ):
        (tmp_path / f"{number}").mkdir()
        manifest = tmp_path / f"{number}" / "metadata.csv"
        table[kept].to_csv(manifest, index=False)
        recipe = recipe_for(talking, ["energy"], data={"manifests": [str(manifest)]})
        run = pretrain_run(recipe, tmp_path / f"run{number}")
        thresholds.append(json.loads((run.folder / "targets.json").read_text())["tasks"]["energy"]["thresholds"])
    assert thresholds[0] == thresholds[1]


@pytest.mark.parametrize(
    ("tasks", "changes", "message"),
    [
        (["emotion", "energy"], {}, "the task emotion, which needs labels"),
        (["energy"], {"pretext": {"faces": {"sources": ["faces"]}}}, "no task looks at them"),
        (["action-units"], {"pretext": {"faces": {"sources": []}}}, "needs faces, and none were named"),
        (["enhancement", "energy"], {"noise": {"source": None}}, "denoising needs noise"),
        (["masked"], {"data": {"speed_change": 0.1}}, "as it was spoken"),
        (["masked"], {"pretext": {"masked": {"clusters": 60_000}}}, "cannot make 60000 clusters"),
        (["masked"], {"encoder": {"name": "log-mel"}}, "log-mel energies have none"),
    ],
)
def test_what_cannot_be_is_named(talking, tmp_path, tasks, changes, message):
    with pytest.raises(InputError, match=message):
        pretrain_run(recipe_for(talking, tasks, **changes), tmp_path / "run")


def test_train_does_not_take_tasks_without_labels(talking, tmp_path):
    with pytest.raises(InputError, match="pre-train with `sertool pretrain`"):
        train_run(recipe_for(talking, ["energy"]), tmp_path / "run")


def test_damaged_targets_are_named(finished, tmp_path):
    _, recipe, _ = finished
    folder = tmp_path / "all"
    with pytest.raises(KeyboardInterrupt):
        pretrain_run(recipe, folder, reporter=Listening(1))
    (folder / "targets.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"its targets .* are damaged"):
        pretrain_run(recipe, folder)


def test_a_run_is_not_overwritten_by_one_that_clusters_its_hidden_states(finished, talking):
    run, _, _ = finished
    before = contents(run.folder)
    recipe = recipe_for(talking, ["masked"], pretext={"masked": {"features": str(run.folder)}})
    with pytest.raises(InputError, match="the features come from"):
        pretrain_run(recipe, run.folder, overwrite=True)
    assert contents(run.folder) == before


def test_lost_labels_are_made_again(finished, tmp_path):
    run, recipe, _ = finished
    folder = tmp_path / "all"
    with pytest.raises(KeyboardInterrupt):
        pretrain_run(recipe, folder, reporter=Listening(1))
    (folder / "cache" / "train.npy").unlink()
    pretrain_run(recipe, folder)
    assert contents(folder) == contents(run.folder)


def test_an_ssl_encoder_learns_by_low_rank_updates(talking, tmp_path):
    from transformers import HubertConfig, HubertModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    front = {"conv_dim": (8,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    HubertModel(HubertConfig(**sizes, **front)).save_pretrained(tmp_path / "hubert")
    (tmp_path / "hubert" / "preprocessor_config.json").write_text('{"do_normalize": true}')
    encoder = {"name": str(tmp_path / "hubert"), "adapt": "lora"}
    once = SLOW["optimisation"] | {"epochs": 1}
    recipe = recipe_for(talking, ["energy", "masked"], encoder=encoder, schedule="at-once", optimisation=once)
    run = pretrain_run(recipe, tmp_path / "run")
    assert {"accuracy_energy", "accuracy_masked"} <= run.record["summary"]["dev"].keys()
    tensors = load_file(run.model_folder / "model.safetensors")
    assert any("lora_B" in name and tensor.any() for name, tensor in tensors.items())
    again = recipe_for(
        talking,
        ["masked"],
        pretext={"masked": {"clusters": 3, "features": str(run.folder), "layer": 1}},
        optimisation=once,
    )
    second = pretrain_run(again, tmp_path / "second")
    assert json.loads((second.folder / "targets.json").read_text())["masked"]["dimensions"] == 16
    assert run.seen_audio <= second.seen_audio


@pytest.mark.gpu
def test_all_tasks_on_cuda_with_clusters_of_hidden_states(finished, talking, tmp_path):
    masked = {"clusters": 4, "projection": 8, "features": str(finished[0].folder)}
    recipe = recipe_for(talking, ALL, device="cuda", pretext={"hidden": 8, "masked": masked})
    # What is said of faces goes with the rest of the section.
    recipe = recipe.model_copy(
        update={"pretext": recipe.pretext.model_copy(update={"faces": finished[1].pretext.faces})}
    )
    dev = pretrain_run(recipe, tmp_path / "run").record["summary"]["dev"]
    assert {"accuracy_masked", "accuracy_action_units", "l1"} <= dev.keys()


def test_denoising_alone_is_as_it_was():
    assert base_settings(["denoise"]) == {
        "tasks": ["enhancement"],
        "data": {"max_s": 3.0},
        "enhancement": {"crop_s": None},
        "noise": {"clean_share": 0.05},
    }
    with pytest.raises(InputError, match="expected one of denoise, energy"):
        base_settings(["sing"])
    assert set(TASKS) == {"denoise", *ALL[1:]}

"""Training by a curriculum: each order, told by bin, gone on with to the same bytes."""

import gc
import json
import signal

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sertool.core.corpus.batches import Pick
from sertool.core.errors import InputError
from sertool.core.training.inputs import read_inputs
from sertool.core.training.interrupt import StopFlag
from sertool.core.training.loop import Training, train_run
from sertool.core.training.recipe import make_recipe
from sertool.core.training.reporter import Silent
from sertool.core.training.run import begin_run
from sertool.core.training.self_paced import SelfPaced
from sertool.core.training.setup import make_accelerator

STEPS = {"bins": 3, "epochs_per_bin": 1}
"""Of twelve utterances in batches of six: 4, 8, 12 and 12 of them, in 1, 2, 2 and 2 updates."""


def recipe_for(corpus, curriculum, **changes):
    tree = {
        "data": {"manifests": [str(corpus / "metadata.csv")], "workers": 0},
        "noise": {"source": str(corpus / "noise"), "snr_db": ["10"], "dev_snr_db": ["10"]},
        "encoder": {"compact": {"dim": 8, "layers": 2, "kernel": 3}},
        "emotion": {"hidden": 8},
        "enhancement": {"projection": 8, "hidden": 8, "crop_s": 0.3},
        "optimisation": {"epochs": 4, "batch_size": 6, "learning_rate": 0.01, "warmup_updates": 0},
        "schedule": "at-once",
        "curriculum": curriculum,
    }
    for name, value in changes.items():
        tree[name] = tree.get(name, {}) | value if isinstance(value, dict) else value
    return make_recipe(tree)


@pytest.fixture(scope="module", autouse=True)
def little_garbage():
    """Each stage of a training collects garbage, and need not go through all that was loaded before."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def scores(corpus, tmp_path_factory):
    """A table of scores: the speakers take turns, those first in the manifest are the easiest."""
    path = tmp_path_factory.mktemp("scores") / "scores.csv"
    rows = [f"{corpus}/{speaker}{i}.wav,{-i},{3 * i + j}" for j, speaker in enumerate("abc") for i in range(6)]
    path.write_text("file_name,score,rank,metric,target\n" + "".join(f"{row},deepmi,emotion\n" for row in rows))
    return path


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def lines(run):
    return [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]


class StopAfter(Silent):
    """Presses Ctrl-C after so many updates."""

    def __init__(self, updates):
        self.left = updates

    def update(self, loss):
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


def started(recipe, folder):
    """Return a training as it is at its first update."""
    inputs = read_inputs(recipe)
    run = begin_run(folder, recipe, inputs.identity, {})
    training = Training(recipe, inputs, run, make_accelerator(recipe), Silent(), StopFlag())
    training._enter(0, resume=False)
    return training


@pytest.fixture(scope="module", params=["easy-first", "hard-first", "none", "self-paced"])
def finished(request, corpus, scores, tmp_path_factory):
    """A run of each order, in a cascade of three stages, saved at each update."""
    named = {} if request.param == "self-paced" else {"scores": str(scores)}
    schedule = "at-once" if request.param in ("hard-first", "none") else "cascade"
    recipe = recipe_for(corpus, {"order": request.param, **named, **STEPS}, checkpoint_updates=1, schedule=schedule)
    return train_run(recipe, tmp_path_factory.mktemp("runs") / "whole"), recipe


def test_each_order_is_told_by_epoch_and_bin(finished):
    run, recipe = finished
    told = lines(run)
    assert [line["updates"] for line in told] == [1, 3, 5, 7]
    # The bins go on through the stages.
    assert [line["stage"] for line in told] == ([0, 1, 2, 2] if recipe.schedule == "cascade" else [0] * 4)
    assert [line["bins"]["in_play"] for line in told] == [1, 2, 3, 3]
    assert [line["bins"]["utterances"] for line in told] == [4, 8, 12, 12]
    assert [line["bins"]["rate_factor"] for line in told] == [1.0, 0.5, 0.25, 0.25]
    for line in told:
        told_of = {name for name in line["bins"] if name.startswith("loss_")}
        reached = 3 if recipe.curriculum.order == "none" else line["bins"]["in_play"]
        assert told_of <= {"loss_1", "loss_2", "loss_3"} and len(told_of) <= reached
        assert len(told_of) == reached or recipe.curriculum.order == "none"
        assert not any(name.startswith("bin_") for name in line["train"])
    assert all(np.isfinite(value) for line in told for value in line["bins"].values())


def test_record_and_card_say_which_curriculum_it_was(finished):
    run, recipe = finished
    order = recipe.curriculum.order
    said = {"order": order, "bins": 3, "epochs_per_bin": 1, "rate_factor": 0.5}
    if order != "self-paced":
        said |= {"metric": "deepmi", "target": "emotion"}
    assert run.record["curriculum"] == said
    title = {"none": "none (utterances drawn anew", "self-paced": "self-paced by its own loss"}
    title = title.get(order, f"{order} by deepmi for emotion")
    assert f"- Curriculum: {title}" in (run.folder / "README.md").read_text()
    assert all(line["curriculum"].startswith(title) for line in lines(run))


def test_stopped_anywhere_and_run_again_it_ends_with_the_same_bytes(finished, tmp_path):
    run, recipe = finished
    folder = tmp_path / "whole"
    # At the end of a bin, within one, and within an epoch that is not its first.
    for updates in {"easy-first": (1, 1, 3), "self-paced": (1, 1, 1, 3)}.get(recipe.curriculum.order, (2,)):
        with pytest.raises(KeyboardInterrupt):
            train_run(recipe, folder, reporter=StopAfter(updates))
    train_run(recipe, folder)
    assert contents(folder) == contents(run.folder)


def test_one_bin_of_all_is_no_curriculum_at_all(corpus, scores, tmp_path):
    settings = {"scores": str(scores), "bins": 1}
    without, one = (
        train_run(recipe_for(corpus, curriculum, optimisation={"epochs": 2}), tmp_path / name)
        for name, curriculum in (("without", None), ("one", settings))
    )
    found, wanted = ((run.model_folder / "model.safetensors").read_bytes() for run in (one, without))
    assert found == wanted
    assert [line["train"] for line in lines(one)] == [line["train"] for line in lines(without)]
    assert "bins" not in lines(without)[0] and "curriculum" not in without.record


def test_only_members_are_learned_from_at_the_rates_of_their_bins(corpus, scores, tmp_path, monkeypatch):
    recipe = recipe_for(
        corpus,
        {"scores": str(scores), "bins": 3, "epochs_per_bin": 1},
        optimisation={"decay": "constant"},
    )
    heard, rates, seen = {}, [], {}
    update, step = Training._update, Training._step

    def watched_update(training, batches):
        heard.setdefault(training.counters["epochs"], []).extend(i for b in batches for i in b.indices.tolist())
        update(training, batches)

    def watched_step(training, losses):
        rates.append(training.optimizer.param_groups[0]["lr"])
        seen.setdefault(training.counters["epochs"], []).append(losses)
        step(training, losses)

    monkeypatch.setattr(Training, "_update", watched_update)
    monkeypatch.setattr(Training, "_step", watched_step)
    inputs = read_inputs(recipe)
    run = train_run(recipe, tmp_path / "run")
    # Utterance a0, b0, a1, b1, … of the manifest, in which all of a stand before all of b.
    easiest = [i % 2 * 6 + i // 2 for i in range(12)]
    assert [inputs.train.paths[i][-6:-4] for i in easiest[:3]] == ["a0", "b0", "a1"]
    for epoch, count in enumerate((4, 8, 12, 12)):
        assert sorted(heard[epoch]) == sorted(easiest[:count])
        means = {name: np.mean([losses[name] for losses in seen[epoch]]) for name in ("category", "enhancement")}
        assert lines(run)[epoch]["train"] == pytest.approx(means)
    assert rates == pytest.approx([0.01, *[0.005] * 2, *[0.0025] * 4])


def test_the_rate_also_warms_up_and_decays_over_the_updates_there_are(corpus, scores, tmp_path):
    settings = {"optimisation": {"warmup_updates": 3, "decay": "cosine"}, "schedule": "cascade"}
    training = started(recipe_for(corpus, {"scores": str(scores), **STEPS}, **settings), tmp_path / "run")
    assert training.update_starts == [0, 1, 3, 5, 7]
    training._enter(2, resume=False)  # the third stage begins with the third epoch, at update 3
    training.counters |= {"updates": 4, "epochs": 2}
    training._set_rates()
    cosine = 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * 4 / 7))
    base = training.optimizer.param_groups[0]["base_rate"]
    assert training.optimizer.param_groups[0]["lr"] == pytest.approx(base * 2 / 4 * 0.25 * cosine)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("loss", ["cross-entropy", "attributes"])
def test_the_loss_of_a_bin_is_the_mean_over_its_utterances(corpus, scores, tmp_path, steps, loss):
    emotion = {"dropout": 0.0} | ({"categories": [], "attributes": ["arousal"]} if loss == "attributes" else {})
    recipe = recipe_for(
        corpus,
        {"scores": str(scores), **STEPS},
        emotion=emotion,
        encoder={"compact": {"dim": 8, "layers": 2, "kernel": 3, "dropout": 0.0}},
        optimisation={"accumulation": steps},
        tasks=["emotion"],
    )
    training = started(recipe, tmp_path / "run")
    training._step = lambda losses: None
    (batches,) = training._load([np.array([0, 1, 4, 6, 7, 10])], 0)
    training._update(batches)
    by_bin = {}
    training.bare.eval()
    for index in (0, 1, 4, 6, 7, 10):
        one = training.dataset.collate([training.dataset[Pick(index, 0)]])
        with torch.no_grad():
            output = training.bare(one.noisy, one.lengths)
        if loss == "attributes":
            value = float((output.attributes - one.attributes).square()) / 2.25  # half of them are 2.5, half 5.5
        else:
            value = float(F.cross_entropy(output.category_logits, one.labels))
        by_bin.setdefault(int(training.pacing.bin_of[index]), []).append(value)
    assert sorted(by_bin) == [1, 3]
    wanted = {f"bin_{number}_loss": sum(values) for number, values in by_bin.items()}
    wanted |= {f"bin_{number}_count": len(values) for number, values in by_bin.items()}
    totals = training.counters["sums"]
    assert {name: value for name, value in totals.items() if name.startswith("bin_")} == pytest.approx(wanted, rel=1e-4)


def test_other_scores_make_another_run(corpus, scores, tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text(scores.read_text())
    recipe = recipe_for(corpus, {"scores": str(table), **STEPS})
    with pytest.raises(KeyboardInterrupt):
        train_run(recipe, tmp_path / "run", reporter=StopAfter(1))
    table.write_text(scores.read_text().replace(",-5,", ",7,"))
    with pytest.raises(InputError, match=r"other inputs \(curriculum \(mine\.csv\) differ\)"):
        train_run(recipe, tmp_path / "run")
    with pytest.raises(InputError, match=r"curriculum\.order"):
        train_run(recipe_for(corpus, {"scores": str(scores), "order": "none", **STEPS}), tmp_path / "run")


def test_a_run_begun_before_there_were_curricula_goes_on_without_one(corpus, tmp_path):
    recipe = recipe_for(corpus, None)
    with pytest.raises(KeyboardInterrupt):
        train_run(recipe, tmp_path / "run", reporter=StopAfter(1))
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    del record["inputs"]["recipe"]["curriculum"]
    path.write_text(json.dumps(record))
    assert train_run(recipe, tmp_path / "run").finished
    with pytest.raises(InputError, match=r"curriculum"):
        train_run(recipe_for(corpus, {"order": "none", **STEPS}), tmp_path / "run")


def test_notes_and_errors_reach_the_user(corpus, scores, tmp_path):
    inputs = read_inputs(recipe_for(corpus, {"scores": str(scores), **STEPS}))
    assert any("6 scores are of no training utterance" in note for note in inputs.notes)
    table = tmp_path / "few.csv"
    table.write_text("".join(line for line in scores.open() if "/a3.wav" not in line and "/b5.wav" not in line))
    with pytest.raises(InputError, match=r"no score of 2 of 12 training utterances, such as .*a3\.wav"):
        train_run(recipe_for(corpus, {"scores": str(table), **STEPS}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="cannot be cut for 5 processes"):
        train_run(
            recipe_for(corpus, {"scores": str(scores), **STEPS}, optimisation={"accumulation": 5}), tmp_path / "cut"
        )


def test_self_paced_bins_are_of_the_lowest_losses_measured_without_dropout(corpus, tmp_path, monkeypatch):
    measured = {}
    measure = SelfPaced.measure

    def watched(self, epoch, *, between):
        first, second = measure(self, epoch, between=between), measure(self, epoch, between=between)
        assert (first == second).all()
        state = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        measured[epoch] = first, state
        return first

    monkeypatch.setattr(SelfPaced, "measure", watched)
    members = {}
    load = Training._load

    def watched_load(training, plan, epoch):
        members[epoch] = sorted(np.concatenate(plan).tolist())
        return load(training, plan, epoch)

    monkeypatch.setattr(Training, "_load", watched_load)
    recipe = recipe_for(corpus, {"order": "self-paced", **STEPS})
    run = train_run(recipe, tmp_path / "run")
    assert sorted(measured) == [1, 2]  # not at the start, and not again while a bin lasts
    assert members[1] == sorted(np.argsort(measured[1][0])[:8].tolist()) and members[3] == list(range(12))
    assert json.loads((run.folder / "last" / "self_paced.json").read_text()) == {
        "epoch": 2,
        "losses": measured[2][0].tolist(),
    }
    fresh = started(recipe, tmp_path / "fresh")
    losses, state = measured[2]
    fresh.bare.load_state_dict(state)
    fresh.bare.eval()
    for index in (0, 5, 11):
        one = fresh.dataset.collate([fresh.dataset[Pick(index, 2)]])
        with torch.no_grad():
            logits = fresh.bare(one.noisy, one.lengths).category_logits
        assert losses[index] == pytest.approx(float(F.cross_entropy(logits, one.labels)), rel=1e-4)


def test_losses_that_cannot_be_measured_again_are_missed_and_damage_is_named(corpus, tmp_path):
    recipe = recipe_for(corpus, {"order": "self-paced", **STEPS}, checkpoint_updates=1)
    with pytest.raises(KeyboardInterrupt):
        train_run(recipe, tmp_path / "run", reporter=StopAfter(2))
    path = tmp_path / "run" / "last" / "self_paced.json"
    stored = path.read_text()
    for damage in ("{", "[]", '{"epoch": 1, "losses": [1]}', stored.replace("losses", "x")):
        path.write_text(damage)
        with pytest.raises(InputError, match=r"self_paced\.json: is damaged"):
            train_run(recipe, tmp_path / "run")
    path.unlink()
    with pytest.raises(InputError, match=r"lacks self_paced\.json of epoch 1"):
        train_run(recipe, tmp_path / "run")
    path.write_text(stored)
    assert train_run(recipe, tmp_path / "run").finished
    assert not list((tmp_path / "run" / "last").glob(".*"))


def test_ended_around_its_ranking_it_ends_with_the_same_bytes(corpus, tmp_path, monkeypatch):
    recipe = recipe_for(corpus, {"order": "self-paced", **STEPS}, optimisation={"epochs": 3})
    whole = train_run(recipe, tmp_path / "whole" / "run")
    losses = SelfPaced.losses

    def interrupted(self, epoch, *, begun, between):
        return self.measure(epoch, between=lambda: signal.raise_signal(signal.SIGINT) or between())

    def killed(self, epoch, *, begun, between):
        losses(self, epoch, begun=begun, between=between)
        raise RuntimeError("killed")

    for end, cut_short in ((KeyboardInterrupt, interrupted), (RuntimeError, killed)):
        monkeypatch.setattr(SelfPaced, "losses", cut_short)
        with pytest.raises(end):
            train_run(recipe, tmp_path / "cut" / "run")
    monkeypatch.setattr(SelfPaced, "losses", losses)
    run = train_run(recipe, tmp_path / "cut" / "run")
    assert contents(run.folder) == contents(whole.folder)


def test_votes_and_masks_are_paced_too(corpus, scores, tmp_path):
    rows = (corpus / "metadata.csv").read_text().splitlines()
    table = tmp_path / "votes.csv"
    voted = [f"{corpus}/{row},{i % 4 + 1},{(i + 1) % 3}" for i, row in enumerate(rows[1:])]
    table.write_text("\n".join([rows[0] + ",votes_anger,votes_neutral", *voted]) + "\n")
    base = train_run(recipe_for(corpus, None, optimisation={"epochs": 1}), tmp_path / "base")
    recipe = recipe_for(
        corpus,
        {"order": "self-paced", **STEPS},
        data={"manifests": [str(table)]},
        emotion={"loss": "kl-divergence", "attributes": ["arousal"]},
        encoder={"name": str(base.folder), "adapt": "router"},
    )
    run = train_run(recipe, tmp_path / "run")
    told = lines(run)
    assert [sorted(line["bins"])[1:-2] for line in told] == [
        [f"loss_{i}" for i in range(1, 1 + min(epoch, 3))] for epoch in (1, 2, 3, 3)
    ]

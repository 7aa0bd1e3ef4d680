"""Averaged weights: the recurrence worked by hand, what is scored and kept, the same bytes after any stop."""

import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sertool.core.training import loop
from sertool.core.training.averaging import averaged_weights, update_averages
from sertool.core.training.loop import train_run
from sertool.core.training.recipe import make_recipe
from sertool.core.training.reporter import Silent


def test_the_average_is_the_recurrence_and_the_weights_come_back():
    moving, resting = (torch.nn.Parameter(torch.randn(3, generator=torch.manual_seed(0))) for _ in range(2))
    optimizer = torch.optim.AdamW([moving, resting], lr=0.1)
    expected = None
    for step in range(1, 41):
        moving.grad = torch.full((3,), float(np.sin(step)))
        optimizer.step()
        update_averages(optimizer, 0.7)
        share = min(0.7, (1 + step) / (10 + step))
        now = moving.detach().clone()
        expected = now if expected is None else share * expected + (1 - share) * now
    own = moving.detach().clone()
    with averaged_weights(optimizer):
        torch.testing.assert_close(moving.detach(), expected)
        assert not torch.equal(moving, own)
    assert torch.equal(moving, own) and resting not in optimizer.state


def recipe_for(corpus, **optimisation):
    settings = {"epochs": 3, "batch_size": 6, "learning_rate": 0.01, "warmup_updates": 2} | optimisation
    return make_recipe(
        {
            "data": {"manifests": [str(corpus / "metadata.csv")], "workers": 0},
            "noise": {"source": str(corpus / "noise"), "snr_db": ["10"], "dev_snr_db": ["10"]},
            "encoder": {"compact": {"dim": 16, "layers": 2, "kernel": 5}},
            "emotion": {"hidden": 16},
            "tasks": ["emotion"],
            "schedule": "heads-then-all",
            "optimisation": settings,
        }
    )


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_averages_are_scored_and_kept_and_the_weights_gone_on_with(corpus, tmp_path, monkeypatch):
    scored = []
    validate = loop.validate

    def spied(model, *arguments, **options):
        scored.append({name: tensor.clone() for name, tensor in model.own_state().items()})
        return validate(model, *arguments, **options)

    monkeypatch.setattr(loop, "validate", spied)
    runs = {share: train_run(recipe_for(corpus, average=share), tmp_path / f"{share}") for share in (0.0, 0.9)}
    best = runs[0.9].record["summary"]["best_epoch"]
    kept = load_file(runs[0.9].model_folder / "model.safetensors")
    assert all(torch.equal(kept[name], tensor) for name, tensor in scored[3 + best].items())
    whole, averaged = (load_file(next((run.folder / "last").glob("model-*.safetensors"))) for run in runs.values())
    # What is learned is the same: only what is made of it differs.
    assert all(torch.equal(whole[name], averaged[name]) for name in whole)
    assert any(not torch.equal(scored[-1][name], averaged[name]) for name in averaged)


class StopAt(Silent):
    """Presses Ctrl-C after so many updates, or where the dev split is scored for the n-th time."""

    def __init__(self, updates=None):
        self.left = updates

    def update(self, loss):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("when", [2, 4, "scoring"])
def test_stopped_and_run_again_it_ends_with_the_same_bytes(corpus, tmp_path, monkeypatch, when):
    recipe = recipe_for(corpus, average=0.9)
    whole = train_run(recipe, tmp_path / "whole" / "run")
    validate = loop.validate

    def stopping(*arguments, **options):
        monkeypatch.setattr(loop, "validate", validate)
        signal.raise_signal(signal.SIGINT)
        return validate(*arguments, **options)

    if when == "scoring":
        monkeypatch.setattr(loop, "validate", stopping)
    with pytest.raises(KeyboardInterrupt):
        train_run(recipe, tmp_path / "again" / "run", reporter=StopAt(when if when != "scoring" else None))
    train_run(recipe, tmp_path / "again" / "run")
    assert contents(tmp_path / "again" / "run") == contents(whole.folder)

"""The training loop: stages, epochs, updates; resumable at any update, the same numbers as if never stopped."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from sertool.core.corpus.batches import Batch, Pick, UtteranceDataset, load_batches
from sertool.core.environment import keep_freed_memory
from sertool.core.errors import InputError, SertoolError
from sertool.core.models.output import SharedOutput
from sertool.core.models.storage import save_model
from sertool.core.randomness import seed_for
from sertool.core.training.averaging import averaged_weights, update_averages
from sertool.core.training.bin_losses import BinLosses, mean_by_bin, without_bins
from sertool.core.training.card import write_card
from sertool.core.training.history import History
from sertool.core.training.inputs import Inputs, about_run, read_inputs
from sertool.core.training.interrupt import StopFlag, finish_update_on_interrupt
from sertool.core.training.layers import checkpoint_layers, compile_layers
from sertool.core.training.losses import whole_ccc_gradient
from sertool.core.training.opening import opened_run
from sertool.core.training.pacing import curriculum_title
from sertool.core.training.preparation import Preparation
from sertool.core.training.processes import left_alone, own_parts, together, told_once
from sertool.core.training.recipe import Recipe
from sertool.core.training.reporter import Reporter, Silent
from sertool.core.training.run import Run, finish_run, open_run, remove_cache
from sertool.core.training.schedule import freeze_for
from sertool.core.training.self_paced import SelfPaced
from sertool.core.training.setup import (
    build_model,
    make_accelerator,
    make_augmentation,
    make_objective,
    make_optimizer,
    rate_factor,
    standardise_pooling,
)
from sertool.core.training.sharding import shard, unsynchronised, whole
from sertool.core.training.start import check_apart
from sertool.core.training.state import load_state, read_counters, save_state
from sertool.core.training.validation import validate


def train_run(
    recipe: Recipe,
    folder: Path | str,
    *,
    overwrite: bool = False,
    reporter: Reporter | None = None,
    preparation: Preparation | None = None,
) -> Run:
    """Train a model as a recipe says, into a run folder; go on where an interrupted run of the same inputs stopped.

    Args:
        recipe: all settings.
        folder: the run's folder, new, empty, or holding a run of the same inputs.
        overwrite: remove the run in the folder first.
        reporter: told how it goes.
        preparation: makes the targets of the recipe's pre-training tasks; see `sertool.core.pretext`.

    Returns:
        The finished run; at once if it was finished before.

    Raises:
        InputError: the recipe's inputs cannot be used, the folder holds something else, or another process is at work
            there.
        OutputError: the run cannot be written, as on a full disk; what was saved before is still there to go on from.
        SertoolError: the loss stopped being a number.
        KeyboardInterrupt: stopped by Ctrl-C, after the state was saved.
    """
    folder = Path(folder)
    with told_once():
        check_apart(folder, recipe)
        if recipe.pretext_tasks and preparation is None:
            raise InputError(
                f"the task '{recipe.pretext_tasks[0]}' needs no labels, and is for pre-training; expected emotion, "
                "enhancement or both: pre-train with `sertool pretrain`, then train with --encoder RUN"
            )
        accelerator = make_accelerator(recipe)
    with together(accelerator):
        inputs = read_inputs(recipe)
        if preparation:
            inputs = preparation.check(inputs)
    reporter = reporter if reporter and accelerator.is_main_process else Silent()
    for line in inputs.notes:
        reporter.note(line)
    if recipe.optimisation.sharding == "fsdp" and accelerator.num_processes == 1:
        reporter.note("optimisation.sharding: there is one process, so nothing is sharded; `torchrun` starts several")
    about, seen = about_run(recipe, inputs), inputs.seen_audio
    with opened_run(folder, recipe, inputs.identity, about, seen, accelerator, overwrite=overwrite) as run:
        return run if run.finished else _train(run, recipe, inputs, accelerator, reporter, preparation)


def _train(
    run: Run,
    recipe: Recipe,
    inputs: Inputs,
    accelerator: Accelerator,
    reporter: Reporter,
    preparation: Preparation | None,
) -> Run:
    """Train in a folder in which no other run's process works."""
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    with ExitStack() as stack:
        stack.enter_context(left_alone(accelerator))
        stack.enter_context(torch.random.fork_rng(devices=[]))
        if preparation:
            inputs = preparation.make(inputs, run, accelerator, reporter)
        stop = stack.enter_context(finish_update_on_interrupt())
        training = Training(recipe, inputs, run, accelerator, reporter, stop)
        summary = training.go()
    if accelerator.is_main_process:
        write_card(run, recipe, inputs, summary)
        finish_run(run, summary)
        remove_cache(run.folder)
    accelerator.wait_for_everyone()
    return open_run(run.folder)


class Training:
    """One run from its first update, or the one it stopped at, to its last."""

    def __init__(
        self,
        recipe: Recipe,
        inputs: Inputs,
        run: Run,
        accelerator: Accelerator,
        reporter: Reporter,
        stop: StopFlag,
    ) -> None:
        self.recipe, self.inputs, self.run = recipe, inputs, run
        self.accelerator, self.reporter, self.stop = accelerator, reporter, stop
        self.bare = build_model(recipe, inputs).to(accelerator.device)
        with told_once():
            if recipe.optimisation.checkpointing:
                checkpoint_layers(self.bare.encoder)
            if recipe.optimisation.compile:
                compile_layers(self.bare.encoder)
        self.sharded = recipe.optimisation.sharding == "fsdp" and accelerator.num_processes > 1
        self.model = self.stepper = None
        self.objective = make_objective(recipe, inputs, accelerator.device)
        self.dataset = UtteranceDataset(inputs.train, inputs.train_mixer, make_augmentation(recipe), recipe.seed)
        self.stages = recipe.stages()
        self.epochs = [(stage, epoch) for stage, plan in enumerate(self.stages) for epoch in range(plan.epochs)]
        self.pacing = inputs.pacing
        batch_size, parts = recipe.optimisation.batch_size, recipe.optimisation.accumulation * accelerator.num_processes
        with told_once():
            self.update_starts = self.pacing.update_starts(len(self.epochs), batch_size=batch_size, parts=parts)
        self.bins = BinLosses(self.objective, told=recipe.curriculum is not None and self.bare.emotion_head is not None)
        self.self_paced = None
        if recipe.curriculum and recipe.curriculum.order == "self-paced":
            self.self_paced = SelfPaced(
                self.bare, self.dataset, self.objective, recipe, accelerator, run.folder / "last"
            )
        self.history = History(run.folder, tensorboard=recipe.tensorboard, writes=accelerator.is_main_process)
        self.counters: dict[str, Any] = {"updates": 0, "epochs": 0, "sums": {}, "best": None, "best_epoch": None}

    def go(self) -> dict[str, Any]:
        """Train to the end and return a summary: best epoch, its dev scores, updates."""
        stored = read_counters(self.run.folder / "last")
        if stored:
            self.counters = stored
        else:
            standardise_pooling(self.bare, self.dataset, self.accelerator.device)
        first = self.counters["epochs"]
        self.history.keep(first)
        if self.sharded:
            shard(self.bare, self.accelerator.device)
        self.accelerator.wait_for_everyone()
        self.reporter.begin(self.update_starts[-1], self.counters["updates"])
        for epoch in range(first, len(self.epochs)):
            stage_index, epoch_in_stage = self.epochs[epoch]
            if epoch == first or epoch_in_stage == 0:
                self._enter(stage_index, resume=epoch == first and self.counters["updates"] > 0)
            if self.self_paced and epoch in (first, self.pacing.bin_start(epoch)):
                self._rank(epoch)
            self._epoch(epoch)
        best = self.counters["best_epoch"]
        return {"updates": self.update_starts[-1], "best_epoch": best, "dev": self.history.lines()[best]["dev"]}

    def _rank(self, epoch: int) -> None:
        """Make a self-paced curriculum's bins of the model's own losses, as they were when the newest bin came in."""
        begin = self.pacing.bin_start(epoch)
        if begin:  # before, the model has learned nothing, and the bin is drawn at random
            begun = self.counters["updates"] > self.update_starts[begin]
            losses = self.self_paced.losses(begin, begun=begun, between=self._stop_if_asked)
            self.pacing = self.pacing.with_order(np.argsort(losses, kind="stable"))

    def _enter(self, stage_index: int, *, resume: bool) -> None:
        """Unfreeze what a stage trains, with a fresh optimizer, or the stored one where a run goes on within it."""
        self.stage = self.stages[stage_index]
        self.stage_start = self.update_starts[sum(stage.epochs for stage in self.stages[:stage_index])]
        self.optimizer = make_optimizer(self.bare, self.stage, self.recipe)
        within = self.counters["updates"] > self.stage_start
        if resume:
            # At a stage's first update the stored optimizer is that of the stage before; only the weights are wanted.
            stored = self.optimizer if within else make_optimizer(self.bare, self.stages[stage_index - 1], self.recipe)
            freeze_for(self.stages[stage_index if within else stage_index - 1], self.bare)
            load_state(self.run.folder / "last", model=self.bare, optimizer=stored)
            freeze_for(self.stage, self.bare)
        if self.sharded:
            self.model, self.stepper = self.bare, self.optimizer
            return
        # The wrapper of the stage before must go first: its hooks would still answer to the same parameters' gradients.
        self.model, self.stepper = self.accelerator.free_memory(self.model, self.stepper)
        self.model, self.stepper = self.accelerator.prepare(self.bare, self.optimizer)

    def _epoch(self, epoch: int) -> None:
        """Do what is left of an epoch, score the model, and store both."""
        # By what is heard of them: else those that are cut to one length would lie beside others of their corpus.
        plan = self.pacing.plan(
            np.minimum(self.inputs.train.durations_s, self.recipe.data.max_s),
            batch_size=self.recipe.optimisation.batch_size,
            seed=self.recipe.seed,
            epoch=epoch,
        )
        start, end = self.update_starts[epoch : epoch + 2]
        for batches in self._load(plan[self.counters["updates"] - start :], epoch):
            self._update(batches)
        if self.counters["updates"] != end:
            raise SertoolError(f"epoch {epoch} ended early: the data loader gave too few batches; run again to go on")
        dev = self._validate()
        sums = self.counters["sums"]
        line = {
            "epoch": epoch,
            "stage": self.epochs[epoch][0],
            "updates": self.counters["updates"],
            "train": {name: value / (end - start) for name, value in without_bins(sums).items()},
            "dev": dev,
        }
        if self.recipe.curriculum:
            line["curriculum"] = curriculum_title(self.recipe, self.inputs.scores)
            line["bins"] = self.pacing.in_play(epoch) | mean_by_bin(sums, self.pacing.num_bins)
        self.counters |= {"epochs": epoch + 1, "sums": {}}
        if self.counters["best"] is None or dev["score"] > self.counters["best"]:
            self.counters |= {"best": dev["score"], "best_epoch": epoch}
            with averaged_weights(self.optimizer):
                self._save_model()
        self.history.append(line)
        self._save()
        self.reporter.epoch(line)

    def _validate(self) -> dict[str, float]:
        """Score the model on the dev split, with its averaged weights where there are any."""
        with ExitStack() as averaged:
            averaged.enter_context(averaged_weights(self.optimizer))
            return validate(
                self.bare,
                self.inputs,
                self.recipe,
                self.accelerator,
                self.objective,
                # What is saved of an interrupted run are the weights it goes on with.
                between=lambda: self._stop_if_asked(averaged.close),
            )

    def _load(self, plan: list[np.ndarray], epoch: int) -> Iterator[list[Batch]]:
        """Yield this process's share of each update's batch, cut into accumulation steps."""
        steps = self.recipe.optimisation.accumulation
        with told_once():
            parts = own_parts(plan, self.accelerator, steps=steps)
        picks = [[Pick(int(index), epoch) for index in part] for part in parts]
        waiting: list[Batch] = []
        for batch in load_batches(self.dataset, picks, workers=self.recipe.data.workers):
            waiting.append(batch.to(self.accelerator.device))
            if len(waiting) == steps:
                yield waiting
                waiting = []

    def _update(self, batches: list[Batch]) -> None:
        """Take one optimizer step on the whole batch, of which this process has these parts."""
        self.bare.train()
        self._set_rates()
        denominators = self._sum(torch.stack([self.objective.denominators(batch) for batch in batches]).sum(0))
        outputs, gradients, attribute_loss = self._attribute_gradients(batches)
        sums: dict[str, Tensor] = {}
        for step, batch in enumerate(batches):
            last = step == len(batches) - 1
            with ExitStack() as stack:
                if not last:
                    wait = unsynchronised if self.sharded else self.accelerator.no_sync
                    stack.enter_context(wait(self.model))
                output = outputs[step] if outputs else self._forward(batch, step)
                losses = self.objective.losses(self.bare, output, batch, denominators, gradients and gradients[step])
                # Processes average their gradients; the denominators are global, so the average is made a sum again.
                self.accelerator.backward(sum(losses.values()) * self.accelerator.num_processes)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.detach()
            self.bins.add(output, batch, self.pacing)
        if attribute_loss is not None:
            sums["attribute"] = self.objective.emotion_weight * attribute_loss / self.accelerator.num_processes
        self.bins.move_to(self.counters["sums"], self._sum)
        self._step({name: self._sum(value).item() for name, value in sums.items()})

    def _step(self, losses: dict[str, float]) -> None:
        loss = sum(losses.values())
        with told_once():
            if not math.isfinite(loss):
                raise SertoolError(
                    f"the loss is {loss} at update {self.counters['updates']}: lower optimisation.learning_rate, "
                    "or check the audio with `sertool corpus check`"
                )
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.recipe.optimisation.clip_norm)
        self.stepper.step()
        self.stepper.zero_grad(set_to_none=True)
        if self.recipe.optimisation.average:
            update_averages(self.optimizer, self.recipe.optimisation.average)
        for name, value in losses.items():
            self.counters["sums"][name] = self.counters["sums"].get(name, 0.0) + value
        self.counters["updates"] += 1
        self.reporter.update(loss)
        every = self.recipe.checkpoint_updates
        if every and self.counters["updates"] % every == 0:
            self._save()
        self._stop_if_asked()

    def _forward(self, batch: Batch, step: int) -> SharedOutput:
        """Run the model; its dropout depends on update, step and process alone, so a resumed run draws the same."""
        torch.manual_seed(
            seed_for("dropout", self.recipe.seed, self.counters["updates"], step, self.accelerator.process_index)
        )
        with self.accelerator.autocast():
            return self.model(
                batch.noisy, batch.lengths, self.objective.crop(batch), **self.objective.hidden_frames(batch)
            )

    def _attribute_gradients(self, batches: list[Batch]) -> tuple[list, list | None, Tensor | None]:
        """Return the gradient of 1 − CCC over all predictions of the update, for each of this process's steps.

        With several steps the predictions are made once without a graph and once more with it, under the same dropout.
        """
        if not self.objective.attributes:
            return [], None, None
        outputs = []
        if len(batches) == 1:
            outputs = [self._forward(batches[0], 0)]
            predicted = [outputs[0].attributes.detach().float()]
        else:
            with torch.no_grad():
                predicted = [self._forward(batch, step).attributes.float() for step, batch in enumerate(batches)]
        loss, gradients = whole_ccc_gradient(predicted, [batch.attributes for batch in batches], self.accelerator)
        return outputs, gradients, loss

    def _set_rates(self) -> None:
        """Warm up within the stage, decay over the run, and slow down as the curriculum's bins come in."""
        settings, done = self.recipe.optimisation, self.counters["updates"]
        factor = rate_factor(settings, done, stage_start=self.stage_start, total=self.update_starts[-1])
        factor *= self.pacing.rate(self.counters["epochs"])
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_rate"] * factor

    def _sum(self, value: Tensor) -> Tensor:
        return self.accelerator.reduce(value, "sum") if self.accelerator.num_processes > 1 else value

    def _stop_if_asked(self, before: Callable[[], None] = lambda: None) -> None:
        """Save and end where Ctrl-C was pressed; called where counters and weights agree, by all processes at once.

        Args:
            before: what makes them agree.
        """
        asked = torch.tensor(float(self.stop.asked), device=self.accelerator.device)
        # Processes hear of it at different moments and must end at the same one, or some wait for the others for ever.
        if self._sum(asked):
            before()
            self._save()
            with told_once():
                raise KeyboardInterrupt

    def _save(self) -> None:
        save_state(
            self.run.folder / "last",
            model=self.bare,
            optimizer=self.optimizer,
            counters=self.counters,
            writes=self.accelerator.is_main_process,
        )
        self.accelerator.wait_for_everyone()

    def _save_model(self) -> None:
        writes = self.accelerator.is_main_process
        tensors = whole(self.bare.own_state(), keep=writes)
        if writes:
            save_model(tensors, self.bare.config, self.run.model_folder)

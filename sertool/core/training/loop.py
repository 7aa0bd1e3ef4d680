"""The training loop: stages, epochs, updates; resumable at any update, the same numbers as if never stopped."""

import json
import math
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.audio.spectra import HOP
from sertool.core.corpus.batches import Augmentation, Batch, Pick, UtteranceDataset, load_batches, plan_epoch
from sertool.core.environment import choose_device
from sertool.core.errors import InputError, SertoolError
from sertool.core.models.shared import SharedModel, SharedOutput
from sertool.core.randomness import seed_for
from sertool.core.training.card import write_card
from sertool.core.training.inputs import Inputs, read_inputs
from sertool.core.training.losses import ccc_gradient, class_weights
from sertool.core.training.objective import Objective
from sertool.core.training.recipe import Recipe
from sertool.core.training.reporter import Reporter, Silent
from sertool.core.training.run import Run, begin_run, finish_run, remove_run, write_seen
from sertool.core.training.schedule import Stage, freeze_for
from sertool.core.training.state import load_state, read_counters, save_state
from sertool.core.training.validation import validate

METRICS_NAME = "metrics.jsonl"


def train_run(recipe: Recipe, folder: Path | str, *, overwrite: bool = False, reporter: Reporter | None = None) -> Run:
    """Train a model as a recipe says, into a run folder; go on where an interrupted run of the same inputs stopped.

    Args:
        recipe: all settings.
        folder: the run's folder, new, empty, or holding a run of the same inputs.
        overwrite: remove the run in the folder first.
        reporter: told how it goes.

    Returns:
        The finished run; at once if it was finished before.

    Raises:
        InputError: the recipe's inputs cannot be used, or the folder holds something else.
        SertoolError: the loss stopped being a number.
        KeyboardInterrupt: stopped by Ctrl-C, after the state was saved.
    """
    folder, reporter = Path(folder), reporter or Silent()
    inputs = read_inputs(recipe)
    for line in inputs.notes:
        reporter.note(line)
    accelerator = _accelerator(recipe)
    if accelerator.is_main_process:
        if overwrite:
            remove_run(folder)
        begin_run(folder, recipe, inputs.identity, _about(inputs))
        write_seen(folder, inputs.seen_audio)
    accelerator.wait_for_everyone()
    run = begin_run(folder, recipe, inputs.identity, _about(inputs))
    if run.finished:
        return run
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stop = stack.enter_context(finish_update_on_interrupt())
        training = Training(recipe, inputs, run, accelerator, reporter, stop)
        summary = training.go()
    if accelerator.is_main_process:
        run = finish_run(run, summary)
        write_card(run, recipe, inputs, summary)
    accelerator.wait_for_everyone()
    return run


class Training:
    """One run from its first update, or the one it stopped at, to its last."""

    def __init__(
        self,
        recipe: Recipe,
        inputs: Inputs,
        run: Run,
        accelerator: Accelerator,
        reporter: Reporter,
        stop: "StopFlag",
    ) -> None:
        self.recipe, self.inputs, self.run = recipe, inputs, run
        self.accelerator, self.reporter, self.stop = accelerator, reporter, stop
        self.bare = build_model(recipe, inputs).to(accelerator.device)
        self.objective = _objective(recipe, inputs, accelerator.device)
        augmentation = Augmentation(recipe.data.max_s, recipe.data.speed_change, recipe.noise.clean_share)
        self.dataset = UtteranceDataset(inputs.train, inputs.train_mixer, augmentation, recipe.seed)
        self.stages = recipe.stages()
        self.epochs = [(stage, epoch) for stage, plan in enumerate(self.stages) for epoch in range(plan.epochs)]
        self.updates_per_epoch = -(-len(inputs.train) // recipe.optimisation.batch_size)
        self.counters: dict[str, Any] = {"updates": 0, "sums": {}, "best": None, "best_epoch": None}

    @property
    def total_updates(self) -> int:
        """Updates of the whole run."""
        return len(self.epochs) * self.updates_per_epoch

    def go(self) -> dict[str, Any]:
        """Train to the end and return a summary: best epoch, its dev scores, updates."""
        self.counters = read_counters(self.run.folder / "last") or self.counters
        first = min(self.counters["updates"] // self.updates_per_epoch, len(self.epochs))
        _keep_lines(self.run.folder / METRICS_NAME, first, self.accelerator)
        self.reporter.begin(self.total_updates, self.counters["updates"])
        for epoch in range(first, len(self.epochs)):
            stage_index, epoch_in_stage = self.epochs[epoch]
            if epoch == first or epoch_in_stage == 0:
                self._enter(stage_index, resume=epoch == first and self.counters["updates"] > 0)
            self._epoch(epoch)
        best_line = _read_lines(self.run.folder / METRICS_NAME)[self.counters["best_epoch"]]
        return {"updates": self.total_updates, "best_epoch": self.counters["best_epoch"], "dev": best_line["dev"]}

    def _enter(self, stage_index: int, *, resume: bool) -> None:
        """Unfreeze what a stage trains, with a fresh optimizer; or with the stored one where a run goes on within it."""
        self.stage = self.stages[stage_index]
        self.stage_start = sum(stage.epochs for stage in self.stages[:stage_index]) * self.updates_per_epoch
        self.optimizer = _optimizer(self.bare, self.stage, self.recipe)
        within = self.counters["updates"] > self.stage_start
        if resume:
            # At a stage's first update the stored optimizer is that of the stage before; only the weights are wanted.
            stored = self.optimizer if within else _optimizer(self.bare, self.stages[stage_index - 1], self.recipe)
            freeze_for(self.stages[stage_index if within else stage_index - 1], self.bare)
            load_state(self.run.folder / "last", model=self.bare, optimizer=stored)
            freeze_for(self.stage, self.bare)
        self.model, self.stepper = self.accelerator.prepare(self.bare, self.optimizer)

    def _epoch(self, epoch: int) -> None:
        """Do what is left of an epoch, score the model, and store both."""
        plan = plan_epoch(
            self.inputs.train.durations_s,
            batch_size=self.recipe.optimisation.batch_size,
            seed=self.recipe.seed,
            epoch=epoch,
        )
        plan = plan[self.counters["updates"] - epoch * self.updates_per_epoch :]
        for batches in self._load(plan, epoch):
            self._update(batches)
        if not self._at_end_of(epoch):
            raise SertoolError(f"epoch {epoch} ended early: the data loader gave too few batches; run again to go on")
        dev = validate(self.bare, self.inputs, self.recipe, self.accelerator, stop=self.stop.check_twice)
        sums = self.counters["sums"]
        train = {name: value / self.updates_per_epoch for name, value in sums.items()}
        line = {
            "epoch": epoch,
            "stage": self.epochs[epoch][0],
            "updates": self.counters["updates"],
            "train": train,
            "dev": dev,
        }
        self.counters["sums"] = {}
        if self.counters["best"] is None or dev["score"] > self.counters["best"]:
            self.counters |= {"best": dev["score"], "best_epoch": epoch}
            if self.accelerator.is_main_process:
                self.bare.save_pretrained(self.run.model_folder)
        if self.accelerator.is_main_process:
            with open(self.run.folder / METRICS_NAME, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            _write_tensorboard(self.recipe, self.run.folder, line)
        self._save()
        self.reporter.epoch(line)
        self.stop.check()

    def _load(self, plan: list[np.ndarray], epoch: int) -> Iterator[list[Batch]]:
        """Yield this process's share of each update's batch, cut into accumulation steps."""
        steps = self.recipe.optimisation.accumulation
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        parts = []
        for batch in plan:
            if len(batch) < steps * world:
                raise InputError(
                    f"a batch of {len(batch)} utterances cannot be cut for {world} processes × {steps} steps: use fewer of them"
                )
            for part in np.array_split(batch, steps * world)[rank::world]:
                parts.append([Pick(int(index), epoch) for index in part])
        waiting: list[Batch] = []
        for batch in load_batches(self.dataset, parts, workers=self.recipe.data.workers):
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
                    stack.enter_context(self.accelerator.no_sync(self.model))
                output = outputs[step] if outputs else self._forward(batch, step)
                losses = self.objective.losses(self.bare, output, batch, denominators, gradients and gradients[step])
                # Processes average their gradients; the denominators are global, so the average is made a sum again.
                self.accelerator.backward(sum(losses.values()) * self.accelerator.num_processes)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.detach()
        if attribute_loss is not None:
            sums["attribute"] = attribute_loss / self.accelerator.num_processes
        self._step({name: self._sum(value).item() for name, value in sums.items()})

    def _step(self, losses: dict[str, float]) -> None:
        loss = sum(losses.values())
        if not math.isfinite(loss):
            raise SertoolError(
                f"the loss is {loss} at update {self.counters['updates']}: lower optimisation.learning_rate, or check the audio"
            )
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.recipe.optimisation.clip_norm)
        self.stepper.step()
        self.stepper.zero_grad(set_to_none=True)
        for name, value in losses.items():
            self.counters["sums"][name] = self.counters["sums"].get(name, 0.0) + value
        self.counters["updates"] += 1
        self.reporter.update(loss)
        every = self.recipe.checkpoint_updates
        if self.stop.asked or (every and self.counters["updates"] % every == 0):
            if self.counters["updates"] % self.updates_per_epoch:
                self._save()
                self.stop.check()

    def _forward(self, batch: Batch, step: int) -> SharedOutput:
        """Run the model with dropout drawn for this update, step and process alone, so that a resumed run draws the same."""
        torch.manual_seed(
            seed_for("dropout", self.recipe.seed, self.counters["updates"], step, self.accelerator.process_index)
        )
        with self.accelerator.autocast():
            return self.model(batch.noisy, batch.lengths, self.objective.crop(batch))

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
        mine = torch.cat(predicted)
        pair = torch.cat([mine, torch.cat([batch.attributes for batch in batches])], dim=1)
        start, everyone = 0, pair
        if self.accelerator.num_processes > 1:
            padded = self.accelerator.pad_across_processes(pair, pad_index=float("nan"))
            everyone, start = self.accelerator.gather(padded), self.accelerator.process_index * len(padded)
        estimates, truths = everyone.chunk(2, dim=1)
        loss, gradient = ccc_gradient(estimates.nan_to_num(), truths)
        return outputs, list(gradient[start : start + len(mine)].split([len(part) for part in predicted])), loss

    def _set_rates(self) -> None:
        """Warm up within the stage, decay over the run."""
        settings, done = self.recipe.optimisation, self.counters["updates"]
        factor = min(1.0, (done - self.stage_start + 1) / (settings.warmup_updates + 1))
        if settings.decay == "cosine":
            factor *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done / self.total_updates))
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_rate"] * factor

    def _sum(self, value: Tensor) -> Tensor:
        return self.accelerator.reduce(value, "sum") if self.accelerator.num_processes > 1 else value

    def _at_end_of(self, epoch: int) -> bool:
        return self.counters["updates"] == (epoch + 1) * self.updates_per_epoch

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            save_state(self.run.folder / "last", model=self.bare, optimizer=self.optimizer, counters=self.counters)
        self.accelerator.wait_for_everyone()


class StopFlag:
    """Remembers that Ctrl-C was pressed, until the update under way is done."""

    asked = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed; for moments when the state is saved."""
        if self.asked:
            raise KeyboardInterrupt

    check_twice = check


@contextmanager
def finish_update_on_interrupt() -> Iterator[StopFlag]:
    """Let the first Ctrl-C end the training after the update under way, and a second one at once."""
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag  # signals reach the main thread only; elsewhere nobody can press Ctrl-C
        return

    def remember(number: int, frame: object) -> None:
        if flag.asked:
            raise KeyboardInterrupt
        flag.asked = True

    previous = signal.signal(signal.SIGINT, remember)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)


def build_model(recipe: Recipe, inputs: Inputs) -> SharedModel:
    """Return the model a training starts from: weights drawn from the seed, the encoder's taken over where there is one.

    With the encoder come the enhancement head and its layer sum, where both models have them at the same sizes, so
    that what pre-training learned of denoising is kept.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for("weights", recipe.seed))
        model = SharedModel(inputs.config)
    if inputs.start is None:
        return model
    model.encoder.load_state_dict(inputs.start.encoder.state_dict())
    same = inputs.config.enhancement is not None and inputs.config.enhancement == inputs.start.config.enhancement
    if same:
        model.enhancement_head.load_state_dict(inputs.start.enhancement_head.state_dict())
        source = inputs.start.layer_sums["shared" if "shared" in inputs.start.layer_sums else "enhancement"]
        target = model.layer_sums["shared" if "shared" in model.layer_sums else "enhancement"]
        target.load_state_dict(source.state_dict())
    return model


def _optimizer(model: SharedModel, stage: Stage, recipe: Recipe) -> torch.optim.Optimizer:
    settings = recipe.optimisation
    groups = []
    for part, parameters in freeze_for(stage, model).items():
        rate = settings.learning_rate * stage.rate * (1.0 if part == "heads" else settings.encoder_rate)
        # Norms and biases are left out of weight decay, as is usual.
        for decay, chosen in (
            (settings.weight_decay, [p for p in parameters if p.ndim > 1]),
            (0.0, [p for p in parameters if p.ndim <= 1]),
        ):
            groups.append({"params": chosen, "lr": rate, "base_rate": rate, "weight_decay": decay})
    return torch.optim.AdamW(groups)


def _objective(recipe: Recipe, inputs: Inputs, device: torch.device) -> Objective:
    weights = None
    if inputs.counts:
        weights = class_weights(torch.tensor(list(inputs.counts.values()))).to(device)
    crop_s = recipe.enhancement.crop_s
    return Objective(
        class_weights=weights,
        attributes=bool(inputs.config.attributes),
        enhancement=inputs.config.enhances,
        emotion_weight=recipe.emotion.weight,
        enhancement_weight=recipe.enhancement.weight,
        crop_frames=None if crop_s is None else round(crop_s * SAMPLE_RATE / HOP),
    )


def _accelerator(recipe: Recipe) -> Accelerator:
    device = choose_device(recipe.device)
    precision = recipe.optimisation.precision
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" else "fp32"
    return Accelerator(cpu=device.type == "cpu", mixed_precision="bf16" if precision == "bf16" else "no")


def _about(inputs: Inputs) -> dict[str, Any]:
    return {"noise": {"kinds": list(inputs.noise_kinds), "file_digests": list(inputs.noise_digests)}}


def _read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _keep_lines(path: Path, count: int, accelerator: Accelerator) -> None:
    """Drop lines of epochs that are to be done again: they were written after the state that is gone on from."""
    if accelerator.is_main_process and path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[:count]
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text("".join(lines), encoding="utf-8")
        partial.replace(path)
    accelerator.wait_for_everyone()


def _write_tensorboard(recipe: Recipe, folder: Path, line: dict[str, Any]) -> None:
    if not recipe.tensorboard:
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            "tensorboard is not installed, but the recipe asks for its logs: pip install 'sertool[tensorboard]'"
        ) from error
    with SummaryWriter(str(folder / "tensorboard")) as writer:
        for group in ("train", "dev"):
            for name, value in line[group].items():
                writer.add_scalar(f"{group}/{name}", value, line["updates"])

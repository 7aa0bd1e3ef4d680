"""DeepEmoCluster's loop: cluster, learn the clusters, cluster, learn clusters and labels (Lin, Sridhar & Busso, 2021).

An epoch has two halves: the unlabelled speech, where there is any, then the labelled. Each begins with k-means on the
features of all its chunks, and goes on with an epoch of cross-entropy on what that found, its labels' loss beside it in
the second half. Resumable at any update, with the numbers of a run that was never stopped.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor

from sertool.core.clustering.inference import features_file, hear, outputs, read_features
from sertool.core.clustering.inputs import ClusterInputs, read_inputs
from sertool.core.clustering.judging import judge, utterance_means
from sertool.core.clustering.kmeans import assign, kmeans
from sertool.core.clustering.losses import ClusterObjective
from sertool.core.clustering.network import ClusterModel, ClusterOutput
from sertool.core.clustering.recipe import ClusterRecipe
from sertool.core.clustering.reporter import ClusterReporter, Silent
from sertool.core.clustering.results import write_results
from sertool.core.clustering.resume import Resumable
from sertool.core.clustering.sampling import (
    chunk_probabilities,
    draw,
    expected_shares,
    sentence_probabilities,
)
from sertool.core.clustering.setup import check_sizes, make_optimizers, write_stores
from sertool.core.clustering.storage import load_cluster_model, save_cluster_model
from sertool.core.clustering.store import ChunkStore, open_store
from sertool.core.errors import SertoolError
from sertool.core.randomness import generator_for, seed_for
from sertool.core.training.history import History
from sertool.core.training.interrupt import StopFlag, finish_update_on_interrupt
from sertool.core.training.opening import opened_run
from sertool.core.training.processes import left_alone, together, told_once
from sertool.core.training.run import (
    CACHE_NAME,
    Run,
    finish_run,
    open_run,
    remove_cache,
)
from sertool.core.training.setup import make_accelerator
from sertool.core.training.state import load_state, read_counters, save_state


def train_clusters(
    recipe: ClusterRecipe, folder: Path | str, *, overwrite: bool = False, reporter: ClusterReporter | None = None
) -> Run:
    """Train a cluster model as a recipe says, into a run folder; go on where an interrupted run stopped.

    Args:
        recipe: all settings.
        folder: the run's folder, new, empty, or holding a run of the same inputs.
        overwrite: remove the run in the folder first.
        reporter: told how it goes.

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
        accelerator = make_accelerator(recipe)
    with together(accelerator):
        inputs = read_inputs(recipe)
    reporter = reporter if reporter and accelerator.is_main_process else Silent()
    for line in inputs.notes:
        reporter.note(line)
    about = {"kind": "clusters", **({"attributes": inputs.learned_attributes} if inputs.learned_attributes else {})}
    seen = inputs.seen_audio
    with opened_run(folder, recipe, inputs.identity, about, seen, accelerator, overwrite=overwrite) as run:
        return run if run.finished else _train(run, recipe, inputs, accelerator, reporter)


def _train(
    run: Run, recipe: ClusterRecipe, inputs: ClusterInputs, accelerator: Accelerator, reporter: ClusterReporter
) -> Run:
    """Train in a folder in which no other run's process works."""
    with ExitStack() as stack:
        stack.enter_context(left_alone(accelerator))
        stack.enter_context(torch.random.fork_rng(devices=[]))
        with together(accelerator):
            if accelerator.is_main_process:
                write_stores(run.folder / CACHE_NAME, recipe, inputs, accelerator.device, reporter)
        stop = stack.enter_context(finish_update_on_interrupt())
        training = ClusterTraining(recipe, inputs, run, accelerator, reporter, stop)
        summary = training.go()
    if accelerator.is_main_process:
        finish_run(run, summary)
        remove_cache(run.folder)
    accelerator.wait_for_everyone()
    return open_run(run.folder)


class ClusterTraining:
    """One run from its first update, or the one it stopped at, to what it leaves."""

    def __init__(
        self,
        recipe: ClusterRecipe,
        inputs: ClusterInputs,
        run: Run,
        accelerator: Accelerator,
        reporter: ClusterReporter,
        stop: StopFlag,
    ) -> None:
        self.recipe, self.inputs, self.run = recipe, inputs, run
        self.accelerator, self.reporter, self.stop = accelerator, reporter, stop
        self.stores = {name: open_store(run.folder / CACHE_NAME / name, inputs.config) for name in inputs.parts}
        self.halves = [name for name in ("unlabelled", "train") if name in self.stores]
        if not recipe.clusters:
            self.halves = ["train"]
        with told_once():
            check_sizes(recipe, {name: self.stores[name] for name in self.halves}, accelerator.num_processes)
        torch.manual_seed(seed_for("weights", recipe.seed))
        self.bare = ClusterModel(inputs.config, inputs.encoder.dim if inputs.encoder else None).to(accelerator.device)
        self.optimizer, self.label_optimizer = make_optimizers(self.bare, recipe)
        self.objective = ClusterObjective(recipe, inputs, self.stores, accelerator)
        self.assigned = {
            name: torch.full(self.stores[name].sentences.starts.shape, -1) for name in self.halves if recipe.clusters
        }
        self.history = History(run.folder, tensorboard=recipe.tensorboard, writes=accelerator.is_main_process)
        self.counters: dict[str, Any] = {
            **{"updates": 0, "epochs": 0, "sums": {}, "best": None, "best_epoch": None},
            **{"half": 0, "done": 0, "clusters": {}},
        }

    def go(self) -> dict[str, Any]:
        """Train to the end, write what the run leaves, and return a summary."""
        stored = read_counters(self.run.folder / "last")
        if stored:
            self.counters |= stored
            load_state(self.run.folder / "last", model=Resumable(self), optimizer=self.optimizer)
        else:
            self.bare.set_statistics(*self.stores["train"].statistics())
        self.model, self.stepper = self.accelerator.prepare(self.bare, self.optimizer)
        first = self.counters["epochs"]
        self.history.keep(first)
        self.accelerator.wait_for_everyone()
        for epoch in range(first, self.recipe.optimisation.epochs):
            self._epoch(epoch)
        lines = self.history.lines()
        best = self.counters["best_epoch"]
        if self.accelerator.is_main_process:
            model, _ = load_cluster_model(self.run.model_folder)
            write_results(
                self.run.folder,
                self.recipe,
                self.inputs,
                model.to(self.accelerator.device),
                self.stores,
                lines,
                cache=self.run.folder / CACHE_NAME,
                phase=self._phase_of_results,
                done=self.reporter.advance,
            )
        return {"updates": self.counters["updates"], "best_epoch": best, "dev": lines[best]["dev"]}

    def _phase_of_results(self, name: str, total: int) -> None:
        if self.accelerator.num_processes == 1:  # the others have no part in this
            self._stop_if_asked()
        self.reporter.phase(name, total)

    def _epoch(self, epoch: int) -> None:
        """Do what is left of an epoch, judge the model, and store both."""
        for half, name in enumerate(self.halves):
            if half < self.counters["half"]:
                continue
            if self.recipe.clusters and self.counters["done"] == 0:
                self._cluster(name, epoch)
            self._learn(name, epoch)
            self.counters |= {"half": half + 1, "done": 0}
            self._save()
        self.reporter.phase(f"epoch {epoch + 1}: dev split", len(self.stores["dev"]))
        dev = judge(self._estimates("dev"), self.inputs.parts["dev"], self.inputs.config)
        line = {
            "epoch": epoch,
            "updates": self.counters["updates"],
            "train": dict(self.counters["sums"]),
            "dev": dev,
            "clusters": self.counters["clusters"],
        }
        self.counters |= {"epochs": epoch + 1, "sums": {}, "half": 0, "done": 0, "clusters": {}}
        if self.counters["best"] is None or dev["score"] > self.counters["best"]:
            self.counters |= {"best": dev["score"], "best_epoch": epoch}
            if self.accelerator.is_main_process:
                save_cluster_model(self.bare, self.run.model_folder)
        self.history.append(line)
        self._save()
        self.reporter.epoch(line)

    def _cluster(self, name: str, epoch: int) -> None:
        """Give every chunk of a part its pseudo-label, and begin a new top layer for them."""
        settings, device = self.recipe.optimisation, self.accelerator.device
        store = self.stores[name]
        self.reporter.phase(f"epoch {epoch + 1}: features of {name} speech", len(store))
        features = self._features(name)
        self.reporter.phase(f"epoch {epoch + 1}: k-means on {store.sentences.starts.size} {name} chunks", 0)
        found = kmeans(
            features,
            self.recipe.clusters,
            iterations=settings.kmeans_iterations,
            seed=seed_for("k-means", self.recipe.seed, epoch, name),
            mini_batch=settings.mini_batch,
            device=device,
            accelerator=self.accelerator,
        )
        labels, _ = assign(features, found.centroids, device=device)
        labels = torch.from_numpy(np.concatenate(self._gather([labels.cpu().numpy()])))
        self._stop_if_asked()  # before anything changes: gone on with, this clustering is made again
        before, self.assigned[name] = self.assigned[name], labels.view_as(self.assigned[name])
        told = _told(before, self.assigned[name], self.recipe.clusters)
        self.counters["clusters"][name] = {**told, "inertia": found.inertia, "iterations": found.iterations}
        if told["empty"]:
            self.reporter.note(
                f"epoch {epoch + 1}: {told['empty']} of {self.recipe.clusters} {name} clusters are empty"
            )
        self.bare.reset_top(torch.Generator().manual_seed(seed_for("top", self.recipe.seed, epoch, name)))
        for parameter in self.bare.top.parameters():
            self.optimizer.state.pop(parameter, None)

    def _learn(self, name: str, epoch: int) -> None:
        """Do what is left of half an epoch's updates."""
        plan = self._plan(name, epoch)
        what = "labels" if not self.recipe.clusters else "clusters" if name == "unlabelled" else "clusters and labels"
        self.reporter.phase(f"epoch {epoch + 1}: learning {what}", len(plan))
        self.reporter.advance(self.counters["done"])
        for picks in plan[self.counters["done"] :]:
            self.bare.train()
            losses = self._update(name, picks)
            for loss, value in losses.items():
                mean = self.counters["sums"].get(f"{name}_{loss}", 0.0)
                self.counters["sums"][f"{name}_{loss}"] = mean + value / len(plan)
            self.counters["updates"] += 1
            self.counters["done"] += 1
            self.reporter.advance(1)
            every = self.recipe.checkpoint_updates
            if every and self.counters["updates"] % every == 0:
                self._save()
            self._stop_if_asked()

    def _plan(self, name: str, epoch: int) -> list[np.ndarray]:
        """Return the batches of half an epoch: sentences (n,), or chunks one by one as sentence and place (n, 2)."""
        store, generator = self.stores[name], generator_for("draw", self.recipe.seed, epoch, name)
        count, size = len(store), self.recipe.optimisation.batch_sentences
        if not self.recipe.clusters:
            picks = generator.permutation(count)
        elif self.recipe.temporal == "none":
            clusters = self.assigned[name].numpy()
            drawn = draw(chunk_probabilities(clusters.ravel(), self.recipe.clusters), clusters.size, generator)
            picks = np.stack(np.divmod(drawn, store.num_chunks), axis=1)
            count, size = len(picks), size * store.num_chunks
        else:
            clusters = self.assigned[name].numpy()
            probabilities = sentence_probabilities(clusters, self.recipe.clusters)
            self.counters["clusters"][name] |= expected_shares(clusters, self.recipe.clusters, probabilities)
            picks = draw(probabilities, count, generator)
        return np.array_split(picks, -(-count // size))

    def _update(self, name: str, picks: np.ndarray) -> dict[str, float]:
        """Take one optimizer step on a batch, of which this process has a part."""
        mine = np.array_split(picks, self.accelerator.num_processes)[self.accelerator.process_index]
        torch.manual_seed(
            seed_for("dropout", self.recipe.seed, self.counters["updates"], self.accelerator.process_index)
        )
        with self.accelerator.autocast():
            output = self.model(hear(self.bare, self.stores[name], mine))
        loss, told = self.objective.loss(
            name, mine, len(picks), output, self.assigned.get(name), update=self.counters["updates"]
        )
        # Processes average their gradients; the denominators are global, so the average is made a sum again. What is
        # multiplied by zero teaches nothing; but every weight has a gradient then, which processes wait for.
        self.accelerator.backward((loss + 0.0 * output.estimates.sum()) * self.accelerator.num_processes)
        if name == "unlabelled":
            for parameter in self.bare.regressor.parameters():
                parameter.grad = None  # moments and weight decay would move it, without a label
        with told_once():
            if not math.isfinite(sum(told.values())):
                raise SertoolError(
                    f"the loss is {sum(told.values())} at update {self.counters['updates']}: lower "
                    "optimisation.learning_rate, or check the audio with `sertool corpus check`"
                )
        self.stepper.step()
        if name == "train" and self.label_optimizer:
            self.label_optimizer.step()
        self.stepper.zero_grad(set_to_none=True)
        return told

    def _own(self, store: ChunkStore) -> np.ndarray:
        """Return this process's sentences, where each is gone through once."""
        return np.array_split(np.arange(len(store)), self.accelerator.num_processes)[self.accelerator.process_index]

    def _outputs(self, name: str) -> Iterator[ClusterOutput]:
        """Yield what the model makes of this process's sentences of a part, some at a time."""
        store = self.stores[name]
        with self.accelerator.autocast():
            for _, output in outputs(self.bare, store, self._own(store), done=self.reporter.advance):
                yield output
                if self.accelerator.num_processes == 1:  # others have more batches or fewer, and would wait in vain
                    self._stop_if_asked()

    def _features(self, name: str) -> np.ndarray:
        """Return the features of this process's chunks of a part, float32, (n C, 256), mapped from disk."""
        place = self.run.folder / CACHE_NAME / f"features-{self.accelerator.process_index}.f32"
        with features_file(place) as keep:
            for output in self._outputs(name):
                keep(output.features)
        return read_features(place)

    def _estimates(self, name: str) -> np.ndarray:
        """Return the estimates of each utterance of a part, of all processes, (N, outputs)."""
        mine = [output.estimates.float().mean(1).cpu().numpy() for output in self._outputs(name)]
        self._stop_if_asked()
        return utterance_means(np.concatenate(self._gather(mine)), self.stores[name].sentences.utterance)

    def _gather(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        return gather_object(arrays) if self.accelerator.num_processes > 1 else arrays

    def _sum(self, value: Tensor) -> Tensor:
        return self.accelerator.reduce(value, "sum") if self.accelerator.num_processes > 1 else value

    def _stop_if_asked(self) -> None:
        """Save and end where Ctrl-C was pressed; called where counters and weights agree, by all processes at once."""
        asked = torch.tensor(float(self.stop.asked), device=self.accelerator.device)
        if self._sum(asked):
            self._save()
            with told_once():
                raise KeyboardInterrupt

    def _save(self) -> None:
        save_state(
            self.run.folder / "last",
            model=Resumable(self),
            optimizer=self.optimizer,
            counters=self.counters,
            writes=self.accelerator.is_main_process,
        )
        self.accelerator.wait_for_everyone()


def _told(before: Tensor, after: Tensor, num_clusters: int) -> dict[str, Any]:
    """Return what a history says of a clustering: NMI with the one before, empty clusters, the largest share."""
    sizes = torch.bincount(after.flatten(), minlength=num_clusters)
    nmi = None
    if (before >= 0).all():
        nmi = float(normalized_mutual_info_score(before.flatten().numpy(), after.flatten().numpy()))
    return {"nmi": nmi, "empty": int((sizes == 0).sum()), "largest_share": float(sizes.max() / sizes.sum())}

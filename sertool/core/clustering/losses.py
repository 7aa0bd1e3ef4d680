"""What a cluster model is judged by in training: pseudo-labels, attributes or categories, and triplets."""

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from sertool.core.clustering.inputs import ClusterInputs
from sertool.core.clustering.network import ClusterOutput
from sertool.core.clustering.recipe import ClusterRecipe
from sertool.core.clustering.store import ChunkStore
from sertool.core.clustering.triplet import triplet_loss
from sertool.core.randomness import seed_for
from sertool.core.training.losses import class_weights, whole_ccc_gradient


class ClusterObjective:
    """`CE` on unlabelled speech, `CE + (1 − CCC)` on labelled, weights 1 : 1 (Lin, Sridhar & Busso, ICASSP 2021).

    Every chunk inherits its utterance's label. Ours: categories, by cross-entropy weighted against their frequency, in
    place of 1 − CCC. The triplet form adds its loss to both (Lin & Busso, 2024).
    """

    def __init__(
        self, recipe: ClusterRecipe, inputs: ClusterInputs, stores: dict[str, ChunkStore], accelerator: Accelerator
    ) -> None:
        self.recipe, self.stores, self.accelerator = recipe, stores, accelerator
        self.truths = {name: part.utterances for name, part in inputs.parts.items()}
        self.weights: Tensor | None = None
        if inputs.config.categories:
            labels = torch.from_numpy(inputs.parts["train"].utterances.labels)
            counts = torch.bincount(labels, minlength=len(inputs.config.categories))
            self.weights = class_weights(counts).to(accelerator.device)

    def loss(
        self, name: str, picks: np.ndarray, total: int, output: ClusterOutput, pseudo: Tensor | None, *, update: int
    ) -> tuple[Tensor, dict[str, float]]:
        """Return this process's part of a batch's loss, and what the whole batch's losses are by name.

        Args:
            name: of the part of the data: `unlabelled` or `train`.
            picks: this process's sentences (n,), or its chunks as sentence and place (n, 2).
            total: picks of the whole batch, over all processes.
            output: of the model, for these.
            pseudo: clusters of the part's chunks, (S, C); None without clusters.
            update: number of the update, which triplets are drawn by.
        """
        settings, device = self.recipe.optimisation, output.shared.device
        sentences = picks if picks.ndim == 1 else picks[:, 0]
        parts: dict[str, Tensor] = {}
        weights = {"cluster": settings.cluster_weight if name == "train" else 1.0, "triplet": settings.triplet_weight}
        if pseudo is not None:
            labels = pseudo[sentences] if picks.ndim == 1 else pseudo[sentences, picks[:, 1]][:, None]
            logits = output.logits.float().flatten(0, 1)
            summed = F.cross_entropy(logits, labels.flatten().to(device), reduction="sum")
            parts["cluster"] = summed / (total * labels.shape[1])
        if self.recipe.temporal == "triplet":
            parts["triplet"] = self._triplets(name, sentences, output.shared, update) * (len(sentences) / total)
        told = {key: self._sum(value.detach()) for key, value in parts.items()}
        loss = sum(weights[key] * value for key, value in parts.items())
        if name == "train":
            label_loss, label_told = self._labels(name, sentences, output.estimates)
            loss, told = loss + settings.label_weight * label_loss, {**told, **label_told}
        return loss, told

    def _labels(self, name: str, sentences: np.ndarray, estimates: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return what estimates (n, C, outputs) cost, and by name what the whole batch's do."""
        utterances = self.stores[name].sentences.utterance[sentences]
        chunks, estimates = estimates.shape[1], estimates.float().flatten(0, 1)
        if self.weights is not None:
            labels = torch.from_numpy(self.truths[name].labels[utterances]).to(estimates.device)
            labels = labels.repeat_interleave(chunks)
            denominator = self._sum(self.weights[labels].sum())
            loss = F.cross_entropy(estimates, labels, self.weights, reduction="sum") / denominator
            return loss, {"category": self._sum(loss.detach())}
        true = torch.from_numpy(self.truths[name].attributes[utterances]).to(estimates.device)
        true = true.repeat_interleave(chunks, dim=0)  # (n C, A)
        # CCC is of the whole batch: its gradient is found on the estimates of all processes, and led back from here.
        value, (gradient,) = whole_ccc_gradient([estimates.detach()], [true], self.accelerator)
        return (estimates * gradient).sum(), {"attribute": value.item()}

    def _triplets(self, name: str, sentences: np.ndarray, shared: Tensor, update: int) -> Tensor:
        store = self.stores[name]
        starts = torch.from_numpy(store.sentences.starts[sentences])
        seed = seed_for("triplets", self.recipe.seed, update, self.accelerator.process_index)
        generator = torch.Generator().manual_seed(seed)
        return triplet_loss(shared, starts, chunk_frames=store.chunk_frames, generator=generator)

    def _sum(self, value: Tensor) -> float:
        return (self.accelerator.reduce(value, "sum") if self.accelerator.num_processes > 1 else value).item()

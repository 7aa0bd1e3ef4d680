"""What a cluster run starts with: chunks on disk, enough of them, and what takes the steps."""

from pathlib import Path

import torch

from sertool.core.clustering.inputs import ClusterInputs
from sertool.core.clustering.network import ClusterModel
from sertool.core.clustering.recipe import ClusterRecipe
from sertool.core.clustering.reporter import ClusterReporter
from sertool.core.clustering.store import ChunkStore, write_store
from sertool.core.errors import InputError


def write_stores(
    folder: Path, recipe: ClusterRecipe, inputs: ClusterInputs, device: torch.device, reporter: ClusterReporter
) -> None:
    """Write the chunks of every part of the data to a folder of its own, where they are not there yet.

    Raises:
        AudioError: a file cannot be read.
        OutputError: they cannot be written.
    """
    if inputs.encoder is not None:
        inputs.encoder.to(device)
    for name, part in inputs.parts.items():
        reporter.phase(f"hearing {len(part)} {name} utterances", len(part))
        write_store(
            folder / name,
            part.utterances.paths,
            part.utterances.durations_s,
            inputs.config,
            encoder=inputs.encoder,
            device=device,
            workers=recipe.data.workers,
            done=reporter.advance,
        )


def check_sizes(recipe: ClusterRecipe, stores: dict[str, ChunkStore], processes: int) -> None:
    """Make sure that there is enough to cluster, and to share among processes.

    Raises:
        InputError: there is not.
    """
    for name, store in stores.items():
        sentences, chunks = len(store), store.sentences.starts.size
        if recipe.clusters > chunks:
            raise InputError(
                f"{recipe.clusters} clusters of {chunks} {name} chunks; expected no more of them than chunks: "
                "lower --clusters, or bring more speech"
            )
        batches = -(-sentences // recipe.optimisation.batch_sentences)
        if sentences // batches < processes:
            raise InputError(
                f"batches of {sentences // batches} {name} sentences cannot be shared by "
                f"{processes} processes: use fewer, or a larger optimisation.batch_sentences"
            )


def make_optimizers(
    model: ClusterModel, recipe: ClusterRecipe
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer | None]:
    """Return the optimizer of every update, and the one that takes a second step in the labelled half; None without.

    As published (the authors' code) SGD without momentum moves everything, the cluster head's top layer at a rate of
    its own; in the labelled half, Adam moves all but that layer once more by the same gradient. Ours: Adam alone.
    """
    settings = recipe.optimisation
    top = set() if model.top is None else set(model.top.parameters())
    others = [parameter for parameter in model.parameters() if parameter not in top]
    groups = [{"params": others, "lr": settings.learning_rate}]
    if top:
        groups.append({"params": list(model.top.parameters()), "lr": settings.top_rate})
    if settings.optimiser == "adam":
        return torch.optim.Adam(groups, weight_decay=settings.weight_decay), None
    second = torch.optim.Adam(others, lr=settings.label_rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(groups, weight_decay=settings.weight_decay), second

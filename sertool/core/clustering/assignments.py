"""A finished cluster run applied to the utterances of a manifest: their clusters, vectors and estimates."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sertool.core.clustering.config import ClusterConfig
from sertool.core.clustering.inputs import Part, part_of
from sertool.core.clustering.judging import utterance_means
from sertool.core.clustering.results import Clustered, cluster_store
from sertool.core.clustering.sentences import Sentences
from sertool.core.clustering.storage import load_cluster_model
from sertool.core.clustering.store import open_store, write_store
from sertool.core.corpus.manifest import Manifest
from sertool.core.training.run import open_run


@dataclass(frozen=True)
class ClusteredUtterances:
    """What a cluster model makes of N utterances.

    Attributes:
        paths: audio files, N.
        cluster: the one of the largest mean posterior, int64, (N,).
        posterior: mean over an utterance's chunks of the probability of each cluster, (N, K).
        vectors: mean and deviation, over an utterance's chunks, of the shared features, float32, (N, 512).
        estimates: of the targets: attributes on the 1–7 scale, or logits of categories, (N, outputs).
        config: of the model; its `attributes` or `categories` are the targets.
        part: the utterances, with their labels.
        sentences: they were cut into, S.
        chunks: what the model made of each sentence.
        features: that were clustered, of all chunks, float32, (S C, 256); None where they were not asked for.
    """

    paths: list[str]
    cluster: np.ndarray
    posterior: np.ndarray
    vectors: np.ndarray
    estimates: np.ndarray
    config: ClusterConfig
    part: Part
    sentences: Sentences
    chunks: Clustered
    features: np.ndarray | None

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of what is estimated."""
        return self.config.attributes or self.config.categories


def cluster_utterances(
    run: Path | str,
    manifest: Manifest,
    *,
    device: torch.device | str = "cpu",
    workers: int = 1,
    features: bool = False,
    done: Callable[[int], None] = lambda count: None,
) -> ClusteredUtterances:
    """Apply the model of a finished cluster run to all utterances of a manifest.

    Args:
        run: folder of the run, or of its model.
        manifest: the utterances; those of a category the model does not know count as unlabelled.
        device: to compute on.
        workers: processes that compute mel spectra.
        features: whether the features of all chunks are wanted too.
        done: called with how many more steps are done: one an utterance to hear, one a sentence to cluster.

    Raises:
        InputError: there is no finished cluster run, or its encoder is not there.
        AudioError: a file cannot be read.
    """
    model, encoder = load_cluster_model(open_run(run).model_folder)
    config = model.config
    model.to(device)
    part = part_of([manifest], config.categories, tuple(a for a in config.attributes if manifest.has(a)))
    with tempfile.TemporaryDirectory() as folder:
        write_store(
            Path(folder),
            part.utterances.paths,
            part.utterances.durations_s,
            config,
            encoder=None if encoder is None else encoder.to(device),
            device=device,
            workers=workers,
            done=done,
        )
        store = open_store(Path(folder), config)
        kept: list[np.ndarray] = []
        keep = (lambda block: kept.append(block.float().flatten(0, 1).cpu().numpy())) if features else _pass
        found = cluster_store(model, store, keep=keep, done=done)
    utterance = store.sentences.utterance
    posterior = utterance_means(found.posterior, utterance)
    return ClusteredUtterances(
        paths=list(part.utterances.paths),
        cluster=posterior.argmax(1) if config.clusters else np.zeros(len(part), np.int64),
        posterior=posterior,
        vectors=utterance_means(found.vectors, utterance).astype(np.float32),
        estimates=utterance_means(found.estimates, utterance),
        config=config,
        part=part,
        sentences=store.sentences,
        chunks=found,
        features=np.concatenate(kept) if features else None,
    )


def _pass(block: torch.Tensor) -> None:
    """Do nothing with features nobody asked for."""

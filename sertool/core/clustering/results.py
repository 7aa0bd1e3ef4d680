"""What a cluster run leaves: clusters of chunks and utterances as Parquet, analyses, a page of pictures, a card."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor
from torch.nn import functional as F

from sertool.core.clustering.analysis import analyse
from sertool.core.clustering.config import ClusterConfig
from sertool.core.clustering.inference import features_file, outputs, read_features
from sertool.core.clustering.inputs import ClusterInputs, Part
from sertool.core.clustering.judging import utterance_means
from sertool.core.clustering.network import ClusterModel
from sertool.core.clustering.picture import draw_page
from sertool.core.clustering.recipe import ClusterRecipe
from sertool.core.clustering.sampling import cluster_shares
from sertool.core.clustering.sentences import Sentences
from sertool.core.clustering.store import ChunkStore
from sertool.core.corpus.derived_attributes import label, sources_in_words
from sertool.core.writing import whole_file, write_text

CHUNKS_NAME, UTTERANCES_NAME = "chunks.parquet", "utterances.parquet"
ANALYSIS_NAME, PAGE_NAME = "analysis.json", "analysis.png"


FILES = (
    "- chunks.parquet: where each chunk begins and ends, and its most probable cluster.",
    "- utterances.parquet: `cluster`, the most probable by the mean of its chunks' probabilities; `share_k`, the share",
    "  of its chunks that are in cluster k, which another cluster may lead; and what the model estimates.",
    "- analysis.json, analysis.png: what the clusters tell.",
)
"""What the card says of the files beside it."""


@dataclass(frozen=True)
class Clustered:
    """What a model made of a part's chunks.

    Attributes:
        clusters: most probable cluster of each chunk, int64, (S, C); no columns without clusters.
        posterior: mean over each sentence's chunks of the probability of each cluster, float32, (S, K).
        estimates: mean over each sentence's chunks, float32, (S, outputs).
        vectors: mean and deviation over its chunks of the shared features, float32, (S, 512).
    """

    clusters: np.ndarray
    posterior: np.ndarray
    estimates: np.ndarray
    vectors: np.ndarray


def cluster_store(
    model: ClusterModel,
    store: ChunkStore,
    *,
    keep: Callable[[Tensor], None] = lambda features: None,
    done: Callable[[int], None] = lambda count: None,
) -> Clustered:
    """Apply a model to all sentences of a store.

    Args:
        model: on its device.
        store: the chunks.
        keep: given the features of all chunks, some sentences (n, C, 256) at a time.
        done: called with how many more sentences are done.
    """
    parts: dict[str, list[np.ndarray]] = {"clusters": [], "posterior": [], "estimates": [], "vectors": []}
    for batch, output in outputs(model, store, np.arange(len(store)), done=done):
        if output.logits is not None:
            parts["clusters"].append(output.logits.argmax(-1).cpu().numpy())
            parts["posterior"].append(F.softmax(output.logits.float(), -1).mean(1).cpu().numpy())
        else:
            parts["clusters"].append(np.zeros((len(batch), 0), np.int64))
            parts["posterior"].append(np.zeros((len(batch), 0), np.float32))
        parts["estimates"].append(output.estimates.float().mean(1).cpu().numpy())
        mean, deviation = output.shared.float().mean(1), output.shared.float().std(1, correction=0)
        parts["vectors"].append(np.concatenate([mean.cpu().numpy(), deviation.cpu().numpy()], axis=1))
        keep(output.features)
    return Clustered(**{name: np.concatenate(values) for name, values in parts.items()})


def write_results(
    folder: Path,
    recipe: ClusterRecipe,
    inputs: ClusterInputs,
    model: ClusterModel,
    stores: dict[str, ChunkStore],
    lines: list[dict[str, Any]],
    *,
    cache: Path,
    phase: Callable[[str, int], None],
    done: Callable[[int], None],
) -> None:
    """Write everything that the best model has to say of the utterances of a run.

    Args:
        folder: the run's.
        recipe: of the run.
        inputs: its utterances.
        model: the best one, on its device.
        stores: their chunks, by part.
        lines: of its history.
        cache: a folder for what is too large for memory.
        phase: told what is under way and how many steps it has.
        done: told how many more of these are done.

    Raises:
        OutputError: something cannot be written.
    """
    config, chunks, utterances, analyses = inputs.config, [], [], {}
    for name, store in stores.items() if config.clusters else ():
        phase(f"clusters of {name} speech", len(store))
        with features_file(cache / "features.f32") as keep:
            found = cluster_store(model, store, keep=keep, done=done)
        chunks.append(_chunk_table(name, inputs.parts[name], store, found))
        utterances.append(_utterance_table(name, inputs.parts[name], store, found, config))
        if name != "unlabelled":
            phase(f"analysis of {name} speech", 0)
            features = read_features(cache / "features.f32")
            analyses[name] = analyse_part(inputs.parts[name], store.sentences, found, features, seed=recipe.seed)
    if config.clusters:
        _write_table(folder / CHUNKS_NAME, pd.concat(chunks, ignore_index=True))
        _write_table(folder / UTTERANCES_NAME, pd.concat(utterances, ignore_index=True))
        _write_analysis(folder, recipe, inputs, analyses, lines)
    _write_card(folder, recipe, inputs, lines)


def nmi_lines(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, by epoch from 1, the agreement (NMI) of each clustering with the one of the epoch before."""
    return [
        {
            "epoch": line["epoch"] + 1,
            "nmi_labelled": line["clusters"].get("train", {}).get("nmi"),
            "nmi_unlabelled": line["clusters"].get("unlabelled", {}).get("nmi"),
        }
        for line in lines
    ]


def _chunk_table(name: str, part: Part, store: ChunkStore, found: Clustered) -> pd.DataFrame:
    sentences = store.sentences
    count = store.num_chunks
    utterance = np.repeat(sentences.utterance, count)
    first = np.searchsorted(sentences.utterance, sentences.utterance)  # of the utterance each sentence is of
    starts = sentences.starts.ravel() * store.frame_s
    ends = starts + np.repeat(sentences.frames, count) * store.frame_s
    return pd.DataFrame(
        {
            "file_name": np.array(part.names)[utterance],
            "part": name,
            "sentence": np.repeat(np.arange(len(sentences)) - first, count),
            "chunk": np.tile(np.arange(count), len(sentences)),
            "start_s": starts,
            # A frame is centred, so the last reaches beyond the end of its file.
            "end_s": np.minimum(ends, part.utterances.durations_s[utterance]),
            "cluster": found.clusters.ravel(),
        }
    )


def _utterance_table(name: str, part: Part, store: ChunkStore, found: Clustered, config: ClusterConfig) -> pd.DataFrame:
    utterance = store.sentences.utterance
    posterior = utterance_means(found.posterior, utterance)
    shares = utterance_means(cluster_shares(found.clusters, config.clusters), utterance)
    estimates = utterance_means(found.estimates, utterance)
    table = pd.DataFrame({"file_name": part.names, "part": name, "cluster": posterior.argmax(1)})
    columns = {f"share_{k}": shares[:, k] for k in range(config.clusters)}
    if config.categories:
        columns["estimated_emotion"] = np.array(config.categories)[estimates.argmax(1)]
    columns |= {f"estimated_{target}": estimates[:, i] for i, target in enumerate(config.attributes)}
    return pd.concat([table, pd.DataFrame(columns)], axis=1)


def analyse_part(
    part: Part, sentences: Sentences, found: Clustered, features: np.ndarray, *, seed: int
) -> dict[str, Any]:
    """Return what the clusters of a part's chunks turned out to be, see `analyse`.

    Args:
        part: the utterances.
        sentences: they were cut into, S.
        found: what the model made of each sentence.
        features: of all chunks, (S C, 256).
        seed: of what is sampled, and of the map.
    """
    count = sentences.starts.shape[1]
    utterance = np.repeat(sentences.utterance, count)

    def of_chunks(values: list[str | None]) -> list[str | None] | None:
        return [values[i] for i in utterance] if any(value is not None for value in values) else None

    return analyse(
        features,
        found.clusters.ravel(),
        np.repeat(np.arange(len(sentences)), count),
        np.tile(np.arange(count), len(sentences)),
        {name: values[utterance] for name, values in part.ratings.items()},
        of_chunks(part.emotions),
        seed=seed,
        num_clusters=found.posterior.shape[1],
        speakers=of_chunks(part.speakers),
    )


def _write_analysis(
    folder: Path,
    recipe: ClusterRecipe,
    inputs: ClusterInputs,
    analyses: dict[str, dict[str, Any]],
    lines: list[dict[str, Any]],
) -> None:
    sources = inputs.parts["dev"].sources
    ratings = sources_in_words(sources)
    tree = {
        "clusters": recipe.clusters,
        "temporal": recipe.temporal,
        "attributes": ratings,
        "nmi": nmi_lines(lines),
        "parts": analyses,
    }
    write_text(folder / ANALYSIS_NAME, json.dumps(tree, indent=1, allow_nan=False) + "\n")
    form = "" if recipe.temporal == "none" else f", temporal form {recipe.temporal}"
    note = (
        "Chunks of the dev split, by which the best epoch was chosen; clusters as the model's cluster head tells them."
    )
    if label(sources):
        note += f" Attributes: {ratings}."
    draw_page(
        folder / PAGE_NAME,
        analyses["dev"],
        title=f"{folder.name}: {recipe.clusters} clusters of speech{form}",
        nmi=nmi_lines(lines),
        history=[line["dev"]["score"] for line in lines],
        note=note,
    )


def _write_card(folder: Path, recipe: ClusterRecipe, inputs: ClusterInputs, lines: list[dict[str, Any]]) -> None:
    config = inputs.config
    best = max(lines, key=lambda line: (line["dev"]["score"], -line["epoch"]))
    hours = {name: part.utterances.durations_s.sum() / 3600 for name, part in inputs.parts.items()}
    counts = [f"{len(inputs.parts[name])} utterances {name} ({hours[name]:.2f} h)" for name in inputs.parts]
    targets = ", ".join(config.attributes or config.categories)
    source = f" ({inputs.learned_attributes})" if inputs.learned_attributes else ""
    lines_of_text = [
        f"# {folder.name}",
        "",
        f"A cluster model of sertool (DeepEmoCluster, Lin, Sridhar & Busso 2021), trained with seed {recipe.seed}.",
        "",
        "## Data",
        f"- {'; '.join(counts)}.",
        "- Licence: the weights carry the strictest licence of the data; sertool does not know it.",
        "",
        "## Model",
        f"- Hears {config.input.title}; {config.chunks} chunks of {config.chunk_s:g} s a sentence.",
        f"- {config.clusters or 'No'} clusters; temporal form: {config.temporal}.",
        f"- Learns {'attributes' if config.attributes else 'categories'}: {targets}{source}.",
        "",
        "## Scores on the dev split",
        f"Best epoch: {best['epoch'] + 1} of {len(lines)}. It was chosen by these numbers, so they flatter it.",
        "",
        *[f"- {name}: {value:.3f}" for name, value in best["dev"].items() if name != "score"],
        "",
        *(["## Files", *FILES, ""] if config.clusters else []),
        "## Limits",
        "Clusters may tell speakers, microphones or the place in a sentence rather than emotion: see analysis.json.",
        "Labels of acted speech are not feelings.",
        "",
    ]
    write_text(folder / "README.md", "\n".join(lines_of_text))


def _write_table(path: Path, table: pd.DataFrame) -> None:
    with whole_file(path) as partial:
        table.to_parquet(partial, index=False)

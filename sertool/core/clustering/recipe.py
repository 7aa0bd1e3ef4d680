"""The recipe of a cluster run: every setting in one tree; from defaults, a YAML file and flags, in this order."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sertool.core.clustering.config import Temporal
from sertool.core.models.config import Names, Share
from sertool.core.training.recipe_file import Section, read_settings

Positive = Annotated[float, Field(gt=0.0, le=1e9)]
Weight = Annotated[float, Field(ge=0.0, le=1e9)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Attribute = Literal["arousal", "dominance", "valence"]


class Data(Section):
    """What is learned from."""

    labelled: tuple[str, ...] = ()
    """Manifests with the splits `train` and `dev`."""
    unlabelled: tuple[str, ...] = ()
    """Manifests whose labels, if any, are not looked at; rows of the splits `dev` and `test` are left out."""
    most_unlabelled: Count | None = None
    """Unlabelled utterances at most: a random sample, by the seed. All of them without."""
    on_unknown: Literal["error", "exclude"] = "error"
    """What to do with utterances of a category the model is not to know: stop, or leave them out and count them."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes that compute spectra, once, before training."""


class Input(Section):
    """What a chunk is to the model."""

    encoder: str = "mel"
    """`mel` for spectra and convolutions, as published; or, ours, the hidden states of an encoder that does not learn:
    a run, or an encoder of `transformers` by its name on the hub, in its cache, or by its folder."""
    revision: str | None = None
    """Branch, tag or commit of an encoder on the hub."""
    layer: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Which hidden state of the encoder, 0 the first; the mean of all without."""
    mels: Annotated[int, Field(ge=32, le=256)] = 128
    log: bool = False
    """Logarithm of the mel energies; the publication's code takes none."""
    channels: Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(min_length=7, max_length=7)] = (
        *(32, 32, 64, 64),
        *(128, 128, 128),
    )
    """Of the seven convolutions."""
    chunk_s: Annotated[float, Field(ge=0.1, le=10.0)] = 0.992
    """Length of a chunk."""
    chunks: Annotated[int, Field(ge=1, le=200)] = 11
    """Chunks of a sentence. An utterance too long for so many is cut into as few equal sentences as it takes."""


class Optimisation(Section):
    """How long and how fast."""

    epochs: Count = 50
    batch_sentences: Count = 64
    """Sentences an update learns from, over all processes; where chunks are drawn one by one, as many as these have."""
    optimiser: Literal["published", "adam"] = "published"
    """`published`: SGD, and in an epoch's labelled half Adam beside it, each taking every step; ours: Adam alone."""
    learning_rate: Positive = 1e-3
    """Of SGD, or of Adam alone, for all but the cluster head's top layer."""
    top_rate: Positive = 0.05
    """Of that layer, which begins anew at every clustering; Adam beside SGD leaves it alone."""
    label_rate: Positive = 5e-4
    """Of Adam beside SGD."""
    weight_decay: Weight = 0.0
    kmeans_iterations: Count = 20
    mini_batch: Count | None = None
    """Chunks in a step of mini-batch k-means; Lloyd's algorithm without."""
    cluster_weight: Weight = 1.0
    """Of the cross-entropy on pseudo-labels, where labels are learned too."""
    label_weight: Weight = 1.0
    """Of 1 − CCC, or of the cross-entropy on categories."""
    triplet_weight: Weight = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 on CUDA, float32 elsewhere."""


class ClusterRecipe(Section):
    """All settings of a cluster run. Stored, resolved, in the run's `recipe.yaml`."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    clusters: Annotated[int, Field(ge=0, le=10_000)] = 10
    """K; 0 to learn the labels alone, for comparison."""
    temporal: Temporal = "none"
    """What lies along a sentence's chunks: nothing, a network, or the triplet loss."""
    attributes: tuple[Attribute, ...] = ()
    """What to learn: one attribute, as published; or, ours, all three at once; or, with none, categories."""
    categories: Names | Literal["auto"] = "auto"
    """Classes to learn where no attribute is; `auto` takes those of the training split."""
    dropout: Share = 0.5
    device: str = "auto"
    checkpoint_updates: Annotated[int, Field(ge=0)] = 0
    """Save resumable state every so many updates too; after each half of an epoch always."""
    tensorboard: bool = False
    data: Data = Data()
    input: Input = Input()
    optimisation: Optimisation = Optimisation()


def read_cluster_recipe(path: Any = None, overrides: dict[str, Any] | None = None) -> ClusterRecipe:
    """Return the cluster recipe of a YAML file, changed by dotted overrides.

    Raises:
        InputError: the file cannot be read, a key is unknown (the nearest one is named), or a value does not fit.
    """
    return read_settings(ClusterRecipe, path, overrides)

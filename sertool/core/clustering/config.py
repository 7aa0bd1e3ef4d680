"""What a cluster model is made of, as data: stored as `config.json` beside its weights."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from sertool.core.models.config import BaseConfig, EncoderConfig, Names, Share

FEATURES = 256
"""Width of the shared features of a chunk, and of the features that are clustered."""

Temporal = Literal["none", "gru", "cnn", "transformer", "triplet"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MelInput(_Strict):
    """Chunks of mel spectra, heard by convolutions (Lin, Sridhar & Busso, ICASSP 2021)."""

    kind: Literal["mel"] = "mel"
    mels: Annotated[int, Field(ge=32, le=256)] = 128
    log: bool = False
    """Logarithm of the mel energies; the publication's code takes none."""
    channels: Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(min_length=7, max_length=7)] = (
        *(32, 32, 64, 64),
        *(128, 128, 128),
    )
    """Of the convolutions; the first two keep the size, each of the others halves it."""

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        widths = " ".join(map(str, self.channels))
        return f"{'log-' * self.log}mel spectra, {self.mels} bands, convolutions of {widths} channels"


class EncoderInput(_Strict):
    """Ours: mean and deviation, over a chunk, of the hidden states of an encoder, which does not learn."""

    kind: Literal["encoder"] = "encoder"
    encoder: EncoderConfig
    base: BaseConfig
    """Where the encoder's tensors are read from; none of them is stored again."""
    layer: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Which hidden state, 0 the first; None for the mean of all, each scaled to unit deviation."""

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        which = "mean of the hidden states" if self.layer is None else f"hidden state {self.layer}"
        return f"{which} of {self.base.name} ({self.encoder.title})"


ClusterInput = Annotated[
    Annotated[MelInput, Tag("mel")] | Annotated[EncoderInput, Tag("encoder")],
    Discriminator(lambda value: value.get("kind", "mel") if isinstance(value, dict) else getattr(value, "kind", None)),
]


class ClusterConfig(_Strict):
    """Chunks into 256 shared features; on these a cluster head and an emotion regressor (or classifier)."""

    format: Literal["sertool-cluster-1"] = "sertool-cluster-1"
    input: ClusterInput = MelInput()
    chunk_s: Annotated[float, Field(ge=0.1, le=10.0)] = 0.992
    """Length of a chunk: 62 frames of the mel spectrum."""
    chunks: Annotated[int, Field(ge=1, le=200)] = 11
    """Chunks of a sentence, C."""
    clusters: Annotated[int, Field(ge=0, le=10_000)] = 10
    """K; 0 for a model that learns the labels alone."""
    temporal: Temporal = "none"
    """What lies along a sentence's chunks, before both heads; `triplet` adds a loss instead."""
    attributes: Names = ()
    categories: Names = ()
    """Either attributes to estimate or, ours, categories to recognise."""
    dropout: Share = 0.5

    @model_validator(mode="after")
    def _check_targets(self) -> "ClusterConfig":
        if bool(self.attributes) == bool(self.categories):
            raise ValueError("a cluster model learns attributes or categories: one of them, and not both")
        if self.clusters == 1:
            raise ValueError("one cluster tells nothing apart: set clusters to 2 or more, or to 0 for none")
        return self

    @property
    def frame_s(self) -> float:
        """Seconds from one frame to the next, of mel spectra or of an encoder's hidden states."""
        return 0.016 if self.input.kind == "mel" else 0.02

    @property
    def chunk_frames(self) -> int:
        """Frames in a chunk: 62 mel frames as published."""
        return max(1, round(self.chunk_s / self.frame_s))

    @property
    def outputs(self) -> int:
        """Numbers the regressor returns: an attribute each, or a logit a category."""
        return len(self.attributes) or len(self.categories)

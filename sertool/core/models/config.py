"""What a shared model is made of, as data: stored as `config.json` beside its weights."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Size = Annotated[int, Field(ge=1, le=8192)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CompactConfig(_Strict):
    """The compact encoder: small, trained here, so that everything works with no network."""

    kind: Literal["compact"] = "compact"
    mels: Size = 80
    dim: Size = 192
    layers: Annotated[int, Field(ge=1, le=48)] = 6
    kernel: Annotated[int, Field(ge=1, le=255)] = 15
    dilations: Annotated[tuple[Size, ...], Field(min_length=1)] = (1, 2, 4)
    """Dilation of each layer's convolution, repeated in turn over the layers."""
    expansion: Annotated[int, Field(ge=1, le=16)] = 4
    dropout: Share = 0.1


class EmotionConfig(_Strict):
    """The emotion head: pooling over frames, one hidden layer, an output for categories, attributes or both."""

    categories: tuple[str, ...] = ()
    attributes: tuple[Literal["arousal", "dominance", "valence"], ...] = ()
    hidden: Size = 256
    dropout: Share = 0.5


class EnhancementConfig(_Strict):
    """The enhancement head: a mask over the log-magnitude spectrum from two bidirectional recurrent layers."""

    projection: Size = 128
    hidden: Size = 128
    layers: Annotated[int, Field(ge=1, le=8)] = 2


class SharedConfig(_Strict):
    """One encoder, the sum over its layers, and the heads above it."""

    format: Literal["sertool-shared-1"] = "sertool-shared-1"
    encoder: CompactConfig = CompactConfig()
    layer_sum: Literal["shared", "per-head"] = "shared"
    emotion: EmotionConfig | None = None
    enhancement: EnhancementConfig | None = None

    @property
    def categories(self) -> tuple[str, ...]:
        """Emotion classes, in the order of the logits."""
        return self.emotion.categories if self.emotion else ()

    @property
    def attributes(self) -> tuple[str, ...]:
        """Attributes, in the order of the outputs, each on the 1–7 scale."""
        return self.emotion.attributes if self.emotion else ()

    @property
    def enhances(self) -> bool:
        """Whether the model gives back enhanced speech."""
        return self.enhancement is not None

"""What a shared model is made of, as data: stored as `config.json` beside its weights."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MOST_WEIGHTS = 500_000_000
"""Weights of the largest compact encoder: beyond that of the largest speech models there are, and 2 GB."""

MOST_MELS = 151
"""Mel bands of the compact encoder: of more, the narrowest would lie between two bins of its spectrum, unhearing."""

LONGEST_REACH = 2048
"""Frames a convolution may reach over, kernel times dilation: 41 s, and the padding that memory is taken for."""


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError("a kernel has a middle, so its size is odd")
    return kernel


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"'{name[:40]}' stands there twice")
        if not name.strip() or not name.isprintable() or len(name) > 100:
            raise ValueError(f"{name[:40]!r} is no name: 1 to 100 characters that can be printed")
    return names


Names = Annotated[tuple[str, ...], Field(max_length=1000), AfterValidator(_distinct)]
"""Classes or attributes, each once, since what is said of them is told by name."""

Size = Annotated[int, Field(ge=1, le=8192)]
Width = Annotated[int, Field(ge=1, le=2048)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CompactConfig(_Strict):
    """The compact encoder: small, trained here, so that everything works with no network."""

    kind: Literal["compact"] = "compact"
    mels: Annotated[int, Field(ge=1, le=MOST_MELS)] = 80
    dim: Size = 192
    layers: Annotated[int, Field(ge=1, le=48)] = 6
    kernel: Annotated[int, Field(ge=1, le=255), AfterValidator(_odd)] = 15
    dilations: Annotated[tuple[Size, ...], Field(min_length=1, max_length=48)] = (1, 2, 4)
    """Dilation of each layer's convolution, repeated in turn over the layers."""
    expansion: Annotated[int, Field(ge=1, le=16)] = 4
    dropout: Share = 0.1

    @model_validator(mode="after")
    def _check_sizes(self) -> "CompactConfig":
        weights = self.layers * self.dim * (2 * self.expansion * self.dim + self.kernel) + 3 * self.dim * self.dim
        if weights > MOST_WEIGHTS:
            raise ValueError(f"an encoder of {weights / 1e6:.0f} million weights; at most {MOST_WEIGHTS // 10**6}")
        if self.kernel * max(self.dilations) > LONGEST_REACH:
            raise ValueError(f"kernel × dilation is {self.kernel * max(self.dilations)}; at most {LONGEST_REACH}")
        return self


class EmotionConfig(_Strict):
    """The emotion head: pooling over frames, one hidden layer, an output for categories, attributes or both."""

    categories: Names = ()
    attributes: Annotated[tuple[Literal["arousal", "dominance", "valence"], ...], AfterValidator(_distinct)] = ()
    hidden: Size = 256
    dropout: Share = 0.5


class EnhancementConfig(_Strict):
    """The enhancement head: a mask over the log-magnitude spectrum from two bidirectional recurrent layers."""

    projection: Width = 128
    hidden: Width = 128
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

"""What a self-supervised encoder of `transformers` is built from, checked before anything is built."""

import math
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.errors import InputError

FRAME_STEP = SAMPLE_RATE // 50
"""Samples between frames: 50 Hz, the rate of every encoder."""

LONGEST_FRAME = SAMPLE_RATE
"""Samples a frame of the convolutions may span, 1 s; of the published encoders it is 400, 25 ms."""

Size = Annotated[int, Field(ge=1, le=8192)]
Kernels = Annotated[list[Annotated[int, Field(ge=1, le=1024)]], Field(min_length=1, max_length=16)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Activation = Literal["gelu", "gelu_new", "relu", "selu"]


class _Architecture(BaseModel):
    """The settings all four families have, under the names of `transformers`; those of heads are passed over."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, allow_inf_nan=False)
    hidden_size: Size
    num_hidden_layers: Annotated[int, Field(ge=1, le=64)]
    num_attention_heads: Annotated[int, Field(ge=1, le=256)]
    intermediate_size: Annotated[int, Field(ge=1, le=65_536)]
    hidden_act: Activation
    hidden_dropout: Share
    activation_dropout: Share
    attention_dropout: Share
    feat_proj_dropout: Share
    initializer_range: Annotated[float, Field(ge=0.0, le=1.0)]
    layer_norm_eps: Annotated[float, Field(gt=0.0, le=0.1)]
    feat_extract_activation: Activation
    conv_dim: Annotated[list[Size], Field(min_length=1, max_length=16)]
    conv_stride: Kernels
    conv_kernel: Kernels
    conv_bias: bool
    num_conv_pos_embeddings: Annotated[int, Field(ge=1, le=1024)]
    num_conv_pos_embedding_groups: Size

    @model_validator(mode="after")
    def _check_shapes(self) -> "_Architecture":
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"{self.num_attention_heads} attention heads do not divide {self.hidden_size}")
        if self.hidden_size % self.num_conv_pos_embedding_groups:
            raise ValueError(f"{self.num_conv_pos_embedding_groups} groups do not divide {self.hidden_size}")
        if not len(self.conv_dim) == len(self.conv_stride) == len(self.conv_kernel):
            raise ValueError("conv_dim, conv_stride and conv_kernel are not equally long")
        if (step := math.prod(self.conv_stride)) != FRAME_STEP:
            raise ValueError(f"a frame every {step} samples, where {FRAME_STEP} are expected")
        if (span := receptive_field(self.conv_kernel, self.conv_stride)) > LONGEST_FRAME:
            raise ValueError(f"frames of {span} samples, at most {LONGEST_FRAME}")
        return self


class _Normed(_Architecture):
    feat_extract_norm: Literal["group", "layer"]
    do_stable_layer_norm: bool


class _WavLM(_Normed):
    model_type: Literal["wavlm"]
    num_buckets: Annotated[int, Field(ge=4, le=8192)]
    max_bucket_distance: Annotated[int, Field(ge=2, le=65_536)]

    @model_validator(mode="after")
    def _check_buckets(self) -> "_WavLM":
        # A quarter of the buckets, half of those of either side, is for exact distances (Chen et al., 2022, §III-B).
        if self.max_bucket_distance <= self.num_buckets // 4:
            raise ValueError(f"{self.num_buckets} buckets for distances up to {self.max_bucket_distance}")
        return self


class _HuBERT(_Normed):
    model_type: Literal["hubert"]
    feat_proj_layer_norm: bool
    conv_pos_batch_norm: bool


class _Wav2Vec2(_Normed):
    model_type: Literal["wav2vec2"]
    adapter_attn_dim: Size | None


class _Data2Vec(_Architecture):
    model_type: Literal["data2vec-audio"]
    num_conv_pos_embeddings: Annotated[int, Field(ge=1, le=64)]
    conv_pos_kernel_size: Annotated[int, Field(ge=1, le=1024)]


FAMILIES: dict[str, type[_Architecture]] = {
    "wavlm": _WavLM,
    "hubert": _HuBERT,
    "wav2vec2": _Wav2Vec2,
    "data2vec-audio": _Data2Vec,
}
"""The encoders there are, by `model_type`."""


def checked_architecture(settings: dict[str, Any]) -> dict[str, Any]:
    """Return what of a model's `config.json` its encoder is built from, missing settings at transformers' defaults.

    Args:
        settings: the whole of a `config.json`, or what this function made of one.

    Returns:
        As JSON can hold it; checking it again changes nothing.

    Raises:
        InputError: it is no encoder of the four families, or none that could be built.
    """
    family = settings.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        found = f"model_type '{family[:40]}'" if isinstance(family, str) else "no model_type"
        raise InputError(
            f"{found} is no speech encoder that can be used; expected {', '.join(FAMILIES)}: choose a WavLM, HuBERT, "
            "wav2vec 2.0 or data2vec-audio model"
        )
    from transformers import AutoConfig  # slow to import, and only needed here

    defaults = {name: _listed(value) for name, value in AutoConfig.for_model(family).to_dict().items()}
    given = {name: _listed(value) for name, value in settings.items()}
    try:
        return FAMILIES[family].model_validate({**defaults, **given}).model_dump()
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"the architecture of this {family} encoder cannot be built ({where or 'as a whole'}: {first['msg']}); "
            "expected the settings of its own config.json: copy that file again from where the model came from"
        ) from error


def receptive_field(kernels: list[int], strides: list[int]) -> int:
    """Return how many samples one frame of a stack of convolutions is made from."""
    span = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        span = (span - 1) * stride + kernel
    return span


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

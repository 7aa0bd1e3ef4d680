"""What a shared model is made of, as data: stored as `config.json` beside its weights."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

MOST_WEIGHTS = 500_000_000
"""Weights of the largest compact encoder: beyond that of the largest speech models there are, and 2 GB."""

MOST_MELS = 151
"""Mel bands of the compact encoder: of more, the narrowest would lie between two bins of its spectrum, unhearing."""

SPEECH_KEPT_DB = -6.0
"""Where an enhancement head keeps less than this of the energy, a quarter, in every half second, there is only noise;
chosen for the mask head, see `sertool.core.models.abstention`."""

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

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        return f"compact, {self.layers} layers of {self.dim}"


class LogMelConfig(_Strict):
    """No learned encoder: log-mel energies themselves, for heads that bring their own chunk encoder."""

    kind: Literal["log-mel"] = "log-mel"
    mels: Annotated[int, Field(ge=1, le=MOST_MELS)] = 80

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        return f"none, {self.mels} log-mel bands"


class SSLConfig(_Strict):
    """An encoder of `transformers`: what it is built from, so that its weights can be read anywhere they lie."""

    kind: Literal["ssl"] = "ssl"
    architecture: dict[str, Any]
    """The settings of its `config.json`, `model_type` among them."""
    normalise: bool
    """Whether it hears waveforms of zero mean and unit variance (`do_normalize` of its preprocessor)."""
    dropout: Share | None = None
    """In place of every dropout of its own; None leaves them."""

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        layers, dim = (self.architecture.get(name) for name in ("num_hidden_layers", "hidden_size"))
        return f"{self.architecture.get('model_type')}, {layers} layers of {dim}"


def _kind(encoder: Any) -> Any:
    """Return which encoder a configuration is of; without a word it is the compact one."""
    return encoder.get("kind", "compact") if isinstance(encoder, dict) else getattr(encoder, "kind", None)


EncoderConfig = Annotated[
    Annotated[CompactConfig, Tag("compact")]
    | Annotated[LogMelConfig, Tag("log-mel")]
    | Annotated[SSLConfig, Tag("ssl")],
    Discriminator(_kind),
]


class BaseConfig(_Strict):
    """The encoder a model was adapted from: tensors that were not changed are read from there, and not stored again."""

    name: Annotated[str, Field(min_length=1, max_length=4096)]
    """A hub name, or a folder: of a `transformers` model, or of a run."""
    revision: str | None = None
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of its tensors, see `digest_of`."""


Layers = Literal["feed-forward", "attention", "all"]
"""Which linear layers of an encoder an adaptation is for."""


class RouterConfig(_Strict):
    """S³-Router: which connections exist is learned, not their weights (Fu et al., NeurIPS 2022)."""

    sparsity: Share = 0.1
    """Share of the connections of each tensor that are dropped."""
    init: Literal["weight-rank", "uniform", "magnitude"] = "weight-rank"
    """Scores at the start: Kaiming-uniform draws sorted so that the largest falls on the largest weight; the draws as
    they come; or the weights themselves by a scale, which drops the smallest (for pruning)."""
    layers: Layers = "feed-forward"
    masks: Literal["shared", "per-head"] = "shared"
    """One set of masks, or one for each head, for which the encoder is gone through once a head."""


class LoRAConfig(_Strict):
    """Low-rank updates beside frozen weights (Hu et al., ICLR 2022), through `peft`."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    alpha: Annotated[float, Field(gt=0.0, le=1e4)] = 16.0
    dropout: Share = 0.0
    layers: Layers = "attention"


class AdaptConfig(_Strict):
    """How a learned encoder is brought to the task."""

    how: Literal["full", "frozen", "router", "lora"] = "full"
    router: RouterConfig = RouterConfig()
    lora: LoRAConfig = LoRAConfig()

    @property
    def title(self) -> str:
        """What is done, in a few words."""
        if self.how == "router":
            sets = "one set of masks for each head" if self.router.masks == "per-head" else "one set of masks"
            return (
                f"{100 * self.router.sparsity:g}% of the connections of its {self.router.layers} layers dropped, {sets}"
            )
        if self.how == "lora":
            return f"low-rank updates of rank {self.lora.rank} beside its {self.lora.layers} layers"
        return {"full": "weights trained", "frozen": "frozen"}[self.how]


class ChunkConfig(_Strict):
    """Dynamic chunking: as many chunks for every utterance, by overlapping them more or less (Lin & Busso, 2020)."""

    chunk_s: Annotated[float, Field(ge=0.04, le=60.0)] = 1.0
    """Length of a chunk, w_c."""
    longest_s: Annotated[float, Field(ge=0.04, le=600.0)] = 11.0
    """The longest utterance of the corpus, T_max: ceil(longest_s / chunk_s) chunks cover it. Longer ones get more."""
    density: Annotated[int, Field(ge=1, le=8)] = 1
    """Times as many chunks, n."""
    encoder: Literal["mean", "lstm", "cnn"] = "lstm"
    """What makes a vector of a chunk's frames: their mean, two LSTM layers, or convolutions."""
    hidden: Size = 130


class EmotionConfig(_Strict):
    """The emotion head: pooling over frames, one hidden layer, an output for categories, attributes or both."""

    pooling: Literal["attentive-statistics", "chunk-mean", "chunk-gated", "chunk-recurrent", "chunk-self-attention"] = (
        "attentive-statistics"
    )
    """Over frames, attentive statistics; over chunks, their mean, a gate, recurrent attention, or self-attention."""
    chunks: ChunkConfig = ChunkConfig()
    categories: Names = ()
    attributes: Annotated[tuple[Literal["arousal", "dominance", "valence"], ...], AfterValidator(_distinct)] = ()
    hidden: Size = 256
    dropout: Share = 0.5


class EnhancementConfig(_Strict):
    """The enhancement head: a mask over the log-magnitude spectrum from two bidirectional recurrent layers."""

    kind: Literal["mask"] = "mask"
    projection: Width = 128
    hidden: Width = 128
    layers: Annotated[int, Field(ge=1, le=8)] = 2

    @property
    def hears_encoder(self) -> bool:
        """Whether it goes by the encoder's features."""
        return True


class DualPathConfig(_Strict):
    """The dual-path enhancement head: a complex mask from recurrences over time and over frequency by turns."""

    kind: Literal["dual-path"] = "dual-path"
    features: Literal["encoder", "none"] = "encoder"
    """What it hears beside the spectrum: the encoder's layer sum, or nothing, and the encoder is not needed."""
    causal: bool = False
    """Whether a frame depends on nothing after its own window."""
    channels: Annotated[int, Field(ge=1, le=512)] = 64
    hidden: Annotated[int, Field(ge=1, le=512)] = 64
    """Units of a recurrent layer, in each direction."""
    blocks: Annotated[int, Field(ge=1, le=16)] = 3
    decoder: Annotated[int, Field(ge=1, le=1024)] = 128
    """Units of a band before the mask."""

    @model_validator(mode="after")
    def _check_causal(self) -> "DualPathConfig":
        if self.causal and self.features == "encoder":
            raise ValueError("the encoder hears what comes after, so a causal head does without: set features to none")
        return self

    @property
    def hears_encoder(self) -> bool:
        """Whether it goes by the encoder's features."""
        return self.features == "encoder"


def _head_kind(enhancement: Any) -> Any:
    """Return which enhancement head a configuration is of; without a word it is the mask, as it was alone at first."""
    return enhancement.get("kind", "mask") if isinstance(enhancement, dict) else getattr(enhancement, "kind", None)


EnhancementHeadConfig = Annotated[
    Annotated[EnhancementConfig, Tag("mask")] | Annotated[DualPathConfig, Tag("dual-path")], Discriminator(_head_kind)
]


class UtteranceTask(_Strict):
    """A pre-training task with one label an utterance, and its small head."""

    name: Literal["energy", "activation", "activation-without-mouth", "action-units"]
    classes: Annotated[Names, Field(min_length=2)]
    hidden: Size = 64
    dropout: Share = 0.1


class MaskedConfig(_Strict):
    """Masked prediction: which cluster each hidden frame belongs to (HuBERT, Hsu et al., TASLP 2021)."""

    clusters: Annotated[int, Field(ge=2, le=65_536)] = 100
    projection: Width = 256
    """Width in which frames and clusters are compared."""


class SharedConfig(_Strict):
    """One encoder, the sum over its layers, and the heads above it."""

    format: Literal["sertool-shared-1"] = "sertool-shared-1"
    encoder: EncoderConfig = CompactConfig()
    base: BaseConfig | None = None
    """Where the tensors lie that the model has not changed; None where it stores all of its own."""
    adapt: AdaptConfig = AdaptConfig()
    layer_sum: Literal["shared", "per-head"] = "shared"
    emotion: EmotionConfig | None = None
    enhancement: EnhancementHeadConfig | None = None
    pretext: Annotated[tuple[UtteranceTask, ...], Field(max_length=4)] = ()
    """Heads of pre-training tasks, in the order of their targets."""
    masked: MaskedConfig | None = None
    speech_kept_db: Annotated[float, Field(ge=-60.0, le=0.0)] = SPEECH_KEPT_DB
    """Where the enhancement head keeps less in every half second, nobody speaks and no emotion is named."""

    @model_validator(mode="after")
    def _check_masks(self) -> "SharedConfig":
        if self.adapt.how == "router" and self.adapt.router.masks == "per-head" and self.layer_sum == "shared":
            raise ValueError("masks for each head need a layer sum for each head: set layer_sum to per-head")
        names = [task.name for task in self.pretext]
        if len(set(names)) < len(names):
            raise ValueError("a pre-training task stands there twice")
        if self.masked and (self.adapt.how == "router" and self.adapt.router.masks == "per-head"):
            raise ValueError("masked prediction is of one encoder, and masks for each head make several")
        if self.masked and self.encoder.kind == "log-mel":
            raise ValueError("masked prediction trains an encoder, and log-mel energies have none")
        return self

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads over a layer sum that there are."""
        hears_encoder = self.enhancement is not None and self.enhancement.hears_encoder
        named = ("emotion",) * bool(self.emotion) + ("enhancement",) * hears_encoder
        return named + tuple(task.name for task in self.pretext)

    @property
    def hears_encoder(self) -> bool:
        """Whether anything is asked of the encoder."""
        return bool(self.heads) or self.masked is not None

    @property
    def mask_sets(self) -> tuple[str, ...]:
        """The sets of masks over the encoder, where it is adapted by masks."""
        per_head = self.adapt.how == "router" and self.adapt.router.masks == "per-head"
        return self.heads if per_head else ("shared",)

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

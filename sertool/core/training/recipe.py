"""The recipe: every setting of a run in one tree; from defaults, a YAML file and flags, in this order."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from sertool.core.errors import InputError
from sertool.core.models.config import (
    ChunkConfig,
    CompactConfig,
    DualPathConfig,
    LogMelConfig,
    LoRAConfig,
    Names,
    RouterConfig,
    Size,
    Width,
)
from sertool.core.training.enhancement_losses import SpectralWeights
from sertool.core.training.losses import CategoryLoss
from sertool.core.training.pretext_settings import PRETEXT_TASKS, Pretext
from sertool.core.training.recipe_file import Section as _Section
from sertool.core.training.recipe_file import known_keys as known_keys
from sertool.core.training.recipe_file import load_yaml, make_settings, read_settings
from sertool.core.training.recipe_file import recipe_text as recipe_text
from sertool.core.training.schedule import SCHEDULES, Stage, with_front_end
from sertool.core.training.stress_limits import StressLimits


def _rising(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError("a range begins with its lower end")
    return span


Positive = Annotated[float, Field(gt=0.0, le=1e9)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Stages = Annotated[tuple[Stage, ...], Field(max_length=100)]
Part = Annotated[float, Field(ge=0.0, le=1.0)]
Gain = Annotated[float, Field(ge=-100.0, le=100.0)]
Span = Annotated[tuple[Gain, Gain], AfterValidator(_rising)]
Attribute = Literal["arousal", "dominance", "valence"]


def _as_texts(value: Any) -> Any:
    """Let a ratio be written as a number, and a single one without a list: 0, [0, 5], "-5:15"."""
    values = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(one, int | float) and not abs(one) < 1000 for one in values):
        raise ValueError("a ratio in dB lies between -1000 and 1000")
    return [f"{one:g}" if isinstance(one, int | float) and not isinstance(one, bool) else one for one in values]


Ratios = Annotated[tuple[str, ...], BeforeValidator(_as_texts)]


NEW_ENCODERS = ("compact", "log-mel")
"""Names of encoders that begin with random weights, or have none."""


class Data(_Section):
    """What is learned from."""

    manifests: tuple[str, ...] = ()
    """Tables of utterances with the splits `train` and `dev`; several are joined."""
    max_s: Positive = 12.0
    """Longer utterances are cut to this many seconds, at a random place in training."""
    on_unknown: Literal["error", "exclude"] = "error"
    """What to do with utterances of a category the model is not to know: stop, or leave them out and count them."""
    speed_change: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Play training speech faster or slower by a random factor of up to this share; pitch and formants move along."""
    level_db: Span | None = None
    """Lowest and highest gain in dB that training utterances are given, clean reference and all; null for none."""
    band_share: Part = 0.0
    """Share of training utterances heard in a narrower band, a telephone's or below 2 to 7.5 kHz, clean reference and
    all."""
    clip_share: Part = 0.0
    """Share of training utterances that are clipped, by up to 12 dB."""
    codec_share: Part = 0.0
    """Share of training utterances that went through a codec of libsndfile."""
    workers: Annotated[int, Field(ge=0, le=256)] = 1
    """Processes that read and mix ahead of the training step; the samples do not depend on it."""


class Noise(_Section):
    """The noise mixed into speech as it is read. Without source and babble the model trains on clean speech alone."""

    source: str | None = None
    """A folder with a subfolder for each kind of noise, or a manifest with the column `kind`."""
    kinds: tuple[str, ...] | None = None
    """Kinds to use; all of them without."""
    snr_db: Ratios = ("-5:15",)
    """Fixed signal-to-noise ratios in dB, or one range `low:high`."""
    clean_share: Part = 0.1
    """Share of training utterances left without noise."""
    altered_share: Part = 0.0
    """Share of noisy training utterances whose noise is played at 0.6 to 1.6 times its speed, half of it backwards."""
    coloured_share: Part = 0.0
    """Share of noisy training utterances whose noise goes through a random filter, octaves by 6 dB up or down."""
    synthetic_share: Part = 0.0
    """Share of noisy training utterances whose noise is synthetic (hiss, gusts, tones, bursts), or the recording and
    synthetic noise together."""
    dev_snr_db: Ratios = ("0", "5")
    """Ratios of the dev split, on which the best epoch is chosen, in recordings kept back from training."""
    speech_level: Literal["utterance", "active"] = "utterance"
    """What a ratio takes for the level of the speech: its power over the utterance, or while it is active (P.56)."""
    babble: str | None = None
    """A manifest of clean speech to make babble of, one more kind of noise beside those of the source, or the only one.
    Where it has splits, training takes `train` and the dev split `dev`; else the dev split takes the utterances whose
    file name's SHA-1 is 0 mod 5, and training the others. This speech counts as learned from."""
    talkers: Annotated[int, Field(ge=2)] = 6
    """Voices in each babble."""
    rir: str | None = None
    """A folder of room impulse responses with a subfolder for each room: speech and noise sound from two of its places.
    Rooms whose name's SHA-1 is 0 mod 5 are kept for the dev split, where that leaves rooms on both sides. Ratios are of
    reverberant speech; utterances left without noise stay dry."""
    reverb_share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Share of noisy training utterances that sound in a room; of the dev split, all do."""
    clean_reference: Literal["dry", "early"] = "dry"
    """Clean speech in a room: its direct sound alone, or with the reflections of 50 ms too."""


class Encoder(_Section):
    """Where the encoder comes from."""

    name: str = "compact"
    """`compact` for new weights; `log-mel` for none; a run whose encoder is taken over; or an encoder of `transformers`
    (WavLM, HuBERT, wav2vec 2.0, data2vec-audio) by its name on the hub, in its cache, or by its folder."""
    revision: str | None = None
    """Branch, tag or commit of an encoder on the hub."""
    adapt: Literal["full", "frozen", "router", "lora"] = "full"
    """What of a learned encoder changes: all but its front end (as the schedule says), nothing, which of its
    connections exist (S³-Router), or low-rank updates of its linear layers."""
    router: RouterConfig = RouterConfig()
    lora: LoRAConfig = LoRAConfig()
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    """In place of every dropout of the encoder's own; null leaves them."""
    heads: Literal["enhancement", "all"] = "enhancement"
    """Which heads, with their layer sums, are taken over from a run, where both models have them at the same sizes:
    that of enhancement, or that of emotion too. Those of other pre-training tasks begin anew."""
    compact: CompactConfig = CompactConfig()
    """Sizes of a new compact encoder; a run's own sizes hold where one is taken over."""
    log_mel: LogMelConfig = LogMelConfig()


class Emotion(_Section):
    """The emotion head."""

    categories: Names | Literal["auto"] = "auto"
    """Classes to recognise; `auto` takes those of the training split, and `[]` none."""
    attributes: tuple[Attribute, ...] = ()
    """Attributes to estimate, each on the 1–7 scale."""
    pooling: Literal["attentive-statistics", "chunk-mean", "chunk-gated", "chunk-recurrent", "chunk-self-attention"] = (
        "attentive-statistics"
    )
    """What makes one vector of an utterance: attentive statistics over its frames; or dynamic chunks and, over these,
    their mean, a gate, recurrent attention, or self-attention."""
    chunks: ChunkConfig = ChunkConfig()
    hidden: Size = 256
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    loss: CategoryLoss = "cross-entropy"
    """`cross-entropy` learns the label; `soft-cross-entropy` and `kl-divergence` learn the distribution of the
    annotators' votes (columns `votes_<category>`), and so from utterances too on which no majority agrees."""
    weight: Annotated[float, Field(ge=0.0)] = 1.0
    """Weight of the emotion losses in the sum."""


class Enhancement(_Section):
    """The enhancement head."""

    head: Literal["mask", "dual-path"] = "mask"
    """A mask on the log-magnitude spectrum, with the noisy phase (Tzeng et al., ICASSP 2025); or a complex mask from
    recurrences over time and frequency, which costs more and sounds better."""
    projection: Width = 128
    hidden: Width = 128
    """With `projection`, the sizes of the mask head; those of the other are under `dual_path`."""
    dual_path: DualPathConfig = DualPathConfig()
    spectral: SpectralWeights = SpectralWeights()
    """What the dual-path head learns from, in place of L1 between log spectra."""
    crop_s: Positive | None = 1.28
    """Seconds of each utterance the head trains on, at a random place; all of it when null."""
    weight: Annotated[float, Field(ge=0.0)] = 1.0
    """Weight of the enhancement loss in the sum."""


class Curriculum(_Section):
    """Baby steps: bins of utterances come in one after another and stay (Lin, Sridhar & Busso, TASLP 2024)."""

    scores: str | None = None
    """A table as `sertool score-curriculum` writes: `file_name` and `score` of every training utterance."""
    order: Literal["easy-first", "hard-first", "none", "self-paced"] = "easy-first"
    """Which bin is the first: that of the highest scores, or of the lowest (the anti-curriculum). `none`, ours: each
    epoch draws as many utterances as would be in play, anew from the whole training split, so that updates and rates
    are those of the others. `self-paced`: the model's own lowest losses, looked up anew at each new bin (Kumar, Packer
    & Koller, NeurIPS 2010, hard weights; the threshold is where the bin's share of utterances ends); at the very start
    the model knows nothing, and a bin is drawn at random (ours)."""
    bins: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Equal parts of the training split."""
    epochs_per_bin: Count | Literal["auto"] = "auto"
    """Epochs from one bin to the next. `auto`: all bins are in play after the publication's share of the run, 45 of 70
    epochs; of as many epochs, 5."""
    rate_factor: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Multiplies the learning rate at each new bin, beside optimisation.decay: constant is the publication's."""


class Optimisation(_Section):
    """How long and how fast."""

    epochs: Count = 30
    """Passes over the training split, shared among the stages of the schedule."""
    learning_rate: Positive = 1e-3
    """Of the heads and the layer sum, with AdamW."""
    encoder_rate: Positive = 0.5
    """The encoder's learning rate as a multiple of the heads'."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    warmup_updates: Annotated[int, Field(ge=0)] = 50
    """Updates over which the rate rises from nothing, at the beginning of each stage."""
    decay: Literal["constant", "cosine"] = "cosine"
    """Whether the rate stays, or falls along a cosine to a hundredth over the whole run."""
    batch_size: Count = 32
    """Utterances an update learns from, over all processes and accumulation steps."""
    accumulation: Count = 1
    """Steps an update's batch is cut into, to save memory; the result is that of the whole batch."""
    clip_norm: Positive = 1.0
    """Largest norm of the gradient."""
    average: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Score and keep a moving average of the weights, of which an update leaves this share, as 0.999; 0 for none."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 on CUDA, float32 elsewhere."""
    checkpointing: bool = False
    """Compute the encoder's layers again in the backward pass instead of keeping what they computed: less memory."""
    compile: bool = False
    """Compile the encoder's layers with `torch.compile`."""
    sharding: Literal["none", "fsdp"] = "none"
    """`fsdp`: spread weights, gradients and optimizer state over the processes (fully sharded data parallel)."""


Task = Literal["emotion", "enhancement", "energy", "activation", "activation-without-mouth", "action-units", "masked"]
"""What a model may be trained for; `enhancement` alone is pre-training by denoising."""


class Recipe(_Section):
    """All settings of a run. Stored, resolved, in the run's `recipe.yaml`."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)] = ("emotion", "enhancement")
    """Heads to train: both is the joint model. The others are for pre-training, alone, together or beside enhancement,
    and not beside emotion."""
    layer_sum: Literal["shared", "per-head"] = "shared"
    """One weighted sum of the encoder's layers for both heads, or one a head."""
    schedule: Literal["auto", "at-once", "heads-then-all", "cascade"] | Stages = "auto"
    """What is unfrozen when: a word, or a list of stages. `auto` is the cascade for an encoder that has learned before,
    and at-once for one that starts from random weights, since a frozen random encoder means nothing."""
    device: str = "auto"
    checkpoint_updates: Annotated[int, Field(ge=0)] = 0
    """Save resumable state every so many updates too, for long epochs; at the end of each epoch always."""
    tensorboard: bool = False
    data: Data = Data()
    noise: Noise = Noise()
    encoder: Encoder = Encoder()
    emotion: Emotion = Emotion()
    enhancement: Enhancement = Enhancement()
    pretext: Pretext = Pretext()
    curriculum: Curriculum | None = None
    """Which utterances are learned from when; all of them in every epoch where it is null."""
    stress: StressLimits = StressLimits()
    """What `sertool evaluate --stress` asks of the model; nothing here changes what is learned."""
    optimisation: Optimisation = Optimisation()

    @property
    def pretext_tasks(self) -> tuple[str, ...]:
        """The pre-training tasks asked for, in the order of their targets; denoising is not among them."""
        return tuple(task for task in PRETEXT_TASKS if task in self.tasks)

    def stages(self) -> tuple[Stage, ...]:
        """Return the stages of the schedule with their epochs.

        The front end of an encoder with random weights learns along with its lower layers; a learned one rests.
        """
        new = self.encoder.name in NEW_ENCODERS
        if not isinstance(self.schedule, str):
            return self.schedule
        word = self.schedule if self.schedule != "auto" else "at-once" if new else "cascade"
        stages = SCHEDULES[word](self.optimisation.epochs)
        return tuple(with_front_end(stage) for stage in stages) if new else stages


def read_recipe(
    path: Path | str | None = None, overrides: dict[str, Any] | None = None, *, base: dict[str, Any] | None = None
) -> Recipe:
    """Return the recipe of a YAML file, changed by dotted overrides such as `{"optimisation.epochs": 5}`.

    Args:
        path: the file; None for the defaults.
        overrides: values by dotted key.
        base: what holds, section by section, where neither file nor overrides say otherwise.

    Raises:
        InputError: the file cannot be read, a key is unknown (the nearest one is named), or a value does not fit.
    """
    return read_settings(Recipe, path, overrides, base=base)


def make_recipe(tree: dict[str, Any], *, source: str = "recipe") -> Recipe:
    """Return the recipe a tree of plain values describes.

    Raises:
        InputError: a key is unknown (the nearest one is named), or a value does not fit.
    """
    return make_settings(Recipe, tree, source=source)


def with_settings(recipe: Recipe, settings: dict[str, Any]) -> Recipe:
    """Return a recipe with other values by dotted key, such as `{"encoder.router.sparsity": 0.2}`.

    Raises:
        InputError: as `read_recipe`.
    """
    return read_recipe(None, settings, base=recipe.model_dump(mode="json"))


def read_stages(text: str) -> str | list[Any]:
    """Return a schedule: the word itself, or the list of stages in the YAML file it names.

    Raises:
        InputError: it is neither.
    """
    words = ("auto", *SCHEDULES)
    if text in words:
        return text
    if not Path(text).is_file():
        raise InputError(
            f"schedule '{text}' is unknown; expected {', '.join(words)}, or a YAML file of stages: choose one"
        )
    return load_yaml(Path(text))


def read_curriculum(text: str) -> dict[str, str]:
    """Return the settings, by dotted key, that a word of `--curriculum` stands for: an order, or a table of scores.

    Raises:
        InputError: it is neither.
    """
    if text in ("none", "self-paced"):
        return {"curriculum.order": text}
    if not Path(text).is_file():
        remedy = f"name the table, and add --set curriculum.order={text}" if "-first" in text else "check the path"
        raise InputError(
            f"curriculum '{text}' is no file; expected a table of scores, as `sertool score-curriculum` writes it, or "
            f"self-paced, or none: {remedy}"
        )
    return {"curriculum.scores": text}

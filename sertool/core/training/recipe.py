"""The recipe: every setting of a run in one tree; from defaults, a YAML file and flags, in this order."""

import difflib
import re
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sertool.core.errors import InputError
from sertool.core.models.config import CompactConfig
from sertool.core.training.losses import CategoryLoss
from sertool.core.training.schedule import SCHEDULES, Stage, with_front_end

Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]
Attribute = Literal["arousal", "dominance", "valence"]


def _as_texts(value: Any) -> Any:
    """Let a ratio be written as a number, and a single one without a list: 0, [0, 5], "-5:15"."""
    values = value if isinstance(value, list | tuple) else [value]
    return [f"{one:g}" if isinstance(one, int | float) and not isinstance(one, bool) else one for one in values]


Ratios = Annotated[tuple[str, ...], BeforeValidator(_as_texts)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
    workers: Annotated[int, Field(ge=0, le=256)] = 1
    """Processes that read and mix ahead of the training step; the samples do not depend on it."""


class Noise(_Section):
    """The noise mixed into speech as it is read. Without a source the model trains and is chosen on clean speech."""

    source: str | None = None
    """A folder with a subfolder for each kind of noise, or a manifest with the column `kind`."""
    kinds: tuple[str, ...] | None = None
    """Kinds to use; all of them without."""
    snr_db: Ratios = ("-5:15",)
    """Fixed signal-to-noise ratios in dB, or one range `low:high`."""
    clean_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    """Share of training utterances left without noise."""
    dev_snr_db: Ratios = ("0", "5")
    """Ratios of the dev split, on which the best epoch is chosen, in recordings kept back from training."""


class Encoder(_Section):
    """Where the encoder comes from."""

    name: str = "compact"
    """`compact` for new weights, or a run whose encoder (and enhancement head, where both have one) is taken over."""
    compact: CompactConfig = CompactConfig()
    """Sizes of a new compact encoder; a run's own sizes hold where one is taken over."""


class Emotion(_Section):
    """The emotion head."""

    categories: tuple[str, ...] | Literal["auto"] = "auto"
    """Classes to recognise; `auto` takes those of the training split, and `[]` none."""
    attributes: tuple[Attribute, ...] = ()
    """Attributes to estimate, each on the 1–7 scale."""
    hidden: Count = 256
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    loss: CategoryLoss = "cross-entropy"
    """`cross-entropy` learns the label; `soft-cross-entropy` and `kl-divergence` learn the distribution of the
    annotators' votes (columns `votes_<category>`), and so from utterances too on which no majority agrees."""
    weight: Annotated[float, Field(ge=0.0)] = 1.0
    """Weight of the emotion losses in the sum."""


class Enhancement(_Section):
    """The enhancement head."""

    projection: Count = 128
    hidden: Count = 128
    crop_s: Positive | None = 1.28
    """Seconds of each utterance the head trains on, at a random place; all of it when null."""
    weight: Annotated[float, Field(ge=0.0)] = 1.0
    """Weight of the enhancement loss in the sum."""


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
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 on CUDA, float32 elsewhere."""


class Recipe(_Section):
    """All settings of a run. Stored, resolved, in the run's `recipe.yaml`."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    tasks: Annotated[tuple[Literal["emotion", "enhancement"], ...], Field(min_length=1)] = ("emotion", "enhancement")
    """Heads to train: both is the joint model."""
    layer_sum: Literal["shared", "per-head"] = "shared"
    """One weighted sum of the encoder's layers for both heads, or one a head."""
    schedule: Literal["auto", "at-once", "heads-then-all", "cascade"] | tuple[Stage, ...] = "auto"
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
    optimisation: Optimisation = Optimisation()

    def stages(self) -> tuple[Stage, ...]:
        """Return the stages of the schedule with their epochs.

        The front end of an encoder with random weights learns along with its lower layers; a learned one rests.
        """
        new = self.encoder.name == "compact"
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
    tree = _joined(base or {}, _read_yaml(Path(path)) if path is not None else {})
    for dotted, value in (overrides or {}).items():
        *sections, key = dotted.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
            if not isinstance(branch, dict):
                raise InputError(
                    f"recipe: '{section}' is {branch!r}; expected a section with keys: write it as a mapping"
                )
        branch[key] = value
    return make_recipe(tree, source=str(path) if path else "recipe")


def make_recipe(tree: dict[str, Any], *, source: str = "recipe") -> Recipe:
    """Return the recipe a tree of plain values describes.

    Raises:
        InputError: a key is unknown (the nearest one is named), or a value does not fit.
    """
    try:
        return Recipe.model_validate(tree)
    except pydantic.ValidationError as error:
        raise InputError(f"{source}: {_explain(error)}") from error


def read_stages(text: str) -> str | list[Any]:
    """Return a schedule: the word itself, or the list of stages in the YAML file it names.

    Raises:
        InputError: it is neither.
    """
    if text in SCHEDULES:
        return text
    if not Path(text).is_file():
        raise InputError(
            f"schedule '{text}' is unknown; expected {', '.join(SCHEDULES)}, or a YAML file of stages: choose one"
        )
    return _load_yaml(Path(text))


def recipe_text(recipe: Recipe) -> str:
    """Return a recipe as YAML."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def _joined(base: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with what `tree` says laid over it, neither changed."""
    joined = {key: dict(value) if isinstance(value, dict) else value for key, value in base.items()}
    for key, value in tree.items():
        if isinstance(value, dict) and isinstance(joined.get(key), dict):
            joined[key] = _joined(joined[key], value)
        else:
            joined[key] = value
    return joined


class _Loader(yaml.SafeLoader):
    """YAML without numbers to the base of sixty: `-5:15` is a range here, not -315."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, re.compile(r"[-+]?[0-9]+$") if tag == "tag:yaml.org,2002:int" else pattern) for tag, pattern in resolvers
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _load_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected a recipe in YAML: check the path") from error
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: is not YAML ({reason}): mend the line it names") from error


def _read_yaml(path: Path) -> dict[str, Any]:
    tree = _load_yaml(path)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InputError(
            f"{path}: holds a {type(tree).__name__}; expected keys and values of a recipe: see `sertool train --help`"
        )
    return tree


def _explain(error: pydantic.ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = known_keys(Recipe)
        nearest = difflib.get_close_matches(where, known, n=1, cutoff=0.0)
        same_section = [key for key in known if key.rpartition(".")[0] == where.rpartition(".")[0]]
        nearest = difflib.get_close_matches(where, same_section, n=1, cutoff=0.5) or nearest
        return f"unknown key '{where}'; the nearest known one is '{nearest[0]}': correct or remove it"
    return f"'{where}' is {first['input']!r}; {first['msg'][0].lower()}{first['msg'][1:]}: correct the value"


def known_keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    """Return the dotted names of all keys of a recipe section."""
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        kinds = [field.annotation]
        if isinstance(field.annotation, types.UnionType) or typing.get_origin(field.annotation) is typing.Union:
            kinds = list(typing.get_args(field.annotation))
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                keys += known_keys(kind, f"{prefix}{name}.")
    return keys

"""What a training starts from: the encoder it takes over, where that comes from, and the model above it."""

from dataclasses import dataclass
from pathlib import Path

import pydantic

from sertool.core.corpus.noise import file_digest
from sertool.core.errors import InputError
from sertool.core.models.adaptation import merge_adaptation
from sertool.core.models.base import commit, encoder_digest, is_trained_here, load_plain
from sertool.core.models.config import (
    AdaptConfig,
    BaseConfig,
    EmotionConfig,
    EnhancementConfig,
    EnhancementHeadConfig,
    MaskedConfig,
    SharedConfig,
    UtteranceTask,
)
from sertool.core.models.encoder import Encoder
from sertool.core.models.shared import SharedModel
from sertool.core.models.storage import WEIGHTS_NAME
from sertool.core.training.pretext_settings import MASKED, MFCC, UTTERANCE_TASKS
from sertool.core.training.recipe import NEW_ENCODERS, Recipe
from sertool.core.training.run import Run, open_run
from sertool.core.training.schedule import LAYERS

LEARNING = {
    "full": {"heads", "front-end", *LAYERS},
    "frozen": {"heads"},
    "router": {"heads", *LAYERS},
    "lora": {"heads", *LAYERS},
}
"""Parts of a model in which something may learn, by adaptation."""


@dataclass(frozen=True)
class Start:
    """Where a training starts.

    Attributes:
        encoder: with the weights it learned before, adaptations merged into them; None for a new one.
        run: the run it comes from, if it does.
        model: that run's model, for its heads; its encoder is the one above.
        base: where unchanged tensors are read from; None where the model is to store all of its own.
        identity: what must be the same for an interrupted training to go on.
    """

    encoder: Encoder | None = None
    run: Run | None = None
    model: SharedModel | None = None
    base: BaseConfig | None = None
    identity: str = "new"


def check_apart(folder: Path, recipe: Recipe) -> None:
    """Make sure that a run is not written over one that it learns from.

    Raises:
        InputError: its folder is that of the encoder's run, or of the one whose hidden states are clustered.
    """
    sources = {}
    if recipe.encoder.name not in NEW_ENCODERS:
        sources["encoder comes"] = recipe.encoder.name
    if MASKED in recipe.tasks and recipe.pretext.masked.features != MFCC:
        sources["features come"] = recipe.pretext.masked.features
    for what, name in sources.items():
        if Path(name).resolve() in (folder.resolve(), (folder / "model").resolve()):
            raise InputError(f"{folder}: is the run the {what} from; expected another folder: choose one with -o")


def read_start(recipe: Recipe) -> Start:
    """Return what a recipe starts from.

    Raises:
        InputError: there is no such encoder, it cannot be used, or there is nothing to adapt.
    """
    settings = recipe.encoder
    for stage in recipe.stages():
        if not LEARNING[settings.adapt] & set(stage.train):
            raise InputError(
                f"schedule: a stage trains {', '.join(stage.train)}, of which nothing learns where adapt is "
                f"{settings.adapt}; expected a part that does: add heads to it"
            )
    new = settings.name in NEW_ENCODERS
    if settings.revision is not None and (new or is_trained_here(settings.name)):
        raise InputError(
            f"encoder.revision is '{settings.revision}', and '{settings.name}' has no revisions; expected one of an "
            "encoder on the hub alone: leave it out"
        )
    if new:
        if settings.adapt != "full":
            raise InputError(
                f"adapt is {settings.adapt}, and the encoder '{settings.name}' has learned nothing yet; expected one "
                "that has: name a run or an SSL encoder with --encoder, or leave --adapt out"
            )
        return Start()
    # An encoder whose front end learns too has nothing left to read from elsewhere.
    whole = settings.adapt == "full" and any("front-end" in stage.train for stage in recipe.stages())
    if not is_trained_here(settings.name):
        encoder, digest = load_plain(settings.name, settings.revision)
        revision = commit(settings.name, settings.revision)
        base = BaseConfig(name=lasting_name(settings.name), revision=revision, digest=digest)
        return Start(encoder=encoder, base=None if whole else base, identity=digest)
    run = open_run(Path(settings.name))
    model = SharedModel.from_pretrained(run.model_folder)
    digest = encoder_digest(model)
    merge_adaptation(model.encoder)
    # A fully tuned encoder is stored whole; of one on disk elsewhere, its unchanged front end may stay there.
    base = model.config.base if model.config.adapt.how == "full" and not whole else None
    if settings.adapt != "full":
        base = BaseConfig(name=lasting_name(settings.name), digest=digest)
    identity = file_digest(run.model_folder / WEIGHTS_NAME)
    return Start(encoder=model.encoder, run=run, model=model, base=base, identity=identity)


def model_config(recipe: Recipe, categories: tuple[str, ...], start: Start) -> SharedConfig:
    """Return the configuration of the model to train.

    Raises:
        InputError: the labels make no classes, or settings contradict each other.
    """
    emotion = enhancement = None
    if "emotion" in recipe.tasks:
        emotion = _emotion(recipe, categories)
    if "enhancement" in recipe.tasks:
        enhancement = _enhancement(recipe)
    settings, pretext = recipe.encoder, recipe.pretext
    utterance_tasks = [
        UtteranceTask(name=task, classes=UTTERANCE_TASKS[task], hidden=pretext.hidden, dropout=pretext.dropout)
        for task in recipe.pretext_tasks
        if task in UTTERANCE_TASKS
    ]
    masked = None
    if MASKED in recipe.pretext_tasks:
        masked = MaskedConfig(clusters=pretext.masked.clusters, projection=pretext.masked.projection)
    new = settings.log_mel if settings.name == "log-mel" else settings.compact
    encoder = start.encoder.config if start.encoder else new
    if settings.dropout is not None and "dropout" in type(encoder).model_fields:
        encoder = encoder.model_copy(update={"dropout": settings.dropout})
    try:
        return SharedConfig(
            encoder=encoder,
            base=start.base,
            adapt=AdaptConfig(how=settings.adapt, router=settings.router, lora=settings.lora),
            layer_sum=recipe.layer_sum,
            emotion=emotion,
            enhancement=enhancement,
            pretext=tuple(utterance_tasks),
            masked=masked,
        )
    except pydantic.ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"recipe: {reason}: change one of them") from error


def _enhancement(recipe: Recipe) -> EnhancementHeadConfig:
    settings = recipe.enhancement
    if settings.head == "mask":
        return EnhancementConfig(projection=settings.projection, hidden=settings.hidden)
    idle = set(recipe.tasks) == {"enhancement"} and recipe.encoder.name == "compact"
    if idle and not settings.dual_path.hears_encoder:
        raise InputError(
            "enhancement.dual_path.features is none, so that a new encoder would learn nothing; expected none: "
            "set encoder.name to log-mel, which has no weights, or features to encoder"
        )
    return settings.dual_path


def _emotion(recipe: Recipe, categories: tuple[str, ...]) -> EmotionConfig:
    try:
        return EmotionConfig(
            pooling=recipe.emotion.pooling,
            chunks=recipe.emotion.chunks,
            categories=categories,
            attributes=recipe.emotion.attributes,
            hidden=recipe.emotion.hidden,
            dropout=recipe.emotion.dropout,
        )
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"the labels make no classes ({first['msg'][0].lower()}{first['msg'][1:]}); expected a few names: "
            "correct the manifest's column 'emotion', or set emotion.categories"
        ) from error


def lasting_name(name: str) -> str:
    """Return a name that holds in any working folder: a folder's absolute path, a name on the hub as it is."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name

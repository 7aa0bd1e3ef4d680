"""What a recipe names, read and checked before the first step: utterances, noise, classes, an encoder to start from."""

import hashlib
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from sertool.core.audio.files import audio_digest, audio_info
from sertool.core.corpus.batches import Utterances
from sertool.core.corpus.categories import CATEGORIES, select_categories
from sertool.core.corpus.manifest import Manifest, utterance_key
from sertool.core.corpus.mixing import Mixer, SnrChoice, parse_snr
from sertool.core.corpus.noise import NoiseSet, file_digest
from sertool.core.engine import default_workers, map_tasks
from sertool.core.errors import InputError
from sertool.core.models.config import EmotionConfig, EnhancementConfig, SharedConfig
from sertool.core.models.shared import SharedModel
from sertool.core.models.storage import WEIGHTS_NAME
from sertool.core.training.recipe import Recipe
from sertool.core.training.run import Run, open_run

HELD_OUT = 20
"""Without a dev split, one utterance in so many is held out to choose the best epoch of a pre-training."""


@dataclass(frozen=True)
class Inputs:
    """Everything a run learns from.

    Attributes:
        train: utterances of the training split.
        dev: utterances of the dev split.
        train_mixer: mixes training noise into speech; None trains on clean speech.
        dev_mixer: mixes noise kept back from training.
        dev_snrs: SNRs in dB the dev split is heard at; (NaN,) for clean speech.
        config: of the model.
        start: the model whose encoder is taken over, if any.
        identity: what must be the same for an interrupted run to go on: digests by name.
        seen_audio: digests of the audio learned from, ancestors included.
        noise_kinds: heard in training, on the dev split, or by the run the encoder comes from.
        noise_digests: of the recordings heard there.
        counts: training utterances of each class.
        notes: what a user should know about the data, a line each.
    """

    train: Utterances
    dev: Utterances
    train_mixer: Mixer | None
    dev_mixer: Mixer | None
    dev_snrs: tuple[float, ...]
    config: SharedConfig
    start: SharedModel | None
    identity: dict[str, str]
    seen_audio: frozenset[str]
    noise_kinds: tuple[str, ...] = ()
    noise_digests: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_inputs(recipe: Recipe) -> Inputs:
    """Read what a recipe names.

    Raises:
        InputError: a manifest, the noise or the encoder cannot be used as the recipe says.
    """
    notes: list[str] = []
    train, dev = _read_splits(recipe, notes)
    categories = _categories(recipe, train)
    if categories:
        train = [_select(manifest, categories, recipe, notes) for manifest in train]
        dev = [_select(manifest, categories, recipe, notes) for manifest in dev]
    config, start, parent = _model(recipe, categories)
    train_mixer, dev_mixer, dev_snrs = _noise(recipe)
    kinds, recordings = _heard_noise([train_mixer, dev_mixer], parent)
    attributes = recipe.emotion.attributes if "emotion" in recipe.tasks else ()
    train_utterances = _utterances(train, categories, attributes)
    dev_utterances = _utterances(dev, categories, attributes)
    counts = {name: int((train_utterances.labels == i).sum()) for i, name in enumerate(categories)}
    missing = [name for name, count in counts.items() if not count]
    if missing:
        raise InputError(
            f"no training utterance is labelled '{missing[0]}'; expected some of each class: "
            "leave it out of emotion.categories"
        )
    seen = _digests(np.concatenate([train_utterances.paths, dev_utterances.paths]))
    seen |= parent.seen_audio if parent else set()
    identity = {"encoder": file_digest(parent.model_folder / WEIGHTS_NAME) if parent else "new"}
    identity |= {f"manifest {Path(name).name}": file_digest(Path(name)) for name in recipe.data.manifests}
    if train_mixer:
        identity |= {"noise": train_mixer.noise_set.digest, "dev noise": dev_mixer.noise_set.digest}
    return Inputs(
        train=train_utterances,
        dev=dev_utterances,
        train_mixer=train_mixer,
        dev_mixer=dev_mixer,
        dev_snrs=dev_snrs,
        config=config,
        start=start,
        identity=identity,
        seen_audio=frozenset(seen),
        noise_kinds=kinds,
        noise_digests=recordings,
        counts=counts,
        notes=tuple(notes),
    )


def _read_splits(recipe: Recipe, notes: list[str]) -> tuple[list[Manifest], list[Manifest]]:
    """Return the train and dev parts of the recipe's manifests; nobody may be in both."""
    if not recipe.data.manifests:
        raise InputError(
            "the recipe names no manifest; expected data.manifests: name one, or make one with `sertool corpus`"
        )
    manifests = [Manifest.read(name) for name in recipe.data.manifests]
    if "emotion" in recipe.tasks:
        train = [manifest.split("train") for manifest in manifests]
        dev = [manifest.split("dev") for manifest in manifests]
    else:
        train, dev = _split_unlabelled(manifests, notes)
    _check_speakers(train, dev)
    return train, dev


def _split_unlabelled(manifests: list[Manifest], notes: list[str]) -> tuple[list[Manifest], list[Manifest]]:
    """Take train and dev where there are splits; hold one utterance in twenty out where there are none."""
    train, dev = [], []
    for manifest in manifests:
        if manifest.has("split"):
            named = manifest.table["split"]
            train.append(manifest.where(named == "train"))
            dev.append(manifest.where(named == "dev"))
            continue
        keys = [utterance_key(path) for path in manifest.paths()]
        held = np.array([int(hashlib.sha1(key.encode()).hexdigest(), 16) % HELD_OUT == 0 for key in keys])
        notes.append(
            f"{manifest.name} has no splits: {held.sum()} of {len(held)} utterances held out to choose the best epoch"
        )
        train.append(manifest.where(~held))
        dev.append(manifest.where(held))
    for name, part in (("train", train), ("dev", dev)):
        if not sum(map(len, part)):
            raise InputError(
                f"no utterance is in split '{name}'; expected some: split the corpus with `sertool corpus ... --folds`"
            )
    return train, dev


def _check_speakers(train: list[Manifest], dev: list[Manifest]) -> None:
    """Names of speakers mean something within one corpus only: two corpora may both have a speaker "09"."""
    for learned, held in zip(train, dev, strict=True):
        if not learned.has("speaker") or not held.has("speaker"):
            continue
        both = sorted(set(learned.table["speaker"].dropna()) & set(held.table["speaker"].dropna()))
        if both:
            raise InputError(
                f"{learned.name}: speaker '{both[0]}' is in train and in dev; expected each in one split: "
                "run `sertool corpus check`"
            )


def _categories(recipe: Recipe, train: list[Manifest]) -> tuple[str, ...]:
    if "emotion" not in recipe.tasks:
        return ()
    if recipe.emotion.categories != "auto":
        if not recipe.emotion.categories and not recipe.emotion.attributes:
            raise InputError(
                "the emotion task has neither categories nor attributes; expected one: "
                "set emotion.categories or emotion.attributes"
            )
        return recipe.emotion.categories
    found: set[str] = set()
    for manifest in train:
        if not manifest.has("emotion") and recipe.emotion.attributes:
            continue
        manifest.require("emotion")
        found |= set(manifest.table["emotion"].dropna())
    order = {name: i for i, name in enumerate(CATEGORIES)}
    return tuple(sorted(found, key=lambda name: (order.get(name, len(order)), name)))


def _select(manifest: Manifest, categories: tuple[str, ...], recipe: Recipe, notes: list[str]) -> Manifest:
    chosen, excluded = select_categories(manifest, categories, on_unknown=recipe.data.on_unknown)
    for name, count in excluded.items():
        notes.append(f"{manifest.name}: {count} utterances left out, category '{name}'")
    return chosen


def _utterances(manifests: list[Manifest], categories: tuple[str, ...], attributes: tuple[str, ...]) -> Utterances:
    paths, labels, values = [], [], []
    index = {name: i for i, name in enumerate(categories)}
    for manifest in manifests:
        if not len(manifest):
            continue
        paths += [str(path) for path in manifest.paths()]
        if categories:
            labels.append(manifest.table["emotion"].map(index).fillna(-1).to_numpy(dtype=np.int64))
        else:
            labels.append(np.full(len(manifest), -1))
        manifest.require(*attributes)
        columns = [
            pd.to_numeric(manifest.table[name]).to_numpy(dtype=np.float32, na_value=np.nan) for name in attributes
        ]
        values.append(np.stack(columns, axis=1) if columns else np.zeros((len(manifest), 0), np.float32))
    durations = np.array([audio_info(path).duration_s for path in paths])
    return Utterances(np.array(paths), durations, np.concatenate(labels).astype(np.int64), np.concatenate(values))


def _noise(recipe: Recipe) -> tuple[Mixer | None, Mixer | None, tuple[float, ...]]:
    if recipe.noise.source is None:
        return None, None, (float("nan"),)
    kinds = recipe.noise.kinds
    train = NoiseSet.read(Path(recipe.noise.source), part="train", kinds=kinds)
    dev = NoiseSet.read(Path(recipe.noise.source), part="dev", kinds=kinds)
    dev_choice = parse_snr(recipe.noise.dev_snr_db)
    if not dev_choice.values:
        raise InputError(
            "noise.dev_snr_db is a range; expected fixed ratios, so that epochs compare: write for example [0, 5]"
        )
    train_mixer = Mixer(train, parse_snr(recipe.noise.snr_db), recipe.seed)
    return train_mixer, Mixer(dev, SnrChoice(values=dev_choice.values), recipe.seed), dev_choice.values


def _heard_noise(mixers: list[Mixer | None], parent: Run | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return kinds and digests of all noise this training hears, and of what the encoder it starts from has heard."""
    kinds, recordings = set(), set()
    for mixer in mixers:
        if mixer is not None:
            kinds |= set(mixer.noise_set.kinds)
            recordings |= set(mixer.noise_set.file_digests().values())
    if parent is not None:
        kinds |= set(parent.noise["kinds"])
        recordings |= set(parent.noise["file_digests"])
    return tuple(sorted(kinds)), tuple(sorted(recordings))


def _model(recipe: Recipe, categories: tuple[str, ...]) -> tuple[SharedConfig, SharedModel | None, Run | None]:
    """Return the model's configuration, and where its encoder has learned before: the model and its run."""
    start = parent = None
    encoder = recipe.encoder.compact
    if recipe.encoder.name != "compact":
        parent = open_run(Path(recipe.encoder.name))
        start = SharedModel.from_pretrained(parent.model_folder)
        encoder = start.config.encoder
    emotion = enhancement = None
    if "emotion" in recipe.tasks:
        emotion = EmotionConfig(
            categories=categories,
            attributes=recipe.emotion.attributes,
            hidden=recipe.emotion.hidden,
            dropout=recipe.emotion.dropout,
        )
    if "enhancement" in recipe.tasks:
        sizes = recipe.enhancement
        enhancement = EnhancementConfig(projection=sizes.projection, hidden=sizes.hidden)
    config = SharedConfig(encoder=encoder, layer_sum=recipe.layer_sum, emotion=emotion, enhancement=enhancement)
    return config, start, parent


def _digests(paths: np.ndarray) -> set[str]:
    """Return the digests of audio files; in several processes where there are enough to be worth starting them."""
    digests = set()
    workers = min(default_workers(), 1 + len(paths) // 2000)
    with closing(map_tasks(audio_digest, list(paths), workers=workers)) as outcomes:
        for outcome in outcomes:
            if outcome.error:
                raise outcome.error
            digests.add(outcome.value)
    return digests

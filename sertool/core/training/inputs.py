"""What a recipe names, read and checked before the first step: utterances, noise, classes, an encoder to start from."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sertool.core.audio.files import audio_digest
from sertool.core.corpus.batches import Utterances
from sertool.core.corpus.derived_attributes import caveat, joint_sources, label, sources_in_words
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixing import Mixer
from sertool.core.corpus.noise import file_digest
from sertool.core.engine import default_workers, map_tasks
from sertool.core.errors import InputError
from sertool.core.models.config import SharedConfig
from sertool.core.training.noise import babble_speech, heard_noise, noise_identity, read_mixers
from sertool.core.training.pacing import Pacing, describe_curriculum, make_pacing
from sertool.core.training.recipe import Recipe
from sertool.core.training.run import DIGEST
from sertool.core.training.scores import Scores, curriculum_scores, heard_by
from sertool.core.training.start import Start, model_config, read_start
from sertool.core.training.utterances import class_counts, find_categories, list_utterances, read_splits, select


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
        start: the encoder that is taken over, if any, and where it comes from.
        pacing: which utterances each epoch learns from.
        scores: the curriculum's, if it goes by any.
        identity: what must be the same for an interrupted run to go on: digests by name.
        seen_audio: digests of the audio learned from, ancestors included.
        noise_kinds: heard in training, on the dev split, or by the run the encoder comes from.
        noise_digests: of the recordings heard there.
        counts: training utterances of each class; where votes are learned, the sum of its shares.
        learned_attributes: where the attributes learned come from, rated or derived, in words; None without any.
        dev_attributes: what the names of dev scores on attributes end with: "derived", "partly_derived", or nothing.
        notes: what a user should know about the data, a line each.
    """

    train: Utterances
    dev: Utterances
    train_mixer: Mixer | None
    dev_mixer: Mixer | None
    dev_snrs: tuple[float, ...]
    config: SharedConfig
    start: Start
    pacing: Pacing
    scores: Scores | None
    identity: dict[str, str]
    seen_audio: frozenset[str]
    noise_kinds: tuple[str, ...] = ()
    noise_digests: tuple[str, ...] = ()
    counts: dict[str, float] = field(default_factory=dict)
    learned_attributes: str | None = None
    dev_attributes: str = ""
    notes: tuple[str, ...] = ()


def read_inputs(recipe: Recipe) -> Inputs:
    """Read what a recipe names.

    Raises:
        InputError: a manifest, the noise or the encoder cannot be used as the recipe says.
    """
    notes: list[str] = []
    train, dev = read_splits(recipe, notes)
    categories = find_categories(recipe, train)
    if categories:
        train = [select(manifest, categories, recipe, notes) for manifest in train]
        dev = [select(manifest, categories, recipe, notes) for manifest in dev]
    start = read_start(recipe)
    config, parent = model_config(recipe, categories, start), start.run
    if parent is None and start.encoder is not None:
        name = recipe.encoder.name
        notes.append(f"{name}: what this encoder has heard is not known; test speech may have been among it")
    train_mixer, dev_mixer, dev_snrs = read_mixers(recipe, notes)
    kinds, recordings = heard_noise([train_mixer, dev_mixer], [*train, *dev], parent)
    babble = babble_speech([train_mixer, dev_mixer], [*train, *dev], notes)
    attributes = recipe.emotion.attributes if "emotion" in recipe.tasks else ()
    sources = joint_sources(train, attributes)
    if told := caveat(sources):
        notes.append(told)
    voted = bool(categories) and recipe.emotion.loss != "cross-entropy"
    train_utterances = list_utterances(train, categories, attributes, voted=voted)
    dev_utterances = list_utterances(dev, categories, attributes, voted=voted)
    counts = class_counts(train_utterances, categories)
    missing = [name for name, count in counts.items() if not count]
    if missing:
        raise InputError(
            f"no training utterance is labelled '{missing[0]}'{' or has votes for it' * voted}; "
            "expected some of each class: leave it out of emotion.categories"
        )
    _check_noisy(train_utterances, dev_utterances, train_mixer)
    scores = curriculum_scores(recipe, train_utterances, notes)
    pacing = make_pacing(recipe, len(train_utterances), scores)
    seen = set(audio_digests([*_all_files(train_utterances, dev_utterances), *babble]))
    seen |= _digests_of_sources([*train, *dev])
    seen |= (parent.seen_audio if parent else set()) | heard_by(scores, notes)
    identity = {"encoder": start.identity}
    for number, name in enumerate(recipe.data.manifests, 1):
        identity[f"manifest {number} ({Path(name).name})"] = file_digest(Path(name))
    if scores:
        identity[f"curriculum ({Path(recipe.curriculum.scores).name})"] = file_digest(Path(recipe.curriculum.scores))
    identity |= noise_identity(train_mixer, dev_mixer)
    return Inputs(
        train=train_utterances,
        dev=dev_utterances,
        train_mixer=train_mixer,
        dev_mixer=dev_mixer,
        dev_snrs=dev_snrs,
        config=config,
        start=start,
        pacing=pacing,
        scores=scores,
        identity=identity,
        seen_audio=frozenset(seen),
        noise_kinds=kinds,
        noise_digests=recordings,
        counts=counts,
        learned_attributes=sources_in_words(sources),
        dev_attributes=label(joint_sources(dev, attributes)).replace(" ", "_"),
        notes=tuple(notes),
    )


def about_run(recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    """Return what a run's record says of its inputs: noise, where attributes come from, and the curriculum."""
    about: dict[str, Any] = {"noise": {"kinds": list(inputs.noise_kinds), "file_digests": list(inputs.noise_digests)}}
    if inputs.learned_attributes:
        about["attributes"] = inputs.learned_attributes
    if recipe.curriculum:
        about["curriculum"] = describe_curriculum(recipe, inputs.pacing, inputs.scores)
    return about


def _check_noisy(train: Utterances, dev: Utterances, mixer: Mixer | None) -> None:
    """Speech is mixed before training or in it: both splits alike, and not twice."""
    if (train.clean_paths is None) != (dev.clean_paths is None):
        raise InputError("only one of train and dev is noisy already; expected both alike: mix both splits")
    if train.clean_paths is not None and mixer is not None:
        raise InputError("the manifest is noisy already, and noise was named too; expected one: leave --noise out")


def _all_files(*parts: Utterances) -> np.ndarray:
    return np.concatenate([files for part in parts for files in (part.paths, part.clean_paths) if files is not None])


def _digests_of_sources(manifests: list[Manifest]) -> set[str]:
    """Return the digests mix-noise kept of the speech it resampled, scaled and mixed."""
    named = [manifest.table["clean_digest"] for manifest in manifests if manifest.has("clean_digest")]
    digests = {str(digest) for column in named for digest in column.dropna()}
    odd = next((digest for digest in sorted(digests) if not DIGEST.fullmatch(digest)), None)
    if odd is not None:
        raise InputError(
            f"clean_digest is '{odd[:40]}', which is no digest of audio; expected 32 hex digits, as mix-noise writes "
            "them: mix again"
        )
    return digests


def audio_digests(paths: Sequence[str]) -> list[str]:
    """Return the digest of each audio file; in several processes where there are enough to be worth starting them."""
    digests = []
    workers = min(default_workers(), 1 + len(paths) // 2000)
    with closing(map_tasks(audio_digest, list(paths), workers=workers)) as outcomes:
        for outcome in outcomes:
            if outcome.error:
                raise outcome.error
            digests.append(outcome.value)
    return digests

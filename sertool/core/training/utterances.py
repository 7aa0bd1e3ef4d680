"""Which utterances a recipe learns from, and which it is judged on: splits, classes, labels."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd

from sertool.core.audio.files import audio_info
from sertool.core.corpus.batches import Utterances
from sertool.core.corpus.categories import CATEGORIES, select_categories
from sertool.core.corpus.manifest import Manifest, utterance_key
from sertool.core.corpus.splits import check_disjoint
from sertool.core.errors import InputError
from sertool.core.training.recipe import Recipe
from sertool.core.training.votes import share_dropped, vote_counts, vote_shares, voted_categories

HELD_OUT = 20
"""Without a dev split, one utterance in so many is held out to choose the best epoch of a pre-training."""


def read_splits(recipe: Recipe, notes: list[str]) -> tuple[list[Manifest], list[Manifest]]:
    """Return the train and dev parts of the recipe's manifests; nobody may be in both."""
    if not recipe.data.manifests:
        raise InputError(
            "the recipe names no manifest; expected data.manifests: name one, or make one with `sertool corpus`"
        )
    manifests = [Manifest.read(name) for name in recipe.data.manifests]
    for manifest in manifests:
        if manifest.has("split"):
            check_disjoint(manifest)
    if "emotion" in recipe.tasks:
        train = [manifest.split("train") for manifest in manifests]
        dev = [manifest.split("dev") for manifest in manifests]
        _check_apart(train, dev)
    else:
        train, dev = _split_unlabelled(manifests, notes)
    return train, dev


def _check_apart(train: list[Manifest], dev: list[Manifest]) -> None:
    """Make sure that no file of one manifest's train is in another's dev."""
    both = {path for one in train for path in one.paths()} & {path for one in dev for path in one.paths()}
    if both:
        raise InputError(
            f"{len(both)} files are in train of one manifest and in dev of another, such as {min(both)}; expected each "
            "in one split: split them together"
        )


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


def find_categories(recipe: Recipe, train: list[Manifest]) -> tuple[str, ...]:
    """Return the classes to recognise: those of the recipe, or all of the training split in canonical order."""
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
    if len(found) < 2 and not recipe.emotion.attributes:
        labels = ", ".join(sorted(found)) or "no category at all"
        raise InputError(f"the training split is labelled with {labels}; expected two categories or more: label it")
    return in_canonical_order(found)


def in_canonical_order(found: Iterable[str]) -> tuple[str, ...]:
    """Return categories in the order of the vocabulary, those outside it last, by name."""
    order = {name: i for i, name in enumerate(CATEGORIES)}
    return tuple(sorted(found, key=lambda name: (order.get(name, len(order)), name)))


def select(manifest: Manifest, categories: tuple[str, ...], recipe: Recipe, notes: list[str]) -> Manifest:
    """Keep the utterances of these categories, and where votes are learned those without a label that have votes.

    What is left out is noted.

    Raises:
        InputError: nothing is left, a category is unknown and that is an error, or there are no votes to learn.
    """
    if recipe.emotion.loss == "cross-entropy":
        chosen, excluded = select_categories(manifest, categories, on_unknown=recipe.data.on_unknown)
    else:
        chosen, excluded = _select_voted(manifest, categories, recipe, notes)
    for name, count in excluded.items():
        notes.append(f"{manifest.name}: {count} utterances left out, category '{name}'")
    return chosen


def _select_voted(
    manifest: Manifest, categories: tuple[str, ...], recipe: Recipe, notes: list[str]
) -> tuple[Manifest, dict[str, int]]:
    if not voted_categories(manifest):
        raise InputError(
            f"{manifest.name}: has no votes, which emotion.loss={recipe.emotion.loss} learns; expected columns such as "
            f"'votes_{categories[0]}': add them, or set emotion.loss=cross-entropy"
        )
    manifest.require("emotion")
    dropped = share_dropped(manifest, categories)
    if dropped:
        notes.append(f"{manifest.name}: {dropped:.1%} of the votes are for other categories and do not count")
    emotion = manifest.table["emotion"]
    undecided = emotion.isna().to_numpy() & (vote_counts(manifest, categories).sum(1) > 0)
    if undecided.any():
        notes.append(f"{manifest.name}: {undecided.sum()} utterances without a label are learned from their votes")
    excluded: dict[str, int] = {}
    if not undecided.all():
        _, excluded = select_categories(manifest.where(~undecided), categories, on_unknown=recipe.data.on_unknown)
    return manifest.where(undecided | emotion.isin(list(categories)).to_numpy()), excluded


def class_counts(utterances: Utterances, categories: tuple[str, ...]) -> dict[str, float]:
    """Return how many utterances each class has; where votes are learned, the sum of its shares of them."""
    if utterances.vote_shares.shape[1]:
        counts = utterances.vote_shares.sum(0, dtype=np.float64)
    else:
        counts = np.bincount(utterances.labels[utterances.labels >= 0], minlength=len(categories))
    return dict(zip(categories, counts.tolist(), strict=True))


def list_utterances(
    manifests: list[Manifest], categories: tuple[str, ...], attributes: tuple[str, ...], *, voted: bool = False
) -> Utterances:
    """Return the utterances of manifests as arrays, in order; with the annotators' votes where these are learned.

    Raises:
        InputError: a column is missing, or only some of the manifests are noisy already.
        AudioError: the header of a file cannot be read.
    """
    paths, clean, labels, values, shares = [], [], [], [], []
    index = {name: i for i, name in enumerate(categories)}
    for manifest in manifests:
        if not len(manifest):
            continue
        paths += [str(path) for path in manifest.paths()]
        clean += [str(path) for path in manifest.paths("clean_file")] if manifest.has("clean_file") else []
        if categories:
            labels.append(manifest.table["emotion"].map(index).fillna(-1).to_numpy(dtype=np.int64))
        else:
            labels.append(np.full(len(manifest), -1))
        manifest.require(*attributes)
        columns = [
            pd.to_numeric(manifest.table[name]).to_numpy(dtype=np.float32, na_value=np.nan) for name in attributes
        ]
        shares.append(vote_shares(manifest, categories) if voted else np.zeros((len(manifest), 0), np.float32))
        values.append(np.stack(columns, axis=1) if columns else np.zeros((len(manifest), 0), np.float32))
    if clean and len(clean) != len(paths):
        raise InputError(
            f"{len(clean)} of {len(paths)} utterances are noisy already (they have a clean_file), the others are not; "
            "expected one or the other: train on them apart"
        )
    durations = np.array([audio_info(path).duration_s for path in paths])
    return Utterances(
        paths=np.array(paths),
        durations_s=durations,
        labels=np.concatenate(labels).astype(np.int64),
        attributes=np.concatenate(values),
        vote_shares=np.concatenate(shares),
        clean_paths=np.array(clean) if clean else None,
    )

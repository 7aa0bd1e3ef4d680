"""Speech a cluster run learns from without labels: nobody who is to judge, and no more than was asked for."""

import numpy as np
import pandas as pd

from sertool.core.clustering.recipe import ClusterRecipe
from sertool.core.corpus.manifest import Manifest, utterance_key
from sertool.core.errors import InputError
from sertool.core.randomness import generator_for
from sertool.core.training.inputs import audio_digests

HELD_BACK = ("dev", "test")
"""Splits that judge."""


def read_unlabelled(
    recipe: ClusterRecipe, labelled: list[Manifest], notes: list[str]
) -> tuple[list[Manifest], list[str]]:
    """Return the unlabelled utterances of a recipe, and the digest of each.

    Left out, and noted: rows of the splits dev and test; speakers, of a corpus of the same name, who are in dev or test
    of a labelled manifest; and recordings that are, whatever they are called here.

    Args:
        recipe: of the run.
        labelled: its labelled manifests, whole.
        notes: what a user should know is added here.

    Raises:
        InputError: a manifest cannot be read, or nothing of it may be learned from.
        AudioError: a file cannot be read.
    """
    if not recipe.clusters:
        if recipe.data.unlabelled:
            notes.append("without clusters, nothing is learned from unlabelled speech: it is left out")
        return [], []
    manifests = [_read(name, notes) for name in recipe.data.unlabelled]
    if not manifests:
        return [], []
    judges = [one.where(one.table["split"].isin(HELD_BACK)) for one in labelled]
    speakers = set().union(*map(_speakers, judges))
    judged = set(audio_digests([str(path) for one in judges for path in one.paths()]))
    kept, digests = [], []
    for manifest in _at_most(manifests, recipe, notes):
        known = np.array([who in speakers for who in _speakers_of(manifest)], dtype=bool)
        heard = np.array(audio_digests([str(path) for path in manifest.paths()]))
        stays = ~known & ~np.isin(heard, list(judged))
        if not stays.all():
            notes.append(
                f"{manifest.name}: {(~stays).sum()} utterances left out: they, or who speaks, are in dev or test of a "
                "labelled manifest"
            )
        if stays.any():
            kept.append(manifest.where(stays))
            digests += heard[stays].tolist()
    if not kept:
        raise InputError(
            "all unlabelled speech is in dev or test of a labelled manifest; expected other speech: name "
            "some, or leave --unlabelled out"
        )
    return kept, digests


def _speakers(manifest: Manifest) -> set[tuple[str, str]]:
    return {who for who in _speakers_of(manifest) if who is not None}


def _speakers_of(manifest: Manifest) -> list[tuple[str, str] | None]:
    """Return corpus and name of each utterance's speaker; None where either is not known: namesakes are many."""
    if not {"corpus", "speaker"} <= {*manifest.table.columns}:
        return [None] * len(manifest)
    pairs = zip(manifest.table["corpus"], manifest.table["speaker"], strict=True)
    return [None if pd.isna(corpus) or pd.isna(name) else (str(corpus), str(name)) for corpus, name in pairs]


def _read(name: str, notes: list[str]) -> Manifest:
    """Return what may be learned from without labels: nobody who is to judge."""
    manifest = Manifest.read(name)
    if not manifest.has("split"):
        return manifest
    kept = manifest.where(~manifest.table["split"].isin(HELD_BACK))
    if not len(kept):
        raise InputError(f"{name}: all rows are in the splits dev and test; expected some to learn from: split anew")
    if len(kept) < len(manifest):
        notes.append(f"{name}: {len(manifest) - len(kept)} utterances of the splits dev and test left out")
    return kept


def _at_most(manifests: list[Manifest], recipe: ClusterRecipe, notes: list[str]) -> list[Manifest]:
    """Return a random sample of the unlabelled utterances, which does not depend on their order."""
    most, total = recipe.data.most_unlabelled, sum(map(len, manifests))
    if most is None or total <= most:
        return manifests
    keys = [(number, utterance_key(path)) for number, one in enumerate(manifests) for path in one.paths()]
    drawn = np.array([generator_for("sample", recipe.seed, *key).random() for key in keys])
    chosen = np.zeros(total, dtype=bool)
    chosen[np.argsort(drawn, kind="stable")[:most]] = True
    notes.append(f"unlabelled: {most} of {total} utterances drawn")
    parts = np.split(chosen, np.cumsum([len(one) for one in manifests])[:-1])
    return [one.where(part) for one, part in zip(manifests, parts, strict=True)]

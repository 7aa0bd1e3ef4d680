"""What a cluster recipe names, read and checked before the first step: utterances, labels, an encoder."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pydantic

from sertool.core.clustering.config import ClusterConfig, EncoderInput, MelInput
from sertool.core.clustering.recipe import ClusterRecipe
from sertool.core.clustering.unlabelled import read_unlabelled
from sertool.core.corpus.batches import Utterances
from sertool.core.corpus.categories import select_categories
from sertool.core.corpus.derived_attributes import caveat, joint_sources, sources_in_words
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.noise import file_digest
from sertool.core.corpus.splits import check_disjoint
from sertool.core.errors import InputError
from sertool.core.models.base import commit, is_trained_here, load_plain
from sertool.core.models.config import BaseConfig
from sertool.core.models.encoder import Encoder
from sertool.core.training.inputs import audio_digests
from sertool.core.training.run import open_run
from sertool.core.training.start import lasting_name
from sertool.core.training.utterances import in_canonical_order, list_utterances


@dataclass(frozen=True)
class Part:
    """Utterances that are clustered or judged together.

    Attributes:
        utterances: as arrays.
        names: of their files, as the manifests have them, N.
        speakers: N, None where unknown.
        emotions: categories, N, None where unknown.
        ratings: by attribute, on the 1–7 scale, NaN where unknown, (N,) each: all the manifests have, learned or not.
        sources: how many of the utterances have attributes, by what these come from.
    """

    utterances: Utterances
    names: list[str]
    speakers: list[str | None]
    emotions: list[str | None]
    ratings: dict[str, np.ndarray]
    sources: dict[str, int]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class ClusterInputs:
    """Everything a cluster run learns from.

    Attributes:
        parts: `unlabelled` (may be missing), `train` and `dev`.
        config: of the model.
        encoder: the model hears through; None for mel spectra.
        identity: what must be the same for an interrupted run to go on: digests by name.
        seen_audio: digests of the audio learned from, ancestors included.
        notes: what a user should know about the data, a line each.
    """

    parts: dict[str, Part]
    config: ClusterConfig
    encoder: Encoder | None
    identity: dict[str, str]
    seen_audio: frozenset[str]
    notes: tuple[str, ...] = field(default=())

    @property
    def learned_attributes(self) -> str | None:
        """Where the attributes that are learned come from, rated or derived, in words; None where none is learned."""
        return sources_in_words(self.parts["train"].sources) if self.config.attributes else None


def read_inputs(recipe: ClusterRecipe) -> ClusterInputs:
    """Read what a cluster recipe names.

    Raises:
        InputError: a manifest or the encoder cannot be used as the recipe says.
    """
    notes: list[str] = []
    if not recipe.data.labelled:
        raise InputError("no labelled manifest was named; expected one with the splits train and dev: name it first")
    labelled = [Manifest.read(name) for name in recipe.data.labelled]
    for manifest in labelled:
        check_disjoint(manifest)
    train = [manifest.split("train") for manifest in labelled]
    dev = [manifest.split("dev") for manifest in labelled]
    categories: tuple[str, ...] = ()
    if not recipe.attributes:
        categories = _categories(train) if recipe.categories == "auto" else recipe.categories
        train = [_of(categories, manifest, recipe, notes) for manifest in train]
        dev = [_of(categories, manifest, recipe, notes) for manifest in dev]
    _note_speakers(train, notes)
    parts = {
        "train": part_of(train, categories, recipe.attributes),
        "dev": part_of(dev, categories, recipe.attributes),
    }
    for name, part in parts.items():
        _check_rated(name, part.utterances.attributes, recipe.attributes)
    digests = {name: audio_digests(part.utterances.paths) for name, part in parts.items()}
    both = set(digests["train"]) & set(digests["dev"])
    if both:
        where = parts["train"].names[next(i for i, one in enumerate(digests["train"]) if one in both)]
        raise InputError(
            f"{len(both)} recordings are in train and in dev, such as {where}; expected each in one split: split anew"
        )
    unlabelled, heard = read_unlabelled(recipe, labelled, notes)
    if unlabelled:
        parts = {"unlabelled": part_of(unlabelled), **parts}
    if recipe.attributes and (told := caveat(parts["train"].sources)):
        notes.append(told)
    encoder, base, digest = _read_encoder(recipe)
    identity = {"encoder": digest}
    for kind in ("labelled", "unlabelled"):
        for number, name in enumerate(getattr(recipe.data, kind), 1):
            identity[f"{kind} manifest {number}"] = file_digest(name)
    seen = {*digests["train"], *digests["dev"], *heard}
    if encoder is not None and is_trained_here(recipe.input.encoder):
        seen |= open_run(recipe.input.encoder).seen_audio
    return ClusterInputs(
        parts=parts,
        config=_config(recipe, categories, encoder, base),
        encoder=encoder,
        identity=identity,
        seen_audio=frozenset(seen),
        notes=tuple(notes),
    )


def part_of(manifests: list[Manifest], categories: tuple[str, ...] = (), attributes: tuple[str, ...] = ()) -> Part:
    """Return the utterances of manifests, with labels for the categories and attributes that are learned.

    Raises:
        InputError: a column is missing.
        AudioError: the header of a file cannot be read.
    """

    def column(name: str) -> list[str | None]:
        found: list[str | None] = []
        for manifest in manifests:
            known = name in manifest.table.columns
            values = manifest.table[name] if known else [None] * len(manifest)
            found += [None if pd.isna(value) else str(value) for value in values]
        return found

    ratings = {}
    for name in ("arousal", "dominance", "valence"):
        if any(manifest.has(name) for manifest in manifests):
            ratings[name] = np.concatenate(
                [
                    manifest.table[name].to_numpy(dtype=np.float64, na_value=np.nan)
                    if name in manifest.table.columns
                    else np.full(len(manifest), np.nan)
                    for manifest in manifests
                ]
            )
    utterances = list_utterances(manifests, categories, attributes)
    names = [str(name) for manifest in manifests for name in manifest.table["file_name"]]
    return Part(utterances, names, column("speaker"), column("emotion"), ratings, joint_sources(manifests))


def _check_rated(name: str, values: np.ndarray, attributes: tuple[str, ...]) -> None:
    """Make sure that the attributes (N, A) of a part can be learned, and judged by."""
    for column, attribute in zip(values.T, attributes, strict=True):
        rated = column[~np.isnan(column)]
        if not len(rated):
            raise InputError(f"no {name} utterance has '{attribute}'; expected it rated: name another --attribute")
        if np.ptp(rated) == 0:
            raise InputError(
                f"'{attribute}' is {rated[0]:g} in all {len(rated)} {name} utterances; expected some that differ: "
                "name another --attribute, or no CCC can be had"
            )


def _categories(train: list[Manifest]) -> tuple[str, ...]:
    for manifest in train:
        manifest.require("emotion")
    found = in_canonical_order({name for manifest in train for name in manifest.table["emotion"].dropna()})
    if len(found) < 2:
        raise InputError(
            f"the training split is labelled with {', '.join(found) or 'no category at all'}; expected two categories "
            "or more: label it, or name an --attribute"
        )
    return found


def _of(categories: tuple[str, ...], manifest: Manifest, recipe: ClusterRecipe, notes: list[str]) -> Manifest:
    chosen, excluded = select_categories(manifest, categories, on_unknown=recipe.data.on_unknown)
    notes += [f"{manifest.name}: {count} utterances left out, category '{name}'" for name, count in excluded.items()]
    return chosen


def _note_speakers(train: list[Manifest], notes: list[str]) -> None:
    speakers = {name for one in train if one.has("speaker") for name in one.table["speaker"].dropna()}
    if len(speakers) == 1:
        notes.append(
            f"all training speech is of one speaker ({min(speakers)}): clusters and scores may tell this voice alone"
        )


def _read_encoder(recipe: ClusterRecipe) -> tuple[Encoder | None, BaseConfig | None, str]:
    name, revision = recipe.input.encoder, recipe.input.revision
    if name == "mel":
        return None, None, "mel"
    if revision is not None and is_trained_here(name):
        raise InputError(f"input.revision is '{revision}', and '{name}' has no revisions: leave it out")
    encoder, digest = load_plain(name, revision)
    encoder.eval().requires_grad_(False)
    states, layer = encoder.num_states, recipe.input.layer
    if layer is not None and layer >= states:
        raise InputError(
            f"input.layer is {layer}, and {name} has the hidden states 0 to {states - 1}: choose one of these"
        )
    if not is_trained_here(name):
        revision = commit(name, revision)
    return encoder, BaseConfig(name=lasting_name(name), revision=revision, digest=digest), digest


def _config(
    recipe: ClusterRecipe, categories: tuple[str, ...], encoder: Encoder | None, base: BaseConfig | None
) -> ClusterConfig:
    settings = recipe.input
    if encoder is None:
        heard = MelInput(mels=settings.mels, log=settings.log, channels=settings.channels)
    else:
        heard = EncoderInput(encoder=encoder.config, base=base, layer=settings.layer)
    try:
        return ClusterConfig(
            input=heard,
            chunk_s=settings.chunk_s,
            chunks=settings.chunks,
            clusters=recipe.clusters,
            temporal=recipe.temporal,
            attributes=recipe.attributes,
            categories=categories,
            dropout=recipe.dropout,
        )
    except pydantic.ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"recipe: {reason}: change one of them") from error

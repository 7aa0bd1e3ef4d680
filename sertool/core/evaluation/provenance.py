"""Where results come from: data, model, versions and seed, in words that say nothing of the machine."""

import os
import platform
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sertool.core.corpus.babble import BABBLE
from sertool.core.corpus.derived_attributes import attribute_sources, caveat, sources_in_words
from sertool.core.corpus.manifest import Manifest
from sertool.core.environment import installed_versions
from sertool.core.evaluation.protocol import Protocol
from sertool.core.evaluation.selection import Chosen
from sertool.core.evaluation.utterance import Utterance
from sertool.core.models.inference import Recognizer
from sertool.core.training.run import Run

PACKAGES = ["sertool", "torch", "numpy", "scipy", "scikit-learn", "pandas", "soundfile", "soxr", "pesq"]
"""Packages whose version may change a score."""

RECIPE_ESSENTIALS = ("seed", "tasks", "layer_sum", "schedule", "data", "noise", "encoder", "optimisation")
"""What results repeat of the recipe; the whole of it lies in the run."""


def describe(
    chosen: Chosen,
    *,
    protocol: Protocol,
    recognizer: Recognizer,
    run: Run | None,
    seen: Sequence[Utterance] | None,
) -> tuple[dict[str, Any], list[str]]:
    """Return what results say of their origin, and what a reader of the scores must know.

    Args:
        chosen: what is evaluated.
        protocol: how.
        recognizer: the model.
        run: the run it comes from, if known.
        seen: utterances the model learned from; None where nobody knows.

    Returns:
        JSON values without a path of the machine; sentences.
    """
    categories = recognizer.model.config.categories
    labels = Counter(str(one.facts["emotion"]) for one in chosen.utterances if one.facts.get("emotion") is not None)
    absent = [name for name in categories if name not in labels] if labels else []
    sources: dict[str, int] = {}
    if chosen.part is not None:
        sources = attribute_sources(chosen.part.table, recognizer.model.config.attributes)
    model = _model(recognizer, run)
    provenance = {
        "seed": protocol.seed,
        "split": protocol.split,
        "device": str(recognizer.device),
        "versions": versions(),
        "system": _system(model["name"], protocol),
        "data": describe_data(chosen.manifest, chosen.utterances, name=chosen.name)
        | {"excluded": chosen.excluded, "absent_categories": absent, "closed_set": protocol.closed_set},
        "attributes": sources_in_words(sources),
        "noise": _noise(chosen, protocol),
        "model": model,
        "seen_utterances": None if seen is None else len(seen),
    }
    notes = _notes(
        recognizer, protocol, excluded=chosen.excluded, absent=absent, seen=seen, total=len(chosen.utterances)
    )
    unlabelled = sum(one.facts.get("emotion") is None for one in chosen.utterances)
    if protocol.mixtures is not None and chosen.part is not None and categories and unlabelled:
        found = f"{unlabelled} of {len(chosen.utterances)} mixtures have no label"
        notes.append(f"{found}: their clips are not among the utterances chosen of the manifest.")
    notes += _notes_on_attributes(sources, provenance["model"]) + _notes_on_noise(provenance["noise"] or {})
    return portable(provenance), notes


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that may change a score."""
    return {"python": platform.python_version(), **installed_versions(PACKAGES)}


def describe_data(manifest: Manifest | None, utterances: Sequence[Utterance], *, name: str) -> dict[str, Any]:
    """Return what results say of the utterances judged, and of the manifest they come from.

    Returns:
        `manifest`; `utterances` (files), `speakers`, `utterances_of_unknown_speakers`; `categories`: utterances of
        each; `genders`: known speakers of each; `splits`: utterances and speakers of each split of the manifest.
    """
    files = {one.file: one.facts for one in utterances}
    speakers = {file: str(facts["speaker"]) for file, facts in files.items() if facts.get("speaker") is not None}
    genders = {speakers[file]: str(files[file]["gender"]) for file in speakers if files[file].get("gender") is not None}
    labels = Counter(str(facts["emotion"]) for facts in files.values() if facts.get("emotion") is not None)
    return {
        "manifest": str(manifest.path) if manifest is not None and manifest.path else name,
        "utterances": len(files),
        "speakers": len(set(speakers.values())),
        "utterances_of_unknown_speakers": len(files) - len(speakers),
        "categories": dict(sorted(labels.items())),
        "genders": dict(sorted(Counter(genders.values()).items())),
        "splits": {} if manifest is None else _splits(manifest),
    }


def _splits(manifest: Manifest) -> dict[str, dict[str, Any]]:
    if not manifest.has("split"):
        return {}
    found = {}
    for name in manifest.table["split"].dropna().unique():
        part = manifest.split(str(name))
        lengths = part.table["duration_s"] if part.has("duration_s") else None
        hours = None if lengths is None or lengths.isna().any() else float(lengths.astype(float).sum() / 3600)
        found[str(name)] = {"utterances": len(part), "speakers": int(part.speakers().nunique()), "hours": hours}
    return found


def _system(model: str, protocol: Protocol) -> dict[str, Any]:
    if protocol.enhancer is None:
        return {"kind": "run", "name": model}
    enhancer = protocol.enhancer
    return {"kind": "enhancer", "name": f"{enhancer.name}, then {model}", "enhancer": enhancer.identity}


def portable(tree: Any, folder: Path | None = None) -> Any:
    """Return JSON values in which no string is an absolute path: relative to the working folder, or the name alone."""
    folder = folder or Path.cwd()
    if isinstance(tree, dict):
        return {key: portable(value, folder) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [portable(value, folder) for value in tree]
    if isinstance(tree, str) and os.path.isabs(tree):
        path = Path(tree)
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
    return tree


def _noise(chosen: Chosen, protocol: Protocol) -> dict[str, Any] | None:
    if protocol.mixtures is not None:
        kinds = sorted({row.noise_kind for row in protocol.mixtures.rows})
        recordings = len({row.noise for row in protocol.mixtures.rows})
        return {"kinds": kinds, "recordings": recordings, "mixed_beforehand": True}
    if protocol.has_noise:
        noise = protocol.noise
        return {
            "kinds": ([] if noise is None else list(noise.kinds)) + [BABBLE] * (protocol.babble is not None),
            "recordings": 0 if noise is None else len(noise),
            "digest": None if noise is None else noise.digest,
            "checked_against_training": protocol.unseen_noise,
            "speech_level": protocol.speech_level,
            **_babble_and_rooms(protocol),
        }
    if protocol.snr is None:
        # Mixtures of earlier versions do not tell their level, nor other people's; ours was that of the utterance then.
        facts = {"noise_kind": "kinds", "speech_level": "speech_levels", "clean_reference": "clean_references"}
        found = {
            name: sorted(map(str, chosen.part.table[column].dropna().unique()))
            for column, name in facts.items()
            if column in chosen.part.table.columns
        }
        return {"kinds": [], **found, "mixed_beforehand": True}
    return None


def _babble_and_rooms(protocol: Protocol) -> dict[str, Any]:
    """Return what identifies babble and rooms, where there are any."""
    found: dict[str, Any] = {}
    if protocol.babble is not None:
        babble = protocol.babble
        found["babble"] = {"utterances": len(babble), "talkers": babble.talkers, "digest": babble.digest}
    if protocol.reverberation is not None:
        rirs = protocol.reverberation.rirs
        found["rooms"] = {"rooms": len(rirs.rooms), "responses": len(rirs), "digest": rirs.digest}
        found["clean_reference"] = protocol.reverberation.reference
    return found


def _model(recognizer: Recognizer, run: Run | None) -> dict[str, Any]:
    config = recognizer.model.config
    recipe = run.recipe.model_dump(mode="json") if run else {}
    return {
        "id": recognizer.model_id,
        "name": (run.folder if run else recognizer.folder).resolve().name,
        "categories": list(config.categories),
        "attributes": list(config.attributes),
        "learned_attributes": (run.attributes if run else None) if config.attributes else None,
        "enhances": config.enhances,
        "speech_kept_db": config.speech_kept_db,
        "parameters": sum(parameter.numel() for parameter in recognizer.model.parameters()),
        "recipe": {name: recipe[name] for name in RECIPE_ESSENTIALS if name in recipe},
    }


def _notes(
    recognizer: Recognizer,
    protocol: Protocol,
    *,
    excluded: dict[str, int],
    absent: Sequence[str],
    seen: Sequence[Utterance] | None,
    total: int,
) -> list[str]:
    notes = []
    if seen:
        notes.append(f"The model learned from {len(seen)} of these {total} utterances: the scores flatter it.")
    if seen is None:
        what = "The model's folder does" if protocol.enhancer is None else "The model, or what stands before it, does"
        notes.append(f"{what} not say what it learned from: a test utterance may be among it.")
    if excluded:
        listed = ", ".join(f"{name} {count}" for name, count in excluded.items())
        notes.append(f"Not scored by category, because the model does not know theirs: {listed}.")
    if protocol.closed_set and (among := recognizer.model.config.categories):
        notes.append(f"The model chose among the manifest's categories alone: {', '.join(among)}.")
    if absent:
        unsaid = "" if protocol.closed_set else ", unless --closed-set leaves it out"
        notes.append(f"No utterance is labelled {', '.join(absent)}; each counts 0 in F1-macro{unsaid}.")
    if protocol.enhancer is not None:
        notes.append(f"The model hears speech that went through {protocol.enhancer.name} first.")
    elif not recognizer.model.config.enhances:
        notes.append("Speech quality is not measured: the model has no enhancement head.")
    return notes


def _notes_on_attributes(sources: dict[str, int], model: dict[str, Any]) -> list[str]:
    """Return what must be known of attributes that nobody rated, those scored and those the model learned."""
    notes = []
    if told := caveat(sources):
        notes.append(told)
    if "derived" in (model["learned_attributes"] or ""):
        notes.append(f"The model learned attributes that are not all rated: {model['learned_attributes']}.")
    return notes


def _notes_on_noise(noise: dict[str, Any]) -> list[str]:
    """Return what must be known of the mixtures, made here or beforehand."""
    notes = []
    levels = noise.get("speech_levels") or [noise.get("speech_level")]
    if "active" in levels:
        which = "SNRs take" if levels == ["active"] else "Some of the SNRs take"
        notes.append(f"{which} the level of the speech while somebody speaks (ITU-T P.56), not over the utterance.")
    heard = {"dry": "the direct sound alone", "early": "the direct sound and 50 ms of reflections"}
    references = noise.get("clean_references") or [noise.get("clean_reference")]
    held = [heard[reference] for reference in references if reference in heard]
    if held:
        notes.append(
            "Mixtures sound in rooms: the SNR is of reverberant speech and noise, and the clean reference holds "
            f"{', or '.join(held)}."
        )
    return notes

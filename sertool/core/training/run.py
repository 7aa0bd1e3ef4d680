"""The run: the folder a training leaves, and what it says of itself."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError
from sertool.core.models.storage import CONFIG_NAME, WEIGHTS_NAME
from sertool.core.training.recipe import Recipe, read_recipe
from sertool.core.training.recipe_file import Section, recipe_text
from sertool.core.training.state import tidy_state
from sertool.core.writing import is_leftover, remove_leftovers, write_text

RECORD_NAME = "run.json"
RECIPE_NAME = "recipe.yaml"
SEEN_NAME = "seen_audio.txt"
CACHE_NAME = "cache"
"""The folder of a run for what is there only while it trains."""

DIGEST = re.compile("[0-9a-f]{32}")
"""What `audio_digest` makes."""

REMOVING = "being removed"
"""State of a run whose files are being removed; what is left of it is no run any more."""

TARGETS_NAME, REPORT_NAME = "targets.parquet", "targets.json"
"""What a pre-training wants to be told of each utterance, and what these targets are worth."""

OWN_FILES = (
    *(RECIPE_NAME, SEEN_NAME, "metrics.jsonl", "README.md"),
    *("chunks.parquet", "utterances.parquet", "analysis.json", "analysis.png"),
    *(TARGETS_NAME, REPORT_NAME),
)
"""What a run writes beside its folders and its record."""

HARMLESS = (
    *("device", "tensorboard", "checkpoint_updates", "data.workers"),
    *("optimisation.checkpointing", "optimisation.compile", "optimisation.sharding"),
)
"""Settings that do not change what is learned: an interrupted run goes on when only these differ."""


@dataclass(frozen=True)
class Run:
    """A run read back.

    Attributes:
        folder: the run's folder.
        model_folder: where its model lies.
        record: what `run.json` holds; empty for a bare model folder.
    """

    folder: Path
    model_folder: Path
    record: dict[str, Any]

    @property
    def finished(self) -> bool:
        """Whether the training came to its end."""
        return self.record.get("state") == "finished"

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe.

        Raises:
            InputError: the file is missing or does not fit this version.
        """
        return read_recipe(self.folder / RECIPE_NAME)

    @property
    def seen_audio(self) -> frozenset[str]:
        """Digests of the audio the run and its ancestors learned from.

        Raises:
            InputError: the list is missing, so that nobody could tell a leak.
        """
        path = self.folder / SEEN_NAME
        if not path.is_file():
            raise InputError(
                f"{self.folder}: holds no {SEEN_NAME}; expected the whole run, not its model alone: "
                "name the run's folder"
            )
        digests = path.read_text(encoding="utf-8", errors="replace").split()
        odd = next((digest for digest in digests if not DIGEST.fullmatch(digest)), None)
        if odd is not None:
            raise InputError(
                f"{path}: holds {odd[:40]!r}, which is no digest of audio; expected one a line, or nobody could tell a "
                "leak: restore the file"
            )
        return frozenset(digests)

    @property
    def attributes(self) -> str | None:
        """Where the attributes it learned come from, rated or derived, in words; None where it does not say."""
        return self.record.get("attributes")

    @property
    def noise(self) -> dict[str, Any]:
        """Kinds and digests of the noise learned from: `kinds` and `file_digests`, empty without noise."""
        return self.record.get("noise", {"kinds": [], "file_digests": []})


def open_run(path: Path | str) -> Run:
    """Return the run in a folder, or the one a `model/` folder belongs to.

    Raises:
        InputError: there is no such folder, it holds no run, or the run was not finished.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(
            f"{path}: no such run folder: check the spelling, or make one with `sertool train` or `sertool cluster`"
        )
    named_model = path.name == "model" and (path.parent / RECORD_NAME).is_file()
    if named_model:
        path = path.parent
    model_folder = path if (path / CONFIG_NAME).is_file() else path / "model"
    record = _read_record(path)
    if record.get("state") == REMOVING:
        raise InputError(f"{path}: the run was being removed; expected a finished one: train it anew")
    # Whoever names the model/ of an unfinished run wants the best so far.
    if record.get("state") == "unfinished" and not named_model:
        raise InputError(
            f"{path}: the run is not finished; expected a finished one: run its training command again to go on"
        )
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        if not (model_folder / name).is_file():
            raise InputError(
                f"{path}: holds no {name}; expected a finished run or a model folder: train it with `sertool train`"
            )
    return Run(folder=path, model_folder=model_folder, record=record)


def begin_run(
    folder: Path, recipe: Section, identity: dict[str, str], about: dict[str, Any], *, overwrite: bool = False
) -> Run:
    """Open a folder for a training: a new one, or one to go on with.

    Args:
        folder: the run's folder.
        recipe: resolved.
        identity: digests of what is learned from, by name.
        about: what else `run.json` is to say.
        overwrite: remove a run that is there first, and nothing else.

    Raises:
        InputError: the folder holds something else, or a run of other inputs; the message names what differs.
    """
    # Whoever overwrites does not care what a damaged record says.
    record = {"state": REMOVING} if overwrite and (folder / RECORD_NAME).is_file() else _read_record(folder)
    wanted = {"recipe": recipe.model_dump(mode="json"), "identity": identity}
    defaults = type(recipe)().model_dump(mode="json")
    differing = _differences(record.get("inputs", {}), wanted, defaults) if record else []
    if not record and folder.exists() and not all(is_leftover(path) for path in folder.iterdir()):
        raise InputError(f"{folder}: is not empty and holds no run; expected a new or empty folder: choose another one")
    if record.get("state") == REMOVING:
        _remove(folder)
        record = {}
    elif differing:
        raise InputError(
            f"{folder}: holds a run of other inputs ({', '.join(differing[:4])} differ): "
            "choose another folder, or add --overwrite"
        )
    if not record:
        folder.mkdir(parents=True, exist_ok=True)
        record = {"state": "unfinished", **about, "inputs": wanted}
        _write_json(folder / RECORD_NAME, record)
    if not (folder / RECIPE_NAME).is_file():
        write_text(folder / RECIPE_NAME, recipe_text(recipe))
    return Run(folder, folder / "model", record)


def tidy_run(run: Run) -> None:
    """Remove what killed processes left half-written in a run, so that it ends as if they had never been killed.

    Only the one process that holds the folder may, see `sole_process`.
    """
    for folder in (run.folder, run.model_folder, run.folder / "last"):
        remove_leftovers(folder, held=True)
    for file in run.model_folder.glob(".tmp??????"):  # safetensors' own
        file.unlink()
    tidy_state(run.folder / "last")
    if run.finished:
        remove_cache(run.folder)


def write_seen(folder: Path, digests: frozenset[str]) -> None:
    """Store digests of the audio learned from, one a line, sorted, and keep those that a run gone on with has there.

    What a run behind it has heard cannot be told any more where that run was moved meanwhile.
    """
    path = folder / SEEN_NAME
    before = path.read_text(encoding="utf-8", errors="replace").split() if path.is_file() else []
    digests = digests.union(before)
    write_text(folder / SEEN_NAME, "".join(f"{digest}\n" for digest in sorted(digests)))


def finish_run(run: Run, summary: dict[str, Any]) -> None:
    """Mark a run finished."""
    _write_json(run.folder / RECORD_NAME, {**run.record, "state": "finished", "summary": summary})


def remove_run(folder: Path) -> None:
    """Remove what a run wrote, and nothing else.

    Raises:
        InputError: the folder holds no run.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / RECORD_NAME).is_file():
        raise InputError(f"{folder}: holds no run, so nothing there is overwritten: choose another folder")
    _remove(folder)


def remove_cache(folder: Path) -> None:
    """Remove what a run kept only while it trained."""
    cache = folder / CACHE_NAME
    for file in (*cache.glob("*/*"), *cache.glob("*")):
        file.rmdir() if file.is_dir() else file.unlink()
    if cache.is_dir():
        cache.rmdir()


def _remove(folder: Path) -> None:
    # Said first, so that a removal cut short is not taken for the run it was.
    _write_json(folder / RECORD_NAME, {"state": REMOVING})
    remove_cache(folder)
    for part in ("model", "last", "tensorboard"):
        for file in (folder / part).glob("*"):
            file.unlink()
        if (folder / part).is_dir():
            (folder / part).rmdir()
    remove_leftovers(folder, held=True)
    # The record goes last, so that a removal cut short can be gone on with.
    for name in (*OWN_FILES, RECORD_NAME):
        (folder / name).unlink(missing_ok=True)


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD_NAME
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error}): restore it, or train anew with --overwrite") from error
    if not _is_record(record):
        raise InputError(f"{path}: holds no record of a run; expected a mapping: restore it, or train anew")
    return record


def _is_record(record: Any) -> bool:
    """Return whether this is a record as we write it, or a part of one."""
    sections = [record.get(part, {}) for part in ("inputs", "noise", "summary")] if isinstance(record, dict) else [None]
    if not all(isinstance(section, dict) for section in sections):
        return False
    if not isinstance(record.get("attributes", ""), str) or not isinstance(record.get("curriculum", {}), dict):
        return False
    inputs, noise, summary = sections
    trees = [inputs.get("recipe", {}), inputs.get("identity", {}), summary.get("dev", {})]
    lists = [noise.get("kinds", []), noise.get("file_digests", [])]
    if not all(isinstance(tree, dict) for tree in trees) or not all(isinstance(words, list) for words in lists):
        return False
    words = all(isinstance(word, str) for words in lists for word in words)
    numbers = all(isinstance(value, int | float) and math.isfinite(value) for value in summary.get("dev", {}).values())
    told = bool(summary) or record.get("state") != "finished" or not inputs
    whole = (not noise or {"kinds", "file_digests"} <= noise.keys()) and (
        not summary or {"dev", "best_epoch"} <= summary.keys()
    )
    return words and numbers and told and whole


def _differences(stored: dict[str, Any], wanted: dict[str, Any], defaults: dict[str, Any]) -> list[str]:
    """Return the dotted names of inputs that differ, harmless ones left out.

    A setting that did not exist when a run was begun did what is its default now.
    """
    old, new = (
        _flat(defaults) | _flat(stored.get("recipe", {})) | stored.get("identity", {}),
        _flat(wanted["recipe"]) | wanted["identity"],
    )
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name) and name not in HARMLESS)


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2) + "\n")

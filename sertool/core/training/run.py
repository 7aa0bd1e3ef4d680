"""The run: the folder a training leaves, and what it says of itself."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError
from sertool.core.models.storage import CONFIG_NAME, WEIGHTS_NAME
from sertool.core.training.recipe import Recipe, read_recipe, recipe_text

RECORD_NAME = "run.json"
RECIPE_NAME = "recipe.yaml"
SEEN_NAME = "seen_audio.txt"

HARMLESS = ("device", "tensorboard", "checkpoint_updates", "data.workers")
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
        return frozenset(path.read_text(encoding="utf-8").split())

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
        raise InputError(f"{path}: no such run folder: check the spelling, or make one with `sertool train`")
    named_model = path.name == "model" and (path.parent / RECORD_NAME).is_file()
    if named_model:
        path = path.parent
    model_folder = path if (path / CONFIG_NAME).is_file() else path / "model"
    record = _read_record(path)
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
    folder: Path, recipe: Recipe, identity: dict[str, str], about: dict[str, Any], *, overwrite: bool = False
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
    record = {"state": "overwritten"} if overwrite and (folder / RECORD_NAME).is_file() else _read_record(folder)
    wanted = {"recipe": recipe.model_dump(mode="json"), "identity": identity}
    differing = _differences(record.get("inputs", {}), wanted) if record else []
    if not record and folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty and holds no run; expected a new or empty folder: choose another one")
    if record and overwrite:
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
        _replace(folder / RECIPE_NAME, recipe_text(recipe))
    return Run(folder, folder / "model", record)


def write_seen(folder: Path, digests: frozenset[str]) -> None:
    """Store digests of the audio learned from, one a line, sorted."""
    _replace(folder / SEEN_NAME, "".join(f"{digest}\n" for digest in sorted(digests)))


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


def _remove(folder: Path) -> None:
    for part in ("model", "last", "tensorboard"):
        for file in (folder / part).glob("*"):
            file.unlink()
        if (folder / part).is_dir():
            (folder / part).rmdir()
    # The record goes last, so that a removal cut short is still known for a run.
    for name in (RECIPE_NAME, SEEN_NAME, "metrics.jsonl", "README.md", RECORD_NAME):
        (folder / name).unlink(missing_ok=True)


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD_NAME
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error}): restore it, or train anew with --overwrite") from error
    if not isinstance(record, dict):
        raise InputError(f"{path}: holds no record of a run; expected a mapping: restore it, or train anew")
    return record


def _differences(stored: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return the dotted names of inputs that differ, harmless ones left out."""
    old, new = (
        _flat(stored.get("recipe", {})) | stored.get("identity", {}),
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
    _replace(path, json.dumps(content, indent=2) + "\n")


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)

"""A model's `config.json`: read and checked, without what it takes to compute with the model (torch takes seconds)."""

import json
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from sertool.core.errors import InputError
from sertool.core.models.config import SharedConfig

CONFIG_NAME = "config.json"
CONFIG_LIMIT_BYTES = 1_000_000
FORMATS = {
    "sertool-shared-1": "a shared model, as `sertool train` leaves it",
    "sertool-cluster-1": "a cluster model, as `sertool cluster` leaves it",
}
"""What may stand in a configuration's `format`, in words."""

Config = TypeVar("Config", bound=pydantic.BaseModel)


def read_config(folder: Path | str, kind: type[Config] = SharedConfig) -> Config:
    """Return the configuration of the model in a folder.

    Args:
        folder: of the model.
        kind: what describes such a model; a shared model unless something else is asked for.

    Raises:
        InputError: the folder or its `config.json` is missing, is not JSON, or does not describe such a model.
    """
    path = Path(folder) / CONFIG_NAME
    if not path.is_file():
        raise InputError(
            f"{folder}: holds no {CONFIG_NAME}; expected a model folder: name a finished run or its model/ folder"
        )
    if path.stat().st_size > CONFIG_LIMIT_BYTES:
        raise InputError(
            f"{path}: is larger than a configuration can be; expected a small JSON file: check where it came from"
        )
    try:
        tree = _own(json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once))
        found, wanted = _format(tree), kind.model_fields["format"].default
        if found in FORMATS and found != wanted:
            raise InputError(f"{folder}: is {FORMATS[found]}; expected {FORMATS[wanted]}: name another run")
        return kind.model_validate(tree)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{path}: is not a sertool model ({where or 'top level'}: {first['msg']}): train it anew"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error}): restore the file from its source") from error


def _own(tree: Any) -> Any:
    """Return what is sertool's of a `config.json`: all, or under its name in a folder for `transformers`."""
    return tree["sertool"] if isinstance(tree, dict) and isinstance(tree.get("sertool"), dict) else tree


def _format(tree: Any) -> str:
    return str(tree.get("format", "")) if isinstance(tree, dict) else ""


def is_shared_model(folder: Path | str) -> bool:
    """Return whether a folder holds a model of this kind: its `config.json` says so, be the rest of it as it may."""
    path = Path(folder) / CONFIG_NAME
    if not path.is_file() or path.stat().st_size > CONFIG_LIMIT_BYTES:
        return False
    try:
        tree = _own(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, RecursionError):
        return False
    return _format(tree).startswith("sertool-")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, no key of which was written twice: of two sizes nobody could tell which was meant."""
    tree = dict(pairs)
    if len(tree) < len(pairs):
        raise ValueError("a key stands there twice")
    return tree

"""From YAML and flags to a recipe: keys known, none twice, numbers mean what they look like, aliases few."""

import difflib
import re
import types
import typing
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict

from sertool.core.errors import InputError

RECIPE_LIMIT_BYTES, RECIPE_LIMIT_VALUES = 1_000_000, 50_000
"""A recipe is small: larger files are refused, and so are those that aliases make larger."""


class Section(BaseModel):
    """A part of a recipe: unknown keys and endless numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


AnyRecipe = TypeVar("AnyRecipe", bound=Section)


def read_settings(
    kind: type[AnyRecipe],
    path: Path | str | None = None,
    overrides: dict[str, Any] | None = None,
    *,
    base: dict[str, Any] | None = None,
) -> AnyRecipe:
    """Return the recipe of a YAML file, changed by dotted overrides such as `{"optimisation.epochs": 5}`.

    Args:
        kind: what recipe it is.
        path: the file; None for the defaults.
        overrides: values by dotted key.
        base: what holds, section by section, where neither file nor overrides say otherwise.

    Raises:
        InputError: the file cannot be read, a key is unknown (the nearest one is named), or a value does not fit.
    """
    tree = _joined(base or {}, _read_tree(Path(path)) if path is not None else {})
    for dotted, value in (overrides or {}).items():
        *sections, key = dotted.split(".")
        branch = tree
        for section in sections:
            if branch.get(section) is None:  # a section that may be there, and is not
                branch[section] = {}
            branch = branch[section]
            if not isinstance(branch, dict):
                raise InputError(
                    f"recipe: '{section}' is {branch!r}; expected a section with keys: write it as a mapping"
                )
        branch[key] = value
    return make_settings(kind, tree, source=str(path) if path else "recipe")


def make_settings(kind: type[AnyRecipe], tree: dict[str, Any], *, source: str = "recipe") -> AnyRecipe:
    """Return the recipe a tree of plain values describes.

    Raises:
        InputError: a key is unknown (the nearest one is named), or a value does not fit.
    """
    try:
        return kind.model_validate(tree)
    except pydantic.ValidationError as error:
        raise InputError(f"{source}: {_explain(error, kind)}") from error


def recipe_text(recipe: Section) -> str:
    """Return a recipe as YAML."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def known_keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    """Return the dotted names of all keys of a recipe section."""
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        kinds = [field.annotation]
        if isinstance(field.annotation, types.UnionType) or typing.get_origin(field.annotation) is typing.Union:
            kinds = list(typing.get_args(field.annotation))
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                keys += known_keys(kind, f"{prefix}{name}.")
    return keys


def _joined(base: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with what `tree` says laid over it, neither changed."""
    joined = {key: dict(value) if isinstance(value, dict) else value for key, value in base.items()}
    for key, value in tree.items():
        if isinstance(value, dict) and isinstance(joined.get(key), dict):
            joined[key] = _joined(joined[key], value)
        else:
            joined[key] = value
    return joined


def _read_tree(path: Path) -> dict[str, Any]:
    tree = load_yaml(path)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InputError(
            f"{path}: holds a {type(tree).__name__}; expected keys and values of a recipe: see `sertool train --help`"
        )
    return tree


def _explain(error: pydantic.ValidationError, kind: type[BaseModel]) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = known_keys(kind)
        where = where[:100]
        nearest = difflib.get_close_matches(where, known, n=1, cutoff=0.0)
        same_section = [key for key in known if key.rpartition(".")[0] == where.rpartition(".")[0]]
        nearest = difflib.get_close_matches(where, same_section, n=1, cutoff=0.5) or nearest
        return f"unknown key '{where}'; the nearest known one is '{nearest[0]}': correct or remove it"
    found = repr(first["input"])
    found = found if len(found) <= 200 else f"{found[:200]} …"
    return f"'{where}' is {found}; {first['msg'][0].lower()}{first['msg'][1:]}: correct the value"


class _Loader(yaml.SafeLoader):
    """YAML without numbers to the base of sixty: `-5:15` is a range here, not -315. A key may stand once only."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        """Return a mapping, no key of which was written twice."""
        node = super().compose_mapping_node(anchor)
        written = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        double = [name for name, count in Counter(written).items() if count > 1]
        if double:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{double[0][:40]}' stands there twice", node.start_mark
            )
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Follow merge keys (`<<`), as far as a recipe can need them."""
        super().flatten_mapping(node)
        if len(node.value) > RECIPE_LIMIT_VALUES:
            raise yaml.constructor.ConstructorError(None, None, "merge keys multiply without end", node.start_mark)


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, re.compile(r"[-+]?[0-9]+$") if tag == "tag:yaml.org,2002:int" else pattern) for tag, pattern in resolvers
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_yaml(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises:
        InputError: it cannot be read, is no YAML, or is more than a recipe can be.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(RECIPE_LIMIT_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected a recipe in YAML: check the path") from error
    if len(content) > RECIPE_LIMIT_BYTES:
        raise InputError(
            f"{path}: is larger than a recipe can be; expected at most {RECIPE_LIMIT_BYTES // 1000} kB of YAML: "
            "check what it is"
        )
    try:
        tree = yaml.load(text, _Loader)
    # What a value is made of (a date in a 13th month, a number of 5000 digits) may raise any of the last three.
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{path}: is not YAML ({reason}): mend the line it names") from error
    _check_extent(tree, path)
    return tree


def _check_extent(tree: Any, path: Path) -> None:
    """Make sure that a tree is no larger than it looks: aliases can say a list a billion times, or put it in itself.

    Raises:
        InputError: it is.
    """
    waiting, count = [tree], 0
    while waiting:
        value = waiting.pop()
        count += 1
        if count > RECIPE_LIMIT_VALUES:
            raise InputError(
                f"{path}: its aliases multiply to more than {RECIPE_LIMIT_VALUES} values; expected a recipe's: "
                "write it without aliases"
            )
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set):
            waiting += value

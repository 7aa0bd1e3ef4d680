"""The file of a recipe: YAML in which no key stands twice, numbers mean what they look like, and aliases stay few."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from sertool.core.errors import InputError

RECIPE_LIMIT_BYTES, RECIPE_LIMIT_VALUES = 1_000_000, 50_000
"""A recipe is small: larger files are refused, and so are those that aliases make larger."""


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

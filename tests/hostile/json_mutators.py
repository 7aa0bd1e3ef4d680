"""Hostile JSON: values, keys and depths a good file has not; and configurations that ask for too much."""

import copy
import json
import math

from byte_mutators import general_attacks

VALUES = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    3,
    8192,
    8193,
    10**9,
    2**31,
    2**63,
    2**64,
    10**40,
    0.5,
    1.0,
    1e300,
    -0.0,
    math.inf,
    math.nan,
    "",
    "1",
    "x",
    "compact",
    "x" * 100_000,
    [],
    [1],
    [0],
    [8192],
    [8192] * 48,
    [10**9],
    ["anger", "anger"],
    ["a"] * 10_000,
    [None],
    [[]],
    {},
    {"a": 1},
    {"kind": "compact"},
    "\0",
    "\ud800",
    "../../etc",
)


def places_of(tree, path: tuple = ()) -> list[tuple]:
    """Return the path of every value in a tree of JSON."""
    found = [path] if path else []
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        found += places_of(value, (*path, key))
    return found


def holder_of(tree, path: tuple):
    for key in path[:-1]:
        tree = tree[key]
    return tree


def dump(tree) -> bytes:
    """Return a tree as JSON; one too deep for that as lists of lists, as deep."""
    try:
        return json.dumps(tree).encode("utf-8", "surrogatepass")
    except RecursionError:
        return b"[" * 2000 + b"]" * 2000


def tree_attacks(prefix: str, many: int = 1) -> dict:
    """Return attacks on the values, keys and text of a good JSON file whose name begins with `prefix`."""

    def changed(change):
        def attack(rng, sources):
            tree = json.loads(sources.pick(rng, prefix))
            for _ in range(rng.randint(1, 3)):
                try:
                    places = places_of(tree)
                except RecursionError:
                    break
                if places:
                    path = rng.choice(places)
                    change(holder_of(tree, path), path[-1], rng)
            return dump(tree), False

        return attack

    def value(holder, key, rng):
        holder[key] = copy.deepcopy(rng.choice(VALUES))

    def remove(holder, key, rng):
        del holder[key]

    def rename(holder, key, rng):
        if isinstance(holder, dict):
            holder[rng.choice((key + " ", key.upper(), "", "__proto__", "x" * 10_000, "kind", "format"))] = holder.pop(
                key
            )

    def nest(holder, key, rng):
        for _ in range(rng.choice((1, 50, 400))):
            holder[key] = [holder[key]] if rng.random() < 0.5 else {"a": holder[key]}

    def doubled(rng, sources):
        text = sources.pick(rng, prefix).decode().rstrip()
        name = rng.choice(list(json.loads(text)) or ["a"])
        return (text[:-1].rstrip() + f', "{name}": {rng.choice(("null", "1", "{}", "[]"))}}}').encode(), False

    def other(rng, sources):
        depth = rng.choice((500, 3000, 200_000))
        return rng.choice(
            (
                b"",
                b"{}",
                b"[]",
                b"null",
                b"5",
                b'"x"',
                b"[" * depth,
                b"[" * depth + b"]" * depth,
                b'{"a":' * depth + b"1" + b"}" * depth,
                b"\xef\xbb\xbf{}",
                b"\0",
                b"9" * 5000,
                b"-" + b"9" * 100_000,
                b"1e999",
                b"NaN",
                b"[NaN, Infinity]",
                b'"' + b"x" * 2_000_000 + b'"',
                b"{'a': 1}",
                b"\xff\xfe{\0}\0",
                sources.pick(rng, "wav"),
                sources.pick(rng, "yaml"),
                b'{"auto_map": {"AutoModel": "evil.Model"}, "trust_remote_code": true}',
                b'{"model_type": "wavlm", "hidden_size": 1000000000}',
            )
        ), False

    attacks = {
        "value": changed(value),
        "remove": changed(remove),
        "rename": changed(rename),
        "nest": changed(nest),
        "doubled": doubled,
        "other": other,
    }
    return {
        f"{name}{'' if again == 0 else f'-{again}'}": attack
        for again in range(many)
        for name, attack in attacks.items()
    }


def _sizes(rng, sources):
    """Sizes no model has, in keys a model knows."""
    tree = json.loads(sources.pick(rng, "config"))
    size = rng.choice(
        (
            0,
            -1,
            7,
            16,
            17,
            47,
            48,
            49,
            255,
            4096,
            8191,
            8192,
            8193,
            10**6,
            10**9,
            10**18,
            10**30,
            16.0,
            16.5,
            "16",
            True,
        )
    )
    for _ in range(rng.randint(1, 3)):
        section, key = rng.choice(
            (
                ("encoder", "layers"),
                ("encoder", "dim"),
                ("encoder", "mels"),
                ("encoder", "kernel"),
                ("encoder", "expansion"),
                ("emotion", "hidden"),
                ("enhancement", "projection"),
                ("enhancement", "hidden"),
                ("enhancement", "layers"),
            )
        )
        if isinstance(tree.get(section), dict):
            tree[section][key] = size
    return dump(tree), False


def _weightless(rng, sources):
    """Settings that change no weight's shape, so that only their own limits stand before what they cost."""
    tree = json.loads(sources.pick(rng, "config"))
    tree["encoder"]["dilations"] = rng.choice(([8192], [8192] * 1000, [1, 8192, 4096], [0], [-1], [10**9], []))
    if rng.random() < 0.5:
        tree["emotion"]["categories"] = rng.choice(
            (
                ["a", "a", "a"],
                ["", " ", "\n"],
                ["\ud800", "b", "c"],
                ["anger\x1b[2J", "neutral", "sadness"],
                ["x" * 100_000, "y", "z"],
            )
        )
    return dump(tree), False


CONFIG_ATTACKS = {
    **general_attacks("config"),
    **tree_attacks("config", 3),
    "sizes": _sizes,
    "sizes-again": _sizes,
    "weightless": _weightless,
}

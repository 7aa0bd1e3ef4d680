"""Hostile runs and journals: what a run says of itself, its resumable state, the plan and the journal of mix-noise."""

import copy
import json

from byte_mutators import general_attacks
from json_mutators import VALUES, dump, holder_of, places_of, tree_attacks
from weights_mutators import WEIGHTS_ATTACKS


def _of(file: str, attacks: dict) -> dict:
    return {f"{file}: {name}": attack for name, attack in attacks.items()}


def _lines(prefix: str):
    """Attack lines of JSON one by one."""

    def attack(rng, sources):
        lines = [json.loads(line) for line in sources.pick(rng, prefix).splitlines()]
        line = rng.choice(lines)
        path = rng.choice(places_of(line))
        holder_of(line, path)[path[-1]] = copy.deepcopy(rng.choice((*VALUES, "../../CANARY", "/etc/passwd")))
        text = [dump(one) for one in lines]
        odd = rng.choice(
            (None, None, b"", b"{}", b"[]", b"null", b"\xff", b"5", b"[" * 100_000, text[0], b'{"row": 0}')
        )
        if odd is not None:
            text.insert(rng.randrange(len(text) + 1), odd)
        return b"\n".join(text) + rng.choice((b"\n", b"")), False

    return attack


def _escape(rng, sources):
    """A plan that names files outside its folder: what --overwrite deletes must lie inside."""
    plan = json.loads(sources.pick(rng, "mixplan"))
    canary = sources.places["canary"]
    name = rng.choice(
        (
            canary.removesuffix(".flac"),
            "../" * 12 + canary.lstrip("/").removesuffix(".flac"),
            "x/../../keep/canary",
            "..",
            "",
            "/",
            "link/canary",
        )
    )
    if rng.random() < 0.3:  # a link in the folder leads to the canary
        return dump({**plan, "folders": ["link"], "names": ["canary"]}), False
    plan[rng.choice(("names", "folders"))] = rng.choice(([name], [name] * 3, name, {name: 1}, 5, None))
    return dump(plan), False


RECORD_ATTACKS = {
    **_of("run.json", tree_attacks("runrecord")),
    **_of("run.json", general_attacks("runrecord")),
    **_of("last/state.json", tree_attacks("state")),
    **_of("last/state.json", general_attacks("state")),
    **_of(
        "last/model",
        {
            name: WEIGHTS_ATTACKS[name]
            for name in ("flip-head", "truncate", "length", "entries", "not-numbers", "odd-header", "other-weights")
        },
    ),
    **_of(
        "last/optimizer",
        {
            name: general_attacks("optimizer")[name]
            for name in ("flip", "flip-head", "truncate", "double", "edge-head", "noise")
        },
    ),
    **_of("recipe.yaml", {name: YAML for name, YAML in general_attacks("runrecipe").items()}),
    **_of("metrics.jsonl", {"lines": _lines("metrics"), **general_attacks("metrics")}),
    **_of("seen_audio.txt", general_attacks("seen")),
}

JOURNAL_ATTACKS = {
    **_of("mix.json", tree_attacks("mixplan")),
    **_of("mix.json", general_attacks("mixplan")),
    **_of("mix.json", {"escape": _escape, "escape-again": _escape}),
    **_of(
        "mix.jsonl",
        {"lines": _lines("mixjournal"), "lines-again": _lines("mixjournal"), **general_attacks("mixjournal")},
    ),
}

"""What a recipe says of stress tests: how much worse a model may get in each before its evaluation counts as failed."""

import difflib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from sertool.core.training.recipe_file import Section

STRESSES = (
    "noise",
    "reverberation",
    "telephone band",
    "codec",
    "gain",
    "clipping",
    "packet loss",
    "short clip",
    "silence only",
    "noise only",
)
"""The stress tests there are, in the order they are told."""

WITHOUT_EMOTION = ("silence only", "noise only")
"""Those in which nobody speaks: there is no emotion to be right about."""

ANY = "*"

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Limit(Section):
    """How far a stress test may move a model; what is null is not judged. Missing one makes `evaluate` exit with 3."""

    ua_drop: Share | None = None
    """The UA may fall by this much, from that on the same utterances unstressed: .1 is ten points."""
    unchanged: Share | None = None
    """At least this share of predictions stays as it was unstressed."""
    worst_speaker_ua_drop: Share | None = None
    """The UA of no speaker may fall by more."""
    gender_gap: Share | None = None
    """The change in UA of one sex may differ from that of the other by this much."""
    confidence: Share | None = None
    """Where nobody speaks: the model's highest probability, averaged over utterances, may reach this."""
    abstained: Share | None = None
    """Where nobody speaks: the model says that it cannot tell for at least this share of utterances."""

    def among(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those of some limits that are set."""
        return tuple(name for name in names if getattr(self, name) is not None)


SPOKEN_LIMITS = ("ua_drop", "unchanged", "worst_speaker_ua_drop", "gender_gap")
"""Limits that can be told where somebody speaks only."""

SILENT_LIMITS = ("confidence", "abstained")
"""Limits that can be told where nobody speaks only."""


def covers(key: str, stress: str, level: str) -> bool:
    """Return whether a key of the limits is about a stress test at a level.

    Args:
        key: `*` for all; a test ("noise"); or a test and a level, in which `*` stands for anything ("noise: * 0 dB").
        stress: the test.
        level: its level; "" where it has one only.
    """
    pattern = key.replace("[", "[[]").replace("?", "[?]")  # what else a pattern could hold stands for itself
    return key in (ANY, stress) or fnmatchcase(named(stress, level), pattern)


def named(stress: str, level: str) -> str:
    """Return what a stress test at a level is called: "codec: MP3 32 kb/s"; without a level, "telephone band"."""
    return f"{stress}: {level}" if level else stress


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word most like another."""
    return difflib.get_close_matches(word, list(known), n=1, cutoff=0.0)[0]


def _known_keys(tree: Any) -> Any:
    """Let keys only through that name a stress test, and under them only limits that there are."""
    for key, limit in tree.items() if isinstance(tree, dict) else ():
        stress, _, level = str(key).partition(": ")
        if key != ANY and stress not in STRESSES:
            known = named(nearest(stress, STRESSES), level)
            raise ValueError(f"unknown stress test '{str(key)[:100]}'; the nearest known one is '{known[:100]}'")
        for name in limit if isinstance(limit, dict) else ():
            if name not in Limit.model_fields:
                known = nearest(str(name), Limit.model_fields)
                raise ValueError(f"unknown limit '{str(name)[:100]}' of '{key}'; the nearest known one is '{known}'")
    return tree


class StressLimits(Section):
    """Stress tests: what is asked of a model in them."""

    limits: Annotated[dict[str, Limit], BeforeValidator(_known_keys)] = Field(default_factory=dict)
    """By stress test ("noise"), by test and level ("codec: MP3 32 kb/s", "noise: * 0 dB"), or "*" for all of them."""

    def of(self, stress: str, level: str) -> dict[str, float]:
        """Return the limits on a stress test at a level, by name; of several keys about it the closest one counts.

        That is the level itself, then a longer pattern of levels, then the test, then `*`; of each limit by itself.
        """
        # `*` is shorter than the name of any test, and that than the same with a level.
        about = sorted((key for key in self.limits if covers(key, stress, level)), key=len)
        if (exact := named(stress, level)) in about:
            about.append(exact)
        found: dict[str, float] = {}
        for key in about:
            found |= self.limits[key].model_dump(exclude_none=True)
        return found

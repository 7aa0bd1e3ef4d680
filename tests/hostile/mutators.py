"""Mutants: hostile files made from good ones, each decided by its format, its number and a seed."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from csv_mutators import CSV_ATTACKS, LABEL_ATTACKS
from flac_mutators import FLAC_ATTACKS
from json_mutators import CONFIG_ATTACKS
from parquet_mutators import PARQUET_ATTACKS
from recipe_mutators import YAML_ATTACKS
from record_mutators import JOURNAL_ATTACKS, RECORD_ATTACKS
from wav_mutators import WAV_ATTACKS
from weights_mutators import WEIGHTS_ATTACKS

Made = tuple[bytes, bool]
"""The bytes of a hostile file, and whether they are certainly no longer usable: then a command must not accept them."""

Attack = Callable[[random.Random, "Sources"], Made]


@dataclass(frozen=True)
class Sources:
    """What mutants are made from.

    Attributes:
        files: bytes of good files by a name that begins with their format, as `wav-16` or `config`.
        places: paths hostile tables may name: `fifo`, `canary`, `audio` (the folder of good audio), `noise`.
    """

    files: Mapping[str, bytes]
    places: Mapping[str, str]

    def pick(self, rng: random.Random, prefix: str) -> bytes:
        """Return one of the good files whose name begins with this."""
        return self.files[rng.choice(sorted(name for name in self.files if name.startswith(prefix)))]


@dataclass(frozen=True)
class Mutant:
    """One hostile file.

    Attributes:
        format: what it pretends to be.
        attack: how it was made.
        number: its place among the mutants of its format.
        data: its bytes.
        unusable: whether no command may accept it.
    """

    format: str
    attack: str
    number: int
    data: bytes
    unusable: bool


ATTACKS: dict[str, dict[str, Attack]] = {
    "wav": WAV_ATTACKS,
    "flac": FLAC_ATTACKS,
    "csv": CSV_ATTACKS,
    "parquet": PARQUET_ATTACKS,
    "labels": LABEL_ATTACKS,
    "yaml": YAML_ATTACKS,
    "safetensors": WEIGHTS_ATTACKS,
    "config": CONFIG_ATTACKS,
    "record": RECORD_ATTACKS,
    "journal": JOURNAL_ATTACKS,
}
"""Attacks by format; `labels` are the files by which corpora tell their labels, `record` is what a run says of itself
and its resumable state, `journal` that of `mix-noise`."""


def make_mutant(format_: str, number: int, seed: int, sources: Sources) -> Mutant:
    """Return a mutant; the attacks of a format take turns, and all else is drawn from (seed, format, number)."""
    attacks = ATTACKS[format_]
    name = list(attacks)[number % len(attacks)]
    data, unusable = attacks[name](random.Random(f"{seed}:{format_}:{number}"), sources)
    return Mutant(format_, name, number, data, unusable)

"""Options of mixing that `mix-noise` and `evaluate` share: babble, rooms, and the level of the speech in an SNR."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sertool.cli import console
from sertool.core.errors import InputError

if TYPE_CHECKING:
    from sertool.core.corpus.babble import BabbleSet
    from sertool.core.corpus.reverberation import Reverberation


class LevelChoice(StrEnum):
    """What an SNR takes for the level of the speech."""

    UTTERANCE = "utterance"
    ACTIVE = "active"


class ReferenceChoice(StrEnum):
    """What counts as the clean speech in a room."""

    DRY = "dry"
    EARLY = "early"


Babble = Annotated[
    Path | None,
    typer.Option("--babble", help="Manifest of clean speech to make babble of: a further kind of noise, or the only."),
]
BabbleSplit = Annotated[str | None, typer.Option("--babble-split", help="Take babble from this split of it alone.")]
Talkers = Annotated[
    int | None, typer.Option("--talkers", min=2, help="Voices in each babble.", show_default="6")
]
Rir = Annotated[
    Path | None,
    typer.Option("--rir", help="Room impulse responses, one subfolder a room: mixtures then sound in rooms."),
]
CleanReference = Annotated[
    ReferenceChoice | None,
    typer.Option(
        "--clean-reference",
        help="Clean speech in a room: its direct sound, or with the reflections of 50 ms too.",
        show_default=ReferenceChoice.DRY.value,
    ),
]
SpeechLevel = Annotated[
    LevelChoice,
    typer.Option("--speech-level", help="Speech in an SNR: the whole utterance, or while it is active (ITU-T P.56)."),
]


def read_babble(
    manifest: Path | None, *, split: str | None, talkers: int | None, part: str = "all"
) -> "BabbleSet | None":
    """Return the babble asked for, or None for none; a split takes the place of a part."""
    if manifest is None:
        _need("--babble", {"--babble-split": split, "--talkers": talkers})
        return None
    from sertool.core.corpus.babble import TALKERS, BabbleSet

    babble = BabbleSet.read(manifest, talkers=talkers or TALKERS, split=split, part="all" if split else part)
    unknown = sum(file.speaker is None for file in babble.files)
    if unknown:
        console.warn(f"{manifest}: {unknown} utterances for babble are by unknown speakers, each taken for another one")
    return babble


def read_rooms(folder: Path | None, reference: ReferenceChoice | None) -> "Reverberation | None":
    """Return the rooms asked for, or None for none."""
    if folder is None:
        _need("--rir", {"--clean-reference": reference})
        return None
    from sertool.core.corpus.reverberation import Reverberation, RirSet

    return Reverberation(RirSet.read(folder), reference=(reference or ReferenceChoice.DRY).value)


def _need(option: str, given: dict[str, object]) -> None:
    """Refuse options that say nothing without another one."""
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{name} says nothing without {option}: name {option} too, or leave {name} out")

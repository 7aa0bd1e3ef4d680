"""The sample corpus that ships with the package: where its manifest and its noises lie."""

from importlib.resources import files
from pathlib import Path
from typing import Literal

from sertool.core.errors import InputError


def sample_manifest() -> Path:
    """Return the manifest of the sample corpus: 160 utterances of 10 synthetic voices in 4 categories.

    It shows the way and supports no claim; its README.md beside it says where it comes from.

    Returns:
        `metadata.csv` in the installed package.

    Raises:
        InputError: the installation lacks the sample corpus.
    """
    return _installed("metadata.csv")


def sample_noise(part: Literal["seen", "unseen"]) -> Path:
    """Return the folder of the sample corpus's noises, one folder a kind.

    Args:
        part: "seen" for training (and, by file name, dev) noise; "unseen" for test noise. They share no kind.

    Returns:
        A folder in the installed package.

    Raises:
        InputError: another part was asked for, or the installation lacks the sample corpus.
    """
    if part not in ("seen", "unseen"):
        raise InputError(f"sample noise: no part '{part}'; expected 'seen' or 'unseen': choose one of these")
    return _installed(f"noise/{part}")


def _installed(name: str) -> Path:
    folder = files("sertool.data")
    # A package inside a zip file has no folder to read audio from; pip never installs one so.
    path = Path(str(folder), "sample", *name.split("/"))
    if not path.exists():
        raise InputError(f"{path}: the sample corpus is missing; expected it in the package: install sertool again")
    return path

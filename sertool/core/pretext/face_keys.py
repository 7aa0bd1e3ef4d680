"""What a face and an utterance that belong together have in common: a key, taken from the names of both."""

import re
import unicodedata
from collections.abc import Callable

from sertool.core.errors import InputError

AUTO = "auto"
RAVDESS_NAME = re.compile(r"[0-9]{2}-((?:[0-9]{2}-){5}[0-9]{2})")
"""Seven fields of two digits; the first is the modality, which tells a video from its sound."""


def key_rule(key: str) -> Callable[[str], str | None]:
    """Return the function from a name, without folders and suffix, to its key; None where it has none.

    Args:
        key: "auto": the name itself, or all but the first field of a name of RAVDESS; or a regular expression searched
            for in the name, of which the first group is the key, or the whole match where it has no group.

    Raises:
        InputError: it is no regular expression.
    """
    if key == AUTO:
        return _automatic_key
    try:
        pattern = re.compile(key)
    except re.error as error:
        raise InputError(
            f"pretext.faces.key is '{key}', which is no regular expression ({error}); expected one, or '{AUTO}': "
            "correct it"
        ) from error
    group = min(1, pattern.groups)

    def search(name: str) -> str | None:
        match = pattern.search(unicodedata.normalize("NFC", name))
        return match[group] or None if match else None

    return search


def file_stem(name: str) -> str:
    """Return a file's name without folders and suffix; quicker than a Path, since there may be a million."""
    name = name.rpartition("/")[2]
    stem, dot, _ = name.rpartition(".")
    return stem if stem and dot else name


def _automatic_key(name: str) -> str | None:
    match = RAVDESS_NAME.fullmatch(name)
    return match[1] if match else unicodedata.normalize("NFC", name) or None

"""Where a model of `transformers` lies: in a folder, in the hub's cache, or on the hub, from where it is fetched."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from sertool.core.errors import InputError
from sertool.core.models.storage import CONFIG_NAME, WEIGHTS_NAME

INDEX_NAME = "model.safetensors.index.json"
PREPROCESSOR_NAME, PROCESSOR_NAME = "preprocessor_config.json", "processor_config.json"
FETCHED = (CONFIG_NAME, PREPROCESSOR_NAME, PROCESSOR_NAME, WEIGHTS_NAME, INDEX_NAME, "model-*-of-*.safetensors")
"""Files of a model that are fetched; pickles and code are not."""


def find_ssl(name: str, revision: str | None = None) -> Path:
    """Return the folder of a model: the one named, or the one in the hub's cache, fetched where something is missing.

    Where the hub does not answer, or HF_HUB_OFFLINE is set, what is in the cache is taken.

    Args:
        name: a folder, or a name on the hub.
        revision: a branch, tag or commit on the hub; its main branch without.

    Raises:
        InputError: there is none of this name, or it cannot be fetched.
    """
    if os.path.isdir(name):  # unlike of Path, no error where it is too long, and the empty name is no folder
        if revision is not None:
            raise InputError(
                f"{name}: is a folder, which has no revision '{revision}'; expected a name on the hub with one: leave "
                "the revision out"
            )
        return Path(name)
    from huggingface_hub import errors, snapshot_download

    try:
        with quiet():
            # One file after another: where the network fails, the client's threads close each other's session.
            found = snapshot_download(name, revision=revision, allow_patterns=list(FETCHED), max_workers=1)
    except (errors.HTTPError, errors.HFValidationError, OSError) as error:
        raise InputError(f"{name}: {_explained(error, name, revision)}") from error
    return Path(found)


def commit_of(folder: Path) -> str | None:
    """Return which commit a folder in the hub's cache is of; None of any other folder."""
    return folder.name if folder.parent.name == "snapshots" else None


def _explained(error: Exception, name: str, revision: str | None) -> str:
    """Return what an error of the hub's client means, and the ways out; the gated are among the not found there."""
    from huggingface_hub import errors, is_offline_mode

    elsewhere = f"or fetch it where there is one (`hf download {name} --local-dir FOLDER`) and name that folder"
    if isinstance(error, errors.HFValidationError):
        return "no such folder; expected one, or a name on the hub such as microsoft/wavlm-base: check the spelling"
    if isinstance(error, errors.GatedRepoError):
        return (
            "is gated, and you have no access; expected to be let in: accept its terms on its page on the hub and log "
            "in with `hf auth login`, or name a folder"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            "no such folder, and no such model on the hub, unless it is private; expected either: check the spelling, "
            "or log in with `hf auth login`"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"has no revision '{revision}'; expected a branch, a tag or a commit: look under its files on the hub"
    if isinstance(error, errors.LocalEntryNotFoundError):
        found = f"no such folder, and not all of it is in the cache{f' at {revision}' if revision else ''}"
        if is_offline_mode():
            return (
                f"{found}, while HF_HUB_OFFLINE forbids the network; expected either: unset HF_HUB_OFFLINE, {elsewhere}"
            )
        return (
            f"{found}, and the hub cannot be reached ({first_cause(error)}); expected one of these: check the network, "
            f"{elsewhere}"
        )
    return (
        f"cannot be fetched from the hub ({first_cause(error)}); expected an answer and room in the cache: check the "
        f"network, {elsewhere}"
    )


def first_cause(error: BaseException) -> str:
    """Return the first line of what went wrong in the first place."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' own bars and warnings from the terminal: what matters of them is said in errors."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    levels, bars, no_hub_bars = (
        (logging.get_verbosity(), hub_logging.get_verbosity()),
        logging.is_progress_bar_enabled(),
        are_progress_bars_disabled(),
    )
    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(levels[0])
        hub_logging.set_verbosity(levels[1])
        if bars:
            logging.enable_progress_bar()
            if no_hub_bars:
                disable_progress_bars()

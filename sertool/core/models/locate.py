"""Where a trained model lies: in a run that was named, or in the newest finished run at hand."""

import json
from pathlib import Path

from sertool.core.errors import InputError
from sertool.core.models.storage import CONFIG_NAME, read_config


def model_folder(model: Path | str) -> Path:
    """Return the folder with a model's `config.json`: the one given, or `model/` beneath it where it is a run.

    Raises:
        InputError: it is neither, or a run whose training has not finished.
    """
    folder = Path(model)
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "no such folder"
        raise InputError(f"{folder}: {found}; expected a run (the folder `sertool train` leaves): check the spelling")
    if (folder / CONFIG_NAME).is_file():
        return folder
    inner = folder / "model"
    state = _run_state(folder)
    if state is None and not inner.is_dir():
        raise InputError(
            f"{folder}: holds neither run.json nor {CONFIG_NAME}; expected a run: name the folder `sertool train` left"
        )
    if state not in (None, "finished"):
        so_far = f", or name {inner} for the best model so far" if (inner / CONFIG_NAME).is_file() else ""
        raise InputError(
            f"{folder}: its training has not finished (state: {state}); expected a finished run: "
            f"run the same `sertool train` again to go on{so_far}"
        )
    return inner


def find_run(folder: Path | str = ".", *, enhances: bool = False) -> Path:
    """Return the newest finished run of `sertool train` in a folder: the folder itself, or up to two levels below.

    `runs/` is searched one level deeper. Newest is the run whose `run.json` was written last.

    Args:
        folder: where to look.
        enhances: pass over runs whose model has no enhancement head.

    Raises:
        InputError: there is none.
    """
    folder = Path(folder)
    patterns = ("run.json", "*/run.json", "*/*/run.json", "runs/*/*/run.json")
    found = {path.parent: path for pattern in patterns for path in folder.glob(pattern)}
    found = {run: path for run, path in found.items() if _is_usable(run, enhances=enhances)}
    if not found:
        wanted = "no finished run that enhances speech" if enhances else "no finished run"
        raise InputError(
            f"{wanted} was found in {folder.resolve()}, and no model ships with this version yet: "
            "name one with --model, train one with `sertool train`, or run `sertool demo`"
        )
    return max(found, key=lambda run: found[run].stat().st_mtime_ns)


def _run_state(folder: Path) -> str | None:
    """Return the state a run's `run.json` tells, `unreadable` where it tells none; None where there is no such file."""
    path = folder / "run.json"
    if not path.is_file():
        return None
    try:
        state = json.loads(path.read_text(encoding="utf-8")).get("state")
    except (ValueError, AttributeError, RecursionError):
        state = None
    return state if isinstance(state, str) else "unreadable"


def _is_usable(run: Path, *, enhances: bool) -> bool:
    """Whether a folder is a finished run whose model recognises emotion (an encoder from pre-training does not)."""
    if _run_state(run) != "finished" or not (run / "model" / CONFIG_NAME).is_file():
        return False
    try:
        config = read_config(run / "model")
    except InputError:
        return False
    return config.emotion is not None and (config.enhances or not enhances)

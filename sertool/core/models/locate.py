"""Where a trained model lies: in a run that was named, in the newest finished run at hand, or in the package itself."""

import json
from pathlib import Path

from sertool.core.errors import InputError
from sertool.core.models.config_file import CONFIG_NAME, read_config

SHIPPED_NAME = "shipped"
"""What names the model that comes with the package; a folder of that name is `./shipped`."""

SHIPPED = Path(__file__).with_name("shipped")
"""Where that model lies: `config.json`, `model.safetensors` and its card, `README.md`."""

_WAYS_OUT = "name one with --model, train one with `sertool train`, or run `sertool demo`"


def model_folder(model: Path | str) -> Path:
    """Return the folder with a model's `config.json`: the one given, or `model/` beneath it where it is a run.

    Args:
        model: a run, a model folder, or the word `shipped` (as a string) for the model that comes with the package.

    Raises:
        InputError: it is neither, or a run whose training has not finished; or no model ships.
    """
    if model == SHIPPED_NAME:
        return shipped_model()
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


def shipped_model() -> Path:
    """Return the folder of the model that comes with the package.

    Raises:
        InputError: none does.
    """
    if not (SHIPPED / CONFIG_NAME).is_file():
        raise InputError(f"no model ships with this version yet; expected one in the package: {_WAYS_OUT}")
    return SHIPPED


def find_model(folder: Path | str = ".", *, enhances: bool = False) -> Path:
    """Return the newest finished run at hand (`find_run`), or else the folder of the model that comes with the package.

    Args:
        folder: where to look for runs.
        enhances: whether the model is to have an enhancement head; otherwise it is to recognise emotion.

    Raises:
        InputError: there is no such run, and no such model ships.
    """
    run = _newest_run(Path(folder), enhances=enhances)
    if run is not None:
        return run
    if not (SHIPPED / CONFIG_NAME).is_file():
        ships = "no model ships with this version yet"
    elif not _suits(SHIPPED, enhances=enhances):
        ships = f"the model that ships does not {'enhance speech' if enhances else 'recognise emotion'}"
    else:
        return SHIPPED
    raise InputError(f"{_no_run(Path(folder), enhances=enhances)}, and {ships}: {_WAYS_OUT}")


def find_run(folder: Path | str = ".", *, enhances: bool = False) -> Path:
    """Return the newest finished run of `sertool train` in a folder: the folder itself, or up to two levels below.

    `runs/` is searched one level deeper. Newest is the run whose `run.json` was written last.

    Args:
        folder: where to look.
        enhances: pass over runs whose model has no enhancement head.

    Raises:
        InputError: there is none.
    """
    run = _newest_run(Path(folder), enhances=enhances)
    if run is None:
        raise InputError(f"{_no_run(Path(folder), enhances=enhances)}; expected one: {_WAYS_OUT}")
    return run


def _newest_run(folder: Path, *, enhances: bool) -> Path | None:
    patterns = ("run.json", "*/run.json", "*/*/run.json", "runs/*/*/run.json")
    found = {path.parent: path for pattern in patterns for path in folder.glob(pattern)}
    usable = [run for run in found if _is_usable(run, enhances=enhances)]
    return max(usable, key=lambda run: found[run].stat().st_mtime_ns, default=None)


def _no_run(folder: Path, *, enhances: bool) -> str:
    wanted = "no finished run that enhances speech" if enhances else "no finished run"
    return f"{wanted} was found in {folder.resolve()}"


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
        return _suits(run / "model", enhances=False) and _suits(run / "model", enhances=enhances)
    except InputError:
        return False


def _suits(folder: Path, *, enhances: bool) -> bool:
    """Whether a model enhances speech, or recognises emotion, by its configuration."""
    config = read_config(folder)
    return config.enhances if enhances else config.emotion is not None

"""The demo, the top of the house: it composes mixing, training, evaluation and enhancement on the sample corpus.

Nothing imports this module but the command `sertool demo`. Every step goes on where an interrupted one stopped. The
voices of the sample corpus are synthetic: the demo shows the way and supports no claim.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from sertool.core.audio.files import read_audio, read_audio_native, write_audio
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixing import parse_snr
from sertool.core.corpus.mixtures import MixtureRequest, make_mixtures, open_plan
from sertool.core.corpus.noise import NoiseSet, check_disjoint
from sertool.core.corpus.sample import sample_manifest, sample_noise
from sertool.core.engine import default_workers
from sertool.core.errors import InputError
from sertool.core.evaluation import protocol
from sertool.core.evaluation.by_snr import prepare_evaluation
from sertool.core.models.inference import load
from sertool.core.training.loop import train_run
from sertool.core.training.recipe import Recipe, make_recipe
from sertool.core.training.reporter import Reporter, Silent
from sertool.core.training.run import remove_run

RECORD_NAME = "demo.json"
MADE_BY = "sertool demo"
MODELS = ("trained-clean", "trained-in-noise")
"""The runs, in the order they are trained: the newest run at hand is then the one that knows noise."""

LAYOUT = {
    "mixtures": "the test speech in noise at 0 dB, with its manifest",
    "trained-clean": "the run without noise",
    "trained-in-noise": "the run in noise",
    "results": "all scores as JSON",
    "example": "one test utterance: clean.flac, noisy.flac, enhanced.flac",
}
"""What lies in the demo's folder."""


@dataclass(frozen=True)
class Settings:
    """What the demo's outcome depends on.

    Attributes:
        seed: of the noise, the weights and the order of the utterances.
        epochs: passes over the 96 training utterances, for each of the two models.
        dim: width of the compact encoder.
        layers: depth of the compact encoder.
        hidden: width of the enhancement head.
        snr_db: where the models are compared, besides clean speech.
        measures: speech measures to take; PESQ is left out where there is no time for it.
    """

    seed: int = 0
    epochs: int = 75
    dim: int = 64
    layers: int = 4
    hidden: int = 64
    snr_db: float = 0.0
    measures: tuple[str, ...] = ("pesq_wb", "stoi", "si_sdr")


@dataclass(frozen=True)
class DemoResult:
    """What the demo left.

    Attributes:
        folder: where everything lies, see `LAYOUT`.
        table: one record for each model and condition: `model`, `condition`, `n`, `f1_macro`, `ua`, and for each speech
            measure its means `unprocessed` and `enhanced`.
        example: name of the test utterance that was enhanced.
        was_finished: whether all of it was there before.
    """

    folder: Path
    table: list[dict[str, Any]]
    example: str
    was_finished: bool


class Watcher(Protocol):
    """Told how the demo goes on; the command line draws bars of it."""

    def bar(self, title: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """A step of `total` items begins; yields what is to be called with the number of items done."""

    def training(self, title: str) -> Reporter:
        """A training begins."""


class Nobody:
    """Watches nothing."""

    def bar(self, title: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Return a bar that shows nothing."""
        return nullcontext(lambda steps: None)

    def training(self, title: str) -> Reporter:
        """Return a reporter that tells nobody."""
        return Silent()


def run_demo(
    folder: Path | str,
    settings: Settings | None = None,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    watcher: Watcher | None = None,
) -> DemoResult:
    """Mix, train with noise and without, compare both at 0 dB and on clean speech, and enhance one utterance.

    Args:
        folder: where everything is written; new, empty, or left by a demo of the same settings, which is gone on with.
        settings: None for the defaults, under five minutes on two cores.
        overwrite: remove an earlier demo in the folder first.
        workers: processes that evaluate; None for one a core. The numbers do not depend on it.
        watcher: told how it goes.

    Raises:
        InputError: the folder holds something else, or a demo of other settings.
        KeyboardInterrupt: stopped by Ctrl-C; called again it goes on.
    """
    folder, settings, watcher = Path(folder), settings or Settings(), watcher or Nobody()
    record = _begin(folder, settings, overwrite=overwrite)
    if record["state"] == "finished":
        return DemoResult(folder, record["table"], record["example"], was_finished=True)
    _mix(folder / "mixtures", settings, watcher, overwrite=overwrite)
    table: list[dict[str, Any]] = []
    with _one_thread():
        for name in MODELS:
            train_run(demo_recipe(name, settings), folder / name, reporter=watcher.training(_spoken(name)))
    for name in MODELS:
        conditions = _evaluate(folder, name, settings, watcher, workers=workers or default_workers())
        table += [{"model": name, **_row(condition)} for condition in conditions]
    example = _enhance_example(folder)
    _write_record(folder, record | {"state": "finished", "table": table, "example": example})
    return DemoResult(folder, table, example, was_finished=False)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Train in one thread: the same model whatever the number of cores, and at this size hardly slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def demo_recipe(name: str, settings: Settings) -> Recipe:
    """Return the recipe of one of the demo's models: the same but for the noise.

    The encoder starts from random weights, so everything trains from the start: there is nothing yet to keep from
    being unlearned, which is what a cascade is for. Chosen on the dev voices.
    """
    stage = {"train": ["heads", "encoder-upper", "encoder-lower", "front-end"], "epochs": settings.epochs}
    noise = {"source": str(sample_noise("seen")), "snr_db": ["-5:15"], "dev_snr_db": [f"{settings.snr_db:g}"]}
    return make_recipe(
        {
            "seed": settings.seed,
            "tasks": ["emotion", "enhancement"],
            "schedule": [stage],
            "device": "cpu",
            # Files this small are read faster than a process to read them is started.
            "data": {"manifests": [str(sample_manifest())], "workers": 0},
            "noise": noise if name == "trained-in-noise" else {},
            "encoder": {"compact": {"dim": settings.dim, "layers": settings.layers, "dropout": 0.1}},
            "emotion": {"hidden": 128, "dropout": 0.2},
            "enhancement": {"projection": settings.hidden, "hidden": settings.hidden, "crop_s": 0.64},
            "optimisation": {"learning_rate": 3e-3, "encoder_rate": 1.0, "batch_size": 16, "warmup_updates": 20},
        }
    )


def _mix(folder: Path, settings: Settings, watcher: Watcher, *, overwrite: bool) -> None:
    """Write the test mixtures; they are the ones the evaluation hears, since mixing is a pure function."""
    unseen = NoiseSet.read(sample_noise("unseen"))
    check_disjoint(NoiseSet.read(sample_noise("seen")), unseen)
    speech = Manifest.read(sample_manifest()).split("test")
    request = MixtureRequest(speech, unseen, parse_snr([f"{settings.snr_db:g}"]), seed=settings.seed)
    plan = open_plan(request, folder, overwrite=overwrite)
    with watcher.bar("mixing noise", len(plan.pending)) as advance:
        report = make_mixtures(plan, on_done=lambda: advance(1))
    if report.failures:
        raise InputError(f"{report.failures[0].message} (one of {len(report.failures)} failures in the sample corpus)")


def _evaluate(folder: Path, name: str, settings: Settings, watcher: Watcher, *, workers: int) -> list[dict[str, Any]]:
    """Return the scores of a model on the test voices, clean and in unseen noise, from its results if they exist."""
    path = folder / "results" / f"{name}.json"
    if not path.is_file():
        how = protocol.Protocol(
            snr=parse_snr(["clean", f"{settings.snr_db:g}"], allow_clean=True),
            noise=NoiseSet.read(sample_noise("unseen")),
            seed=settings.seed,
            measures=settings.measures,
            unseen_noise=True,
        )
        evaluation = prepare_evaluation(sample_manifest(), folder / name, how)
        with watcher.bar(f"testing {_spoken(name)}", len(evaluation.utterances)) as advance:
            results = evaluation.run(workers=workers, on_done=lambda: advance(1))
        results.write_json(path)
    return json.loads(path.read_text(encoding="utf-8"))["conditions"]


def _row(condition: dict[str, Any]) -> dict[str, Any]:
    row = {name: condition[name] for name in ("condition", "n", "f1_macro", "ua")}
    for measure, summary in condition.get("speech", {}).items():
        row[measure] = {signal: summary[signal]["mean"] for signal in ("unprocessed", "enhanced")}
    return row


def _enhance_example(folder: Path) -> str:
    """Enhance the first test mixture, whichever it is, and return the name of its utterance."""
    mixtures = Manifest.read(folder / "mixtures" / "metadata.csv")
    noisy, rate = read_audio_native(mixtures.path_of(0))
    place = folder / "example"
    place.mkdir(exist_ok=True)
    write_audio(place / "clean.flac", read_audio(mixtures.path_of(0, "clean_file")), rate)
    write_audio(place / "noisy.flac", noisy, rate)
    write_audio(place / "enhanced.flac", load(folder / "trained-in-noise", "cpu").enhance(noisy, rate), rate)
    return mixtures.path_of(0).stem


def _begin(folder: Path, settings: Settings, *, overwrite: bool) -> dict[str, Any]:
    """Return the record of the demo in a folder, a new one where there was none."""
    path = folder / RECORD_NAME
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder for the demo: choose another with -o")
    record = _read_record(path) if path.is_file() else None
    if record is None and folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder}: holds files that {MADE_BY} did not make: choose a new or empty folder with -o")
    if record is not None and overwrite:
        _remove(folder)
        record = None
    # Through JSON, as the record went: a tuple comes back as a list.
    wanted = json.loads(json.dumps(dataclasses.asdict(settings)))
    if record is not None and record["settings"] != wanted:
        differing = sorted(name for name in wanted if record["settings"].get(name) != wanted[name])
        raise InputError(
            f"{folder}: holds a demo of other settings ({', '.join(differing)} differ): choose another folder with -o, "
            "or start anew with --overwrite"
        )
    if record is None:
        record = {"made_by": MADE_BY, "state": "unfinished", "settings": wanted}
        folder.mkdir(parents=True, exist_ok=True)
        _write_record(folder, record)
    return record


def _remove(folder: Path) -> None:
    """Remove what a demo wrote, and nothing else; its record last, so that a removal cut short can be repeated.

    The mixtures are left to `open_plan`, which knows what it made.
    """
    _remove_empty_folders(folder)
    for name in MODELS:
        remove_run(folder / name)
        (folder / "results" / f"{name}.json").unlink(missing_ok=True)
    for name in ("clean", "noisy", "enhanced"):
        (folder / "example" / f"{name}.flac").unlink(missing_ok=True)
    _remove_empty_folders(folder)
    (folder / RECORD_NAME).unlink()


def _remove_empty_folders(folder: Path) -> None:
    for place in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        if not any(place.iterdir()):
            place.rmdir()


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: is not JSON ({error}); expected the demo's record: choose another folder") from error
    if not isinstance(record, dict) or record.get("made_by") != MADE_BY:
        raise InputError(f"{path}: is not the record of a demo: choose another folder with -o")
    return record


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    partial = folder / f".{RECORD_NAME}.partial-{os.getpid()}"
    partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / RECORD_NAME)


def _spoken(name: str) -> str:
    return name.replace("trained-", "model ").replace("-", " ")

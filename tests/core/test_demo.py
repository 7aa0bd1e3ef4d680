"""The demo from end to end with tiny models: what it leaves, that it goes on where it stopped, and what it refuses."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sertool.core.corpus.manifest import Manifest
from sertool.core.demo import LAYOUT, MODELS, DemoResult, Nobody, Settings, demo_recipe, run_demo
from sertool.core.errors import InputError
from sertool.core.evaluation.by_snr import evaluate
from sertool.core.evaluation.protocol import Protocol
from sertool.core.training.run import open_run

TINY = Settings(epochs=1, dim=8, layers=1, hidden=8, measures=("si_sdr",))


class Stopped(Exception):
    """Stands in for somebody's Ctrl-C."""


class StopBefore(Nobody):
    """Stops the demo when a step of this title begins."""

    def __init__(self, title: str) -> None:
        self.title = title

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator:
        """Stop, or show nothing."""
        self._look(title)
        yield lambda steps: None

    def training(self, title: str):
        """Stop, or tell nobody."""
        self._look(title)
        return super().training(title)

    def _look(self, title: str) -> None:
        if title == self.title:
            raise Stopped


def times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    """The tiny demo, stopped once before the second training and once before the last test, then finished."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    with pytest.raises(Stopped):
        run_demo(folder, TINY, workers=1, watcher=StopBefore("model in noise"))
    done = times(folder / "mixtures" / "snr_0dB") | times(folder / "trained-clean" / "model")
    with pytest.raises(Stopped):
        run_demo(folder, TINY, workers=1, watcher=StopBefore("testing model in noise"))
    result = run_demo(folder, TINY, workers=1)
    # What was done stayed as it was.
    assert done and done.items() <= times(folder).items()
    assert not result.was_finished
    return result


def test_everything_lies_where_the_demo_says(finished):
    assert all((finished.folder / name).is_dir() for name in LAYOUT)
    for name in MODELS:
        assert open_run(finished.folder / name).finished
        assert (finished.folder / "results" / f"{name}.json").is_file()


def test_the_table_compares_both_models_on_the_same_test_speech(finished):
    assert [(row["model"], row["condition"], row["n"]) for row in finished.table] == [
        (model, condition, 32) for model in MODELS for condition in ("clean", "0 dB")
    ]
    assert all(0 <= row[score] <= 1 for row in finished.table for score in ("f1_macro", "ua"))
    clean, noisy = (row["si_sdr"]["unprocessed"] for row in finished.table if row["model"] == MODELS[0])
    assert clean is None  # infinite
    assert noisy == pytest.approx(0, abs=0.3)
    again = [row["si_sdr"]["unprocessed"] for row in finished.table if row["model"] == MODELS[1]]
    assert again == [clean, noisy]


def test_the_mixtures_on_disk_are_those_that_were_judged(finished):
    mixtures = Manifest.read(finished.folder / "mixtures" / "metadata.csv")
    for row in range(len(mixtures)):
        noisy, clean = (soundfile.read(mixtures.path_of(row, name))[0] for name in ("file_name", "clean_file"))
        assert 10 * np.log10(np.sum(clean**2) / np.sum((noisy - clean) ** 2)) == pytest.approx(0, abs=0.01)
    model = finished.folder / "trained-in-noise"
    found = evaluate(mixtures, model, Protocol(measures=("si_sdr",))).conditions[0]
    judged = finished.table[-1]
    assert (found["n"], found["f1_macro"]) == (judged["n"], judged["f1_macro"])
    assert found["speech"]["si_sdr"]["enhanced"]["mean"] == pytest.approx(judged["si_sdr"]["enhanced"], abs=0.01)


def test_the_example_is_one_utterance_three_times(finished):
    heard = [soundfile.read(finished.folder / "example" / f"{name}.flac") for name in ("clean", "noisy", "enhanced")]
    assert {rate for _, rate in heard} == {16_000}
    assert len({samples.shape for samples, _ in heard}) == 1
    assert len({samples.tobytes() for samples, _ in heard}) == 3


def test_a_finished_demo_shows_the_same_table_and_touches_nothing(finished):
    before = times(finished.folder)
    again = run_demo(finished.folder, TINY, workers=1, watcher=StopBefore("mixing noise"))
    assert again.was_finished
    assert (again.table, again.example) == (finished.table, finished.example)
    assert times(finished.folder) == before


def test_other_settings_in_the_same_folder_are_refused_unless_overwritten(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder)
    other = dataclasses.replace(TINY, seed=7)
    with pytest.raises(InputError, match=r"seed differ.*--overwrite"):
        run_demo(folder, other)
    own = folder / "notes.txt"
    own.write_text("mine")
    with pytest.raises(Stopped):
        run_demo(folder, other, overwrite=True, watcher=StopBefore("model clean"))
    left = {Path(path).relative_to(folder).parts[0] for path in times(folder)}
    assert left == {"demo.json", "mixtures", "notes.txt"}
    assert json.loads((folder / "demo.json").read_text())["settings"]["seed"] == 7
    assert json.loads((folder / "mixtures" / "mix.json").read_text())["inputs"]["seed"] == 7


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path):
    own = tmp_path / "thesis.txt"
    own.write_text("mine")
    with pytest.raises(InputError, match="did not make"):
        run_demo(tmp_path, TINY, overwrite=True)
    with pytest.raises(InputError, match="is a file"):
        run_demo(own, TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    (tmp_path / "demo.json").write_text("[]")
    with pytest.raises(InputError, match="not the record of a demo"):
        run_demo(tmp_path, TINY)
    (tmp_path / "demo.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        run_demo(tmp_path, TINY)


def test_the_two_recipes_differ_in_the_noise_alone():
    clean, noisy = (demo_recipe(name, Settings()).model_dump() for name in MODELS)
    assert {key for key in clean if clean[key] != noisy[key]} == {"noise"}
    assert clean["noise"]["source"] is None
    assert Path(noisy["noise"]["source"]).name == "seen"

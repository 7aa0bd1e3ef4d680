"""The example that stands beside published networks: the table's own samples, what it measures, what it draws."""

import importlib.util
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sertool.core.corpus.fixed_mixtures import mixture_of, read_fixed_mixtures
from sertool.core.corpus.manifest import Manifest
from sertool.core.evaluation.protocol import is_noisy
from sertool.core.models.config import CompactConfig, EmotionConfig, EnhancementConfig, SharedConfig
from sertool.core.models.shared import SharedModel

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("enhancement_table", EXAMPLES / "enhancement_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Two mixtures of a clip of each of two corpora, at 5 and 0 dB."""
    folder, generator = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    lines = ["clip,noise,noise_offset_samples,snr_db,noise_gain,gain,theirs_pesq"]
    for corpus in ("one", "two"):
        clip, noise = (0.1 * generator.standard_normal(length) for length in (6000, 4000))
        for name, samples in ((f"{corpus}/clip.wav", clip), (f"noise/rain/{corpus}.wav", noise)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / name, samples, 16_000, subtype="FLOAT")
        laid = np.resize(np.roll(noise, -1600), 6000)
        for snr_db in (5, 0):
            gain = np.sqrt(np.square(clip).sum() / np.square(laid).sum() * 10 ** (-snr_db / 10))
            lines.append(f"{corpus}/clip.wav,noise/rain/{corpus}.wav,1600,{snr_db},{gain:.6g},0.5,1.5")
    (folder / "mixtures.csv").write_text("\n".join(lines) + "\n")
    return read_fixed_mixtures(folder / "mixtures.csv")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    config = SharedConfig(
        encoder=CompactConfig(mels=16, dim=16, layers=1, kernel=3),
        emotion=EmotionConfig(categories=("anger", "neutral"), hidden=8),
        enhancement=EnhancementConfig(projection=8, hidden=8, layers=1),
    )
    folder = tmp_path_factory.mktemp("model")
    SharedModel(config).save_pretrained(folder)
    return folder


def test_the_files_are_the_tables_mixtures_sample_for_sample(example, table, tmp_path):
    names = example.write_mixtures(table, tmp_path)
    assert names == [f"0{n}-clip-rain-{snr}dB.wav" for n, snr in enumerate((5, 0, 5, 0))]
    for row, name in zip(table.rows, names, strict=True):
        for part, expected in zip(("noisy", "clean"), mixture_of(row), strict=True):
            samples, rate = soundfile.read(tmp_path / part / name, dtype="float32")
            assert rate == 16_000
            np.testing.assert_array_equal(samples, expected)


def test_the_manifest_is_one_of_mixtures(example, table, tmp_path):
    names = example.write_mixtures(table, tmp_path)
    manifest = Manifest.read(tmp_path / "metadata.csv")
    assert is_noisy(manifest)
    assert [manifest.path_of(row, "file_name").name for row in range(len(manifest))] == names
    assert manifest.table["snr_db"].tolist() == [5, 0, 5, 0] and set(manifest.table["noise_kind"]) == {"rain"}
    assert manifest.table["noise_offset_s"].tolist() == [0.1] * 4


def test_speed_is_a_share_of_the_audios_length(example, table, model, tmp_path):
    names = example.write_mixtures(table, tmp_path)
    found = example.speed_of(model, [tmp_path / "noisy" / name for name in names], turns=1)
    assert found["audio_s"] == 4 * 6000 / 16_000 and found["real_time_factor"] > 0
    # A head that hears what comes after has no latency to speak of, and the results say why.
    assert found["stream"]["real_time_factor"] is None and "causal" in found["stream"]["reason"]


def test_two_corpora_are_drawn_at_the_lowest_snr(example, table, model, tmp_path):
    names = example.write_mixtures(table, tmp_path)
    pictures = example.draw_all(table, names, tmp_path, model, tmp_path / "table.json")
    assert [(one["file"], one["mixture"]) for one in pictures] == [
        ("table-one.png", names[1]),
        ("table-two.png", names[3]),
    ]
    assert all(1000 < (tmp_path / one["file"]).stat().st_size < 100_000 for one in pictures)


def test_the_command_holds_no_path_of_this_machine(example):
    options = Namespace(
        data=Path("/a/data"), work=Path("/b/work"), model="/c/run", turns=5, mixtures=None, output=Path("/d/table.json")
    )
    command = example._command(options)
    assert command[2:] == ["data", "work", "--model", "run", "--turns", "5", "-o", "table.json"]


def test_a_processs_own_time_and_memory_are_read(example):
    """Not those of this process, which is larger by far: torch is loaded."""
    wall_s, peak_mb = example.took([sys.executable, "-c", "import time; x = b'1' * 50_000_000; time.sleep(0.2)"])
    assert wall_s >= 0.2 and 50 < peak_mb < 100


def test_a_process_that_fails_ends_the_measuring(example):
    with pytest.raises(subprocess.CalledProcessError):
        example.took([sys.executable, "-c", "raise SystemExit(2)"])

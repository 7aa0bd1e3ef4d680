"""Fixtures every test may use."""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
if "PYTEST_XDIST_WORKER" in os.environ:
    # Else each process starts as many threads as there are cores. NumPy and torch read it when they are imported, which
    # is below; what the tests start inherits it.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, CORES // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))))

import numpy as np  # noqa: E402
from hypothesis import settings  # noqa: E402

# No test is timed: a busy machine is no fault of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

FILES_WORTH_PROCESSES = 10

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give each test, and what it starts, a cache of scores of its own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SERTOOL_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real speech and noise; tests that use it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data beside the checkout ({SHARED_DATA.name})")
    return SHARED_DATA


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """`with full_disk(n):` no file grows beyond n bytes, much as on a disk without room."""
    resource = pytest.importorskip("resource", reason="no limits on files here")

    @contextlib.contextmanager
    def limit(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limit


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run a few files in this process: they are done before others would have been started."""
    places = [Path(argument.partition("::")[0]) for argument in config.args]
    files = sum(len(list(place.rglob("test_*.py"))) if place.is_dir() else 1 for place in places)
    return min(CORES, 8) if CORES > 1 and files >= FILES_WORTH_PROCESSES else 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests marked `gpu` where there is no CUDA device."""
    gpu_tests = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu_tests:
        return
    import torch

    if not torch.cuda.is_available():
        for item in gpu_tests:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def _voice(seed: int, seconds: float = 1.2) -> np.ndarray:
    """Bursts of noise with pauses, at a level of its own, float32."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * 16_000)) / 16_000
    bursts = np.maximum(0.0, np.sin(2 * np.pi * (1.5 + 0.2 * seed) * time + seed))
    return (10.0 ** -(1 + seed % 3 / 2) * bursts * generator.standard_normal(len(time))).clip(-1, 1).astype(np.float32)


def _room_response(seed: int, *, rt60_s: float = 0.3, delay: int = 100, direct: float = 1.0) -> np.ndarray:
    """A delay, one sample of direct sound, and decaying noise from 5 ms after it on, float64."""
    time = np.arange(round(rt60_s * 16_000)) / 16_000
    tail = 0.05 * np.random.default_rng(seed).standard_normal(len(time)) * 10 ** (-3 * time / rt60_s)
    return np.concatenate([np.zeros(delay), [direct], np.zeros(80), tail])


@pytest.fixture(scope="session")
def talkers(tmp_path_factory) -> Path:
    """A manifest of 16 utterances of eight speakers, two each, at levels 20 dB apart."""
    from sertool.core.audio.files import write_audio

    folder = tmp_path_factory.mktemp("talkers")
    rows = []
    for number in range(16):
        name = f"s{number // 2}/{number}.flac"
        (folder / name).parent.mkdir(exist_ok=True)
        write_audio(folder / name, _voice(number, 0.8 + 0.1 * number), 16_000)
        rows.append(f"{name},s{number // 2}")
    (folder / "talkers.csv").write_text("\n".join(["file_name,speaker", *rows]) + "\n")
    return folder / "talkers.csv"


@pytest.fixture(scope="session")
def room_folder(tmp_path_factory) -> Path:
    """Three rooms of three places each; in one of them a place is for speech."""
    from sertool.core.audio.files import write_audio

    folder = tmp_path_factory.mktemp("rooms")
    for room in range(3):
        for place in range(3):
            name = "speech" if room == 2 and place == 0 else f"place-{place}"
            (folder / f"room-{room}").mkdir(exist_ok=True)
            response = _room_response(10 * room + place, rt60_s=0.2 + 0.1 * room, delay=60 + 25 * place)
            write_audio(folder / f"room-{room}" / f"{name}.wav", response, 16_000)
    return folder

"""Clusters of frames against scikit-learn's, and that labels depend on speech, settings and seed alone."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from scipy.stats import entropy
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from sertool.core.audio.files import read_audio
from sertool.core.audio.spectra import utterance_statistics
from sertool.core.corpus.frame_labels import FrameLabels
from sertool.core.errors import AudioError, InputError
from sertool.core.models.config import SharedConfig
from sertool.core.models.shared import SharedModel
from sertool.core.pretext import frame_clusters
from sertool.core.pretext.frame_clusters import cluster_frames, perplexity
from sertool.core.pretext.frame_features import cepstra

sys.path.append(str(Path(__file__).parents[1] / "models"))

from ssl_examples import encoder, reference, save


@dataclass(frozen=True)
class Wanted:
    clusters: int = 5
    features: str = "mfcc"
    revision: str | None = None
    layer: int | None = None
    most_frames: int = 500_000
    iterations: int = 200


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    """Tones, noises and pauses, 12 files to learn from and 4 others, the shortest of 5 ms."""
    folder, rng = tmp_path_factory.mktemp("speech"), np.random.default_rng(0)
    for number in range(16):
        pieces = []
        for _ in range(4):
            n, kind = int(rng.integers(20, 6000)), rng.integers(3)
            tone = np.sin(2 * np.pi * rng.choice([200, 900, 3000]) / 16_000 * np.arange(n))
            pieces.append([tone, rng.standard_normal(n), np.zeros(n)][kind] * rng.uniform(0.05, 0.3))
        signal = np.concatenate(pieces) + 1e-3 * rng.standard_normal(sum(map(len, pieces)))
        soundfile.write(folder / f"{number:02}.wav", signal[:80] if number == 3 else signal, 16_000)
    paths = [str(path) for path in sorted(folder.iterdir())]
    return {"train": paths[:12], "dev": paths[12:]}


def clustered(splits, folder, **changes):
    told = {"seed": 0, "workers": 1, "device": "cpu"}
    told |= {name: changes.pop(name) for name in tuple(changes) if name in ("seed", "workers", "device", "done")}
    return cluster_frames(splits, folder, settings=Wanted(**changes), **told)


def all_labels(path: Path, lengths: list[int]) -> np.ndarray:
    """Return the labels of all utterances, of which nothing is left over and nothing lacks."""
    labels = FrameLabels.open(path)
    assert len(labels) == len(lengths)
    padded = [labels.of(index, 0, length + 1) for index, length in enumerate(lengths)]
    assert all(one[-1] == -1 and one[:-1].min() >= 0 for one in padded)
    return np.concatenate([one[:-1] for one in padded])


def assert_as_scikit_learn_says(folder: Path, train: list[np.ndarray], dev: list[np.ndarray], told: dict) -> None:
    """Check labels by their own means: k-means stopped there, and every frame is nearest to its cluster's mean."""
    labels = all_labels(folder / "train.npy", [len(one) for one in train])
    scaler = StandardScaler().fit(np.concatenate(train).astype(np.float64))
    points = scaler.transform(np.concatenate(train))
    means = np.stack([points[labels == cluster].mean(0) for cluster in range(told["clusters"])])
    theirs = KMeans(len(means), init=means, n_init=1, max_iter=50).fit(points)
    assert np.mean(theirs.predict(points) == labels) == 1.0
    assert told["inertia"] == pytest.approx(theirs.inertia_, rel=1e-4)
    found = all_labels(folder / "dev.npy", [len(one) for one in dev])
    assert np.mean(theirs.predict(scaler.transform(np.concatenate(dev))) == found) == 1.0


def test_labels_are_those_of_scikit_learn(splits, tmp_path):
    told = clustered(splits, tmp_path)
    train, dev = ([cepstra(read_audio(path)).numpy() for path in splits[name]] for name in ("train", "dev"))
    assert_as_scikit_learn_says(tmp_path, train, dev, told)
    assert told["dimensions"] == 39 and told["layer"] is None
    assert told["frames"] == {"train": sum(map(len, train)), "dev": sum(map(len, dev))}
    assert told["sampled_frames"] == told["frames"]["train"] and told["iterations"] < 200
    assert told == json.loads(json.dumps(told))
    for name, own in (("train", train), ("dev", dev)):
        counts = np.bincount(all_labels(tmp_path / f"{name}.npy", [len(one) for one in own]), minlength=5)
        assert told["most_frequent"][name] == pytest.approx(counts.max() / counts.sum())
        if name == "train":
            assert told["perplexity"] == pytest.approx(np.exp(entropy(counts)))


@pytest.mark.parametrize("layer", [None, 0])
def test_an_ssl_encoder_may_be_heard_instead(splits, tmp_path, layer):
    save(reference("hubert"), tmp_path / "tiny")
    told = clustered(splits, tmp_path, features=str(tmp_path / "tiny"), layer=layer, clusters=4)
    ours, states = encoder("hubert"), {}
    for name, paths in splits.items():
        states[name] = []
        for path in paths:
            raw = torch.from_numpy(read_audio(path))[None]
            statistics = utterance_statistics(raw, torch.tensor([raw.shape[1]]))
            around = torch.nn.functional.pad((raw - statistics.mean) / (statistics.std**2 + 1e-7).sqrt(), (200, 200))
            own = ours(around, torch.tensor([around.shape[1]])).hidden_states[2 if layer is None else layer]
            states[name].append(own[0].detach().numpy())
    assert told["layer"] == (2 if layer is None else layer) and told["dimensions"] == 32
    assert_as_scikit_learn_says(tmp_path, states["train"], states["dev"], told)


def test_a_model_of_ours_may_be_heard_instead(splits, tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = {"encoder": {"mels": 20, "dim": 12, "layers": 2, "kernel": 3}, "emotion": {"categories": ["a", "b"]}}
        SharedModel(SharedConfig.model_validate(config)).save_pretrained(tmp_path / "model")
    told = clustered(splits, tmp_path, features=str(tmp_path / "model"))
    assert (told["dimensions"], told["layer"]) == (12, 1)
    with pytest.raises(InputError, match=r"layer 3 is to be clustered.* hidden states 0 to 2: choose"):
        clustered(splits, tmp_path, features=str(tmp_path / "model"), layer=3)
    with pytest.raises(InputError, match="revision, 'main', was given"):
        clustered(splits, tmp_path, features=str(tmp_path / "model"), revision="main")


def test_labels_do_not_depend_on_workers(splits, tmp_path):
    # 200 files are worth a second process; of so few frames a sample needs but one.
    splits = {"train": splits["dev"] * 50}
    for workers in (1, 2):
        clustered(splits, tmp_path / str(workers), most_frames=40, workers=workers)
    assert (tmp_path / "1" / "train.npy").read_bytes() == (tmp_path / "2" / "train.npy").read_bytes()


def test_labels_are_the_same_again_and_others_with_another_seed(splits, tmp_path):
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        clustered(splits, tmp_path / name, most_frames=40, seed=seed)
    one, again, other = ((tmp_path / name / "dev.npy").read_bytes() for name in ("one", "again", "other"))
    assert one == again != other


def test_every_utterance_with_labels_is_counted(splits, tmp_path):
    counted = []
    clustered(splits, tmp_path, done=counted.append)
    assert sum(counted) == 16


def test_a_sample_is_as_large_as_said_and_read_from_ten_times_as_much(monkeypatch):
    monkeypatch.setattr(frame_clusters, "announced_frames", int)
    paths = [str(3 + number % 50) for number in range(4000)]
    drawn = frame_clusters._draw(paths, 700, 0)
    assert sum(len(rows) for _, rows in drawn) == 700
    assert 100 < len(drawn) <= 10 * 700 / 27 + 20
    for path, rows in drawn:
        assert (np.diff(rows) > 0).all() and rows[0] >= 0 and rows[-1] < int(path)
    everything = frame_clusters._draw(paths[:40], 10**6, 0)
    assert sorted((path, len(rows)) for path, rows in everything) == sorted((path, int(path)) for path in paths[:40])


def test_every_frame_may_be_drawn(monkeypatch):
    monkeypatch.setattr(frame_clusters, "announced_frames", int)
    times = {"3": np.zeros(3), "40": np.zeros(40), "7": np.zeros(7)}
    for seed in range(1000):
        for path, rows in frame_clusters._draw(list(times), 10, seed):
            times[path][rows] += 1
    times = np.concatenate(list(times.values()))
    assert times.sum() == 10_000 and abs(times / 200 - 1).max() < 0.35


def test_too_few_frames_and_settings_that_mean_nothing_are_told(splits, tmp_path):
    with pytest.raises(InputError, match=r"\d+ frames of training speech cannot make 60000 clusters; expected.*: ask"):
        clustered(splits, tmp_path, clusters=60_000)
    with pytest.raises(InputError, match="10 frames"):
        clustered(splits, tmp_path, clusters=20, most_frames=10)
    with pytest.raises(InputError, match="expected these for an encoder"):
        clustered(splits, tmp_path, layer=1)
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_read_leaves_no_labels(splits, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    with pytest.raises(AudioError, match=r"bad\.wav"):
        clustered({"train": splits["train"], "dev": [str(tmp_path / "bad.wav")]}, tmp_path / "labels")
    assert [path.name for path in (tmp_path / "labels").iterdir()] == ["train.npy"]


def test_perplexity_is_how_many_clusters_are_at_work():
    assert perplexity(np.array([5, 5, 5, 5])) == pytest.approx(4.0)
    assert perplexity(np.array([0, 9, 0])) == 1.0

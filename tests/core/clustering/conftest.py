"""A corpus and a model small enough to cluster in a second."""

import numpy as np
import pytest
import soundfile

RATE = 16000

TINY = {
    "device": "cpu",
    "clusters": 3,
    "input": {"mels": 32, "channels": [4] * 7, "chunk_s": 0.2, "chunks": 3},
    "optimisation": {"epochs": 2, "batch_sentences": 4, "optimiser": "adam", "kmeans_iterations": 5},
}
"""A recipe, but for its data and targets."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Tones, high and low, of four speakers (`labelled.csv`) and of nobody (`unlabelled.csv`); one is very long."""
    folder = tmp_path_factory.mktemp("corpus")
    generator = np.random.default_rng(0)
    rows, others = ["file_name,speaker,split,emotion,arousal,valence"], ["file_name"]
    for speaker, split in (("a", "train"), ("b", "train"), ("c", "dev"), ("d", "test")):
        for number in range(5):
            emotion, pitch, arousal = (("anger", 1500, 6.0), ("neutral", 300, 2.0))[number % 2]
            _write(folder / f"{speaker}{number}.wav", pitch + 30 * number, generator.uniform(0.15, 0.55), generator)
            rows.append(f"{speaker}{number}.wav,{speaker},{split},{emotion},{arousal + 0.1 * number:g},{number + 1}")
    for number in range(6):
        _write(folder / f"u{number}.wav", 200 + 300 * number, 1.5 if number == 3 else 0.4, generator)
        others.append(f"u{number}.wav")
    (folder / "labelled.csv").write_text("\n".join(rows) + "\n")
    (folder / "unlabelled.csv").write_text("\n".join(others) + "\n")
    return folder


def _write(path, pitch, duration_s, generator):
    time = np.arange(int(RATE * duration_s)) / RATE
    soundfile.write(path, 0.2 * np.sin(2 * np.pi * pitch * time) + 0.01 * generator.standard_normal(len(time)), RATE)


@pytest.fixture(scope="module")
def recipe_of(corpus):
    """Return a function that makes a tiny recipe, with dotted settings."""
    from sertool.core.clustering.recipe import ClusterRecipe
    from sertool.core.training.recipe_file import read_settings

    data = {"labelled": [str(corpus / "labelled.csv")], "unlabelled": [str(corpus / "unlabelled.csv")]}

    def make(**settings):
        dotted = {name.replace("__", "."): value for name, value in settings.items()}
        return read_settings(ClusterRecipe, None, dotted, base={**TINY, "data": data})

    return make

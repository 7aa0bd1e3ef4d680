"""A corpus small enough to learn in seconds."""

import numpy as np
import pytest
import soundfile

RATE = 16000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Tones of two kinds, high and low, from three speakers, with attributes; and a folder of noise."""
    folder = tmp_path_factory.mktemp("corpus")
    generator = np.random.default_rng(0)
    rows = ["file_name,speaker,split,emotion,arousal"]
    for speaker, split in (("a", "train"), ("b", "train"), ("c", "dev")):
        for i in range(6):
            emotion, pitch = (("anger", 900), ("neutral", 200))[i % 2]
            time = np.arange(int(RATE * generator.uniform(0.4, 0.9))) / RATE
            tone = 0.2 * np.sin(2 * np.pi * (pitch + 40 * i) * time)
            soundfile.write(folder / f"{speaker}{i}.wav", tone, RATE)
            rows.append(f"{speaker}{i}.wav,{speaker},{split},{emotion},{5.5 if emotion == 'anger' else 2.5}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    for i in range(12):
        (folder / "noise" / "hiss").mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / "noise" / "hiss" / f"{i}.wav", 0.1 * generator.standard_normal(RATE), RATE)
    return folder

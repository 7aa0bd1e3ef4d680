"""A corpus of tones whose faces move: two speakers to learn from, one to choose by, and one without a face."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

sys.path.insert(0, str(Path(__file__).parent))

RATE = 16000


@pytest.fixture(scope="module")
def talking(tmp_path_factory):
    """Twelve utterances to learn from and six of dev; loud swings go with moving faces and with smiles."""
    from openface_files import write_openface

    folder = tmp_path_factory.mktemp("talking")
    generator = np.random.default_rng(0)
    rows = ["file_name,speaker,split,text"]
    shape = generator.uniform(100, 300, (68, 2))
    shape[36], shape[45] = (150, 200), (250, 200)
    for speaker, split in (("a", "train"), ("b", "train"), ("c", "dev")):
        for i in range(6):
            lively = i % 2
            seconds = generator.uniform(0.6, 0.9)
            time = np.arange(int(RATE * seconds)) / RATE
            swing = 1 + (0.95 if lively else 0.05) * np.sin(2 * np.pi * 3 * time)
            name = f"{speaker}{i}"
            soundfile.write(folder / f"{name}.wav", 0.1 * swing * np.sin(2 * np.pi * 300 * time), RATE)
            rows.append(f"{name}.wav,{speaker},{split},sentence {i % 3}")
            if speaker == "a" and i >= 4:
                continue  # no face
            frames = round(seconds * 30)
            faces = np.repeat(shape[None], frames, axis=0)
            step = (10 if lively else 1) * (np.arange(frames) % 2)[:, None]
            faces[:, 48:68, 1] += step  # the mouth
            faces[:, 17:27, 1] -= step / 2  # the brows
            units = {number: np.full(frames, 0.1) for number in (1, 2, 4, 5, 6, 7, 9, 12, 15, 20, 23, 26)}
            if lively:
                units |= {6: np.full(frames, 3.0), 12: np.full(frames, 2.5)}
            write_openface(folder / "faces" / f"{name}.csv", landmarks=faces, intensity=units)
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    for i in range(12):
        (folder / "noise" / "hiss").mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / "noise" / "hiss" / f"{i}.wav", 0.1 * generator.standard_normal(RATE), RATE)
    return folder

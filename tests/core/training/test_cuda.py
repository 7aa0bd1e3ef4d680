"""Training on a CUDA device: bf16 by default, and the model it leaves speaks the same on the CPU."""

import numpy as np
import pytest
import soundfile

from sertool.core.models.inference import load
from sertool.core.training.loop import train_run
from sertool.core.training.recipe import make_recipe


@pytest.mark.gpu
def test_trained_on_cuda_and_heard_on_the_cpu(tmp_path):
    generator = np.random.default_rng(0)
    rows = ["file_name,speaker,split,emotion"]
    for i in range(12):
        samples = 0.1 * generator.standard_normal(8000)
        soundfile.write(tmp_path / f"{i}.wav", samples, 16000)
        rows.append(f"{i}.wav,s{i // 8},{('train', 'dev')[i // 8]},{('anger', 'neutral')[i % 2]}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n")
    tree = {
        "device": "cuda",
        "data": {"manifests": [str(tmp_path / "metadata.csv")], "workers": 0},
        "encoder": {"compact": {"dim": 16, "layers": 2, "kernel": 5}},
        "optimisation": {"epochs": 2, "batch_size": 4, "accumulation": 2},
    }
    run = train_run(make_recipe(tree), tmp_path / "run")
    on_gpu, on_cpu = (
        load(run.folder, device).predict(samples.astype(np.float32), 16_000) for device in ("cuda", "cpu")
    )
    assert on_gpu.probabilities == pytest.approx(on_cpu.probabilities, abs=1e-3)

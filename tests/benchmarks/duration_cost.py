"""What an utterance costs by its duration: dynamic chunks as one batch against recurrence over all frames.

    python tests/benchmarks/duration_cost.py [--seconds 1 2 5 10 30 60] [--batch 1 8] [--device cpu] [-o FILE]

Two emotion heads with the same two LSTM layers are timed side by side, alone over features of the compact encoder's
width and under the whole model: one over chunks with recurrent attention (LSTM-RnnAtten of Lin & Busso), one over all
frames of the utterance, its last output. Every repeat times both, each time in the other order; on a CPU in one thread
(OMP_NUM_THREADS=1), by processor time. Of each the least counts, since a busy machine only adds to it; the ratio is of
full sequence by chunks, and its range over repeats.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.environment import installed_versions
from sertool.core.models.chunk_encoders import LSTMEncoder
from sertool.core.models.config import ChunkConfig, CompactConfig, EmotionConfig, SharedConfig
from sertool.core.models.emotion_head import EmotionHead
from sertool.core.models.shared import SharedModel

SEED = 0
CATEGORIES = ("anger", "happiness", "neutral", "sadness")


def build(*, chunked: bool) -> SharedModel:
    """Return a model with a compact encoder and an emotion head over chunks, or over all frames at once."""
    torch.manual_seed(SEED)
    emotion = EmotionConfig(pooling="chunk-recurrent", chunks=ChunkConfig(), categories=CATEGORIES)
    model = SharedModel(SharedConfig(encoder=CompactConfig(), emotion=emotion))
    if not chunked:
        # The very encoder of a chunk, over an utterance as if it were one.
        model.emotion_head.pooling = LSTMEncoder(model.encoder.dim, emotion.chunks.hidden, emotion.dropout)
    return model


def logits_of(module: nn.Module, inputs: tuple[Tensor, Tensor]) -> Tensor:
    """Return what an emotion head or a whole model says of a batch, (B, C)."""
    return module(*inputs)[0] if isinstance(module, EmotionHead) else module(*inputs).category_logits


def forward(module: nn.Module, inputs: tuple[Tensor, Tensor], target: Tensor) -> Callable[[], None]:
    """Return a forward pass in evaluation mode, ready to be timed."""

    def run() -> None:
        module.eval()
        with torch.inference_mode():
            logits_of(module, inputs)

    return run


def training_step(module: nn.Module, inputs: tuple[Tensor, Tensor], target: Tensor) -> Callable[[], None]:
    """Return a training step, ready to be timed."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)

    def run() -> None:
        module.train()
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits_of(module, inputs), target).backward()
        optimizer.step()

    return run


ROW_S = 4.0
"""Seconds after which a row is repeated no further, once it was three times."""

PASSES = {"forward": forward, "training step": training_step}


def seconds_of(run: Callable[[], None], device: torch.device) -> float:
    """Return how long a pass takes, in seconds: of the processor on a CPU, so that what runs beside it counts less."""
    if device.type != "cuda":
        begin = time.process_time()
        run()
        return time.process_time() - begin
    torch.cuda.synchronize(device)
    begin = time.perf_counter()
    run()
    torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def compare(chunked: Callable[[], None], full: Callable[[], None], repeats: int, device: torch.device) -> dict:
    """Time two passes in turn, after one unmeasured run of each."""
    pair = (chunked, full)
    for run in pair:
        run()
    times: tuple[list[float], list[float]] = ([], [])
    begin = time.perf_counter()
    for repeat in range(repeats):
        if repeat >= 3 and time.perf_counter() - begin > ROW_S:
            break
        for which in (0, 1) if repeat % 2 == 0 else (1, 0):
            times[which].append(seconds_of(pair[which], device))
    ratios = [slow / fast for fast, slow in zip(*times, strict=True)]
    chunked_ms, full_ms = (min(each) * 1000 for each in times)
    return {
        "chunked_ms": round(chunked_ms, 3),
        "full_sequence_ms": round(full_ms, 3),
        "ratio": round(full_ms / chunked_ms, 3),
        "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        "repeats": len(ratios),
    }


def measure(options: argparse.Namespace, device: torch.device) -> Iterator[dict]:
    """Yield a row for each part (head, model), pass, batch size and duration; whole models for the first size alone."""
    models = [build(chunked=chunked).to(device) for chunked in (True, False)]
    generator = torch.Generator().manual_seed(SEED)
    for batch in options.batch:
        target = torch.randint(len(CATEGORIES), (batch,), generator=generator).to(device)
        for duration_s in options.seconds:
            waveform = torch.randn(batch, round(duration_s * SAMPLE_RATE), generator=generator).to(device)
            lengths = torch.full((batch,), waveform.shape[1], device=device)
            with torch.no_grad():
                features, frame_lengths = models[0].eval().features(waveform, lengths)
            chunks = models[0].emotion_head.pooling.chunking.num_chunks(features.shape[1])
            parts = {"head": ([model.emotion_head for model in models], (features, frame_lengths))}
            if batch == options.batch[0]:
                parts["model"] = (models, (waveform, lengths))
            for part, (pair, inputs) in parts.items():
                for name, make in PASSES.items():
                    found = compare(*(make(module, inputs, target) for module in pair), options.repeats, device)
                    about = {"batch": batch, "duration_s": duration_s, "frames": features.shape[1], "chunks": chunks}
                    yield {"part": part, "pass": name, **about, **found}


def main() -> None:
    """Measure, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, nargs="+", default=[1.0, 2.0, 5.0, 10.0, 30.0, 60.0])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-o", "--output", type=Path, default=Path("duration-cost.json"))
    options = parser.parse_args()
    device = torch.device(options.device)
    command = ["python", "tests/benchmarks/duration_cost.py", "--seconds", *(f"{one:g}" for one in options.seconds)]
    command += ["--batch", *map(str, options.batch), "--repeats", str(options.repeats), "--device", device.type]
    rows = []
    for row in measure(options, device):
        print(json.dumps(row), flush=True)
        rows.append(row)
    document = {
        "format": "sertool-duration-cost-1",
        "command": command,
        "seed": SEED,
        "versions": {"python": platform.python_version(), **installed_versions(["sertool", "torch"])},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "clock": "wall" if device.type == "cuda" else "processor",
        "threads": torch.get_num_threads(),
        "encoder": CompactConfig().model_dump(mode="json"),
        "chunks": ChunkConfig().model_dump(mode="json"),
        "rows": sorted(rows, key=lambda row: (row["part"], row["pass"], row["batch"], row["duration_s"])),
    }
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The compact encoder's convolutions over time beside torch's own: `F.conv1d` with as many groups as channels.

    OMP_NUM_THREADS=1 python tests/benchmarks/compact_encoder.py [--seconds 2.6] [--batch 16] [-o FILE]

Two encoders with the same weights, one of which is left to torch's convolution, are timed in turn: a convolution alone,
at each dilation, and the whole encoder, forward and with the gradients of all weights. By processor time on a CPU; of
each the least of all repeats counts, since a busy machine only adds to it.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from sertool.core.audio.files import SAMPLE_RATE
from sertool.core.environment import installed_versions
from sertool.core.models.compact import CompactEncoder, DepthwiseConvolution
from sertool.core.models.config import CompactConfig

SEED = 0
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class TorchConvolution(DepthwiseConvolution):
    """The same convolution, as torch computes it."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, T, D)."""
        return nn.Conv1d.forward(self, x.transpose(1, 2)).transpose(1, 2)


def pass_of(module: nn.Module, inputs: tuple[Tensor, ...], dtype: torch.dtype, *, backward: bool) -> Callable[[], None]:
    """Return a pass through a module, ready to be timed."""

    def run() -> None:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32), torch.set_grad_enabled(backward):
            output = module(*inputs)
            states = output if isinstance(output, Tensor) else output.hidden_states[-1]
        if backward:
            module.zero_grad(set_to_none=True)
            states.float().square().mean().backward()

    return run


def seconds(passes: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Return the least processor time of each pass, taken in turn after one unmeasured run of each."""
    taken: dict[str, list[float]] = {name: [] for name in passes}
    for run in passes.values():
        run()
    for repeat in range(repeats):
        for name in list(passes)[:: 1 if repeat % 2 else -1]:
            begin = time.process_time()
            passes[name]()
            taken[name].append(time.process_time() - begin)
    return {name: min(times) for name, times in taken.items()}


def cases(options: argparse.Namespace) -> list[dict]:
    """Time every part, pass and number format."""
    torch.manual_seed(SEED)
    ours, torchs = CompactEncoder(CompactConfig()), CompactEncoder(CompactConfig())
    torchs.load_state_dict(ours.state_dict())
    for layer in torchs.layers:
        layer.over_time.__class__ = TorchConvolution
    waveform = torch.randn(options.batch, round(options.seconds * SAMPLE_RATE))
    lengths = torch.full((options.batch,), waveform.shape[1])
    states = ours(waveform, lengths).hidden_states[0].detach()
    config = ours.config
    parts = {"encoder": (ours, torchs, (waveform, lengths))}
    for place, dilation in enumerate(config.dilations):
        pair = (ours.layers[place].over_time, torchs.layers[place].over_time)
        parts[f"convolution, dilation {dilation}"] = (*pair, (states,))
    found = []
    for part, (one, other, inputs) in parts.items():
        for backward in (False, True):
            for name, dtype in DTYPES.items():
                both = {"sertool": one, "torch": other}
                passes = {who: pass_of(module, inputs, dtype, backward=backward) for who, module in both.items()}
                taken = seconds(passes, options.repeats)
                how = "forward and backward" if backward else "forward"
                about = {"part": part, "pass": how, "dtype": name, "cpu_seconds": taken}
                found.append(about | {"ratio": taken["torch"] / taken["sertool"]})
                print(json.dumps(found[-1]), flush=True)
    return found


def main() -> None:
    """Measure, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.6)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("-o", "--output", type=Path, default=Path("compact-encoder.json"))
    options = parser.parse_args()
    command = ["python", "tests/benchmarks/compact_encoder.py", "--seconds", f"{options.seconds:g}"]
    document = {
        "command": [*command, "--batch", str(options.batch), "--repeats", str(options.repeats)],
        "seed": SEED,
        "versions": {"python": platform.python_version(), **installed_versions(["sertool", "torch"])},
        "threads": torch.get_num_threads(),
        "encoder": CompactConfig().model_dump(mode="json"),
        "cases": cases(options),
    }
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

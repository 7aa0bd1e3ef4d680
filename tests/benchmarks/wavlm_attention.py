"""Time and memory of sertool's WavLM beside transformers', in one run on the same weights.

    python tests/benchmarks/wavlm_attention.py --sizes base --seconds 3 10 --modes forward step -o FILE.json

Every case runs in a process of its own. For time, ours and transformers' take turns in it, so that whatever else the
machine does meets both; for memory each has its own. What is done is kept in a journal beside the output, so that a
run cut short goes on where it stopped, and another command adds its cases to the same file. What was measured with
other versions of Python, torch or transformers is measured again, and so is everything with `--again`.

Ours is `SSLEncoder`, compiled and checkpointed as a recipe does it; transformers' is `WavLMModel`, by its own means.
Both: random weights of the published configuration's size, front end frozen, no LayerDrop, no SpecAugment, no padding,
all hidden states returned. A training step is forward and backward; the optimiser's part is the same for both and left
out.
"""

import argparse
import functools
import importlib.metadata
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SEED = 4
SIDES = ("ours", "transformers")
SIZES = {
    "base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "large": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "do_stable_layer_norm": True,
        "feat_extract_norm": "layer",
    },
}
FRAME_RATE = 50
# forward, step: the whole model; attention-…: one layer's attention alone.
MODES = ("forward", "step", "attention-forward", "attention-step")
KEY = ("device", "dtype", "size", "seconds", "batch", "mode", "compiled", "checkpointing", "attention_dropout")


def main() -> None:
    """Run the cases asked for that the journal lacks, and write the results."""
    options = _options()
    if options.child:
        print(json.dumps(_child(json.loads(options.child))))
        return
    journal = options.output.with_suffix(".journal.jsonl")
    done = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    jobs, versions = _jobs(options), _versions()
    outdated = [entry for entry in done if entry["machine"]["versions"] != versions or options.again]
    done = [entry for entry in done if not (entry in outdated and any(_same(job, entry["job"]) for job in jobs))]
    jobs = [job for job in jobs if not any(_same(job, entry["job"]) for entry in done)]
    journal.write_text("".join(json.dumps(entry) + "\n" for entry in done))
    command = _command()
    _print_estimate(jobs, done)
    for job in jobs:
        started = time.monotonic()
        entry = {"job": job, "command": command, **_in_own_process(job), "wall_s": time.monotonic() - started}
        print(f"{entry['wall_s']:6.0f} s  {_label(job)}  {_summary(entry)}", flush=True)
        done.append(entry)
        with journal.open("a") as lines:
            lines.write(json.dumps(entry) + "\n")
        _write(options.output, done)
    _write(options.output, done)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["base"])
    parser.add_argument("--seconds", nargs="+", type=float, default=[3.0, 10.0, 30.0])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=["forward", "step"])
    parser.add_argument("--measure", nargs="+", choices=("time", "memory", "saved"), default=["time", "memory"])
    parser.add_argument("--compiled", nargs="+", choices=("no", "yes"), default=["no"])
    parser.add_argument("--checkpointing", nargs="+", choices=("no", "yes"), default=["no"])
    parser.add_argument("--attention-dropout", nargs="+", type=float, default=[0.1])
    parser.add_argument("--batch", nargs="+", type=int, default=[1])
    parser.add_argument(
        "--dtype", nargs="+", choices=("float32", "bf16"), default=["float32"], help="bf16: by autocast"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repeats", type=int, default=5, help="turns that are timed, after one that is not")
    parser.add_argument("--limit-s", type=float, default=600.0, help="no new turn of a case after so many seconds")
    parser.add_argument("--again", action="store_true", help="measure what the journal has, too")
    parser.add_argument("-o", "--output", type=Path, required="--child" not in sys.argv)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def _jobs(options: argparse.Namespace) -> list[dict]:
    """Return what to run: of a case its time once, its memory once a side."""
    lists = (
        [options.device],
        options.dtype,
        options.sizes,
        options.seconds,
        options.batch,
        options.modes,
        [value == "yes" for value in options.compiled],
        [value == "yes" for value in options.checkpointing],
        options.attention_dropout,
    )
    jobs = []
    for case in (dict(zip(KEY, values, strict=True)) for values in itertools.product(*lists)):
        training = case["mode"].endswith("step")
        if (case["checkpointing"] and case["mode"] != "step") or (not training and case["attention_dropout"]):
            case |= {"checkpointing": False, "attention_dropout": 0.0}
        for what in options.measure:
            if what == "saved" and case["mode"] != "attention-step":
                continue
            jobs += [{**case, "what": what, "side": side} for side in (SIDES if what != "time" else ("both",))]
    unique = {json.dumps(job): {**job, "repeats": options.repeats, "limit_s": options.limit_s} for job in jobs}
    return sorted(unique.values(), key=_cost)


def _cost(job: dict) -> float:
    """Return roughly how many operations a job takes, up to a factor that is the same for all of one device."""
    size, frames = SIZES[job["size"]], job["seconds"] * FRAME_RATE
    layers = 1 if job["mode"].startswith("attention") else size["num_hidden_layers"]
    width, inner = size["hidden_size"], 0 if layers == 1 else size["intermediate_size"]
    forward = layers * frames * (8 * width**2 + 4 * width * inner + 8 * width * frames)
    if layers > 1:
        forward += job["seconds"] * 1e10  # the convolutions
    once = forward * job["batch"] * (3 if job["mode"].endswith("step") else 1)
    runs = 2 * (1 + job["repeats"]) if job["what"] == "time" else 1
    return once * runs


def _print_estimate(jobs: list[dict], done: list[dict]) -> None:
    """Print how long the jobs will take by the pace of those done; of one turn of the smallest where none is."""
    if not jobs:
        print("nothing left to do")
        return
    paced = [entry for entry in done if "wall_s" in entry and entry["job"]["device"] == jobs[0]["device"]]
    if not paced:
        probe = {**jobs[0], "what": "time", "side": "both", "repeats": 1, "compiled": False}
        started = time.monotonic()
        _in_own_process(probe)
        paced = [{"job": probe, "wall_s": time.monotonic() - started}]
    # The seconds a process takes to start, and those an operation takes.
    seconds = [entry["wall_s"] for entry in paced]
    start = min(seconds)
    pace = sum(s - start / 2 for s in seconds) / sum(_cost(entry["job"]) for entry in paced)
    total = sum(min(_cost(job) * pace, 2 * job["limit_s"]) + start / 2 for job in jobs)
    print(f"{len(jobs)} measurements, about {total / 60:.0f} min (without compiling)", flush=True)


def _in_own_process(job: dict) -> dict:
    # Large blocks go back as soon as they are freed, so that the resident size is what is in use.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**22)} if job["what"] == "memory" else None
    arguments = [sys.executable, str(Path(__file__).resolve()), "--child", json.dumps(job)]
    ended = subprocess.run(arguments, env=environment, stdout=subprocess.PIPE, text=True)
    if ended.returncode:
        sys.exit(f"failed: {_label(job)}")
    return json.loads(ended.stdout.splitlines()[-1])


def _child(job: dict) -> dict:
    """Measure one thing in this process."""
    if job["what"] == "time":
        return _times(job)
    return _peak(job) if job["what"] == "memory" else _saved(job)


def _times(job: dict) -> dict:
    runs = {side: _prepared(job, side) for side in SIDES}
    seconds, cpu_seconds = ({side: [] for side in SIDES} for _ in range(2))
    begun = time.perf_counter()
    for turn in range(job["repeats"] + 1):
        for side in SIDES if turn % 2 else reversed(SIDES):
            started, cpu_started = time.perf_counter(), time.process_time()
            runs[side]()
            _synchronise(job)
            seconds[side].append(time.perf_counter() - started)
            cpu_seconds[side].append(time.process_time() - cpu_started)
        if time.perf_counter() - begun > job["limit_s"]:
            break
    # The first turn warms up, and counts only where there is no other.
    for times in (*seconds.values(), *cpu_seconds.values()):
        times[:] = times[1:] or times
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, **_machine(job)}


def _peak(job: dict) -> dict:
    """Return the most memory one run takes beyond what the model and its input take, in bytes."""
    import torch

    run = _prepared(job, job["side"])
    if job["device"] == "cuda":
        run()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return {"peak_bytes": torch.cuda.max_memory_allocated() - before, **_machine(job)}
    if job["compiled"]:
        run()  # the compiler's own memory is not the model's
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    before = _status("VmRSS")
    run()
    return {"peak_bytes": _status("VmHWM") - before, **_machine(job)}


def _status(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def _saved(job: dict) -> dict:
    """Return the bytes autograd keeps for one layer's attention, each storage once; what all layers share apart."""
    import torch

    run, attention, states, shared = _attention(job, job["side"])
    parameters = {parameter.untyped_storage().data_ptr() for parameter in attention.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = run()
    kept.pop(states.untyped_storage().data_ptr(), None)  # the layer's input is kept by the layer around it anyway
    kept.pop(shared.untyped_storage().data_ptr(), None)
    del output
    shared_bytes = shared.untyped_storage().nbytes()
    return {"layer_bytes": sum(kept.values()), "shared_bytes": shared_bytes, **_machine(job)}


def _prepared(job: dict, side: str) -> Callable[[], None]:
    """Return a function that runs the case once on one side; weights and input are the same for both."""
    import torch

    if job["mode"].startswith("attention"):
        forward, module, *_ = _attention(job, side)
        parameters = list(module.parameters())
    else:
        call = _ours(job) if side == "ours" else _transformers(job)
        parameters = list(_original(job).parameters())
        waveform = torch.randn(
            job["batch"], int(job["seconds"] * 16_000), generator=torch.Generator().manual_seed(SEED)
        ).to(job["device"])

        def forward() -> torch.Tensor:
            with _autocast(job):
                return call(waveform)

    def run() -> None:
        if not job["mode"].endswith("step"):
            with torch.no_grad():
                forward()
            return
        forward().float().square().mean().backward()
        for parameter in parameters:
            parameter.grad = None

    return run


@functools.cache
def _built(size: str, attention_dropout: float, device: str, training: bool):
    import torch
    from transformers import WavLMConfig, WavLMModel

    torch.manual_seed(SEED)
    config = WavLMConfig(
        **SIZES[size],
        attention_dropout=attention_dropout,
        activation_dropout=0.0,
        layerdrop=0.0,
        apply_spec_augment=False,
    )
    model = WavLMModel(config).to(device).train(training)
    model.freeze_feature_encoder()
    return model


def _original(job: dict):
    """Return the model of transformers whose parameters both sides have: the very same, not only equal ones."""
    return _built(job["size"], job["attention_dropout"], job["device"], job["mode"].endswith("step"))


def _transformers(job: dict) -> Callable:
    import torch

    model = _original(job)
    if job["checkpointing"]:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    call = torch.compile(model, dynamic=False) if job["compiled"] else model
    return lambda waveform: call(waveform, output_hidden_states=True).last_hidden_state


def _ours(job: dict) -> Callable:
    import torch

    from sertool.core.models.config import SSLConfig
    from sertool.core.models.ssl import SSLEncoder
    from sertool.core.training.layers import checkpoint_layers, compile_layers

    original = _original(job)
    with torch.device("meta"):
        encoder = SSLEncoder(SSLConfig(architecture=original.config.to_dict(), normalise=False))
    tensors = original.state_dict(keep_vars=True)
    encoder.load_state_dict({name: tensors[name] for name in encoder.state_dict()}, assign=True)
    encoder.feature_extractor.requires_grad_(False)  # which loading has undone
    encoder.train(original.training)
    if job["checkpointing"]:
        checkpoint_layers(encoder)
    if job["compiled"]:
        compile_layers(encoder)
    return lambda waveform: encoder(waveform, torch.full((len(waveform),), waveform.shape[1])).hidden_states[-1]


def _attention(job: dict, side: str):
    """Return a function that runs one layer's attention but the first's, the module, its input and position bias."""
    import torch
    from transformers.models.wavlm.modeling_wavlm import WavLMAttention

    from sertool.core.models.onednn import use_onednn
    from sertool.core.models.wavlm_attention import GatedSelfAttention

    torch.manual_seed(SEED)
    width, heads = (SIZES[job["size"]][name] for name in ("hidden_size", "num_attention_heads"))
    module = WavLMAttention(width, heads, dropout=job["attention_dropout"]).to(job["device"])
    if side == "ours":
        module = GatedSelfAttention(module)
        use_onednn(module)
    module.train(job["mode"].endswith("step"))
    frames = int(job["seconds"] * FRAME_RATE) - 1
    states = torch.randn(job["batch"], frames, width, device=job["device"])
    if job["dtype"] == "bf16":
        states = states.bfloat16()
    with torch.no_grad(), _autocast(job):
        shared = module(states[:, :], None)[2]
    # Neither is a leaf of the model's graph: both get a gradient that goes on to the layers before.
    states, shared = (tensor.detach().requires_grad_() for tensor in (states, shared.clone()))
    call = torch.compile(module, dynamic=False) if job["compiled"] else module

    def forward() -> torch.Tensor:
        with _autocast(job):
            return call(states, None, shared)[0]

    return forward, module, states, shared


def _autocast(job: dict):
    import torch

    return torch.autocast(job["device"], torch.bfloat16, enabled=job["dtype"] == "bf16")


def _synchronise(job: dict) -> None:
    if job["device"] == "cuda":
        import torch

        torch.cuda.synchronize()


def _machine(job: dict) -> dict:
    """Return what the numbers depend on beside the code."""
    import torch

    if job["device"] == "cuda":
        device = torch.cuda.get_device_name()
    else:
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        device = names[0].split(":")[1].strip() if names else platform.machine()
    return {"machine": {"device": device, "threads": torch.get_num_threads(), "versions": _versions()}}


def _versions() -> dict[str, str]:
    named = {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
    return {"python": platform.python_version(), **named}


def _same(job: dict, other: dict) -> bool:
    return all(job[name] == other[name] for name in (*KEY, "what", "side"))


def _label(job: dict) -> str:
    return " ".join(f"{job[name]}" for name in ("what", "side", *KEY))


def _summary(entry: dict) -> str:
    if "seconds" in entry:
        return f"transformers / ours: {_ratio(entry['seconds']):.2f} wall, {_ratio(entry['cpu_seconds']):.2f} CPU"
    return ", ".join(f"{name} {entry[name] / 2**20:.0f} MiB" for name in entry if name.endswith("bytes"))


def _ratio(times: dict[str, list[float]]) -> float:
    """Return how many times as long transformers takes: the median over turns."""
    return statistics.median(a / b for a, b in zip(times["transformers"], times["ours"], strict=True))


def _command() -> str:
    arguments = [Path(a).name if i and sys.argv[i] in ("-o", "--output") else a for i, a in enumerate(sys.argv[1:])]
    return " ".join(["python", "tests/benchmarks/wavlm_attention.py", *arguments])


def _write(path: Path, done: list[dict]) -> None:
    """Gather the journal into one result a case."""
    cases: dict[str, dict] = {}
    saved: dict[str, dict] = {}
    for entry in done:
        job, what = entry["job"], entry["job"]["what"]
        key = {name: job[name] for name in KEY}
        case = (saved if what == "saved" else cases).setdefault(json.dumps(key), {**key, **entry["machine"]})
        if what == "time":
            times = {"wall_s": entry["seconds"], "cpu_s": entry["cpu_seconds"]}
            case["repetitions"] = len(entry["seconds"]["ours"])
            case |= times | {f"ratio_{name}": round(_ratio(times[name]), 3) for name in times}
        elif what == "memory":
            case.setdefault("peak_bytes", {})[job["side"]] = entry["peak_bytes"]
        else:
            case[job["side"]] = {name: entry[name] for name in ("layer_bytes", "shared_bytes")}
    content = {
        "command": list(dict.fromkeys(entry["command"] for entry in done)),
        "seed": SEED,
        "ratio_wall_s, ratio_cpu_s": "transformers / ours, median over turns: above 1 ours is faster",
        "repetitions": "turns that count; the first does only where there was time for no other",
        "peak_bytes": "of one run, beyond the model and its input",
        "cases": list(cases.values()),
        "saved_for_backward_bytes": list(saved.values()),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()

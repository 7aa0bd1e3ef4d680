"""Run trainings in several processes each, one after another, forked from this one, which has loaded everything.

    python in_processes.py JOBS.json

Torch takes seconds to load, and `torchrun` loads it in each process anew; what the processes do is the same.
"""

import gc
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import torch._dynamo  # noqa: F401  a second's work, which torch puts off until its first optimizer

from sertool.cli.main import main as run_sertool
from sertool.core.training import loop, validation

# The dev split makes several batches, an odd number of them.
validation.BATCH_S = 1.0


def run(job: dict[str, Any]) -> list[int]:
    """Run a job and return its processes' exit codes (negative: the signal).

    Args:
        job: `arguments` of sertool; how many `processes`; the `log` to write, with the process's number behind it; and
            maybe `disturbance`, which sends `signal` to process `rank` when it has done so many `updates`.
    """
    world = job["processes"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    children = []
    for rank in range(world):
        child = os.fork()
        if child == 0:
            _be_sertool(job, rank, port)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def _be_sertool(job: dict[str, Any], rank: int, port: int) -> None:
    """In a forked child: run and end."""
    descriptor = os.open(f"{job['log']}-{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    # A shell starts background jobs deaf to Ctrl-C, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if job["processes"] > 1:
        os.environ |= {
            **{name: str(rank) for name in ("RANK", "LOCAL_RANK")},
            **{name: str(job["processes"]) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE")},
            **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
        }
    disturbance = job.get("disturbance")
    if disturbance and disturbance["rank"] == rank:
        _disturb(**disturbance)
    code = 1
    try:
        sys.argv = ["sertool", *job["arguments"]]
        run_sertool()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        os._exit(code)


def _disturb(rank: int, updates: int, signal: int) -> None:
    step = loop.Training._step

    def disturbed_step(training: loop.Training, losses: dict[str, float]) -> None:
        if training.counters["updates"] == updates:
            os.kill(os.getpid(), signal)
        step(training, losses)

    loop.Training._step = disturbed_step


if __name__ == "__main__":
    gc.freeze()  # what is loaded need not be gone through again in every child
    path = Path(sys.argv[1])
    path.write_text(json.dumps([run(job) for job in json.loads(path.read_text())]))

"""Several processes in one training: what may start them, and how an error of one becomes the end of all."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from sertool.core.errors import InputError, SertoolError

INTERRUPTED = 130
"""Exit code after Ctrl-C."""

SPREADING = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism of its own",
}
"""How `accelerate launch` tells what to spread a model with."""

LOST_CONNECTION = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer")
"""What stands in the errors of communication between processes that are nothing but a RuntimeError."""


def check_launcher() -> None:
    """Make sure that whoever started the processes asked for nothing that the recipe is to say.

    Raises:
        InputError: accelerate's configuration or flags ask for another loop than ours.
    """
    asked = [name for variable, name in SPREADING.items() if os.environ.get(variable, "").lower() == "true"]
    if asked:
        raise InputError(
            f"accelerate was told to spread the model by {asked[0]}; expected processes alone: launch it with "
            "--multi_gpu, and for sharded weights set optimisation.sharding to fsdp in the recipe"
        )
    compiler = os.environ.get("ACCELERATE_DYNAMO_BACKEND", "no")
    if compiler.lower() != "no":
        raise InputError(
            f"accelerate was told to compile with {compiler}; expected no compiler of its own: launch it with "
            "--dynamo_backend no, and set optimisation.compile to true in the recipe"
        )
    steps = os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    if steps != "1":
        raise InputError(
            f"accelerate was told to accumulate {steps} steps; expected 1: launch it without, and set "
            "optimisation.accumulation in the recipe"
        )


def own_parts(plan: Sequence[np.ndarray], accelerator: Accelerator, *, steps: int) -> list[np.ndarray]:
    """Return what of a plan's batches is this process's, `steps` parts of each; all processes' make the whole.

    Args:
        plan: the utterances of each batch.
        accelerator: of how many processes, and which this is.
        steps: parts each process is to have of a batch.

    Raises:
        InputError: a batch has too few utterances for so many parts.
    """
    processes, parts = accelerator.num_processes, []
    for batch in plan:
        if len(batch) < steps * processes:
            raise InputError(
                f"a batch of {len(batch)} utterances cannot be cut for {processes} processes × {steps} steps: "
                "use fewer of them, or a larger optimisation.batch_size"
            )
        parts += np.array_split(batch, steps * processes)[accelerator.process_index :: processes]
    return parts


@contextmanager
def told_once() -> Iterator[None]:
    """Let the first process alone tell of an error that all of them have, or of Ctrl-C; the others end in silence."""
    try:
        yield
    except (SertoolError, KeyboardInterrupt) as error:
        if int(os.environ.get("RANK", "0")) == 0:
            raise
        _end(error)


@contextmanager
def together(accelerator: Accelerator) -> Iterator[None]:
    """End all processes where one has an error, which one of them tells; a barrier where none has.

    A process that waits for one that has ended waits for minutes, or for ever.
    """
    failure: SertoolError | OSError | None = None
    try:
        yield
    except (SertoolError, OSError) as error:
        failure = error
    if accelerator.num_processes == 1:
        if failure:
            raise failure
        return
    failed = gather_object([failure is not None])
    if not any(failed):
        return
    if failed.index(True) == accelerator.process_index:
        raise failure
    _end(failure)


@contextmanager
def left_alone(accelerator: Accelerator) -> Iterator[None]:
    """Say in words what it means when the other processes answer no more.

    Raises:
        SertoolError: another process has ended.
    """
    try:
        yield
    except RuntimeError as error:
        lost = any(word in str(error) for word in LOST_CONNECTION)
        if accelerator.num_processes == 1 or not (lost or isinstance(error, torch.distributed.DistError)):
            raise
        raise SertoolError(
            f"process {accelerator.process_index} was left alone: another process of this training has ended, and "
            "says why if it could; run the same command again to go on"
        ) from error


def _end(error: BaseException | None) -> NoReturn:
    # Whoever started the processes ends all as soon as one ends, and the one that has something to say needs a moment.
    time.sleep(1.0)
    interrupted = isinstance(error, KeyboardInterrupt)
    raise SystemExit(INTERRUPTED if interrupted else getattr(error, "exit_code", InputError.exit_code))

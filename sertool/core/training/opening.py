"""A run's folder opened for training: by all its processes together, and by nobody else."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from sertool.core.training.processes import together
from sertool.core.training.recipe_file import Section
from sertool.core.training.run import Run, begin_run, tidy_run, write_seen
from sertool.core.writing import sole_process


@contextmanager
def opened_run(
    folder: Path,
    recipe: Section,
    identity: dict[str, str],
    about: dict[str, Any],
    seen_audio: frozenset[str],
    accelerator: Accelerator,
    *,
    overwrite: bool,
) -> Iterator[Run]:
    """Give the run in a folder, begun or to be gone on with; while the block lasts, no other training works there.

    Args:
        folder: the run's folder, new, empty, or holding a run of the same inputs.
        recipe: resolved.
        identity: digests of what is learned from, by name.
        about: what else `run.json` is to say.
        seen_audio: digests of the audio learned from, stored unless the run is finished.
        accelerator: all its processes must call this; the first one writes.
        overwrite: remove a run that is there first.

    Raises:
        InputError: the folder holds something else, or another process is at work there.
        OutputError: it cannot be written to.
    """
    with ExitStack() as stack:
        with together(accelerator):
            if accelerator.is_main_process:
                stack.enter_context(sole_process(folder))
                run = begin_run(folder, recipe, identity, about, overwrite=overwrite)
                tidy_run(run)
                if not run.finished:
                    write_seen(folder, seen_audio)
        with together(accelerator):
            run = begin_run(folder, recipe, identity, about)
        yield run

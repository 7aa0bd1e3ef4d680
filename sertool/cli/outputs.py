"""Files that a command is to write: refused before anything is computed where one would be lost."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sertool.cli.inputs import Input
from sertool.core.errors import InputError


def refuse_losses(
    outputs: Sequence[Path], *, overwrite: bool, inputs: Sequence[Input] = (), ways_out: str = "--overwrite"
) -> None:
    """Refuse outputs by which another one, an input, or a file that is there would be lost.

    Args:
        outputs: where to write; where each input has its own, in the order of the inputs.
        overwrite: files that are there may be lost, inputs never.
        inputs: what is read.
        ways_out: the options by which an output that is there is no obstacle.

    Raises:
        InputError: it is so.
    """
    places = [output.resolve() for output in outputs]
    counts, read = Counter(places), {source.path.resolve() for source in inputs}
    for output, place in zip(outputs, places, strict=True):
        if counts[place] > 1:
            first, second, *_ = (source.name for source, other in zip(inputs, places, strict=True) if other == place)
            raise InputError(f"{first} and {second} would both be written to {output}: give them in two calls")
        if place in read:
            raise InputError(f"{output}: is an input itself; expected another place: choose another with -o")
        if output.exists() and not overwrite:
            raise InputError(f"{output}: exists already: move it, choose another place with -o, or say {ways_out}")

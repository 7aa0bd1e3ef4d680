"""What is unfrozen when: a schedule is a list of stages, and a stage is data (cascade unfreezing, ICASSP 2025).

The published code trains the heads first and then everything; the paper's exact stages are not public. The cascade's
three stages and their shares of the epochs are ours.
"""

import itertools
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from sertool.core.models.adaptation import is_adapter
from sertool.core.models.shared import SharedModel

Part = Literal["heads", "encoder-upper", "encoder-lower", "front-end"]
"""Parts of a model that train or rest: the heads with the layer sum; the encoder's layers, upper and lower half (its
final LayerNorm goes with the upper); and its convolutional front end."""


class Stage(BaseModel):
    """One step of a schedule.

    Attributes:
        train: the parts that learn; the rest is frozen.
        epochs: how long.
        rate: multiplies the recipe's learning rates.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    train: Annotated[tuple[Part, ...], Field(min_length=1)]
    epochs: Annotated[int, Field(ge=1, le=10_000)]
    rate: Annotated[float, Field(gt=0.0)] = 1.0


LAYERS = ("encoder-upper", "encoder-lower")


def at_once(epochs: int) -> tuple[Stage, ...]:
    """Everything but the front end from the start."""
    return (Stage(train=("heads", *LAYERS), epochs=epochs),)


def heads_then_all(epochs: int) -> tuple[Stage, ...]:
    """The heads over a frozen encoder for a quarter of the epochs, then all but the front end."""
    first, rest = _shares(epochs, (0.25, 0.75))
    return _stages((("heads",), first), (("heads", *LAYERS), rest))


def cascade(epochs: int) -> tuple[Stage, ...]:
    """Heads; then the encoder's upper half with them; then all but the front end: shares 1/5, 3/10, 1/2."""
    first, second, third = _shares(epochs, (0.2, 0.3, 0.5))
    return _stages((("heads",), first), (("heads", "encoder-upper"), second), (("heads", *LAYERS), third))


SCHEDULES = {"at-once": at_once, "heads-then-all": heads_then_all, "cascade": cascade}


def with_front_end(stage: Stage) -> Stage:
    """Return a stage in which the front end learns wherever the encoder's lower layers do."""
    if "encoder-lower" not in stage.train or "front-end" in stage.train:
        return stage
    return stage.model_copy(update={"train": (*stage.train, "front-end")})


def parts(model: SharedModel) -> dict[Part, list[nn.Parameter]]:
    """Return the parameters that may learn, by part, each in exactly one.

    Of an encoder that is adapted by masks or low-rank updates these are the adaptation's own, and of a frozen one none.
    """
    how = model.config.adapt.how
    encoder = dict(model.encoder.named_parameters())
    learning = {id(parameter) for name, parameter in encoder.items() if how == "full" or is_adapter(name)}
    encoder_ids = {id(parameter) for parameter in encoder.values()}
    # Masked prediction alone goes by the last hidden state: nothing hears the layer sum, or gives it gradients.
    unheard = set() if model.config.heads else {id(parameter) for parameter in model.layer_sums.parameters()}
    heads = [parameter for parameter in model.parameters() if id(parameter) not in encoder_ids | unheard]
    by_part = {part: list(_parameters(*modules)) for part, modules in model.encoder.parts().items()}
    return {"heads": heads} | {
        part: [parameter for parameter in parameters if id(parameter) in learning]
        for part, parameters in by_part.items()
    }


def freeze_for(stage: Stage, model: SharedModel) -> dict[Part, list[nn.Parameter]]:
    """Let exactly a stage's parts learn, and return their parameters by part."""
    by_part = parts(model)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for part in stage.train:
        for parameter in by_part[part]:
            parameter.requires_grad_(True)
    return {part: by_part[part] for part in stage.train}


def _parameters(*modules: nn.Module) -> Iterator[nn.Parameter]:
    for module in modules:
        yield from module.parameters()


def _shares(epochs: int, shares: tuple[float, ...]) -> list[int]:
    """Cut epochs by cumulative shares, rounded, so that they always add up."""
    edges = [round(epochs * sum(shares[:i])) for i in range(len(shares))] + [epochs]
    return [end - start for start, end in itertools.pairwise(edges)]


def _stages(*plan: tuple[tuple[Part, ...], int]) -> tuple[Stage, ...]:
    return tuple(Stage(train=train, epochs=epochs) for train, epochs in plan if epochs > 0)

"""Averages of the weights over updates, which wander less from one epoch to the next than the weights do.

An exponential moving average (Polyak & Juditsky, SIAM J. Control Optim. 1992; so weighted, Tarvainen & Valpola, NeurIPS
2017). It lies in the optimizer's state, and so is stored, sharded and gone on with as that is; a stage begins it anew.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

AVERAGE = "average"


@torch.no_grad()
def update_averages(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Let the averages follow the weights after an update.

    Args:
        optimizer: whose step was taken; what it has not moved yet has no average.
        share: of the average that an update keeps, less at first: (1 + n) / (10 + n) after n updates.
    """
    for group in optimizer.param_groups:
        for weight in group["params"]:
            state = optimizer.state.get(weight)
            if not state:
                continue
            if AVERAGE not in state:
                state[AVERAGE] = weight.detach().clone()
            steps = float(state["step"])
            state[AVERAGE].lerp_(weight.detach(), 1.0 - min(share, (1.0 + steps) / (10.0 + steps)))


@contextmanager
def averaged_weights(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Put the averages in the weights' place within, where there are any; the weights come back to the bit."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    followed = [weight for weight in weights if AVERAGE in optimizer.state.get(weight, {})]
    own = [weight.detach().clone() for weight in followed]
    try:
        _put(followed, [optimizer.state[weight][AVERAGE] for weight in followed])
        yield
    finally:
        _put(followed, own)


@torch.no_grad()
def _put(weights: list[torch.Tensor], values: list[torch.Tensor]) -> None:
    for weight, value in zip(weights, values, strict=True):
        weight.copy_(value)

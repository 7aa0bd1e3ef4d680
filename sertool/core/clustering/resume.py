"""A cluster run's state as one set of tensors: weights, pseudo-labels, and the second optimizer's moments."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sertool.core.clustering.loop import ClusterTraining

PREFIX = "label_optimizer."


class Resumable:
    """A training's weights, its pseudo-labels and its second optimizer's moments, as one set of tensors to store."""

    def __init__(self, training: "ClusterTraining") -> None:
        self.training = training

    def own_state(self) -> dict[str, Tensor]:
        """Return the tensors."""
        labels = {f"pseudo_labels.{name}": labels for name, labels in self.training.assigned.items()}
        return {**self.training.bare.own_state(), **labels, **_moments(self.training.label_optimizer)}

    def load_own_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Put them back.

        Raises:
            RuntimeError: one is missing, unknown or of another shape.
        """
        weights = dict(tensors)
        for name, labels in self.training.assigned.items():
            stored = weights.pop(f"pseudo_labels.{name}", None)
            if stored is None or stored.shape != labels.shape:
                raise RuntimeError(f"pseudo-labels of the {name} part are missing or of another size")
            self.training.assigned[name] = stored
        _put_back(_take_moments(weights), self.training.label_optimizer)
        self.training.bare.load_own_state(weights)


def _moments(optimizer: torch.optim.Optimizer | None) -> dict[str, Tensor]:
    """Return an optimizer's state as tensors by name, to store beside a model's."""
    state = optimizer.state_dict()["state"] if optimizer else {}
    return {f"{PREFIX}{index}.{key}": value for index, entries in state.items() for key, value in entries.items()}


def _take_moments(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take what `_moments` returned out of a set of tensors, and return it."""
    return {name: tensors.pop(name) for name in list(tensors) if name.startswith(PREFIX)}


def _put_back(tensors: dict[str, Tensor], optimizer: torch.optim.Optimizer | None) -> None:
    """Give an optimizer the state that `_moments` returned.

    Raises:
        RuntimeError: a tensor fits none of its parameters.
    """
    if optimizer is None:
        if tensors:
            raise RuntimeError(f"'{next(iter(tensors))}' is of an optimizer that is not there")
        return
    tree = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    tree["state"] = {}
    for name, tensor in tensors.items():
        index, _, key = name.removeprefix(PREFIX).partition(".")
        known = index.isascii() and index.isdigit() and int(index) < len(parameters)
        if not known or (tensor.ndim and tensor.shape != parameters[int(index)].shape):
            raise RuntimeError(f"'{name}' fits no weight")
        tree["state"].setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict(tree)

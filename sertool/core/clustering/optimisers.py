"""What takes DeepEmoCluster's steps: SGD, the top layer at its own rate, and Adam beside it where labels teach."""

import torch
from torch import Tensor

from sertool.core.clustering.network import ClusterModel
from sertool.core.clustering.recipe import ClusterRecipe

PREFIX = "label_optimizer."


def make_optimizers(
    model: ClusterModel, recipe: ClusterRecipe
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer | None]:
    """Return the optimizer of every update, and the one that takes a second step in the labelled half; None without.

    As published (the authors' code) SGD without momentum moves everything, the cluster head's top layer at a rate of
    its own; in the labelled half, Adam moves all but that layer once more by the same gradient. Ours: Adam alone.
    """
    settings = recipe.optimisation
    top = set() if model.top is None else set(model.top.parameters())
    others = [parameter for parameter in model.parameters() if parameter not in top]
    groups = [{"params": others, "lr": settings.learning_rate}]
    if top:
        groups.append({"params": list(model.top.parameters()), "lr": settings.top_rate})
    if settings.optimiser == "adam":
        return torch.optim.Adam(groups, weight_decay=settings.weight_decay), None
    second = torch.optim.Adam(others, lr=settings.label_rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(groups, weight_decay=settings.weight_decay), second


def moments(optimizer: torch.optim.Optimizer | None) -> dict[str, Tensor]:
    """Return an optimizer's state as tensors by name, to store beside a model's."""
    state = optimizer.state_dict()["state"] if optimizer else {}
    return {f"{PREFIX}{index}.{key}": value for index, entries in state.items() for key, value in entries.items()}


def take_moments(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take what `moments` returned out of a set of tensors, and return it."""
    return {name: tensors.pop(name) for name in list(tensors) if name.startswith(PREFIX)}


def put_back(tensors: dict[str, Tensor], optimizer: torch.optim.Optimizer | None) -> None:
    """Give an optimizer the state that `moments` returned.

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

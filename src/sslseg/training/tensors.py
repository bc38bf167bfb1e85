"""Networks and optimisers as tensors by name, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def copied(tensor: Tensor) -> Tensor:
    """Return a row-major copy on the CPU that later steps do not change."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def load_whole(part: nn.Module, prefix: str, tensors: Mapping[str, Tensor]) -> bool:
    """Take over a part if all of its tensors are there in its shapes; tell whether it was."""
    found = named(prefix, tensors)
    shapes = {key: value.shape for key, value in part.state_dict().items()}
    fits = {key: value.shape for key, value in found.items()} == shapes
    if fits:
        part.load_state_dict(found)
    return fits


def load(net: nn.Module, prefix: str, tensors: Mapping[str, Tensor]) -> None:
    """Take over those tensors whose names and shapes agree."""
    mine = net.state_dict()
    fitting = {
        key: tensors[prefix + key]
        for key, value in mine.items()
        if prefix + key in tensors and tensors[prefix + key].shape == value.shape
    }
    net.load_state_dict({**mine, **fitting})


def optimiser_state(prefix: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return what an optimiser remembers of each parameter, by number and name."""
    return {
        f"{prefix}.{index}.{key}": torch.as_tensor(value)
        for index, entry in optimiser.state_dict()["state"].items()
        for key, value in entry.items()
    }


def load_optimiser(
    optimiser: torch.optim.Optimizer, prefix: str, tensors: Mapping[str, Tensor]
) -> None:
    """Take back what `optimiser_state` returned."""
    found: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix + "."):
            index, key = name.removeprefix(prefix + ".").split(".", 1)
            found.setdefault(int(index), {})[key] = tensor.clone()
    state = optimiser.state_dict()
    optimiser.load_state_dict({**state, "state": found})

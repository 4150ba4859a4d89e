"""Which layers read the same tensor, seen in one forward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from analysis.architectures.architecture import PrunableLayer
from analysis.pruning.context import PruningContext


def shared_readers(context: PruningContext) -> tuple[tuple[PrunableLayer, ...], ...]:
    """All layers of the model in groups that read one tensor, in module order.

    One image of zeros is sent through the module; layers belong together when their input is the
    very same tensor (query, key and value; a block's first convolution and its shortcut). A layer
    that the forward never calls stands alone.
    """
    layers = context.model.layers
    place = list(range(len(layers)))
    first: dict[int, tuple[int, Tensor]] = {}

    def reader(index: int) -> Any:
        def look(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            # holding the tensor keeps its id its own
            other = first.setdefault(id(args[0]), (index, args[0]))[0]
            old, new = sorted((place[index], place[other]), reverse=True)
            place[:] = [new if value == old else value for value in place]

        return look

    handles = [
        context.module.get_submodule(layer.name).register_forward_pre_hook(reader(index))
        for index, layer in enumerate(layers)
    ]
    try:
        with torch.no_grad():
            like = next(context.module.parameters())
            context.module(torch.zeros(1, *context.model.architecture.input_shape).to(like))
    finally:
        for handle in handles:
            handle.remove()
    return tuple(
        tuple(layer for layer, own in zip(layers, place, strict=True) if own == index)
        for index in dict.fromkeys(place)
    )

"""Which BatchNorm reads which layer, seen in one forward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from analysis.pruning.context import PruningContext


def following_norms(context: PruningContext) -> dict[str, str]:
    """Name of the BatchNorm that reads a layer's output unchanged, by layer name.

    One image of zeros is sent through the module; a BatchNorm belongs to a layer when its input
    is the very tensor that the layer returned. (Module order would do for most networks, but is
    only a habit of their authors.)
    """
    makers: dict[int, tuple[str, Tensor]] = {}
    found: dict[str, str] = {}

    def made(name: str) -> Any:
        def remember(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            makers[id(output)] = (name, output)  # holding the tensor keeps its id its own

        return remember

    def read(name: str) -> Any:
        def look(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            maker = makers.get(id(args[0]))
            if maker is not None:
                found[maker[0]] = name

        return look

    module = context.module
    handles = [
        module.get_submodule(layer.name).register_forward_hook(made(layer.name))
        for layer in context.layers
    ]
    handles += [
        child.register_forward_pre_hook(read(name))
        for name, child in module.named_modules()
        if isinstance(child, _BatchNorm)
    ]
    try:
        with torch.no_grad():
            like = next(module.parameters())
            module(torch.zeros(1, *context.model.architecture.input_shape).to(like))
    finally:
        for handle in handles:
            handle.remove()
    return found

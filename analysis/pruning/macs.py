"""Multiply-accumulates of convolution and linear layers, read off one forward pass on shapes.

Convention: one MAC a weight and output position; bias, normalisation, activation, pooling and
attention products are not counted (as `torch.utils.flop_counter` does for convolution and linear
layers, whose FLOPs are two a MAC). Torch-Pruning and fvcore count more; numbers of different
counters are not comparable.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from analysis.architectures.architecture import Architecture, PrunableLayer

CONVENTION = "MACs of convolution and linear layers, one a weight and output position"


def layer_positions(architecture: Architecture, num_classes: int) -> Mapping[str, int]:
    """Output positions at which each prunable layer uses every weight, for one image, by name.

    H·W of the output of a convolution, the number of tokens of a linear layer; calls add up. A
    layer that the forward never calls has 0.
    """
    return _positions(architecture, num_classes)


def layer_macs(architecture: Architecture, num_classes: int) -> dict[str, float]:
    """MACs of each prunable layer for one image, by name."""
    positions = layer_positions(architecture, num_classes)
    layers = architecture.prunable(num_classes)
    return {layer.name: float(positions[layer.name] * layer.parameters) for layer in layers}


@lru_cache(maxsize=64)
def _positions(architecture: Architecture, num_classes: int) -> Mapping[str, int]:
    layers = architecture.prunable(num_classes)
    counts = {layer.name: 0 for layer in layers}
    with torch.device("meta"), torch.no_grad():
        module = architecture.build(num_classes).eval()

        def counter(layer: PrunableLayer) -> Any:
            def count(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
                counts[layer.name] += output.numel() // layer.shape[0]

            return count

        for layer in layers:
            module.get_submodule(layer.name).register_forward_hook(counter(layer))
        like = next(module.parameters())
        module(torch.zeros(1, *architecture.input_shape, dtype=like.dtype))
    return counts

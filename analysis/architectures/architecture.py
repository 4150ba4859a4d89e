"""What Espalier knows about a family of networks besides its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class PathLayer:
    """One column of a neuron path.

    Attributes
    ----------
    name: module whose output holds the units (a ReLU after a block's addition, a ViT's FFN GELU).
    units: "channel" = dim 1 of N,C,H,W, summed over positions; "token" = last dim of N,T,D,
        read at the CLS token (index 0).
    """

    name: str
    units: Literal["channel", "token"]


@dataclass(frozen=True)
class PrunableLayer:
    """A convolution or linear layer whose weight may be pruned."""

    name: str
    kind: Literal["conv", "linear"]
    shape: tuple[int, ...]

    @property
    def parameter(self) -> str:
        return f"{self.name}.weight"

    @property
    def parameters(self) -> int:
        return int(torch.Size(self.shape).numel())


@dataclass(frozen=True, eq=False)
class Architecture:
    """One entry of the registry.

    Attributes
    ----------
    name: registry name, as in `--arch`.
    build: num_classes -> module in eval mode with its own initialisation.
    input_shape: C, H, W that the network is made for.
    mean, std: per channel, for images scaled to 0..1.
    classifier: name of the last linear layer: its input is the feature, its rows the class
        directions.
    path_layers: num_classes-independent columns for neuron paths, in forward order.
    """

    name: str
    title: str
    build: Callable[[int], nn.Module]
    input_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    num_classes: int
    classes: tuple[str, ...]
    classifier: str
    path_layers: tuple[PathLayer, ...]
    paper: str = ""

    @property
    def key(self) -> str:
        return self.name

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 or float 0..255 N,H,W,C -> normalised float32 N,C,H,W."""
        x = images.to(torch.float32).permute(0, 3, 1, 2) / 255
        mean = torch.tensor(self.mean, device=x.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=x.device).view(1, -1, 1, 1)
        return ((x - mean) / std).contiguous()

    def prunable(self, num_classes: int) -> tuple[PrunableLayer, ...]:
        """All convolution and linear layers in module order."""
        return _prunable(self, num_classes)


@lru_cache(maxsize=256)
def _prunable(architecture: Architecture, num_classes: int) -> tuple[PrunableLayer, ...]:
    with torch.device("meta"):
        module = architecture.build(num_classes)
    layers = []
    for name, child in module.named_modules():
        if isinstance(child, nn.Conv2d):
            layers.append(PrunableLayer(name, "conv", tuple(child.weight.shape)))
        elif isinstance(child, nn.Linear):
            layers.append(PrunableLayer(name, "linear", tuple(child.weight.shape)))
    return tuple(layers)

"""Tiny networks in place of real checkpoints."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from analysis.architectures.architecture import Architecture, PathLayer
from analysis.data.dataset import Dataset
from analysis.masks import Mask
from analysis.models import Model, Origin


class TinyConv(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.tokens = nn.Linear(6, 5)
        self.head = nn.Linear(5, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.conv(x)).flatten(2).transpose(1, 2)
        return self.head(torch.tanh(self.tokens(x)).mean(dim=1))


ARCHITECTURE = Architecture(
    name="tiny-conv",
    title="Tiny",
    build=lambda classes: TinyConv(classes).eval(),
    input_shape=(1, 4, 4),
    mean=(0.5,),
    std=(0.25,),
    num_classes=3,
    classes=("a", "b", "c"),
    classifier="head",
    path_layers=(PathLayer("conv", "channel"),),
)


def tiny_model(masks: dict[str, Tensor] | None = None) -> Model:
    torch.manual_seed(0)
    weights = {k: v.detach() for k, v in TinyConv(3).state_dict().items()}
    packed = {name: Mask.from_keep(keep) for name, keep in (masks or {}).items()}
    origin = Origin("tiny", {}, 0.5, 0) if masks else None
    return Model("tiny", f"tiny{len(packed)}", ARCHITECTURE, 3, weights, packed, origin=origin)


def tiny_data(count: int = 23) -> Dataset:
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (count, 4, 4, 1), dtype=np.uint8)
    return Dataset("tiny data", images, generator.integers(0, 3, count), ("a", "b", "c"))

"""Tiny networks whose paths can be worked out by hand or by brute force."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from analysis.architectures.architecture import Architecture, PathLayer
from analysis.data.dataset import Dataset
from analysis.models import Model

CLASSES = ("a", "b", "c")


class TwoBranches(nn.Module):
    """Two hidden layers on a residual stream, as in a transformer: nothing is cut off."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 2, 2)
        self.up1, self.act1, self.down1 = nn.Linear(4, 6), nn.Softplus(), nn.Linear(6, 4)
        self.up2, self.act2, self.down2 = nn.Linear(4, 5), nn.Softplus(), nn.Linear(5, 4)
        self.mix = nn.Linear(4, 4)
        self.head = nn.Linear(4, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = x + self.down1(self.act1(self.up1(x)))
        x = x + torch.tanh(self.mix(x.mean(dim=1, keepdim=True)))
        x = x + self.down2(self.act2(self.up2(x)))
        return self.head(x[:, 0])


class Chain(nn.Module):
    """A small residual CNN; the ReLU after the second path layer works in place."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 5, 3, padding=1)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(5, 5, 3, padding=1)
        self.sum = nn.Identity()
        self.relu2 = nn.ReLU(inplace=True)
        self.head = nn.Linear(5, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.conv1(x))
        x = self.relu2(self.sum(self.conv2(x) + x))
        return self.head(x.mean(dim=(2, 3)))


class Inner(nn.Module):
    """A channel layer inside a residual branch: not cut off, with positions."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.act1 = nn.Softplus()
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.act2 = nn.Softplus()
        self.conv3 = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.head = nn.Linear(4, classes)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act1(self.conv1(x))
        y = y + torch.tanh(self.conv2(self.act2(self.conv3_same(y))))
        return self.head(self.conv3(y).mean(dim=(2, 3)))

    def conv3_same(self, y: Tensor) -> Tensor:
        return y.flip(1)


LAYERS = {
    TwoBranches: (PathLayer("act1", "token"), PathLayer("act2", "token")),
    Chain: (PathLayer("relu1", "channel"), PathLayer("sum", "channel")),
    Inner: (PathLayer("act1", "channel"), PathLayer("act2", "channel")),
}


def model_of(kind: Callable[[int], nn.Module], seed: int = 0, **changes: Tensor) -> Model:
    """A model with random weights; `changes` replace tensors ("head__weight" = head.weight)."""
    architecture = Architecture(
        name=f"tiny-{kind.__name__.lower()}",  # type: ignore[attr-defined]
        title="Tiny",
        build=lambda classes: kind(classes).eval(),
        input_shape=(1, 4, 4),
        mean=(0.5,),
        std=(0.25,),
        num_classes=3,
        classes=CLASSES,
        classifier="head",
        path_layers=LAYERS[kind],  # type: ignore[index]
    )
    torch.manual_seed(seed)
    weights = {k: v.detach() for k, v in kind(3).state_dict().items()}
    weights |= {name.replace("__", "."): tensor for name, tensor in changes.items()}
    return Model("tiny", f"{architecture.name}{seed}", architecture, 3, weights, classes=CLASSES)


def data_of(count: int = 40) -> Dataset:
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (count, 4, 4, 1), dtype=np.uint8)
    return Dataset("tiny data", images, generator.integers(0, 3, count), CLASSES)

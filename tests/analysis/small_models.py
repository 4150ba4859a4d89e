"""Small networks and images that tests make in milliseconds."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from analysis.architectures.architecture import Architecture
from analysis.data.dataset import Dataset
from analysis.models import Model


class SmallNet(nn.Module):
    """A plain composition of stages with a residual block inside one of them."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.blocks = nn.Sequential(Residual(6), Residual(6))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)))


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class Tangled(nn.Module):
    """Uses its input again at the end: no composition of its children."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(64, 24)
        self.second = nn.Linear(24, classes)
        self.skip = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.second(torch.relu(self.first(x))) + self.skip(x)


def small_model(build: type[nn.Module] = SmallNet, classes: int = 4, seed: int = 0) -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        weights = build(classes).state_dict()
    architecture = Architecture(
        name=build.__name__,
        title=build.__name__,
        build=build,
        input_shape=(1, 8, 8),
        mean=(0.5,),
        std=(0.25,),
        num_classes=classes,
        classes=tuple(map(str, range(classes))),
        classifier="head.2",
        path_layers=(),
    )
    return Model(build.__name__, f"{build.__name__}{seed}", architecture, classes, weights)


def small_data(count: int = 57, classes: int = 4, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    labels = rng.integers(0, classes, count).astype(np.int64)
    return Dataset("noise", images, labels, tuple(map(str, range(classes))))

"""Networks so small that every expected number can be worked out apart from our code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.architectures.architecture import Architecture
from analysis.data.dataset import Dataset
from analysis.models import Model
from analysis.pruning import PruningContext
from analysis.request import Compute, Report, silent


@dataclass(frozen=True, eq=False)
class Rows(Architecture):
    """An architecture whose image number t is row t of a given matrix."""

    matrix: Tensor = field(default_factory=lambda: torch.zeros(1, 1))

    def normalise(self, images: Tensor) -> Tensor:
        return self.matrix[images.reshape(-1).long()]


def toy(
    build: Callable[[], nn.Module],
    input_shape: tuple[int, int, int] = (1, 8, 8),
    classes: int = 3,
    state: Mapping[str, Tensor] | None = None,
    classifier: str = "fc",
    **more: Any,
) -> Model:
    """A dense model with its own initialisation (torch seed 0), or the given state."""
    kind = Rows if "matrix" in more else Architecture
    architecture = kind(
        name="toy",
        title="Toy",
        build=lambda n: build().eval(),
        input_shape=input_shape,
        mean=(0.5,) * input_shape[0],
        std=(0.25,) * input_shape[0],
        num_classes=classes,
        classes=tuple(map(str, range(classes))),
        classifier=classifier,
        path_layers=(),
        **more,
    )
    if state is None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            state = {k: v.detach().clone() for k, v in build().state_dict().items()}
    return Model("toy", "dense-key", architecture, classes, dict(state))


def row_images(count: int, labels: np.ndarray | None = None) -> Dataset:
    """Images that stand for rows 0 .. count-1 of a `Rows` architecture."""
    images = np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1)
    labels = np.zeros(count, dtype=np.int64) if labels is None else labels
    return Dataset("rows", images, labels, ("a", "b", "c"))


def noise(count: int, model: Model, seed: int = 0) -> Dataset:
    channels, height, width = model.architecture.input_shape
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, height, width, channels), dtype=np.uint8)
    labels = rng.integers(0, model.num_classes, count)
    return Dataset("noise", images, labels, model.architecture.classes)


def context(
    model: Model,
    calibration: Dataset | None = None,
    seed: int = 0,
    batch_size: int = 100,
    report: Report = silent,
) -> PruningContext:
    compute = Compute(batch_size=batch_size)
    return PruningContext(model, model.module(), model.layers, calibration, seed, compute, report)


class ConvNet(nn.Module):
    """Convolutions with and without bias, BatchNorm, a depthwise layer, a hidden linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
        self.conv3 = nn.Conv2d(8, 12, 3, padding=1)
        self.bn3 = nn.BatchNorm2d(12)
        self.hidden = nn.Linear(12, 10)
        self.fc = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.conv2(x))
        x = torch.relu(self.bn3(self.conv3(x)))
        x = torch.relu(self.hidden(x.mean(dim=(2, 3))))
        return self.fc(x)


class OneLinear(nn.Module):
    """y = W x, float64, no bias."""

    def __init__(self, outputs: int = 4, inputs: int = 8) -> None:
        super().__init__()
        self.fc = nn.Linear(inputs, outputs, bias=False, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


def golden() -> tuple[np.ndarray, np.ndarray]:
    """W (4, 8) and X (12, 8) of the golden vectors, float64."""
    i, j = np.meshgrid(np.arange(4), np.arange(8), indexing="ij")
    weight = np.sin(1 + 1.7 * i + 0.9 * j + 0.31 * i * j)
    t, j = np.meshgrid(np.arange(12), np.arange(8), indexing="ij")
    inputs = (1 + 0.5 * j) * np.cos(0.37 * t * (j + 1) + 0.2 * j)
    return weight, inputs


def golden_model() -> Model:
    weight, inputs = golden()
    return toy(
        OneLinear,
        classes=4,
        state={"fc.weight": torch.from_numpy(weight)},
        matrix=torch.from_numpy(inputs),
    )

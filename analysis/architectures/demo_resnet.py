"""`demo:resnet`: a small residual CNN for the built-in digits.

    conv1 - bn1 - relu - layer1.{0,1} - layer2.{0,1} - layer3.{0,1} - mean over positions - linear

Each block is conv1 - bn1 - relu1 - conv2 - bn2, plus the shortcut, then relu2: a post-activation
block (He et al. 2016, "Deep residual learning", https://arxiv.org/abs/1512.03385) whose shortcut
is a 1x1 convolution where the shape changes.
"""

from __future__ import annotations

from torch import Tensor, nn

from analysis.architectures.architecture import Architecture, PathLayer, ResidualBlock
from analysis.data.digits import CLASSES, MEAN, STD

WIDTHS = (32, 48, 64)
BLOCKS = 2


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut; N,inputs,H,W -> N,outputs,H/stride,W/stride."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        out: Tensor = self.relu2(y + self.shortcut(x))
        return out


class DemoResNet(nn.Module):
    """N,1,8,8 -> N,num_classes logits."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU()
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], stride=1)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], stride=2)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], stride=2)
        self.linear = nn.Linear(WIDTHS[2], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(x.mean(dim=(2, 3)))
        return logits


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    first = Block(inputs, outputs, stride)
    return nn.Sequential(first, *(Block(outputs, outputs, 1) for _ in range(BLOCKS - 1)))


def _build(num_classes: int) -> nn.Module:
    return DemoResNet(num_classes).eval()


ARCHITECTURE = Architecture(
    name="demo-resnet",
    title="Demo ResNet (digits)",
    build=_build,
    input_shape=(1, 8, 8),
    mean=MEAN,
    std=STD,
    num_classes=10,
    classes=CLASSES,
    classifier="linear",
    path_layers=tuple(
        PathLayer(f"layer{stage + 1}.{block}.relu2", "channel")
        for stage in range(len(WIDTHS))
        for block in range(BLOCKS)
    ),
    paper="https://arxiv.org/abs/1512.03385",
    # The first blocks of the later stages change the shape.
    blocks=tuple(
        ResidualBlock(name, (f"{name}.bn2.weight", f"{name}.bn2.bias"))
        for name in ("layer1.0", "layer1.1", "layer2.1", "layer3.1")
    ),
)

"""The CIFAR ResNets of He et al. 2016, section 4.2, in the three layouts found in the wild.

    conv1 - bn1 - relu - layer1 - layer2 - layer3 - mean over positions - linear | fc

Three stages of n blocks, 16, 32 and 64 channels wide; depth = 6 n + 2. A block is conv1 - bn1 -
relu1 - conv2 - bn2, plus the shortcut, then relu2. Parameter names are those of the published
checkpoints:

    akamaster/pytorch_resnet_cifar10   option A (parameter-free) shortcuts, head `linear`
    VainF/Torch-Pruning, Distiller     convolutional shortcuts `downsample.{0,1}`, head `fc`
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from analysis.architectures.architecture import Architecture, PathLayer, ResidualBlock

PAPER = "https://arxiv.org/abs/1512.03385"
WIDTHS = (16, 32, 64)
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CIFAR: Normalisation = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
HALF: Normalisation = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

Shortcut = Literal["padding", "convolution"]


class PaddingShortcut(nn.Module):
    """Option A: every second position, new channels zero, half of them on either side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut; N,inputs,H,W -> N,outputs,H/stride,W/stride."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = (
                PaddingShortcut(inputs, outputs)
                if shortcut == "padding"
                else nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
                )
            )
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        out: Tensor = self.relu2(y + self.downsample(x))
        return out


class CifarResNet(nn.Module):
    """N,3,32,32 -> N,num_classes logits."""

    def __init__(self, blocks: int, num_classes: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU()
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], 1, blocks, shortcut)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], 2, blocks, shortcut)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], 2, blocks, shortcut)
        self.add_module(_head(shortcut), nn.Linear(WIDTHS[2], num_classes))
        self.head = _head(shortcut)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.get_submodule(self.head)(x.mean(dim=(2, 3)))
        return logits


def _head(shortcut: Shortcut) -> str:
    return "linear" if shortcut == "padding" else "fc"


def _stage(
    inputs: int, outputs: int, stride: int, blocks: int, shortcut: Shortcut
) -> nn.Sequential:
    first = Block(inputs, outputs, stride, shortcut)
    return nn.Sequential(first, *(Block(outputs, outputs, 1, shortcut) for _ in range(blocks - 1)))


def _build(blocks: int, shortcut: Shortcut, num_classes: int) -> nn.Module:
    return CifarResNet(blocks, num_classes, shortcut).eval()


def _entry(depth: int, shortcut: Shortcut, normalisation: Normalisation) -> Architecture:
    blocks = (depth - 2) // 6
    padding = shortcut == "padding"
    mean, std = normalisation
    return Architecture(
        name=f"cifar-resnet{depth}" + ("" if padding else "-conv"),
        title=f"CIFAR ResNet-{depth}" + ("" if padding else ", convolutional shortcuts"),
        build=partial(_build, blocks, shortcut),
        input_shape=(3, 32, 32),
        mean=mean,
        std=std,
        num_classes=len(CLASSES),
        classes=CLASSES,
        classifier=_head(shortcut),
        path_layers=tuple(
            PathLayer(f"layer{stage + 1}.{block}.relu2", "channel")
            for stage in range(len(WIDTHS))
            for block in range(blocks)
        ),
        paper=PAPER,
        blocks=tuple(
            ResidualBlock(name, (f"{name}.bn2.weight", f"{name}.bn2.bias"))
            for stage in range(len(WIDTHS))
            for block in range(blocks)
            if stage == 0 or block > 0  # the others change the shape
            for name in (f"layer{stage + 1}.{block}",)
        ),
    )


CIFAR_RESNETS = (
    *(_entry(depth, "padding", IMAGENET) for depth in (20, 32, 44, 56, 110)),
    # One published checkpoint stands behind each of these, and its normalisation with it:
    # Distiller trained its ResNet-20 with 0.5/0.5, Torch-Pruning its ResNet-56 with CIFAR's own.
    _entry(20, "convolution", HALF),
    _entry(56, "convolution", CIFAR),
)

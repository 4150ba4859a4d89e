"""Edits that make consecutive convolutions one.

Without the activation between them, conv2(bn1(conv1(x))) is a convolution, but for the border: its
second padding puts zeros around what conv1 made. `Hoist` moves that padding before conv1, and from
then on `Merge` is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from analysis.architectures.edit import Edit, blank, find, put
from analysis.errors import ArgumentError

LARGEST = 255
"""Largest kernel, stride or padding that a file may ask for."""
MOST_CHANNELS = 1 << 20
MOST_WEIGHTS = 1 << 28
"""Largest weight that a merge may make: 1 GiB of float32."""
Pair = tuple[int, int]


@dataclass(frozen=True)
class Hoist(Edit):
    """Pad before convolution `module` for `later` as well, which pads no more.

    `scale`: product of the strides from `module` up to, not including, `later`.
    """

    kind: ClassVar[str] = "hoist"

    later: str
    scale: Pair

    def check(self) -> None:
        _check_pair(self.module, self.scale, least=1)
        if not isinstance(self.later, str):
            raise ArgumentError(f"{self.module}: a padding is hoisted from a named convolution")

    def apply(self, root: nn.Module) -> None:
        first, later = (find(root, name, nn.Conv2d) for name in (self.module, self.later))
        pads = [padding_of(layer) for layer in (first, later)]
        first.padding = tuple(
            a + s * b for a, b, s in zip(pads[0], pads[1], self.scale, strict=True)
        )
        later.padding = (0, 0)
        # PyTorch pads through this list in other modes than zeros; keep it in step.
        for layer in (first, later):
            high, wide = padding_of(layer)
            layer._reversed_padding_repeated_twice = [wide, wide, high, high]


@dataclass(frozen=True)
class Merge(Edit):
    """One convolution with bias in the place of `module`, the identity in those of `absorbed`."""

    kind: ClassVar[str] = "merge"

    absorbed: tuple[str, ...]
    outputs: int
    kernel: Pair
    stride: Pair
    padding: Pair

    def check(self) -> None:
        for pair, least in ((self.kernel, 1), (self.stride, 1), (self.padding, 0)):
            _check_pair(self.module, pair, least)
        if type(self.outputs) is not int or not 1 <= self.outputs <= MOST_CHANNELS:
            raise ArgumentError(f"{self.module}: outputs are a whole number from 1 on")
        names = self.absorbed
        if not (isinstance(names, tuple) and names and all(isinstance(n, str) for n in names)):
            raise ArgumentError(f"{self.module}: a merge names the modules that it takes in")

    def apply(self, root: nn.Module) -> None:
        first = find(root, self.module, nn.Conv2d)
        for name in self.absorbed:
            find(root, name, nn.Module)
        size = self.outputs * first.in_channels * self.kernel[0] * self.kernel[1]
        if size > MOST_WEIGHTS:
            raise ArgumentError(f"{self.module}: a merged weight of {size:,} numbers is too large")
        merged = blank(
            nn.Conv2d,
            first.in_channels,
            self.outputs,
            self.kernel,
            self.stride,
            self.padding,
            bias=True,
            device=first.weight.device,
            dtype=first.weight.dtype,
        )
        put(root, self.module, merged)
        for name in self.absorbed:
            put(root, name, nn.Identity())


def padding_of(layer: nn.Conv2d) -> Pair:
    """Rows and columns of zeros on each side. Raises ArgumentError for "same" and "valid"."""
    if isinstance(layer.padding, str):
        raise ArgumentError(f"a convolution padded {layer.padding!r} cannot be merged")
    high, wide = layer.padding
    return int(high), int(wide)


def _check_pair(module: str, pair: object, least: int) -> None:
    whole = isinstance(pair, tuple) and len(pair) == 2 and all(type(n) is int for n in pair)
    if not (isinstance(pair, tuple) and whole and all(least <= n <= LARGEST for n in pair)):
        raise ArgumentError(f"{module}: sizes are two whole numbers from {least} to {LARGEST}")

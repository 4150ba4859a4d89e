"""Edits that keep a part of a layer: some of its outputs, inputs or attention heads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from analysis.architectures.edit import Edit, find
from analysis.errors import ArgumentError


@dataclass(frozen=True)
class Cut(Edit):
    """Keep some outputs ("out") or inputs ("in") of a layer.

    Conv2d, Linear; BatchNorm and LayerNorm have "out" only. A grouped convolution (depthwise ones
    among them) loses whole groups: "out" names the outputs that stay, and its inputs follow.
    """

    kind: ClassVar[str] = "cut"

    axis: Literal["out", "in"]
    keep: tuple[int, ...]

    def check(self) -> None:
        if self.axis not in ("out", "in"):
            raise ArgumentError(f"{self.module}: a cut is along 'out' or 'in'")
        _check_indices(self.module, self.keep)

    def apply(self, root: nn.Module) -> None:
        layer = find(root, self.module, nn.Module)
        if isinstance(layer, nn.Conv2d):
            self._convolution(layer)
        elif isinstance(layer, nn.Linear):
            size = layer.out_features if self.axis == "out" else layer.in_features
            self._check_range(size)
            _take(layer, self.keep, ("weight", "bias") if self.axis == "out" else ("weight",),
                  0 if self.axis == "out" else 1)  # fmt: skip
            setattr(layer, f"{self.axis}_features", len(self.keep))
        elif isinstance(layer, (_BatchNorm, nn.LayerNorm)) and self.axis == "out":
            self._normalisation(layer)
        else:
            raise ArgumentError(
                f"{self.module} is a {type(layer).__name__}: "
                f"nothing can be cut along {self.axis!r}"
            )

    def _convolution(self, layer: nn.Conv2d) -> None:
        if layer.groups > 1:
            self._groups(layer)
        elif self.axis == "out":
            self._check_range(layer.out_channels)
            _take(layer, self.keep, ("weight", "bias"), 0)
            layer.out_channels = len(self.keep)
        else:
            self._check_range(layer.in_channels)
            _take(layer, self.keep, ("weight",), 1)
            layer.in_channels = len(self.keep)

    def _groups(self, layer: nn.Conv2d) -> None:
        size = layer.out_channels // layer.groups
        self._check_range(layer.out_channels)
        kept = sorted({index // size for index in self.keep})
        if self.axis == "in" or len(kept) * size != len(self.keep):
            raise ArgumentError(
                f"{self.module} has {layer.groups} groups: only whole groups of {size} outputs "
                "can be cut, along 'out'"
            )
        _take(layer, self.keep, ("weight", "bias"), 0)
        layer.in_channels = layer.in_channels // layer.groups * len(kept)
        layer.out_channels = len(self.keep)
        layer.groups = len(kept)

    def _normalisation(self, layer: _BatchNorm | nn.LayerNorm) -> None:
        if isinstance(layer, nn.LayerNorm):
            if len(layer.normalized_shape) != 1:
                raise ArgumentError(f"{self.module} normalises over several dimensions")
            self._check_range(layer.normalized_shape[0])
            layer.normalized_shape = (len(self.keep),)
        else:
            self._check_range(layer.num_features)
            layer.num_features = len(self.keep)
        _take(layer, self.keep, ("weight", "bias", "running_mean", "running_var"), 0)

    def _check_range(self, size: int) -> None:
        if self.keep[-1] >= size:
            raise ArgumentError(
                f"{self.module} has {size} along {self.axis!r}, not {self.keep[-1]}"
            )


@dataclass(frozen=True)
class Heads(Edit):
    """Keep some heads of an attention module: sets its `heads`.

    Its projections lose their rows and columns by cuts of their own.
    """

    kind: ClassVar[str] = "heads"

    keep: tuple[int, ...]

    def check(self) -> None:
        _check_indices(self.module, self.keep)

    def apply(self, root: nn.Module) -> None:
        attention: Any = find(root, self.module, nn.Module)
        heads = getattr(attention, "heads", None)
        if not isinstance(heads, int) or self.keep[-1] >= heads:
            raise ArgumentError(f"{self.module} has no head {self.keep[-1]}")
        attention.heads = len(self.keep)


def _check_indices(module: str, keep: object) -> None:
    """Raises ArgumentError unless `keep` is a tuple of rising indices, one at least."""
    whole = isinstance(keep, tuple) and bool(keep) and all(type(index) is int for index in keep)
    if not (isinstance(keep, tuple) and whole):
        raise ArgumentError(f"{module}: what is kept is a list of whole numbers, one at least")
    if keep[0] < 0 or any(one >= two for one, two in pairwise(keep)):
        raise ArgumentError(f"{module}: the indices that are kept must rise from 0 or more")


def _take(layer: nn.Module, keep: tuple[int, ...], names: Iterable[str], dim: int) -> None:
    """Slice those of the layer's tensors that it has."""
    for name in names:
        tensor: Tensor | None = getattr(layer, name, None)
        if tensor is None:
            continue
        index = torch.tensor(keep, device=tensor.device)
        taken = tensor.detach().index_select(dim, index)
        if isinstance(tensor, nn.Parameter):
            setattr(layer, name, nn.Parameter(taken, requires_grad=tensor.requires_grad))
        else:
            setattr(layer, name, taken)

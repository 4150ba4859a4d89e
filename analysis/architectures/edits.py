"""Changes to the structure of a built network, as plain data.

A network that was really made smaller is its registry entry and a list of edits:

    (Cut("layer1.0.conv1", "out", (0, 2, 5)), Cut("layer1.0.bn1", "out", (0, 2, 5)),
     Cut("layer1.0.conv2", "in", (0, 2, 5)), Drop("layer2.1"))

Edits are applied in order, each to what the ones before it left, and say nothing of weights:
these are loaded afterwards (`load_state_dict(assign=True)`). `Cut` slices the tensors that are
there, so on a module with weights it gives the smaller layer with its weights. Edits may come
from a file that nobody vouches for: every field is checked, and only the classes below exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from torch import nn

from analysis.architectures.cuts import Cut, Heads
from analysis.architectures.edit import Edit, blank, find, put
from analysis.architectures.merges import Hoist, Merge
from analysis.errors import ArgumentError

__all__ = [
    "EDITS",
    "Cut",
    "Drop",
    "Edit",
    "Factor",
    "Heads",
    "Hoist",
    "Linearise",
    "Merge",
    "apply",
    "from_json",
    "to_json",
]

Window = tuple[Any, Any, Any, Any]
"""Kernel, stride, padding and dilation of a convolution."""
MAX_EDITS = 10_000
ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.GELU,
    nn.SiLU,
    nn.Hardswish,
    nn.Sigmoid,
    nn.Tanh,
)


@dataclass(frozen=True)
class Drop(Edit):
    """Put the identity in a module's place, for modules that keep the shape of their input."""

    kind: ClassVar[str] = "drop"

    def apply(self, root: nn.Module) -> None:
        find(root, self.module, nn.Module)
        put(root, self.module, nn.Identity())


@dataclass(frozen=True)
class Linearise(Edit):
    """Put the identity in an activation's place."""

    kind: ClassVar[str] = "linearise"

    def apply(self, root: nn.Module) -> None:
        found = find(root, self.module, nn.Module)
        if not isinstance(found, ACTIVATIONS):
            raise ArgumentError(f"{self.module} is a {type(found).__name__}, no activation")
        put(root, self.module, nn.Identity())


@dataclass(frozen=True)
class Factor(Edit):
    """Two layers of a given rank for one: `module.0` without bias, `module.1` with it.

    "NC": a k×k convolution to `rank` channels, then a 1×1 one. "VH": a k×1 convolution to `rank`
    channels, then a 1×k one. "linear": two linear layers. Their weights have to be loaded.
    """

    kind: ClassVar[str] = "factor"

    into: Literal["NC", "VH", "linear"]
    rank: int

    def check(self) -> None:
        if self.into not in ("NC", "VH", "linear"):
            raise ArgumentError(f"{self.module}: a layer is factored into 'NC', 'VH' or 'linear'")
        if type(self.rank) is not int or self.rank < 1:
            raise ArgumentError(f"{self.module}: a rank is a whole number from 1 on")

    def apply(self, root: nn.Module) -> None:
        if self.into == "linear":
            pair = self._linear(find(root, self.module, nn.Linear))
        else:
            pair = self._convolutions(find(root, self.module, nn.Conv2d))
        put(root, self.module, pair)

    def _linear(self, layer: nn.Linear) -> nn.Sequential:
        self._check_rank(min(layer.in_features, layer.out_features))
        like: dict[str, Any] = {"device": layer.weight.device, "dtype": layer.weight.dtype}
        bias = layer.bias is not None
        first = blank(nn.Linear, layer.in_features, self.rank, bias=False, **like)
        second = blank(nn.Linear, self.rank, layer.out_features, bias=bias, **like)
        return nn.Sequential(first, second)

    def _convolutions(self, layer: nn.Conv2d) -> nn.Sequential:
        if layer.groups != 1 or layer.padding_mode != "zeros":
            raise ArgumentError(f"{self.module}: only a plain convolution can be factored")
        (high, wide), inputs, outputs = layer.kernel_size, layer.in_channels, layer.out_channels
        if self.into == "NC":
            self._check_rank(min(inputs * high * wide, outputs))
            both: tuple[Window, Window] = (
                (layer.kernel_size, layer.stride, layer.padding, layer.dilation),
                (1, 1, 0, 1),
            )
        else:
            self._check_rank(min(inputs * high, outputs * wide))
            both = _directions(layer)
        like: dict[str, Any] = {"device": layer.weight.device, "dtype": layer.weight.dtype}
        first = blank(nn.Conv2d, inputs, self.rank, *both[0], bias=False, **like)
        bias = layer.bias is not None
        second = blank(nn.Conv2d, self.rank, outputs, *both[1], bias=bias, **like)
        return nn.Sequential(first, second)

    def _check_rank(self, most: int) -> None:
        if self.rank > most:
            raise ArgumentError(f"{self.module}: a rank of {self.rank} is more than its {most}")


def _directions(layer: nn.Conv2d) -> tuple[Window, Window]:
    """The window of a convolution as a vertical and a horizontal one."""
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    padding: tuple[Any, Any] = (layer.padding, layer.padding)
    if not isinstance(layer.padding, str):
        padding = (layer.padding[0], 0), (0, layer.padding[1])
    return (
        ((kernel[0], 1), (stride[0], 1), padding[0], (dilation[0], 1)),
        ((1, kernel[1]), (1, stride[1]), padding[1], (1, dilation[1])),
    )


EDITS: dict[str, type[Edit]] = {
    cls.kind: cls for cls in (Cut, Heads, Drop, Linearise, Factor, Hoist, Merge)
}


def apply(module: nn.Module, edits: Iterable[Edit]) -> nn.Module:
    """`module`, changed in place edit by edit. Raises ArgumentError where one does not fit."""
    for edit in edits:
        edit.apply(module)
    return module


def to_json(edits: Sequence[Edit]) -> list[dict[str, Any]]:
    """Plain JSON; `from_json` is the inverse."""
    return [edit.to_json() for edit in edits]


def from_json(value: object) -> tuple[Edit, ...]:
    """Edits from JSON that nobody vouches for. Raises ArgumentError with what is wrong."""
    if not isinstance(value, (list, tuple)) or len(value) > MAX_EDITS:
        raise ArgumentError(f"edits are a list of at most {MAX_EDITS:,}")
    return tuple(_edit(entry) for entry in value)


def _edit(entry: object) -> Edit:
    kind = entry.get("edit") if isinstance(entry, Mapping) else None
    if not (isinstance(entry, Mapping) and isinstance(kind, str) and kind in EDITS):
        raise ArgumentError(f"there is no edit {str(kind)[:80]!r}; known: {', '.join(EDITS)}")
    found: dict[str, Any] = {
        name: tuple(item) if isinstance(item, list) else item
        for name, item in entry.items()
        if name != "edit"
    }
    if set(found) != {field.name for field in fields(EDITS[kind])}:
        raise ArgumentError(f"the fields of an edit {kind!r} are other ones")
    return EDITS[kind](**found)

"""Coupled units: channels, neurons and heads that can only go together, over several layers.

    group   := root, kind, size, members
    member  := (module, axis, indices)      indices[u]: what belongs to unit u along that axis

Removing unit u of a residual stream takes row u of every convolution that writes to the stream,
entry u of every BatchNorm on the way, and column u of every convolution that reads it (DepGraph;
Fang et al. 2023, arXiv:2301.12900). As masks: the rows, columns, biases, scales and shifts are
zero. For good: they are cut out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from analysis.architectures.edits import Cut, Edit, Heads
from analysis.models import Model
from analysis.pruning.macs import layer_positions

Axis = Literal["out", "in"]
Kind = Literal["channels", "neurons", "heads"]


@dataclass(frozen=True)
class Member:
    """One layer's part in a group.

    Attributes
    ----------
    module: convolution, linear layer or normalisation.
    axis: "out" = rows of the weight, and entries of bias, scale and shift; "in" = its columns.
    indices: along that axis, those of each unit.
    """

    module: str
    axis: Axis
    indices: tuple[tuple[int, ...], ...]

    def of(self, units: Iterable[int]) -> list[int]:
        """Indices of some units, rising."""
        return sorted(index for unit in units for index in self.indices[unit])

    def select(self, units: Tensor, size: int) -> Tensor:
        """Boolean (size,): the indices of the units that `units` (boolean) marks."""
        found = torch.zeros(size, dtype=torch.bool)
        found[self.of(units.nonzero().flatten().tolist())] = True
        return found


@dataclass(frozen=True)
class ChannelGroup:
    """Units that can be removed one by one, each from all members at once.

    Attributes
    ----------
    root: layer that stands for the group: its rows are counted.
    attention: module whose `heads` change with the units, for heads; else "".
    """

    root: str
    kind: Kind
    size: int
    members: tuple[Member, ...]
    attention: str = ""

    def along(self, axis: Axis, layers: Iterable[str]) -> tuple[Member, ...]:
        """Members of one axis among the named layers."""
        names = set(layers)
        return tuple(m for m in self.members if m.axis == axis and m.module in names)


def whole(removed: Tensor, indices: tuple[tuple[int, ...], ...]) -> Tensor:
    """Boolean (units,): whether all of a unit's entries of `removed` (boolean) are True."""
    return torch.stack([removed[list(entries)].all() for entries in indices])


def zeroed(
    tensors: Mapping[str, Tensor], group: ChannelGroup, units: Tensor, weights: bool = True
) -> dict[str, Tensor]:
    """Tensors of a state dict with the marked units of a group set to zero, those that change.

    `weights=False` leaves the weights of convolutions and linear layers out: masks zero those.
    """
    found: dict[str, Tensor] = {}
    for member in group.members:
        names = ("weight", "bias") if member.axis == "out" else ("weight",)
        for name in (f"{member.module}.{name}" for name in names):
            tensor = found.get(name, tensors.get(name))
            if tensor is None or (tensor.ndim > 1 and not weights):
                continue
            dim = 0 if member.axis == "out" else 1
            gone = member.select(units, tensor.shape[dim])
            shape = [1] * tensor.ndim
            shape[dim] = -1
            found[name] = torch.where(gone.view(shape), torch.zeros_like(tensor), tensor)
    return found


def cuts(
    removed: Mapping[str, Tensor], groups: Iterable[ChannelGroup], sizes: Mapping[str, int]
) -> tuple[Edit, ...]:
    """The edits that cut units out.

    Parameters
    ----------
    removed: boolean (units,) by root; one unit at least stays in each group.
    sizes: length of each member's axis, by "module axis" (see `axis_sizes`).
    """
    gone: dict[tuple[str, Axis], set[int]] = {}
    heads: list[Edit] = []
    for group in groups:
        units = removed.get(group.root)
        if units is None or not bool(units.any()):
            continue
        for member in group.members:
            indices = member.of(units.nonzero().flatten().tolist())
            gone.setdefault((member.module, member.axis), set()).update(indices)
        if group.attention:
            heads.append(Heads(group.attention, tuple((~units).nonzero().flatten().tolist())))
    found = [
        Cut(module, axis, tuple(i for i in range(sizes[f"{module} {axis}"]) if i not in indices))
        for (module, axis), indices in gone.items()
    ]
    return (*found, *heads)


def axis_sizes(tensors: Mapping[str, Tensor], groups: Iterable[ChannelGroup]) -> dict[str, int]:
    """Length of every axis that a group touches, by "module axis"."""
    return {
        f"{m.module} {m.axis}": tensors[f"{m.module}.weight"].shape[0 if m.axis == "out" else 1]
        for group in groups
        for m in group.members
    }


def gone_units(model: Model, group: ChannelGroup) -> Tensor:
    """Boolean (units,): units that are removed from all members of a group.

    Masks take their rows and columns; biases, scales and shifts are zero. A row alone proves
    nothing: it is empty as well when other prunings took all columns it had left.
    """
    layers = {layer.name: layer for layer in model.layers}
    gone = torch.ones(group.size, dtype=torch.bool)
    for member in group.members:
        if member.module in layers:
            keep = model.keep(layers[member.module])
            lines = keep if member.axis == "out" else keep.transpose(0, 1)
            gone &= whole(~lines.flatten(1).any(dim=1), member.indices)
        for name in (f"{member.module}.weight", f"{member.module}.bias"):
            if member.axis == "out" and name in model.weights and model.weights[name].ndim == 1:
                gone &= whole(model.weight(name) == 0, member.indices)
    return gone


def unit_macs(model: Model, groups: Sequence[ChannelGroup]) -> list[float]:
    """MACs of one unit of each group for one image: its rows and its columns, in all members.

    Where a row and a column of different units cross, the MAC counts for both.
    """
    positions = layer_positions(model.architecture, model.num_classes)
    layers = {layer.name: layer for layer in model.layers}
    found = []
    for group in groups:
        total = 0.0
        for member in (*group.along("out", layers), *group.along("in", layers)):
            layer = layers[member.module]
            axis = layer.shape[0 if member.axis == "out" else 1]
            entries = sum(len(indices) for indices in member.indices)
            total += positions[layer.name] * layer.parameters / axis * entries
        found.append(total / group.size)
    return found


def masks(
    model: Model, groups: Sequence[ChannelGroup], gone: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Keep-masks by layer name and updates by tensor name that remove units (by root)."""
    layers = {layer.name: layer for layer in model.layers}
    keep: dict[str, Tensor] = {}
    updates: dict[str, Tensor] = {}
    for group in groups:
        removed = gone.get(group.root)
        if removed is None or not bool(removed.any()):
            continue
        for member in (*group.along("out", layers), *group.along("in", layers)):
            layer = layers[member.module]
            mask = keep.get(layer.name, model.keep(layer))
            lines = mask if member.axis == "out" else mask.transpose(0, 1)
            lines[member.select(removed, len(lines))] = False
            keep[layer.name] = mask
        vectors = {
            name: updates.get(name, model.weight(name))
            for member in group.members
            for name in (f"{member.module}.weight", f"{member.module}.bias")
            if name in model.weights and model.weights[name].ndim == 1
        }
        updates |= zeroed(vectors, group, removed, weights=False)
    return keep, updates

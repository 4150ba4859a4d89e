"""Counts that another allocation worked out beforehand, for schedules that take layers in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch

from analysis.pruning.context import PruningContext
from analysis.pruning.counting import bounded
from analysis.pruning.parts import LayerAllocation, LayerUnits


class FixedCounts(LayerAllocation):
    """So many units from each layer, by name; made by the program, so it is not registered."""

    name: ClassVar[str] = "fixed-counts"
    title: ClassVar[str] = "Fixed counts"

    by_layer: Mapping[str, int]

    def counts(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[int]:
        return [self.by_layer[unit.layer.name] for unit in units]


def fixed_counts(
    allocation: LayerAllocation, context: PruningContext, sparsity: float
) -> FixedCounts:
    """What `allocation` gives every layer when it sees all of them at once, weights as units."""
    units = [
        LayerUnits(
            layer, torch.zeros(layer.shape).masked_fill(context.removed(layer), float("-inf"))
        )
        for layer in context.layers
    ]
    found = allocation.counts(context, units, sparsity)
    found = bounded(found, [u.gone for u in units], [u.size for u in units], sum(found))
    names = [layer.name for layer in context.layers]
    return FixedCounts(by_layer=dict(zip(names, found, strict=True)))

"""Weight: every weight is a unit of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from analysis.pruning.context import PruningContext
from analysis.pruning.counting import exact_count
from analysis.pruning.part import part
from analysis.pruning.parts import Allocation, Decision, LayerUnits, Structure


@part
class Weight(Structure):
    """Unstructured pruning: exactly round(sparsity × n) weights go, ties by position."""

    name: ClassVar[str] = "weight"
    title: ClassVar[str] = "Single weights"

    def budget(self, context: PruningContext, sparsity: float) -> int:
        return exact_count(sparsity, sum(layer.parameters for layer in context.layers))

    def decide(
        self,
        context: PruningContext,
        scores: Mapping[str, Tensor],
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        units = [
            LayerUnits(layer, without(scores[layer.name], context.removed(layer)))
            for layer in context.layers
        ]
        gone = allocation.remove(context, units, sparsity)
        names = [layer.name for layer in context.layers]
        return Decision(
            keep={name: ~mask for name, mask in zip(names, gone, strict=True)},
            asked={name: int(mask.sum()) for name, mask in zip(names, gone, strict=True)},
        )


def without(scores: Tensor, removed: Tensor) -> Tensor:
    """The scores, with -inf where weights are removed already."""
    return scores.masked_fill(removed.to(scores.device), float("-inf"))

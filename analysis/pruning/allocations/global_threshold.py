"""Global: one threshold over all layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.counting import apportion, exact_count
from analysis.pruning.part import part
from analysis.pruning.parts import Allocation, LayerUnits, remove_counts
from kernels.select import k_smallest


@part
class Global(Allocation):
    """The lowest scores of all layers go, whichever layer they are in.

    A global threshold can empty a small layer and cut the network in two. The minimum threshold
    of Gupta et al., Is Complexity Required for Neural Network Pruning?, prevents it: every layer
    keeps at least `min_keep` units, or `min_percent` of the units of all layers together if that
    is more (layers smaller than that stay whole), and the others give more, so that the total
    stays exact. Who gives it:

    - "threshold": layers that would fall below are fixed at the minimum, and the threshold over
      the others is found anew until none falls below. The least scores go that the bound allows.
    - "rescale", as published: the sparsities of the layers that do not fall below are scaled by
      one factor until the total is met, and every layer is pruned by itself. Where those layers
      lose nothing yet, they start to lose in proportion to their size.
    """

    name: ClassVar[str] = "global"
    title: ClassVar[str] = "Global threshold"
    paper: ClassVar[str] = "Gupta et al. 2022, arXiv:2209.14624"

    min_keep: int = Field(
        default=0,
        ge=0,
        title="Kept in each layer at least",
        description="Keeps small layers from being emptied; the other layers give more.",
        json_schema_extra={"unit": "units"},
    )
    min_percent: float = Field(
        default=0.0,
        ge=0,
        le=100,
        title="Kept in each layer at least, of all units",
        description="The same as a share of the units of all layers together; 0.05 is published.",
        json_schema_extra={"unit": "%"},
    )
    refill: Literal["threshold", "rescale"] = Field(
        default="threshold",
        title="Who gives more",
        description="A new threshold over the other layers, or the same factor on each of them.",
    )

    def remove(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[Tensor]:
        everything = sum(unit.size for unit in units)
        budget = exact_count(sparsity, everything)
        least = max(self.min_keep, math.floor(everything * self.min_percent / 100))
        most = [max(unit.size - least, unit.gone, 0) for unit in units]
        if budget > sum(most):
            field = f"min_keep={self.min_keep}"
            if least > self.min_keep:
                field = f"min_percent={self.min_percent:g}"
            raise ArgumentError(
                f"{field} leaves {sum(most)} units to remove, but {budget} are to go: "
                f"lower {field.partition('=')[0]} or the sparsity"
            )
        if self.refill == "rescale":
            free = [int(mask.sum()) for mask in k_smallest([u.scores for u in units], budget)]
            return remove_counts(units, rescaled(free, most, [u.size for u in units], budget))
        return _new_threshold(units, most, budget)


def _new_threshold(units: Sequence[LayerUnits], most: Sequence[int], budget: int) -> list[Tensor]:
    """The lowest scores of all layers, at most `most` of each."""
    fixed: dict[int, Tensor] = {}
    while True:
        free = [i for i in range(len(units)) if i not in fixed]
        left = budget - sum(most[i] for i in fixed)
        chosen = k_smallest([units[i].scores for i in free], left)
        gone = dict(zip(free, chosen, strict=True))
        over = [i for i, mask in gone.items() if int(mask.sum()) > most[i]]
        if not over:
            return [(gone | fixed)[i] for i in range(len(units))]
        for i in over:
            fixed[i] = k_smallest([units[i].scores], most[i])[0]


def rescaled(
    counts: Sequence[int], most: Sequence[int], sizes: Sequence[int], budget: int
) -> list[int]:
    """Clamp counts to `most` and scale the others until they add up to the budget.

    Parameters
    ----------
    counts: what one threshold removes from each layer; they add up to `budget`.
    most: how much each layer may lose, Σ most >= budget.
    sizes: units of each layer.
    """
    shares = [float(count) for count in counts]
    fixed: set[int] = set()
    while over := {i for i, share in enumerate(shares) if share > most[i] and i not in fixed}:
        fixed |= over
        free = [i for i in range(len(shares)) if i not in fixed]
        weights = [float(counts[i]) for i in free]
        if not any(weights):
            weights = [float(sizes[i]) for i in free]
        left = budget - sum(most[i] for i in fixed)
        for i in fixed:
            shares[i] = float(most[i])
        for i, weight in zip(free, weights, strict=True):
            shares[i] = left * weight / sum(weights)
    return apportion(shares, budget)

"""Global: one threshold over all layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.counting import exact_count
from analysis.pruning.part import part
from analysis.pruning.parts import Allocation, LayerUnits
from kernels.select import k_smallest


@part
class Global(Allocation):
    """The lowest scores of all layers go, whichever layer they are in.

    A global threshold can empty a small layer and cut the network in two. `min_keep` prevents it:
    every layer keeps at least that many units (layers smaller than that stay whole), and the
    others give more, so that the total stays exact. This is the minimum threshold of Gupta et
    al., Is Complexity Required for Neural Network Pruning?, with the count made exact: layers
    that would fall below are fixed at the minimum, and the threshold over the others is found
    anew until none falls below.
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

    def remove(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[Tensor]:
        budget = exact_count(sparsity, sum(unit.size for unit in units))
        most = [max(unit.size - self.min_keep, unit.gone, 0) for unit in units]
        if budget > sum(most):
            raise ArgumentError(
                f"min_keep={self.min_keep} leaves {sum(most)} units to remove, but "
                f"{budget} are to go: lower min_keep or the sparsity"
            )
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

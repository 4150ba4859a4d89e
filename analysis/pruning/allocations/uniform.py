"""Uniform: the same sparsity in every layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from analysis.pruning.context import PruningContext
from analysis.pruning.counting import shared_counts
from analysis.pruning.part import part
from analysis.pruning.parts import LayerAllocation, LayerUnits


@part
class Uniform(LayerAllocation):
    """Every layer loses the same fraction, its lowest scores first.

    Counts come from cumulative rounding in module order: the total is exact and every layer is
    within one unit of its share. A layer that earlier prunings took below that keeps its zeros,
    and the others lose less.
    """

    name: ClassVar[str] = "uniform"
    title: ClassVar[str] = "Uniform, each layer alike"

    def counts(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[int]:
        return shared_counts([unit.size for unit in units], sparsity)

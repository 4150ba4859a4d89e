"""Uniform: the same sparsity in every layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from analysis.pruning.counting import bounded, shared_counts
from analysis.pruning.parts import Allocation, LayerUnits, part
from kernels.select import k_smallest


@part
class Uniform(Allocation):
    """Every layer loses the same fraction, its lowest scores first.

    Counts come from cumulative rounding in module order: the total is exact and every layer is
    within one unit of its share. A layer that earlier prunings took below that keeps its zeros,
    and the others lose less.
    """

    name: ClassVar[str] = "uniform"
    title: ClassVar[str] = "Uniform, each layer alike"

    def remove(self, units: Sequence[LayerUnits], sparsity: float) -> list[Tensor]:
        return remove_counts(units, shared_counts([unit.size for unit in units], sparsity))


def remove_counts(units: Sequence[LayerUnits], counts: Sequence[int]) -> list[Tensor]:
    """The lowest scores of each layer: `counts` of them, or as near as earlier prunings allow."""
    counts = bounded(
        counts, [unit.gone for unit in units], [unit.size for unit in units], sum(counts)
    )
    return [k_smallest([unit.scores], count)[0] for unit, count in zip(units, counts, strict=True)]

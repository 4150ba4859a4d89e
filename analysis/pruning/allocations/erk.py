"""Erdős–Rényi-kernel: wide layers give more than narrow ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from analysis.pruning.context import PruningContext
from analysis.pruning.counting import apportion, exact_count
from analysis.pruning.part import part
from analysis.pruning.parts import LayerAllocation, LayerUnits


@part
class Erk(LayerAllocation):
    """Density of a layer in proportion to (in + out + kh + kw) / (in · out · kh · kw).

    Evci et al., Rigging the Lottery (section 3). A layer whose density would exceed one stays
    dense and the others are scaled anew. Within a layer the lowest scores go.
    """

    name: ClassVar[str] = "erk"
    title: ClassVar[str] = "Erdős–Rényi-kernel"
    paper: ClassVar[str] = "Evci et al. 2020, arXiv:1911.11134"

    def counts(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[int]:
        sizes = [unit.size for unit in units]
        budget = exact_count(sparsity, sum(sizes))
        kept = sum(sizes) - budget
        densities = erk_densities([unit.layer.shape for unit in units], sizes, kept)
        shares = [size * (1 - d) for size, d in zip(sizes, densities, strict=True)]
        return apportion(shares, budget)


def erk_densities(
    shapes: Sequence[tuple[int, ...]], sizes: Sequence[int], kept: float
) -> list[float]:
    """Densities in [0, 1] with Σ density · size = kept.

    Parameters
    ----------
    shapes: shape of each weight: (out, in) or (out, in, kh, kw).
    sizes: number of units in each layer.
    kept: how many units stay in all, 0 < kept <= Σ sizes.
    """
    raw = [_raw_density(shape) for shape in shapes]
    dense: set[int] = set()
    while len(dense) < len(sizes):
        free = [i for i in range(len(sizes)) if i not in dense]
        left = kept - sum(sizes[i] for i in dense)
        scale = left / sum(raw[i] * sizes[i] for i in free)
        over = {i for i in free if raw[i] * scale > 1}
        if not over:
            return [1.0 if i in dense else raw[i] * scale for i in range(len(sizes))]
        dense |= over
    return [1.0] * len(sizes)


def _raw_density(shape: tuple[int, ...]) -> float:
    product = 1
    for size in shape:
        product *= size
    return sum(shape) / product

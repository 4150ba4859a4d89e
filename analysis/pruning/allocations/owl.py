"""OWL: blocks with many outlying weights keep more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.counting import apportion, bounded, exact_count, shared_counts
from analysis.pruning.criteria.activation import input_square_sums, per_weight
from analysis.pruning.inputs import never_called
from analysis.pruning.part import Need, Part, part
from analysis.pruning.parts import LayerAllocation, LayerUnits
from analysis.pruning.schedules.layer_by_layer import block
from kernels.rows import k_smallest_rows


@part
class Owl(LayerAllocation):
    """Sparsity of a block falls with its share of weights whose |w|·‖x‖ is far above the mean.

    Yin et al., Outlier Weighed Layerwise Sparsity (section 3.2). D = percentage of A = |w|·‖x‖
    above M times the mean of A over a block; D' = (D - min) / (max - min) · 2λ; the block's
    sparsity is s + mean(D') - D', and all of its layers get it. A block is a residual or
    transformer block. Layers outside of any (stem, classifier), which the authors do not prune,
    get the sparsity asked for; in a network without blocks, every layer is one.

    Published for blocks of equal size. Here the mean is weighted by size, which moves the
    sparsities of all blocks by the same amount, so that their differences are those published and
    the total is exact. λ is lowered to (1 - s)/2 or s/2 where it is more, so that no block is
    emptied and none has to give back.
    """

    name: ClassVar[str] = "owl"
    title: ClassVar[str] = "OWL, outlier-weighed blocks"
    paper: ClassVar[str] = "Yin et al. 2024, arXiv:2310.05175"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration"})

    spread: float = Field(
        default=0.08,
        ge=0,
        le=0.5,
        title="Spread λ",
        description="Sparsities of blocks lie within 2λ of each other.",
    )
    multiple: float = Field(
        default=5.0,
        gt=1,
        le=100,
        title="Outlier from M times the mean",
        description="A weight is an outlier when |w|·‖x‖ is above M times the mean of its block.",
    )
    within: Literal["layer", "row"] = Field(
        default="layer",
        title="Within a layer",
        description="Compare weights of the whole layer, or within each output row as Wanda does.",
    )

    def objection(self, parts: Mapping[str, Part]) -> str:
        if self.within == "row" and parts["structure"].name != "weight":
            return "OWL within rows chooses single weights: set within=layer for other structures"
        if self.within == "row" and parts["schedule"].name == "layer-by-layer":
            return "layer by layer, OWL gives counts to layers, not rows: set within=layer"
        return ""

    def inapplicable(self, model: Model) -> str:
        return never_called(model)

    def cost(self, job: JobSize) -> Cost:
        return Cost(forward=job.images, memory=8 * job.parameters)

    def counts(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[int]:
        names = _blocks(units)
        sizes: dict[str, int] = {}
        for unit, name in zip(units, names, strict=True):
            if name:
                sizes[name] = sizes.get(name, 0) + unit.size
        outliers = outlier_shares(context, units, names, self.multiple)
        found = owl_sparsities(
            [outliers[name] for name in sizes], list(sizes.values()), sparsity, self.spread
        )
        by_block = {"": sparsity, **dict(zip(sizes, found, strict=True))}
        budget = exact_count(sparsity, sum(unit.size for unit in units))
        shares = [unit.size * by_block[name] for unit, name in zip(units, names, strict=True)]
        return apportion(shares, budget)

    def remove(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[Tensor]:
        if self.within == "layer":
            return super().remove(context, units, sparsity)
        return _within_rows(units, self.counts(context, units, sparsity))


def owl_sparsities(
    outliers: Sequence[float], sizes: Sequence[int], sparsity: float, spread: float
) -> list[float]:
    """Sparsity of each block, with Σ size · sparsity = Σ size · the sparsity asked for.

    Parameters
    ----------
    outliers: D of each block, any unit: only ratios of differences matter.
    sizes: units of each block.
    spread: λ.
    """
    spread = min(spread, (1 - sparsity) / 2, sparsity / 2)
    low, high = min(outliers), max(outliers)
    if high == low:
        return [sparsity] * len(outliers)
    scaled = [(value - low) / (high - low) * 2 * spread for value in outliers]
    mean = fsum(n * value for n, value in zip(sizes, scaled, strict=True)) / sum(sizes)
    return [sparsity + mean - value for value in scaled]


def outlier_shares(
    context: PruningContext, units: Sequence[LayerUnits], names: Sequence[str], multiple: float
) -> dict[str, float]:
    """D in percent: how much of A = |w|·‖x‖ lies above `multiple` times its mean, by block.

    `names` says in which block each of the units stands; "" = in none.
    """
    sums = input_square_sums(context)
    values: dict[str, list[Tensor]] = {name: [] for name in names if name}
    for unit, name in zip(units, names, strict=True):
        if name:
            weight = context.weight(unit.layer)
            norms = per_weight(sums[unit.layer.name].sqrt(), weight)
            values[name].append((weight.abs() * norms).reshape(-1))
    shares = {}
    for name, parts in values.items():
        joined = torch.cat(parts)
        above = joined > multiple * joined.mean(dtype=torch.float64)
        shares[name] = 100 * int(torch.count_nonzero(above)) / joined.numel()
    return shares


def _blocks(units: Sequence[LayerUnits]) -> list[str]:
    """The block of each layer, "" outside; the layers themselves where there are no two blocks."""
    layers = [unit.layer.name for unit in units]
    names = [found if (found := block(layer)) != layer else "" for layer in layers]
    return names if len(set(names) - {""}) > 1 else layers


def _within_rows(units: Sequence[LayerUnits], counts: Sequence[int]) -> list[Tensor]:
    """The lowest scores of each row, a layer's count shared over its rows."""
    sizes = [unit.size for unit in units]
    counts = bounded(counts, [unit.gone for unit in units], sizes, sum(counts))
    chosen = []
    for unit, count in zip(units, counts, strict=True):
        rows = unit.scores.flatten(1)
        widths = [rows.shape[1]] * len(rows)
        lowest = [int(gone) for gone in torch.isneginf(rows).sum(dim=1)]
        shared = bounded(shared_counts(widths, count / unit.size), lowest, widths, count)
        chosen.append(k_smallest_rows(rows, shared).reshape(unit.scores.shape))
    return chosen

"""FPGM: filters that the others can stand in for go first."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.part import part
from analysis.pruning.parts import Criterion, Level
from analysis.request import Step

_CHUNK = 1 << 22
"""Distances held at once."""


@part
class Fpgm(Criterion):
    """Σ_j ‖w_i - w_j‖₂ over the other filters of the layer.

    He et al., Filter Pruning via Geometric Median (equation 6): the filter with the smallest sum
    lies closest to the geometric median of all, and what it says is said by the others as well.
    Filters removed before are no part of the sums.
    """

    name: ClassVar[str] = "fpgm"
    title: ClassVar[str] = "Distance to the other filters"
    paper: ClassVar[str] = "He et al. 2019, arXiv:1811.00250"
    level: ClassVar[Level] = "filter"

    def cost(self, job: JobSize) -> Cost:
        return Cost(
            macs=sum(float(layer.shape[0]) * layer.parameters for layer in job.layers),
            memory=8 * _CHUNK + 16 * max((la.parameters for la in job.layers), default=0),
        )

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        scores = {}
        for done, layer in enumerate(context.layers):
            context.report(Step(done, len(context.layers), layer.name))
            gone = context.removed(layer).flatten(1).all(dim=1)
            weight = context.weight(layer)
            scores[layer.name] = distance_sums(weight.flatten(1), ~gone.to(weight.device))
        return scores


def distance_sums(rows: Tensor, present: Tensor) -> Tensor:
    """Sum of the Euclidean distances of every row to the rows that are present.

    By ‖a‖² + ‖b‖² - 2ab as a matrix product, ten times faster than difference by difference.
    In float64 the distances between filters that are alike are wrong by some 1e-8 of their length,
    which does not count in a sum over all others.

    Parameters
    ----------
    rows: (filters, columns).
    present: boolean (filters,).

    Returns
    -------
    float64 (filters,).
    """
    values = rows.double()
    others = values[present]
    step = max(1, _CHUNK // max(len(others), 1))
    product = "use_mm_for_euclid_dist"
    parts = [
        torch.cdist(some, others, compute_mode=product).sum(dim=1)
        for some in torch.split(values, step)
    ]
    return torch.cat(parts)

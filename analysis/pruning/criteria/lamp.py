"""LAMP: magnitudes made comparable between layers."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.part import part
from analysis.pruning.parts import Criterion
from analysis.request import Step


@part
class Lamp(Criterion):
    """w_u² / Σ w_v², the sum over the weights of the layer that are not smaller than w_u.

    Lee et al., Layer-Adaptive Sparsity for the Magnitude-based Pruning (equation 4). Within a
    layer the order is that of the magnitudes. The largest weight of every layer has a score of 1,
    so that a global threshold never empties a layer that has any weight left.
    """

    name: ClassVar[str] = "lamp"
    title: ClassVar[str] = "LAMP w²/Σw²"
    paper: ClassVar[str] = "Lee et al. 2021, arXiv:2010.07611"

    def cost(self, job: JobSize) -> Cost:
        return Cost(memory=40 * max((layer.parameters for layer in job.layers), default=0))

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        scores = {}
        for done, layer in enumerate(context.layers):
            context.report(Step(done, len(context.layers), layer.name))
            scores[layer.name] = lamp(context.weight(layer))
        return scores


def lamp(weight: Tensor) -> Tensor:
    """LAMP scores of one layer, in the shape and type of its weight.

    Of equal magnitudes the one that stands first counts as the smaller one. The sums are taken
    in float64 from the largest weight downwards, so that small weights are not lost in the sum of
    the whole layer. A layer of zeros has scores of zero.
    """
    energies = weight.reshape(-1).double().square()
    ordered, order = torch.sort(energies, stable=True)
    tails = ordered.flip(0).cumsum(0).flip(0)
    found = torch.where(tails > 0, ordered / tails.clamp(min=torch.finfo(tails.dtype).tiny), 0)
    return torch.empty_like(found).scatter_(0, order, found).reshape(weight.shape).to(weight.dtype)

"""SNIP: sensitivity of the loss to removing a connection."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.criteria.gradients import mean_gradient
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Criterion


@part
class Snip(Criterion):
    """|w · g| / Σ |w · g|, g the gradient of the mean cross-entropy over all calibration images.

    Lee et al., SNIP: Single-shot Network Pruning based on Connection Sensitivity (equation 6).
    The sum runs over all layers, so scores add up to one.
    """

    name: ClassVar[str] = "snip"
    title: ClassVar[str] = "SNIP |w·g|"
    paper: ClassVar[str] = "Lee et al. 2019, arXiv:1810.02340"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration", "labels", "gradients"})

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        weights = {layer.name: context.weight(layer) for layer in context.layers}
        return sensitivities(weights, mean_gradient(context))

    def cost(self, job: JobSize) -> Cost:
        return Cost(backward=job.images, memory=2 * 4 * job.parameters)


def sensitivities(weights: dict[str, Tensor], gradients: dict[str, Tensor]) -> dict[str, Tensor]:
    """|w · g| of all layers, divided by its sum over all of them.

    Raises
    ------
    ArgumentError: every sensitivity is zero.
    """
    found = {name: (weights[name] * gradients[name]).abs() for name in weights}
    total = torch.stack([value.double().sum() for value in found.values()]).sum()
    if float(total) == 0:
        raise ArgumentError("the loss has no gradient on these images: nothing can be ranked")
    return {name: (value / total.to(value)).to(value.dtype) for name, value in found.items()}

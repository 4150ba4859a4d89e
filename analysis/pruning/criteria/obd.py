"""Optimal brain damage: the diagonal of the Hessian says what removing a weight costs."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.criteria.gradients import add_scaled, hessian_product
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Criterion
from analysis.request import part_of


@part
class Obd(Criterion):
    """½ w² · |H_ii|, H the Hessian of the mean cross-entropy over all calibration images.

    LeCun et al., Optimal Brain Damage (equation 4). The diagonal is estimated as the mean of
    v ⊙ (H v) over random sign vectors v (Bekas et al. 2007; Hutchinson), whose expectation is
    exact and whose error in entry i has variance Σ_{j≠i} H_ij² / probes. At a minimum of the loss
    the diagonal is positive, and what is negative is noise; its size still tells where curvature
    is, so magnitudes are taken, as AdaHessian does (Yao et al. 2021, arXiv:2006.00719). Counting
    negative entries as zero ruined the demo networks where magnitudes did not.
    """

    name: ClassVar[str] = "obd"
    title: ClassVar[str] = "Optimal brain damage w²·H_ii"
    paper: ClassVar[str] = "LeCun et al. 1990, Advances in Neural Information Processing Systems 2"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration", "labels", "gradients"})

    probes: int = Field(
        default=16,
        ge=1,
        le=1024,
        title="Probes",
        description="Random sign vectors that estimate the Hessian's diagonal.",
    )

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        diagonal = hessian_diagonal(context, self.probes)
        return {
            layer.name: context.weight(layer).square() * diagonal[layer.name].abs() / 2
            for layer in context.layers
        }

    def cost(self, job: JobSize) -> Cost:
        return Cost(backward=3 * self.probes * job.images, memory=5 * 4 * job.parameters)


def hessian_diagonal(context: PruningContext, probes: int) -> dict[str, Tensor]:
    """Estimated diagonal of the Hessian by layer name; the same for the same seed."""
    diagonal: dict[str, Tensor] = {}
    for index in range(probes):
        probing = replace(context, report=part_of(context.report, index, probes, ""))
        signs = {layer.name: random_signs(context, layer, index) for layer in context.layers}
        product = hessian_product(probing, signs)
        add_scaled(diagonal, {n: signs[n] * v for n, v in product.items()}, 1 / probes)
    return diagonal


def random_signs(context: PruningContext, layer: PrunableLayer, index: int) -> Tensor:
    """±1 in the shape of the weight, from a generator of its own for (seed, probe, layer)."""
    state = hashlib.sha256(f"signs:{context.seed}:{index}:{layer.name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(state[:8], "little") >> 1)
    bits = torch.randint(0, 2, layer.shape, generator=generator)
    return (2 * bits - 1).to(context.weight(layer))

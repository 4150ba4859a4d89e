"""GraSP: keep the weights whose removal would weaken the flow of gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.criteria.gradients import hessian_product, mean_gradient
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Criterion
from analysis.request import part_of


@part
class Grasp(Criterion):
    """w · (H g): g the gradient and H the Hessian of the loss over all calibration images.

    Wang et al., Picking Winning Tickets Before Training by Preserving Gradient Flow (equation 8)
    write S(-w) = -w · (H g), the change of gᵀg when the weight goes, and remove the largest; the
    sign here makes higher = keep, as in Synaptic-Flow. Logits are divided by the temperature in
    both derivatives, so that confident outputs still have a gradient; 200 is what the authors'
    code uses. BatchNorm stays in eval mode, unlike there, because the network is trained.
    """

    name: ClassVar[str] = "grasp"
    title: ClassVar[str] = "GraSP w·Hg"
    paper: ClassVar[str] = "Wang et al. 2020, arXiv:2002.07376"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration", "labels", "gradients"})

    temperature: float = Field(
        default=200.0,
        gt=0,
        le=1e6,
        title="Temperature",
        description="Logits are divided by it; the published code uses 200.",
    )

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        first, second = (
            replace(context, report=part_of(context.report, index, 2, "")) for index in (0, 1)
        )
        gradient = mean_gradient(first, self.temperature)
        flow = hessian_product(second, gradient, self.temperature)
        return {layer.name: context.weight(layer) * flow[layer.name] for layer in context.layers}

    def cost(self, job: JobSize) -> Cost:
        return Cost(backward=4 * job.images, memory=4 * 4 * job.parameters)

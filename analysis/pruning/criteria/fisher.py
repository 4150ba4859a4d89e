"""Diagonal Fisher: squared gradients of single images stand for the curvature."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.criteria.gradients import add_scaled, loss_gradients
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Criterion


@part
class Fisher(Criterion):
    """½ w² · E[g²], the expectation over the gradients g of single images.

    Theis et al., Faster gaze prediction with dense networks and Fisher pruning (equation 8): the
    diagonal of the empirical Fisher in the place of the Hessian's. With more than one image a
    gradient, squares of means are averaged instead, which is cheaper and no longer the Fisher.
    """

    name: ClassVar[str] = "fisher"
    title: ClassVar[str] = "Fisher, diagonal w²·E[g²]"
    paper: ClassVar[str] = "Theis et al. 2018, arXiv:1801.05787"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration", "labels", "gradients"})

    batch: int = Field(
        default=1,
        ge=1,
        le=4096,
        title="Images per gradient",
        description="One is the Fisher exactly; more are faster and rougher.",
        json_schema_extra={"unit": "images"},
    )

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        squares: dict[str, Tensor] = {}
        everything = len(context.images())
        for count, gradients in loss_gradients(context, self.batch):
            found = {name: gradient.square() for name, gradient in gradients.items()}
            add_scaled(squares, found, count / everything)
        return {
            layer.name: context.weight(layer).square() * squares[layer.name] / 2
            for layer in context.layers
        }

    def cost(self, job: JobSize) -> Cost:
        return Cost(backward=job.images, memory=3 * 4 * job.parameters)

"""First-order Taylor expansion: how much the loss moves when a weight is set to zero."""

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
class Taylor(Criterion):
    """Σ_b (w · g_b)², g_b the gradient of the mean cross-entropy of calibration batch b.

    The weight version of Molchanov et al., Importance Estimation for Neural Network Pruning
    (equation 8, accumulated over mini-batches): the square is taken in each batch and then added.
    So the batch size is part of the method, not of how it is computed.
    """

    name: ClassVar[str] = "taylor"
    title: ClassVar[str] = "Taylor, first order (w·g)²"
    paper: ClassVar[str] = "Molchanov et al. 2019, arXiv:1906.10771"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration", "labels", "gradients"})

    batch: int = Field(
        default=32,
        ge=1,
        le=4096,
        title="Images per gradient",
        description="One squared gradient is taken per this many calibration images.",
        json_schema_extra={"unit": "images"},
    )

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        scores: dict[str, Tensor] = {}
        for _, gradients in loss_gradients(context, self.batch):
            changes = {
                layer.name: (context.weight(layer) * gradients[layer.name]).square()
                for layer in context.layers
            }
            add_scaled(scores, changes)
        return scores

    def cost(self, job: JobSize) -> Cost:
        return Cost(backward=job.images, memory=2 * 4 * job.parameters)

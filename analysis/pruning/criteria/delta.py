"""Delta criteria: weights count by how far fine-tuning moved them."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.criteria.activation import input_square_sums, per_weight
from analysis.pruning.inputs import never_called
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Criterion
from analysis.pruning.structures.delta import base_model


@part
class DeltaMagnitude(Criterion):
    """|δ|, δ = w - w_base. What DARE is compared with, and its importance variant in DAREx."""

    name: ClassVar[str] = "delta-magnitude"
    title: ClassVar[str] = "Size of the change |δ|"
    paper: ClassVar[str] = "Yu et al. 2024, arXiv:2311.03099"
    needs: ClassVar[frozenset[Need]] = frozenset({"companion"})

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        base = base_model(context)
        scores = {}
        for layer in context.layers:
            weight = context.weight(layer)
            scores[layer.name] = (weight - base.weight(layer.parameter).to(weight)).abs()
        return scores


@part
class DeltaActivation(DeltaMagnitude):
    """|δ_ij| · ‖X_:j‖₂: Wanda on the change, with what the fine-tuned model reads.

    Deng et al., DARE the Extreme (importance-based pruning of delta parameters).
    """

    name: ClassVar[str] = "delta-activation"
    title: ClassVar[str] = "Change × activation |δ|·‖x‖"
    paper: ClassVar[str] = "Deng et al. 2024, arXiv:2410.09344"
    needs: ClassVar[frozenset[Need]] = frozenset({"companion", "calibration"})

    def inapplicable(self, model: Model) -> str:
        return never_called(model)

    def cost(self, job: JobSize) -> Cost:
        return Cost(forward=job.images, memory=8 * job.parameters)

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        changes, sums = super().scores(context), input_square_sums(context)
        return {
            name: change * per_weight(sums[name].sqrt(), change)
            for name, change in changes.items()
        }

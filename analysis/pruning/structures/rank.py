"""Rank: singular directions of little energy go; no weight becomes zero by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.low_rank import Matricisation, numerical_ranks, truncate
from analysis.pruning.part import Part, part
from analysis.pruning.parts import Allocation, Decision, Structure
from analysis.request import Step


class LowRank(Structure):
    """What structures that lower ranks share: no masks, new weights, ranks counted by SVD."""

    unit: ClassVar[str] = "ranks"

    def objection(self, parts: Mapping[str, Part]) -> str:
        wanted = {"criterion": "magnitude", "allocation": "uniform", "schedule": "one-shot"}
        for kind, name in wanted.items():
            if parts[kind].name != name:
                return (
                    f"{self.title} ranks singular directions by their energy, layer by layer: it "
                    f"goes with the {kind} {name!r} only"
                )
        return ""

    def inapplicable(self, model: Model) -> str:
        if model.masks:
            return f"{model.name} has masks, which new weights of low rank would not keep"
        return ""

    def gone(self, context: PruningContext) -> int:
        return 0

    def removed_units(self, keep: Tensor) -> int:
        return 0

    @property
    def form(self) -> Matricisation:
        """How a convolution is read as a matrix."""
        return "NC"

    def found(
        self, before: Model, after: Model, layer: PrunableLayer, companions: Sequence[Model] = ()
    ) -> int:
        if layer.parameter not in after.updates:
            return 0
        ranks = [
            int(numerical_ranks(m.weight(layer.parameter), self.form).sum())
            for m in (before, after)
        ]
        return ranks[0] - ranks[1]

    def cost(self, job: JobSize) -> Cost:
        """One decomposition of every layer and two for the audit; 20 passes of a product each."""
        work = 60.0 * sum(la.parameters * min(la.shape[0], la.shape[1]) for la in job.layers)
        return Cost(macs=work, memory=32 * max(la.parameters for la in job.layers))


@part
class Rank(LowRank):
    """Each layer keeps as few singular directions as hold the energy that is asked for.

    The smallest r with Σ_{i<=r} σ² / Σ σ² >= 1 - sparsity: here the sparsity is the fraction of
    the energy that may go, 0.1 for the published 90 %. Xu et al., Trained Rank Pruning. Made
    permanent, a layer becomes two smaller ones where that saves multiplications.
    """

    name: ClassVar[str] = "rank"
    measure: ClassVar[str] = "energy"
    title: ClassVar[str] = "Low rank by energy"
    paper: ClassVar[str] = "Xu et al. 2019, arXiv:1812.02402"

    matrix: Matricisation = Field(
        default="NC",
        title="Matrix",
        description="How a convolution is read as a matrix: by channel (NC), by space (VH), "
        "filter by filter (ND).",
    )

    @property
    def form(self) -> Matricisation:
        return self.matrix

    def budget(self, context: PruningContext, sparsity: float) -> int:
        return sum(_lost(*self._truncated(context, la, sparsity)[1:]) for la in context.layers)

    def decide(
        self,
        context: PruningContext,
        scores: Mapping[str, Tensor],
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        updates, asked = {}, {}
        for done, layer in enumerate(context.layers):
            weight, before, after = self._truncated(context, layer, sparsity)
            asked[layer.name] = _lost(before, after)
            if asked[layer.name]:
                updates[layer.parameter] = weight
            context.report(Step(done + 1, len(context.layers), f"singular values, {layer.name}"))
        return Decision({}, asked, updates)

    def _truncated(
        self, context: PruningContext, layer: PrunableLayer, sparsity: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        return truncate(context.model.weight(layer.parameter), self.matrix, 1 - sparsity)


def _lost(before: Tensor, after: Tensor) -> int:
    return int((before - after).sum())

"""Linear segments: what the loss says of convolutions without activations between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from analysis.errors import ArgumentError
from analysis.pruning.allocations.latency_dp import LatencyDP
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.depth.tables import importances
from analysis.pruning.part import Need, Part, part
from analysis.pruning.parts import Allocation, Criterion, Decision, Structure
from analysis.pruning.structures.depth import Depth


@part
class LinearSegments(Criterion):
    """Minus the rise of the loss when a run of convolutions alone loses its inner activations.

    A surrogate without training: the papers fine-tune the network for an epoch for every segment
    (Kim et al., arXiv:2301.12187) or use exp(Δ accuracy) (LayerMerge, arXiv:2406.12837).
    """

    name: ClassVar[str] = "linear-segments"
    title: ClassVar[str] = "Loss change of linear segments"
    paper: ClassVar[str] = "Kim et al. 2023, arXiv:2301.12187"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration", "labels"})
    joint: ClassVar[bool] = True

    def objection(self, parts: Mapping[str, Part]) -> str:
        wanted = {"structure": "depth", "allocation": "latency-dp", "schedule": "one-shot"}
        for kind, name in wanted.items():
            if parts[kind].name != name:
                return f"{self.title} scores whole segments: it goes with the {kind} {name!r} only"
        return ""

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        raise ArgumentError("segments of convolutions have importances, single weights have not")

    def decide(
        self,
        context: PruningContext,
        structure: Structure,
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        assert isinstance(structure, Depth)
        assert isinstance(allocation, LatencyDP)
        chains = structure.chains(context)
        worth = importances(context, chains)
        chosen, note = allocation.cut(context, chains, worth, sparsity)
        return structure.linear(context, chains, chosen, note)

    def cost(self, job: JobSize) -> Cost:
        return Cost(forward=float(job.images * len(job.layers)))

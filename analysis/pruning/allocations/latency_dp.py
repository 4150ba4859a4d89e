"""Latency DP: which convolutions are merged so that the least is lost within a budget of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.depth.chains import Chain
from analysis.pruning.depth.plan import best_cut
from analysis.pruning.depth.tables import Segment, times
from analysis.pruning.part import Part, part
from analysis.pruning.parts import Allocation, LayerUnits


@part
class LatencyDP(Allocation):
    """The cut of all chains that keeps most importance within (1 - sparsity) of their time.

    Time is measured here and now, convolution by convolution, merged and apart; or counted in
    MACs, which merging 3×3 convolutions raises. Kim et al., Efficient Latency-Aware CNN Depth
    Compression: first the fastest way to run every segment, then the program over all of them.
    """

    name: ClassVar[str] = "latency-dp"
    title: ClassVar[str] = "Latency, dynamic program"
    paper: ClassVar[str] = "Kim et al. 2023, arXiv:2301.12187"
    exact: ClassVar[bool] = False

    resource: Literal["latency", "macs"] = Field(
        default="latency",
        title="Resource",
        description="What is saved: measured milliseconds, or multiply-accumulates.",
    )
    batch: int = Field(
        default=1,
        ge=1,
        le=4096,
        title="Batch",
        description="Images that are timed at once.",
        json_schema_extra={"unit": "images"},
    )

    def objection(self, parts: Mapping[str, Part]) -> str:
        if parts["structure"].name != "depth":
            return "the latency program chooses between merged convolutions: it goes with 'depth'"
        return ""

    def remove(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[Tensor]:
        raise ArgumentError("the latency program shares out segments, not single units")

    def cut(
        self,
        context: PruningContext,
        chains: tuple[Chain, ...],
        importance: Mapping[Segment, float],
        sparsity: float,
    ) -> tuple[list[tuple[Segment, ...]], str]:
        """The segments of every chain, each as parts to merge, and a sentence on their time."""
        plans = times(context, chains, self.resource, self.batch)
        time = {segment: taken for segment, (taken, _) in plans.items()}
        whole = sum(t for (_, first, last), t in time.items() if first == last)
        chosen = best_cut([len(c) for c in chains], importance, time, (1 - sparsity) * whole)
        taken = sum(time[segment] for segment in chosen)
        unit = "ms a batch" if self.resource == "latency" else "MACs an image"
        parts = [plans[segment][1] for segment in chosen]
        return parts, f"{taken:.4g} of {whole:.4g} {unit} in the convolutions of all chains"

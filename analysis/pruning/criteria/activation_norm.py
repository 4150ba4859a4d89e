"""Activation norm: outputs that say little on the calibration images go first."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.criteria.outputs import each_output
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Criterion, Level

Measure = Literal["l2 of means", "mean", "positive"]


@part
class ActivationNorm(Criterion):
    """How much each output (filter or neuron) says, over all calibration images.

    Measured is what the layer puts out, behind the BatchNorm that reads it, where there is one,
    and before the activation.

    l2 of means: √Σ_n (mean over positions of |a|)², n the images; the best of the aggregations
    in Muralidharan et al., Compact Language Models via Pruning and Knowledge Distillation.
    mean: mean |a| over images and positions.
    positive: share of values above zero, which a ReLU behind lets through: one minus the APoZ of
    Hu et al., Network Trimming (arXiv:1607.03250).
    """

    name: ClassVar[str] = "activation-norm"
    title: ClassVar[str] = "Norm of the outputs"
    paper: ClassVar[str] = "Muralidharan et al. 2024, arXiv:2407.14679"
    level: ClassVar[Level] = "filter"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration"})

    measure: Measure = Field(
        default="l2 of means",
        title="Measure",
        description="L2 norm over images of the mean magnitude, mean magnitude, or share of "
        "positive values.",
    )

    def cost(self, job: JobSize) -> Cost:
        return Cost(forward=job.images)

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        sums: dict[str, Tensor] = {}
        rows: dict[str, int] = {}

        def add(layer: PrunableLayer, output: Tensor) -> None:
            found = measured(output, self.measure).sum(dim=0)
            sums[layer.name] = sums[layer.name] + found if layer.name in sums else found
            rows[layer.name] = rows.get(layer.name, 0) + len(output)

        each_output(context, context.layers, context.images(), add, "outputs")
        if not sums:
            raise ArgumentError(
                f"no layer of {context.model.name} puts out anything that can be seen: choose "
                "another criterion"
            )
        if self.measure == "l2 of means":
            return {name: found.sqrt() for name, found in sums.items()}
        return {name: found / rows[name] for name, found in sums.items()}


def measured(output: Tensor, measure: Measure) -> Tensor:
    """(N, out) in float64: what is added up over images, of an output (N, out, positions...)."""
    values = output.reshape(*output.shape[:2], -1)
    if measure == "positive":
        return (values > 0).mean(dim=2, dtype=torch.float64)
    means = values.abs().mean(dim=2, dtype=torch.float64)
    return means.square() if measure == "l2 of means" else means

"""Filter norm: outputs with small weights go first."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from analysis.pruning.context import PruningContext
from analysis.pruning.part import part
from analysis.pruning.parts import Criterion, Level


@part
class FilterNorm(Criterion):
    """Lp norm of the weights of each output (filter or neuron), for whole outputs.

    p = 1: Li et al., Pruning Filters for Efficient ConvNets. p = 2: He et al., Soft Filter Pruning
    for Accelerating Deep Convolutional Neural Networks. Weights removed before count as 0.
    """

    name: ClassVar[str] = "filter-norm"
    title: ClassVar[str] = "Norm of each filter"
    paper: ClassVar[str] = "Li et al. 2017, arXiv:1608.08710"
    level: ClassVar[Level] = "filter"

    p: int = Field(
        default=2,
        ge=1,
        le=2,
        title="Order of the norm",
        description="1 adds magnitudes up, 2 is the Euclidean length.",
        json_schema_extra={"unit": ""},
    )

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        return {
            layer.name: torch.linalg.vector_norm(context.weight(layer).flatten(1), self.p, dim=1)
            for layer in context.layers
        }

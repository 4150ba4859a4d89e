"""Magnitude: small weights go first."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from analysis.pruning.context import PruningContext
from analysis.pruning.part import part
from analysis.pruning.parts import Criterion


@part
class Magnitude(Criterion):
    """|w|. Han et al., Learning both Weights and Connections for Efficient Neural Networks."""

    name: ClassVar[str] = "magnitude"
    title: ClassVar[str] = "Magnitude |w|"
    paper: ClassVar[str] = "Han et al. 2015, arXiv:1506.02626"

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        return {layer.name: context.weight(layer).abs() for layer in context.layers}

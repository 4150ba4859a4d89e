"""Network slimming: outputs that BatchNorm scales down go first."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.following import following_norms
from analysis.pruning.part import part
from analysis.pruning.parts import Criterion, Level
from analysis.request import Compute, silent


@part
class BatchNormScale(Criterion):
    """|γ| of the BatchNorm channel that reads an output.

    Liu et al., Learning Efficient Convolutional Networks through Network Slimming. Meant for
    networks whose γ were trained with an L1 penalty; in others |γ| says less. Layers that no
    BatchNorm with a scale reads have no score.
    """

    name: ClassVar[str] = "bn-gamma"
    title: ClassVar[str] = "BatchNorm scale |γ|"
    paper: ClassVar[str] = "Liu et al. 2017, arXiv:1708.06519"
    level: ClassVar[Level] = "filter"

    def inapplicable(self, model: Model) -> str:
        with torch.device("meta"):
            module = model.architecture.build(model.num_classes).eval()
        if any(isinstance(child, _BatchNorm) for child in module.modules()):
            where = PruningContext(model, module, model.layers, None, 0, Compute(), silent)
            if _scales(where):
                return ""
        return f"no BatchNorm of {model.name} reads a layer: there is no scale to go by"

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        found = {name: gamma.detach().abs() for name, gamma in _scales(context).items()}
        if not found:
            raise ArgumentError(
                f"no BatchNorm of {context.model.name} reads a layer of this round: choose "
                "another criterion"
            )
        return found


def _scales(context: PruningContext) -> dict[str, nn.Parameter]:
    """γ of the BatchNorm that reads each layer, by layer name."""
    norms = {
        layer: context.module.get_submodule(name)
        for layer, name in following_norms(context).items()
    }
    return {
        layer: norm.weight
        for layer, norm in norms.items()
        if isinstance(norm, _BatchNorm) and norm.affine
    }

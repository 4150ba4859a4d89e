"""Magnitude: small weights go first."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from analysis.masks import Mask
from analysis.pruning.allocations.global_threshold import Global
from analysis.pruning.context import PruningContext
from analysis.pruning.part import part
from analysis.pruning.parts import Allocation, Criterion, Decision, Structure
from analysis.pruning.structures.weight import Weight
from kernels.select import READ_AS_BITS, keep_masks


@part
class Magnitude(Criterion):
    """|w|. Han et al., Learning both Weights and Connections for Efficient Neural Networks.

    With single weights and one threshold for all, masks are written straight from the weights:
    no score is made.
    """

    name: ClassVar[str] = "magnitude"
    title: ClassVar[str] = "Magnitude |w|"
    paper: ClassVar[str] = "Han et al. 2015, arXiv:1506.02626"

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        return {layer.name: context.weight(layer).abs() for layer in context.layers}

    def decide(
        self,
        context: PruningContext,
        structure: Structure,
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        weights = [context.weight(layer) for layer in context.layers]
        if (
            structure != Weight()
            or allocation != Global()
            or any(layer.parameter in context.model.masks for layer in context.layers)
            or any(w.dtype not in READ_AS_BITS or bool(torch.isnan(w).any()) for w in weights)
        ):
            return super().decide(context, structure, allocation, sparsity)
        packed = keep_masks(weights, structure.budget(context, sparsity))
        masks = {
            layer.name: Mask(bits.cpu().numpy(), layer.shape)
            for layer, bits in zip(context.layers, packed, strict=True)
        }
        asked = {name: mask.size - mask.kept for name, mask in masks.items()}
        return Decision({}, asked, packed=masks)

"""LAMP: how many weights each layer loses when magnitudes are compared layer-adaptively."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.counting import exact_count
from analysis.pruning.criteria.lamp import lamp
from analysis.pruning.part import part
from analysis.pruning.parts import LayerAllocation, LayerUnits
from kernels.select import k_smallest


@part
class Lamp(LayerAllocation):
    """Each layer loses as many units as one threshold over the LAMP scores of |w| takes from it.

    Lee et al., Layer-adaptive Sparsity for the Magnitude-based Pruning (equation 4). Only the
    counts come from LAMP: which units go within a layer is up to the criterion. With magnitude it
    is the published method, because LAMP keeps the order of |w| within a layer. A filter has the
    magnitude (Σ w²)^½. The highest LAMP score of a layer is 1, so no layer dies as long as one
    unit a layer may stay.
    """

    name: ClassVar[str] = "lamp"
    title: ClassVar[str] = "LAMP, layer-adaptive magnitude"
    paper: ClassVar[str] = "Lee et al. 2021, arXiv:2010.07611"

    def counts(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[int]:
        budget = exact_count(sparsity, sum(unit.size for unit in units))
        scores = [
            lamp(magnitudes(context, unit)).masked_fill(
                torch.isneginf(unit.scores).to(context.weight(unit.layer).device), float("-inf")
            )
            for unit in units
        ]
        return [int(gone.sum()) for gone in k_smallest(scores, budget)]


def magnitudes(context: PruningContext, unit: LayerUnits) -> Tensor:
    """|w| of each unit in float64: in the shape of the weight, or (Σ w²)^½ of each output, (out,).

    Raises
    ------
    ArgumentError: the units are neither single weights nor whole outputs of the layer.
    """
    # float64, because the float32 score of a small weight among many would lose its digits.
    weight = context.weight(unit.layer).double()
    if unit.scores.shape == weight.shape:
        return weight.abs()
    if unit.scores.shape == weight.shape[:1]:
        return weight.flatten(1).square().sum(dim=1).sqrt()
    raise ArgumentError(
        f"{unit.layer.name}: its units are neither single weights nor whole outputs, so their "
        "magnitude is not defined: choose another allocation"
    )

"""Activation-magnitude: a weight counts as much as the input it multiplies is large (Wanda)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from analysis.architectures.architecture import PrunableLayer
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.inputs import each_input, never_called, padded
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Criterion


@part
class ActivationMagnitude(Criterion):
    """|W_ij| · ‖X_:j‖₂, the norm of input j over all calibration images and positions.

    Sun et al., A Simple and Effective Pruning Approach for Large Language Models (equation 1).
    A convolution is the linear layer over its unfolded patches: column (c, ky, kx) holds what
    that kernel position reads, padding included. All layers of a round see the inputs of the model
    as it is before the round. The reference implementation re-runs each transformer block after
    pruning it and so feeds the next one pruned inputs: the schedule "layer by layer" does that.
    """

    name: ClassVar[str] = "activation-magnitude"
    title: ClassVar[str] = "Activation × magnitude |w|·‖x‖"
    paper: ClassVar[str] = "Sun et al. 2023, arXiv:2306.11695"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration"})

    def inapplicable(self, model: Model) -> str:
        return never_called(model)

    def cost(self, job: JobSize) -> Cost:
        return Cost(forward=job.images, memory=8 * job.parameters)

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        sums = input_square_sums(context)
        scores = {}
        for layer in context.layers:
            weight = context.weight(layer)
            scores[layer.name] = weight.abs() * per_weight(sums[layer.name].sqrt(), weight)
        return scores


def input_square_sums(context: PruningContext) -> dict[str, Tensor]:
    """Σ x² of every input column, float64, by layer name.

    Linear: (in,). Convolution: (in channels, kh, kw), all groups.

    Raises
    ------
    ArgumentError: a layer was never called in the forward pass, so its inputs are unknown.
    """
    sums: dict[str, Tensor] = {}

    def add(layer: PrunableLayer, module: nn.Module, x: Tensor) -> None:
        found = square_sums(module, x)
        sums[layer.name] = sums[layer.name] + found if layer.name in sums else found

    each_input(context, context.layers, add, "input norms")
    return sums


def square_sums(layer: nn.Module, x: Tensor) -> Tensor:
    """Σ x² of every input column of one call, in float64.

    For a convolution the squares are first added over the images; unfolding that one map gives
    the same sums as unfolding every image.
    """
    if not isinstance(layer, nn.Conv2d):
        rows = x.reshape(-1, x.shape[-1])
        return rows.square().sum(dim=0, dtype=torch.float64)
    return column_sums(layer, x.square().sum(dim=0, keepdim=True, dtype=torch.float64))


def column_sums(layer: nn.Conv2d, total: Tensor) -> Tensor:
    """What each kernel position reads of a map (1, in, h, w), added up: (in, kh, kw)."""
    columns = unfold(layer, total)
    return columns.sum(dim=(0, 2)).reshape(total.shape[1], *layer.kernel_size)


def unfold(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """What a convolution reads, (n, in · kh · kw, positions)."""
    return F.unfold(
        padded(layer, x), layer.kernel_size, dilation=layer.dilation, stride=layer.stride
    )


def per_weight(columns: Tensor, weight: Tensor) -> Tensor:
    """One value an input column, shaped to multiply a weight (out, in / groups, ...)."""
    groups = columns.shape[0] // weight.shape[1]
    grouped = columns.to(weight).reshape(groups, *weight.shape[1:])
    return grouped if groups == 1 else grouped.repeat_interleave(len(weight) // groups, dim=0)
